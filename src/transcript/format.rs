//! The choice between the two formats of a line.

use crate::error::{Error, Result};
use crate::transcript::entry::{Entry, Record};
use crate::transcript::{json, text};
use crate::wire::quote;

/// The format of a line. A file may contain both: the first character of a line shows its format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// Readable, and exact.
    #[default]
    Text,
    /// One JSON object per line.
    Jsonl,
}

impl Format {
    /// Parses `"text"` or `"jsonl"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(Error::Value(format!(
                "invalid format {}: expected 'text' or 'jsonl'",
                quote(text)
            ))),
        }
    }

    /// The word that [`Format::parse`] accepts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Jsonl => "jsonl",
        }
    }

    /// Appends a message as a line, with its line break.
    pub fn push_line(self, out: &mut Vec<u8>, record: &Record<'_>) {
        match self {
            Self::Text => text::push(out, record),
            Self::Jsonl => json::push(out, record),
        }
        out.push(b'\n');
    }
}

/// Parses a line of either format, given without its line break. Returns `None` for any other line.
#[must_use]
pub fn parse_line(line: &[u8]) -> Option<Entry> {
    match line.first()? {
        b'{' => json::parse(line),
        _ => text::parse(line),
    }
}
