//! Everything that uses ZeroMQ.
//!
//! | folder | contents |
//! |---|---|
//! | `zmq` | raw calls, the context, frames, socket options, monitors, the descriptor limit |
//! | `runtime` | what a process has once: registry, maintenance and reactor threads, event queue |
//! | `connection` | binding and connecting, host names, the state of one connection |
//! | `socket` | an open socket with its connections, the shared socket with its lock and waiters |
//! | `subscription` | a subscriber's subscriptions, and a publisher's table of its peers' ones |
//! | `publisher`, `subscriber`, `relay` | the classes of the API |
//!
//! Each folder imports only from those above it in this table.
//!
//! Invariant: a `zmq` socket is used only under the lock of its `SharedSocket`. No thread waits while
//! it holds that lock.

pub(crate) mod connection;
pub mod publisher;
pub mod relay;
pub(crate) mod runtime;
pub(crate) mod socket;
pub mod subscriber;
pub(crate) mod subscription;
pub(crate) mod zmq;

pub use crate::net::connection::bound_endpoint::connectable;
pub use crate::net::connection::{interfaces, state as peers};
pub use crate::net::publisher::Publisher;
pub use crate::net::relay::Relay;
pub use crate::net::runtime::process::{
    begin_detached_wait, ended, events, shut_down, DetachedWait,
};
pub use crate::net::runtime::reactor::{Interest, ReadinessCallback};
pub use crate::net::runtime::{event_queue, notebook_cell};
pub use crate::net::subscriber::Subscriber;
pub use crate::net::subscriber::WaitKind;
pub use crate::net::zmq::ffi::capabilities;
pub use crate::net::zmq::frame::RawMessage;
pub use crate::net::zmq::frame::{Frame, Payload, SharedBytes, SharedFrame};
pub use crate::net::zmq::options::ConnectionOptions;
pub use crate::util::fork::generation as fork_generation;
pub use crate::util::thread::block_signals;
pub use crate::util::time::{Checkpoint, Deadline};
pub use crate::wire::subscription::Subscription;
