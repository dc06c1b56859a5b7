//! Binding and connecting to addresses, resolving names, and the state of each connection.

pub(crate) mod bind;
pub(crate) mod bound_endpoint;
pub(crate) mod connect;
pub(crate) mod disconnect_reason;
pub(crate) mod incoming;
pub mod interfaces;
pub(crate) mod ipc;
pub(crate) mod listeners;
pub(crate) mod outgoing;
pub(crate) mod reporter;
pub(crate) mod resolver;
pub mod state;
