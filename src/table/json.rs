//! Converts JSON payloads to columns, one for each key of their objects.
//!
//! - A payload that is not JSON has no values.
//! - A payload that is not an object is a value of the column `json`, as are the members beyond
//!   [`MAX_KEYS`] keys.
//! - As in Python's `json`, the last of two equal keys counts, and `NaN` (a missing value), `Infinity`
//!   and lone surrogates (U+FFFD) are accepted.

use crate::table::column::{Column, Strings};
use crate::table::json_column::{JsonColumn, LossyString};
use serde_core::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// How many keys have their own column. Otherwise a sender with a new key in each message could fill the
/// memory with empty columns.
pub(crate) const MAX_KEYS: usize = 256;
/// The column of all other values. With a dot, the prefix of a key whose name another column has.
const REST: &str = "json";

/// Appends the columns of the JSON payloads.
pub(crate) fn unpack(payloads: &Strings, columns: &mut Vec<Column>) {
    let mut json = JsonColumns::default();
    for row in 0..payloads.count() {
        if let Ok(text) = std::str::from_utf8(payloads.get(row)) {
            json.add(row, text.strip_prefix('\u{feff}').unwrap_or(text));
        }
    }
    let rows = payloads.count();
    let mut names: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    names.insert(REST.to_owned());
    for (key, column) in json.keys.into_iter().zip(json.columns) {
        // In Arrow, a NUL ends a name.
        let mut name = key.replace('\0', "\u{fffd}");
        while !names.insert(name.clone()) {
            name = format!("{REST}.{name}");
        }
        columns.push(column.to_column(name, rows));
    }
    if !json.rest.is_empty() {
        columns.push(json.rest.to_column(REST.to_owned(), rows));
    }
}

/// The values of the payloads so far.
#[derive(Default)]
struct JsonColumns {
    keys: Vec<String>,
    /// The index of each key in `keys` and `columns`.
    indices: HashMap<String, usize>,
    columns: Vec<JsonColumn>,
    rest: JsonColumn,
}

impl JsonColumns {
    /// Adds a payload.
    fn add(&mut self, row: usize, text: &str) {
        if self.try_add(row, text).is_none() && (text.contains("NaN") || text.contains("Inf")) {
            let _ = self.try_add(row, &replace_python_numbers(text));
        }
    }

    /// Returns `None` if the payload is not JSON.
    fn try_add(&mut self, row: usize, text: &str) -> Option<()> {
        if !text.trim_ascii_start().starts_with('{') {
            let value: &RawValue = serde_json::from_str(text).ok()?;
            self.rest.push(row, value.get());
            return Some(());
        }
        let ObjectMembers(members) = serde_json::from_str(text).ok()?;
        let mut rest = Vec::new();
        for (position, (LossyString(key), value)) in members.into_iter().enumerate() {
            match self.index_of(position, &key) {
                Some(index) => self.columns[index].push(row, value.get()),
                None => rest.push((key, value.get())),
            }
        }
        if !rest.is_empty() {
            self.rest.push(row, &object(&rest));
        }
        Some(())
    }

    /// The index of a key's column; `None` if there are too many keys. Objects usually have the same
    /// keys in the same order, so `position` is tried first.
    fn index_of(&mut self, position: usize, key: &str) -> Option<usize> {
        if self.keys.get(position).is_some_and(|known| known == key) {
            return Some(position);
        }
        if let Some(index) = self.indices.get(key) {
            return Some(*index);
        }
        if self.keys.len() == MAX_KEYS {
            return None;
        }
        self.keys.push(key.to_owned());
        self.indices.insert(key.to_owned(), self.columns.len());
        self.columns.push(JsonColumn::default());
        Some(self.columns.len() - 1)
    }
}

/// Members as the JSON of an object.
fn object(members: &[(Cow<'_, str>, &str)]) -> String {
    let members = members.iter().map(|(key, value)| {
        let key = serde_json::Value::from(key.as_ref());
        format!("{key}:{value}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// Replaces Python's extensions of JSON: `NaN` with `null`, and `Infinity` with a number that overflows
/// to it.
fn replace_python_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (token, after) = if let Some(after) = rest.strip_prefix("NaN") {
            ("null", after)
        } else if let Some(after) = rest.strip_prefix("Infinity") {
            ("1e999", after)
        } else {
            let len = if c == '"' {
                string_len(rest)
            } else {
                c.len_utf8()
            };
            rest.split_at(len)
        };
        out.push_str(token);
        rest = after;
    }
    out
}

/// The length of the JSON string at the start of `text`.
fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The members of an object, in order.
struct ObjectMembers<'a>(Vec<(LossyString<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for ObjectMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = ObjectMembers<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(ObjectMembers(members))
            }
        }
        deserializer.deserialize_map(Map)
    }
}
