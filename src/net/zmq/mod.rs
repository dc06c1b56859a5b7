//! The raw calls of libzmq, its context, frames, options and monitors.

pub(crate) mod context;
pub(crate) mod descriptor_limit;
pub(crate) mod ffi;
pub(crate) mod frame;
pub(crate) mod monitor;
pub(crate) mod options;
