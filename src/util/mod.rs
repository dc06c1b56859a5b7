//! Helpers without knowledge of ZeroMQ: fork detection and wake-ups.

pub(crate) mod fork;
pub(crate) mod wakeup;
