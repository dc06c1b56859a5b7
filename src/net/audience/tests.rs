//! Limits on what peers send, against a real socket.
