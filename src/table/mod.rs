//! Messages as a table: one column for each attribute of a message, and on request one for each key of
//! JSON payloads.
//!
//! | file | contents |
//! |---|---|
//! | `column` | columns: values, and which rows have one |
//! | `builder` | messages to columns |
//! | `json` | JSON payloads to columns |
//! | `json_column` | the column of one key, with the type that fits its values |
//! | [`arrow`] | export through the Arrow C data interface |
//!
//! Invariants: every column has one row per message. A finished table never changes, so that borrowers
//! can read it from any thread.

pub mod arrow;
mod builder;
mod column;
mod json;
mod json_column;

pub use crate::table::builder::TableBuilder;
pub use crate::table::column::{Bitmap, Column, Strings, Table, Values};

#[cfg(test)]
mod tests;
