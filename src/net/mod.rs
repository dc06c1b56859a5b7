//! Everything that uses ZeroMQ.
//!
//! | folder | contents |
//! |---|---|
//! | `zmq` | the raw calls, frames, socket options, the monitor, the limit of descriptors |
//! | `runtime` | what a process has once: context, registry, threads, event queue |
//! | `connection` | addresses, names and the state of connections |
//! | `socket` | an open socket, its lock and its waiters |
//! | `subscription` | which topics are subscribed to, and by how many peers |
//! | `publisher`, `subscriber`, `relay` | the classes that users hold |
//!
//! Invariant: a `zmq` socket is used only under the lock of its `SharedSocket`, and no thread waits
//! while it holds that lock.

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
