//! One column: its values, and which rows have one. Laid out in memory as Arrow wants it, so that
//! lending it costs nothing.

use crate::error::{Error, Result};
use std::sync::Arc;

/// Stands for bytes that are no UTF-8.
const REPLACEMENT: &str = "\u{fffd}";

/// Columns of one length, which never change.
#[derive(Debug)]
pub struct Table {
    /// How many rows each column has.
    pub rows: usize,
    /// The columns, in order; no two have the same name.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its name; without NUL.
    pub name: String,
    /// Which rows have a value; `None` where all have.
    pub valid: Option<Bits>,
    /// The values; where a row has none, something stands there nevertheless.
    pub values: Values,
}

/// The values of a column.
#[derive(Debug)]
pub enum Values {
    /// Nanoseconds since 1970-01-01 UTC.
    Moment(Vec<i64>),
    /// Whole numbers.
    Int(Vec<i64>),
    /// Whole numbers from 0.
    UInt(Vec<u64>),
    /// Numbers.
    Float(Vec<f64>),
    /// Yes or no.
    Bool(Bits),
    /// Text.
    Text(Strings),
    /// Bytes.
    Bytes(Strings),
}

/// Bits, eight a byte, the first one lowest.
#[derive(Debug, Default, Clone)]
pub struct Bits {
    bytes: Vec<u8>,
    len: usize,
    ones: usize,
}

impl Bits {
    /// So many zeros.
    #[must_use]
    pub fn zeros(len: usize) -> Self {
        Self {
            bytes: vec![0; len.div_ceil(8)],
            len,
            ones: 0,
        }
    }

    /// Appends a bit.
    pub fn push(&mut self, bit: bool) {
        if self.len % 8 == 0 {
            self.bytes.push(0);
        }
        self.len += 1;
        if bit {
            self.set(self.len - 1);
        }
    }

    /// Makes the bit a one, which it was not.
    pub fn set(&mut self, index: usize) {
        self.bytes[index / 8] |= 1 << (index % 8);
        self.ones += 1;
    }

    /// The bit.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        self.bytes[index / 8] >> (index % 8) & 1 == 1
    }

    /// How many zeros there are.
    #[must_use]
    pub fn zeros_count(&self) -> usize {
        self.len - self.ones
    }

    /// The bytes that hold them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As a column has it: `None` where all are ones.
    #[must_use]
    pub fn unless_all(self) -> Option<Self> {
        (self.zeros_count() > 0).then_some(self)
    }
}

/// Strings one after the other. Two columns may share them.
#[derive(Debug, Clone)]
pub struct Strings {
    /// Where each begins, and where the last one ends.
    pub offsets: Arc<Vec<i64>>,
    /// All of them.
    pub bytes: Arc<Vec<u8>>,
}

impl Strings {
    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[place(self.offsets[index])..place(self.offsets[index + 1])]
    }
}

/// Strings that are still coming.
#[derive(Debug)]
pub(crate) struct StringBuilder {
    offsets: Vec<i64>,
    bytes: Vec<u8>,
}

impl StringBuilder {
    pub(crate) fn with_rows(rows: usize) -> Self {
        let mut offsets = Vec::with_capacity(rows + 1);
        offsets.push(0);
        Self {
            offsets,
            bytes: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, string: &[u8]) {
        self.bytes.extend_from_slice(string);
        self.end();
    }

    /// Makes room for so many bytes, where there is memory for them.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<()> {
        self.bytes.try_reserve(bytes).map_err(|_| Error::NoMemory)
    }

    /// The same with undecodable bytes replaced.
    pub(crate) fn push_decoded(&mut self, string: &[u8]) -> Result<()> {
        for chunk in string.utf8_chunks() {
            self.reserve(chunk.valid().len() + REPLACEMENT.len())?;
            self.bytes.extend_from_slice(chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                self.bytes.extend_from_slice(REPLACEMENT.as_bytes());
            }
        }
        self.end();
        Ok(())
    }

    /// Empty strings, until there are so many in all.
    pub(crate) fn fill(&mut self, rows: usize) {
        let end = self.offsets[self.offsets.len() - 1];
        self.offsets.resize(rows + 1, end);
    }

    fn end(&mut self) {
        // Memory ends long before an i64 does.
        #[allow(clippy::cast_possible_wrap)]
        self.offsets.push(self.bytes.len() as i64);
    }

    pub(crate) fn finish(self) -> Strings {
        Strings {
            offsets: Arc::new(self.offsets),
            bytes: Arc::new(self.bytes),
        }
    }
}

/// An offset, which was a `usize` before.
pub(crate) fn place(offset: i64) -> usize {
    usize::try_from(offset).unwrap_or_default()
}
