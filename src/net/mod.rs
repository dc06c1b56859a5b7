//! The only rooms that touch ZeroMQ.
//!
//! | room | what stands in it |
//! |---|---|
//! | `sys` | the raw calls: every `unsafe` that speaks to libzmq |
//! | `frame` | one ZeroMQ frame |
//! | `fork` | how a forked child is recognised, and what it closes |
//! | `context` | the one context of the process, and how it ends |
//! | `wake`, `wait` | how a waiting thread is woken, how long it may wait |
//! | `watch` | how event loops wait, which have no thread to spare |
//! | `live`, `socket` | an open socket; its owner: the lock, the waiters, the end |
//! | `spare` | descriptors and threads enough for what is asked of libzmq |
//! | `ipc` | listening at a path without replacing what is there |
//! | `options` | the settings every socket starts with |
//! | `address`, `links` | from a typed address to a bound or connected socket |
//! | `lookup`, `inproc` | links that follow the names of computers, and names within the process |
//! | `monitor`, `peers` | connections as libzmq reports them, and how they stand |
//! | `witness` | who hung up, the peer or libzmq on it |
//! | `ledger`, `audience` | who subscribes to what, and how that is learnt |
//! | `heard` | which messages nobody wants, so that libzmq need not look |
//! | `sequences` | loss, counted from stamps |
//! | `events` | what the program may want to hear of all that |
//! | `housekeeping` | the thread that looks after sockets nobody waits on |
//! | `publisher`, `subscriber`, `relay` | what users hold |
//! | `origin` | the notebook's cell that an object is made in |
//! | `looking` | what event loops do with them |
//! | `outbox`, `inbox` | what each keeps beside its socket |
//! | `filter` | what a subscriber asked to hear |
//! | `timeout_cause` | why a receive timed out, for its error |
//! | `interfaces` | the addresses of this machine |
//!
//! Invariant: a `zmq` socket is used only under its owner's lock, and no thread waits while it
//! holds that lock.

mod address;
mod audience;
mod context;
pub mod events;
mod filter;
mod fork;
mod frame;
mod heard;
mod housekeeping;
mod inbox;
mod inproc;
pub mod interfaces;
mod ipc;
mod ledger;
mod links;
mod live;
mod looking;
mod lookup;
mod monitor;
mod options;
pub mod origin;
mod outbox;
pub mod peers;
pub mod publisher;
pub mod relay;
mod sequences;
mod socket;
mod spare;
pub mod subscriber;
mod sys;
mod timeout_cause;
mod wait;
mod wake;
mod watch;
mod witness;

pub use address::connectable;
pub use context::{about_to_wait, ended, shut_down, Waiting};
pub use filter::Subscription;
pub use fork::generation as fork_generation;
pub use frame::{Frame, Lender, Payload, SharedFrame};
pub use inbox::Received;
pub use options::Connecting;
pub use publisher::Publisher;
pub use relay::Relay;
pub use subscriber::Subscriber;
pub use sys::capabilities;
pub use timeout_cause::Waiter;
pub use wait::{Checkpoint, Deadline};
pub use wake::block_signals;
pub use watch::{Want, Watch};
