//! Messages as text for people: sanitised, coloured lines.
//!
//! | file | contents |
//! |---|---|
//! | `line` | one message as one line |
//! | `line_batch` | many messages as lines |
//! | `html` | one message as one line of HTML |
//! | `style` | the decision to use colour, and the colours |
//! | `sanitize` | unprintable characters as escapes |
//! | `wrap` | long lines wrapped for a terminal |
//!
//! Invariants: nothing here performs I/O. Whatever a message contains, it is one line, and the only
//! escape sequences or markup in it are those of this module.

pub mod html;
pub mod line;
pub mod line_batch;
pub mod sanitize;
pub mod style;
pub mod wrap;
