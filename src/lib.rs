//! `zmqchat_rs`: publish/subscribe messaging over ZeroMQ for Python.
//!
//! | module | contents | imports from |
//! |---|---|---|
//! | `py` | the Python binding: converts arguments and results, releases the GIL, calls the core | all others, `pyo3` |
//! | [`net`] | sockets, connections, subscriptions, relays: the code that uses ZeroMQ | `wire`, `util`, `error`, the crate `zmq` |
//! | [`transcript`] | messages in files | `wire`, `util`, `error` |
//! | [`render`] | messages as text for people: lines, colours, HTML | `wire`, `util`, `error` |
//! | [`table`] | messages as columns (Arrow) | `wire`, `error` |
//! | [`wire`] | the meaning of bytes: topics, addresses, stamps, messages, subscriptions | `error` |
//! | [`util`] | locks, clocks and deadlines, threads, fork, wake-ups, local time | `error` |
//! | [`error`] | the errors of the core | nothing |
//!
//! Where to find things:
//!
//! | subject | file |
//! |---|---|
//! | a topic is parsed | `wire/topic.rs` |
//! | an address is parsed | `wire/endpoint/mod.rs` |
//! | frames become a message with topic, payload and sender | `wire/message.rs`, `wire/stamp/mod.rs` |
//! | a message is sent | `net/publisher/`, `net/zmq/frame.rs` |
//! | a message is received | `net/subscriber/`, `net/subscriber/queue.rs` |
//! | a call waits | `net/socket/blocking.rs`; for asyncio `net/runtime/reactor.rs` and `py/asyncio/` |
//! | the state of connections | `net/socket/connections.rs`, `net/connection/outgoing.rs`, `incoming.rs` |
//! | the state of a process: context, threads, events | `net/runtime/` |
//! | a message is written to a file | `transcript/writer.rs`, `transcript/appender.rs` |
//! | a message becomes a line | `render/line.rs` |
//!
//! Dependencies run in one direction, without circles; `tests/docs/test_structure.py` checks this. Without
//! the feature `python`, the crate has no `py` and needs no Python.

pub mod error;
pub mod net;
#[cfg(feature = "python")]
mod py;
pub mod render;
pub mod table;
pub mod transcript;
pub mod util;
pub mod wire;
