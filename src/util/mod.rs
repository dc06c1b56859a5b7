//! Helpers without knowledge of ZeroMQ.

pub(crate) mod fork;
pub(crate) mod per_process;
pub(crate) mod sync;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod wakeup;
