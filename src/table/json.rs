//! JSON payloads taken apart: each key of an object becomes a column.
//!
//! What is no JSON gives nothing. A payload that is no object, and the members whose keys are one too
//! many, stand in a column `json`. Read as Python's `json` reads: the last of two equal keys counts,
//! `NaN` (here: nothing), `Infinity` and lone surrogates (here: U+FFFD) are let through.

use crate::table::column::{Column, Strings};
use crate::table::json_column::{Cells, LossyString};
use serde_core::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// So many keys have a column of their own: whoever sends a new key with each message must not fill
/// the memory with empty columns.
pub(crate) const MOST_KEYS: usize = 256;
/// The column of what has no other; and, with a dot, what stands before a key whose name is taken.
const REST: &str = "json";

/// Appends the columns of what the payloads hold.
pub(crate) fn unpack(payloads: &Strings, columns: &mut Vec<Column>) {
    let mut found = Found::default();
    for row in 0..payloads.count() {
        if let Ok(text) = std::str::from_utf8(payloads.get(row)) {
            found.take(row, text.strip_prefix('\u{feff}').unwrap_or(text));
        }
    }
    let rows = payloads.count();
    let mut taken: HashSet<String> = columns.iter().map(|column| column.name.clone()).collect();
    taken.insert(REST.to_owned());
    for (key, cells) in found.keys.into_iter().zip(found.cells) {
        // Arrow's names end with a NUL.
        let mut name = key.replace('\0', "\u{fffd}");
        while !taken.insert(name.clone()) {
            name = format!("{REST}.{name}");
        }
        columns.push(cells.column(name, rows));
    }
    if !found.rest.is_empty() {
        columns.push(found.rest.column(REST.to_owned(), rows));
    }
}

/// What the payloads held so far.
#[derive(Default)]
struct Found {
    keys: Vec<String>,
    /// Where in `keys` each one is.
    places: HashMap<String, usize>,
    cells: Vec<Cells>,
    rest: Cells,
}

impl Found {
    fn take(&mut self, row: usize, text: &str) {
        if self.try_take(row, text).is_none() && (text.contains("NaN") || text.contains("Inf")) {
            let _ = self.try_take(row, &standard(text));
        }
    }

    /// `None` where it is no JSON.
    fn try_take(&mut self, row: usize, text: &str) -> Option<()> {
        if !text.trim_ascii_start().starts_with('{') {
            let value: &RawValue = serde_json::from_str(text).ok()?;
            self.rest.push(row, value.get());
            return Some(());
        }
        let Members(members) = serde_json::from_str(text).ok()?;
        let mut rest = Vec::new();
        for (number, (LossyString(key), value)) in members.into_iter().enumerate() {
            match self.place(number, &key) {
                Some(place) => self.cells[place].push(row, value.get()),
                None => rest.push((key, value.get())),
            }
        }
        if !rest.is_empty() {
            self.rest.push(row, &object(&rest));
        }
        Some(())
    }

    /// Which column a key has. As a rule objects have the same keys in the same order.
    fn place(&mut self, guess: usize, key: &str) -> Option<usize> {
        if self.keys.get(guess).is_some_and(|known| known == key) {
            return Some(guess);
        }
        if let Some(place) = self.places.get(key) {
            return Some(*place);
        }
        if self.keys.len() == MOST_KEYS {
            return None;
        }
        self.keys.push(key.to_owned());
        self.places.insert(key.to_owned(), self.cells.len());
        self.cells.push(Cells::default());
        Some(self.cells.len() - 1)
    }
}

/// Those members as an object once more.
fn object(members: &[(Cow<'_, str>, &str)]) -> String {
    let members = members.iter().map(|(key, value)| {
        let key = serde_json::Value::from(key.as_ref());
        format!("{key}:{value}")
    });
    format!("{{{}}}", members.collect::<Vec<_>>().join(","))
}

/// What Python writes and JSON does not know, in JSON's words: `NaN` is nothing, and `Infinity` a
/// number that is too large.
fn standard(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (known, word) = if let Some(after) = rest.strip_prefix("NaN") {
            (after, "null")
        } else if let Some(after) = rest.strip_prefix("Infinity") {
            (after, "1e999")
        } else {
            let length = if c == '"' { string(rest) } else { c.len_utf8() };
            let (word, after) = rest.split_at(length);
            (after, word)
        };
        out.push_str(word);
        rest = known;
    }
    out
}

/// How long the string is with which this begins.
fn string(text: &str) -> usize {
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
struct Members<'a>(Vec<(LossyString<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Map)
    }
}
