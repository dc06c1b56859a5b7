//! Messages as a table: a column for each thing that a message tells, and on request one for each
//! key of the JSON objects that they hold.
//!
//! | room | what stands in it |
//! |---|---|
//! | `column` | one column: its values, and which rows have one |
//! | `builder` | messages in, columns out |
//! | `json`, `cells` | JSON payloads taken apart, and the type that fits what was found |
//! | [`arrow`] | the finished table, lent out through the Arrow C data interface |
//!
//! Invariants: every column has as many rows as there were messages; a finished table never changes,
//! so that whoever has a part of it on loan may read it from any thread.

pub mod arrow;
mod builder;
mod column;
mod json;
mod json_column;

pub use crate::table::builder::Builder;
pub use crate::table::column::{Bits, Column, Strings, Table, Values};

#[cfg(test)]
mod tests;
