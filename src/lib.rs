//! `zmqchat_rs`: publish/subscribe messaging over ZeroMQ for Python.
//!
//! | room | what stands in it | names |
//! |---|---|---|
//! | [`wire`] | what bytes mean: topics, addresses, stamps; pure | nothing |
//! | [`show`] | what people read: lines, colours, escapes; pure | `wire` |
//! | [`log`] | messages kept in files, and read back | `wire` |
//! | [`table`] | messages as columns, for Arrow | `wire` |
//! | [`net`] | everything that touches ZeroMQ | `wire`, the crate `zmq` |
//! | `py` | the Python face: converts, detaches, delegates | `log`, `net`, `show`, `table`, `wire`, `pyo3` |
//! | [`error`] | everything that can go wrong | nothing |
//! | [`local_time`] | local time, as Python's `time.localtime` has it | nothing |
//!
//! Imports run one way, down this table's last column. Without the feature `python` there is no
//! `py`, and the rest is plain Rust.

pub mod error;
pub mod local_time;
pub mod log;
pub mod net;
#[cfg(feature = "python")]
mod py;
pub mod show;
pub mod table;
pub mod wire;
