//! Conversion between Python objects and Rust values.

pub(crate) mod args;
pub(crate) mod arrow;
pub(crate) mod frame_bytes;
pub(crate) mod near_miss;
pub(crate) mod objects;
pub(crate) mod payload;
pub(crate) mod pybytes;
pub(crate) mod zero_copy;
