//! From a typed address to a connection, and the state of connections.

pub(crate) mod bind;
pub(crate) mod disconnect_reason;
pub mod interfaces;
pub(crate) mod ipc;
pub(crate) mod resolver;
pub mod state;
