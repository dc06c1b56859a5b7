//! An open socket, its connections, its lock and its waiters.

pub(crate) mod blocking;
pub(crate) mod connections;
pub(crate) mod handler;
pub(crate) mod nonblocking;
pub(crate) mod open_socket;
pub(crate) mod reconnect;
pub(crate) mod shared_socket;
