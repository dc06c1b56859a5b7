//! `zmqchat_rs`: publish/subscribe messaging over ZeroMQ for Python.
//!
//! | module | contents | depends on |
//! |---|---|---|
//! | [`util`] | locks, time, threads, fork and wake-up | nothing |
//! | [`error`] | the errors of the crate | nothing |
//! | [`wire`] | what bytes mean: topics, endpoints, stamps, messages; pure | `error` |
//! | [`render`] | text for people: lines, colours, escapes; pure | `wire` |
//! | [`transcript`] | messages in files | `wire`, `util` |
//! | [`table`] | messages as columns (Arrow) | `wire` |
//! | [`net`] | everything that uses ZeroMQ | `wire`, `util`, the crate `zmq` |
//! | `py` | the Python binding: converts, detaches, delegates | all of the above, `pyo3` |
//! | [`local_time`] | local time, as in Python's `time.localtime` | nothing |
//!
//! Dependencies run one way, without circles. Without the feature `python` there is no `py`, and
//! the rest is plain Rust.

pub mod error;
pub mod net;
#[cfg(feature = "python")]
mod py;
pub mod render;
pub mod table;
pub mod transcript;
pub mod util;
pub mod wire;
