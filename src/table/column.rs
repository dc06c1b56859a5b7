//! Columns in the memory layout of Arrow, so that the export copies nothing.

use crate::error::{Error, Result};
use std::sync::Arc;

/// Replaces bytes that are not UTF-8.
const REPLACEMENT: &str = "\u{fffd}";

/// Columns of equal length. A table never changes.
#[derive(Debug)]
pub struct Table {
    /// The number of rows of each column.
    pub rows: usize,
    /// The columns, in order. Their names are unique.
    pub columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub struct Column {
    /// Its name, without NUL.
    pub name: String,
    /// Which rows have a value; `None` if all have one.
    pub validity: Option<Bitmap>,
    /// The values. A row without a value has an arbitrary one here.
    pub values: Values,
}

/// The values of a column.
#[derive(Debug)]
pub enum Values {
    /// Nanoseconds since 1970-01-01 UTC.
    Timestamp(Vec<i64>),
    /// Integers.
    Int(Vec<i64>),
    /// Integers that are not negative.
    UInt(Vec<u64>),
    /// Floating-point numbers.
    Float(Vec<f64>),
    /// True or false.
    Bool(Bitmap),
    /// Text.
    Text(Strings),
    /// Bytes.
    Bytes(Strings),
}

/// Bitmap, eight per byte, lowest bit first.
#[derive(Debug, Default, Clone)]
pub struct Bitmap {
    bytes: Vec<u8>,
    len: usize,
    ones: usize,
}

impl Bitmap {
    /// `len` zeros.
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

    /// Sets a bit that is zero to one.
    pub fn set(&mut self, index: usize) {
        self.bytes[index / 8] |= 1 << (index % 8);
        self.ones += 1;
    }

    /// Whether the bit is one.
    #[must_use]
    pub fn get(&self, index: usize) -> bool {
        self.bytes[index / 8] >> (index % 8) & 1 == 1
    }

    /// The number of zeros.
    #[must_use]
    pub fn count_zeros(&self) -> usize {
        self.len - self.ones
    }

    /// The bits, eight per byte.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The bitmap as [`Column::validity`]: `None` if all bits are ones.
    #[must_use]
    pub fn into_validity(self) -> Option<Self> {
        (self.count_zeros() > 0).then_some(self)
    }
}

/// Strings in consecutive memory. Two columns may share it.
#[derive(Debug, Clone)]
pub struct Strings {
    /// Where each string begins, and where the last one ends.
    pub offsets: Arc<Vec<i64>>,
    /// The bytes of all strings.
    pub bytes: Arc<Vec<u8>>,
}

impl Strings {
    /// The number of strings.
    #[must_use]
    pub fn count(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The string of a row.
    #[must_use]
    pub fn get(&self, index: usize) -> &[u8] {
        &self.bytes[to_index(self.offsets[index])..to_index(self.offsets[index + 1])]
    }
}

/// Collects [`Strings`].
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

    /// Reserves memory for further bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) -> Result<()> {
        self.bytes.try_reserve(bytes).map_err(|_| Error::NoMemory)
    }

    /// Appends a string, with undecodable bytes replaced.
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

    /// Appends empty strings up to `rows` strings.
    pub(crate) fn fill(&mut self, rows: usize) {
        let end = self.offsets[self.offsets.len() - 1];
        self.offsets.resize(rows + 1, end);
    }

    fn end(&mut self) {
        // No buffer is larger than an i64.
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

/// An offset as an index. It was converted from a `usize`.
pub(crate) fn to_index(offset: i64) -> usize {
    usize::try_from(offset).unwrap_or_default()
}
