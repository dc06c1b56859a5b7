//! What bytes on the wire mean: topics, addresses, stamps and messages.
//!
//! Invariants: nothing here performs I/O, and no received bytes cause a panic.

pub mod endpoint;
pub mod message;
mod printable;
pub mod stamp;
pub mod subscription;
pub mod topic;

pub use crate::wire::printable::{is_unprintable, push_escaped, quote};
