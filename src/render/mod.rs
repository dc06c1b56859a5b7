//! What people read: sanitised, coloured lines. Pure: this returns text, and whoever holds the
//! stream prints it.
//!
//! The invariant: whatever a stranger sends, one message is one line, and the only escape sequences
//! or markup in it are ours.

pub mod html;
pub mod line;
pub mod line_batch;
pub mod sanitize;
pub mod style;
pub mod wrap;
