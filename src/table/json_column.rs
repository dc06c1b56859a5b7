//! The column of one key of JSON objects, with the type that fits all of its values.
//!
//! | values, except missing ones and null | type of the column |
//! |---|---|
//! | `true`, `false` | Bool |
//! | integers of 64 bits | Int, or `UInt` if a value requires it |
//! | numbers, if a float represents each integer exactly | Float |
//! | strings | Text |
//! | others: larger integers, arrays, objects, different types | Text, which is the JSON of each value |

use crate::table::column::{Bitmap, Column, StringBuilder, Values};
use serde_core::de::{Deserialize, Deserializer, Visitor};
use std::borrow::Cow;
use std::fmt;

/// Collects the values of one key.
#[derive(Default)]
pub(crate) struct JsonColumn {
    /// Each row with a value, and where its JSON ends.
    rows: Vec<(usize, usize)>,
    /// The JSON of all values.
    json: String,
}

impl JsonColumn {
    /// Whether no row has a value.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Adds the value of a row. A second value of the same row replaces the first.
    pub(crate) fn push(&mut self, row: usize, json: &str) {
        if let Some((last, _)) = self.rows.last() {
            if *last == row {
                self.rows.pop();
                self.json
                    .truncate(self.rows.last().map_or(0, |(_, end)| *end));
            }
        }
        self.json.push_str(json);
        self.rows.push((row, self.json.len()));
    }

    fn iter(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut start = 0;
        self.rows.iter().map(move |(row, end)| {
            let json = &self.json[start..*end];
            start = *end;
            (*row, json)
        })
    }

    /// Converts to a column with this number of rows.
    pub(crate) fn to_column(&self, name: String, rows: usize) -> Column {
        let mut types = TypeSummary::default();
        for (_, json) in self.iter() {
            types.add(JsonValue::read(json));
        }
        let mut validity = Bitmap::zeros(rows);
        let values = match types.column_type() {
            ColumnType::Bool => {
                let mut values = Bitmap::zeros(rows);
                self.each(&mut validity, |row, value| {
                    if matches!(value, JsonValue::Bool(true)) {
                        values.set(row);
                    }
                });
                Values::Bool(values)
            }
            ColumnType::Int => {
                let mut values = vec![0; rows];
                self.each(&mut validity, |row, value| {
                    if let JsonValue::Int(number) = value {
                        values[row] = number;
                    }
                });
                Values::Int(values)
            }
            ColumnType::UInt => {
                let mut values = vec![0; rows];
                self.each(&mut validity, |row, value| {
                    values[row] = match value {
                        JsonValue::Int(number) => number.unsigned_abs(),
                        JsonValue::UInt(number) => number,
                        _ => 0,
                    }
                });
                Values::UInt(values)
            }
            ColumnType::Float => {
                let mut values = vec![f64::NAN; rows];
                self.each(&mut validity, |row, value| values[row] = value.float());
                Values::Float(values)
            }
            column_type @ (ColumnType::Text | ColumnType::Json) => {
                let mut values = StringBuilder::with_rows(rows);
                self.each(&mut validity, |row, value| {
                    values.fill(row);
                    match (column_type, value) {
                        (ColumnType::Text, JsonValue::Text(json)) => {
                            values.push(unquoted(json).as_bytes());
                        }
                        (_, value) => values.push(value.json().as_bytes()),
                    }
                });
                values.fill(rows);
                Values::Text(values.finish())
            }
        };
        Column {
            name,
            validity: validity.into_validity(),
            values,
        }
    }

    /// Marks each row with a value other than null as valid, and calls `store` with it.
    fn each(&self, validity: &mut Bitmap, mut store: impl FnMut(usize, JsonValue<'_>)) {
        for (row, json) in self.iter() {
            let value = JsonValue::read(json);
            if !matches!(value, JsonValue::Null) {
                validity.set(row);
                store(row, value);
            }
        }
    }
}

/// A JSON value.
#[derive(Clone, Copy)]
enum JsonValue<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// An integer that is too large for an `i64`.
    UInt(u64),
    Float(f64, &'a str),
    /// A string, with its quotes.
    Text(&'a str),
    /// An array, an object, or an integer of more than 64 bits.
    Other(&'a str),
}

impl<'a> JsonValue<'a> {
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

    /// The number as a float.
    #[allow(clippy::cast_precision_loss)]
    fn float(self) -> f64 {
        match self {
            Self::Int(number) => number as f64,
            Self::UInt(number) => number as f64,
            Self::Float(number, _) => number,
            _ => f64::NAN,
        }
    }

    /// Whether a float represents the value exactly.
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
            Self::Bool(value) => if value { "true" } else { "false" }.into(),
            Self::Int(number) => number.to_string().into(),
            Self::UInt(number) => number.to_string().into(),
            Self::Float(_, json) | Self::Text(json) | Self::Other(json) => json.into(),
        }
    }
}

/// Which types the values of a column have.
#[derive(Default)]
#[allow(clippy::struct_excessive_bools)] // one for each type
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
enum ColumnType {
    Bool,
    Int,
    UInt,
    Float,
    Text,
    Json,
}

impl TypeSummary {
    fn add(&mut self, value: JsonValue<'_>) {
        self.inexact |= !value.is_exact();
        match value {
            JsonValue::Null => {}
            JsonValue::Bool(_) => self.bools = true,
            JsonValue::Int(number) => {
                self.ints = true;
                self.negative |= number < 0;
            }
            JsonValue::UInt(_) => self.large = true,
            JsonValue::Float(..) => self.floats = true,
            JsonValue::Text(_) => self.texts = true,
            JsonValue::Other(_) => self.others = true,
        }
    }

    fn column_type(&self) -> ColumnType {
        let numbers = self.ints || self.large || self.floats;
        match (self.bools, numbers, self.texts, self.others) {
            (true, false, false, false) => ColumnType::Bool,
            (false, false, _, false) => ColumnType::Text,
            (false, true, false, false) => match (self.floats, self.large) {
                (true, _) if !self.inexact => ColumnType::Float,
                (false, false) => ColumnType::Int,
                (false, true) if !self.negative => ColumnType::UInt,
                _ => ColumnType::Json,
            },
            _ => ColumnType::Json,
        }
    }
}

/// The text of a JSON string.
fn unquoted(json: &str) -> Cow<'_, str> {
    let inside = json.get(1..json.len() - 1).unwrap_or_default();
    if !inside.contains('\\') {
        return inside.into();
    }
    serde_json::from_str::<LossyString<'_>>(json)
        .map_or_else(|_| inside.into(), |LossyString(text)| text)
}

/// A string in which U+FFFD replaces lone surrogates.
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
