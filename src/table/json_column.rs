//! What was found under one key of JSON objects, and the type that fits all of it.
//!
//! | found, beside nothing and null | the column |
//! |---|---|
//! | `true`, `false` | Bool |
//! | whole numbers that 64 bits hold, with or without a sign | Int, or else `UInt` |
//! | numbers, if a float holds each whole one exactly | Float |
//! | strings | Text |
//! | anything else: larger numbers, arrays, objects, a mixture | Text: of each the JSON, as it came |

use crate::table::column::{Bits, Column, StringBuilder, Values};
use serde_core::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// What was found under one key: of each row the JSON.
#[derive(Default)]
pub(crate) struct Cells {
    /// The row, and where its JSON ends.
    cells: Vec<(usize, usize)>,
    json: String,
}

impl Cells {
    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Adds what a row has; of two, the last one counts.
    pub(crate) fn push(&mut self, row: usize, json: &str) {
        if let Some((last, _)) = self.cells.last() {
            if *last == row {
                self.cells.pop();
                self.json
                    .truncate(self.cells.last().map_or(0, |(_, end)| *end));
            }
        }
        self.json.push_str(json);
        self.cells.push((row, self.json.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.cells.iter().map(move |(row, end)| {
            let json = &self.json[start..*end];
            start = *end;
            (*row, json)
        })
    }

    /// The column, of so many rows.
    pub(crate) fn column(&self, name: String, rows: usize) -> Column {
        let mut seen = TypeSummary::default();
        for (_, json) in self.iter() {
            seen.look(Cell::read(json));
        }
        let mut valid = Bits::zeros(rows);
        let values = match seen.kind() {
            Kind::Bool => {
                let mut values = Bits::zeros(rows);
                self.each(&mut valid, |row, cell| {
                    if matches!(cell, Cell::Bool(true)) {
                        values.set(row);
                    }
                });
                Values::Bool(values)
            }
            Kind::Int => {
                let mut values = vec![0; rows];
                self.each(&mut valid, |row, cell| {
                    if let Cell::Int(number) = cell {
                        values[row] = number;
                    }
                });
                Values::Int(values)
            }
            Kind::UInt => {
                let mut values = vec![0; rows];
                self.each(&mut valid, |row, cell| {
                    values[row] = match cell {
                        Cell::Int(number) => number.unsigned_abs(),
                        Cell::UInt(number) => number,
                        _ => 0,
                    }
                });
                Values::UInt(values)
            }
            Kind::Float => {
                let mut values = vec![f64::NAN; rows];
                self.each(&mut valid, |row, cell| values[row] = cell.float());
                Values::Float(values)
            }
            kind @ (Kind::Text | Kind::Json) => {
                let mut values = StringBuilder::with_rows(rows);
                self.each(&mut valid, |row, cell| {
                    values.fill(row);
                    match (kind, cell) {
                        (Kind::Text, Cell::Text(json)) => values.push(unquoted(json).as_bytes()),
                        (_, cell) => values.push(cell.json().as_bytes()),
                    }
                });
                values.fill(rows);
                Values::Text(values.finish())
            }
        };
        Column {
            name,
            valid: valid.unless_all(),
            values,
        }
    }

    /// Each cell that is something.
    fn each(&self, valid: &mut Bits, mut put: impl FnMut(usize, Cell<'_>)) {
        for (row, json) in self.iter() {
            let cell = Cell::read(json);
            if !matches!(cell, Cell::Null) {
                valid.set(row);
                put(row, cell);
            }
        }
    }
}

/// One piece of JSON.
#[derive(Clone, Copy)]
enum Cell<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// A number that is too large for an Int.
    UInt(u64),
    Float(f64, &'a str),
    /// A string, with its quotes.
    Text(&'a str),
    /// An array, an object, or a whole number of more than 64 bits.
    Other(&'a str),
}

impl<'a> Cell<'a> {
    fn read(json: &'a str) -> Self {
        match json.as_bytes() {
            [b'n', ..] => Self::Null,
            [b't', ..] => Self::Bool(true),
            [b'f', ..] => Self::Bool(false),
            [b'"', ..] => Self::Text(json),
            [b'-' | b'0'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) => json
                .parse()
                .map(Self::Int)
                .or_else(|_| json.parse().map(Self::UInt))
                .unwrap_or(Self::Other(json)),
            [b'-' | b'0'..=b'9', ..] => json
                .parse()
                .map_or(Self::Other(json), |number| Self::Float(number, json)),
            _ => Self::Other(json),
        }
    }

    /// As a float, which was found to be exact.
    #[allow(clippy::cast_precision_loss)]
    fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::UInt(number) => number as f64,
            Self::Float(number, _) => number,
            _ => f64::NAN,
        }
    }

    /// Whether a float holds it exactly.
    #[allow(clippy::cast_possible_truncation)]
    fn is_exact(self) -> bool {
        match self {
            Self::Int(number) => self.float() as i128 == i128::from(number),
            Self::UInt(number) => self.float() as i128 == i128::from(number),
            _ => true,
        }
    }

    fn json(self) -> Cow<'a, str> {
        match self {
            Self::Null => "null".into(),
            Self::Bool(yes) => if yes { "true" } else { "false" }.into(),
            Self::Int(number) => number.to_string().into(),
            Self::UInt(number) => number.to_string().into(),
            Self::Float(_, json) | Self::Text(json) | Self::Other(json) => json.into(),
        }
    }
}

/// What all the cells of a column are.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // each is one thing that was seen, or not
struct TypeSummary {
    bools: bool,
    ints: bool,
    negative: bool,
    large: bool,
    inexact: bool,
    floats: bool,
    texts: bool,
    others: bool,
}

#[derive(Clone, Copy)]
enum Kind {
    Bool,
    Int,
    UInt,
    Float,
    Text,
    Json,
}

impl TypeSummary {
    fn look(&mut self, cell: Cell<'_>) {
        self.inexact |= !cell.is_exact();
        match cell {
            Cell::Null => {}
            Cell::Bool(_) => self.bools = true,
            Cell::Int(number) => {
                self.ints = true;
                self.negative |= number < 0;
            }
            Cell::UInt(_) => self.large = true,
            Cell::Float(..) => self.floats = true,
            Cell::Text(_) => self.texts = true,
            Cell::Other(_) => self.others = true,
        }
    }

    fn kind(&self) -> Kind {
        let numbers = self.ints || self.large || self.floats;
        match (self.bools, numbers, self.texts, self.others) {
            (true, false, false, false) => Kind::Bool,
            (false, false, _, false) => Kind::Text,
            (false, true, false, false) => match (self.floats, self.large) {
                (true, _) if !self.inexact => Kind::Float,
                (false, false) => Kind::Int,
                (false, true) if !self.negative => Kind::UInt,
                _ => Kind::Json,
            },
            _ => Kind::Json,
        }
    }
}

/// A JSON string's text.
fn unquoted(json: &str) -> Cow<'_, str> {
    let inside = json.get(1..json.len() - 1).unwrap_or_default();
    if !inside.contains('\\') {
        return inside.into();
    }
    serde_json::from_str::<LossyString<'_>>(json)
        .map_or_else(|_| inside.into(), |LossyString(words)| words)
}

/// A string, in which a lone surrogate becomes U+FFFD.
pub(crate) struct LossyString<'a>(pub(crate) Cow<'a, str>);

impl<'de> Deserialize<'de> for LossyString<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl<'de> Visitor<'de> for Bytes {
            type Value = LossyString<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_borrowed_bytes<E>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
                Ok(LossyString(String::from_utf8_lossy(bytes)))
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
                Ok(LossyString(
                    String::from_utf8_lossy(bytes).into_owned().into(),
                ))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}
