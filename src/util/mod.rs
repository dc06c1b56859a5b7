//! Code that does not depend on ZeroMQ: locks, time, threads, forks, wake-ups.

pub(crate) mod descriptor;
pub(crate) mod file_lock;
pub(crate) mod fork;
pub(crate) mod interface_flags;
pub(crate) mod local_time;
pub(crate) mod per_process;
pub(crate) mod sync;
pub(crate) mod text;
pub(crate) mod thread;
pub(crate) mod time;
pub(crate) mod wakeup;
