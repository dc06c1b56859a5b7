//! Converts messages to a table.

use crate::error::Result;
use crate::table::column::{to_index, Bitmap, Column, StringBuilder, Strings, Table, Values};
use crate::table::json;
use crate::wire::message::ParsedMessage;

/// Collects messages.
#[derive(Debug)]
pub struct TableBuilder {
    received: Vec<i64>,
    sent: Vec<i64>,
    sequence: Vec<u64>,
    /// Which messages have a stamp, and so a value in `sent`, `sequence` and `sender`.
    stamped: Bitmap,
    sender: StringBuilder,
    kind: StringBuilder,
    has_kind: Bitmap,
    topic: StringBuilder,
    has_topic: Bitmap,
    data: StringBuilder,
}

impl Default for TableBuilder {
    fn default() -> Self {
        Self {
            received: Vec::new(),
            sent: Vec::new(),
            sequence: Vec::new(),
            stamped: Bitmap::default(),
            sender: StringBuilder::with_rows(0),
            kind: StringBuilder::with_rows(0),
            has_kind: Bitmap::default(),
            topic: StringBuilder::with_rows(0),
            has_topic: Bitmap::default(),
            data: StringBuilder::with_rows(0),
        }
    }
}

impl TableBuilder {
    /// Adds a message. `received_ns` is in nanoseconds since 1970-01-01 UTC. If there is no memory for the
    /// payload, this returns an error and adds nothing.
    pub fn push(&mut self, received_ns: i64, parsed: &ParsedMessage, payload: &[u8]) -> Result<()> {
        self.data.reserve(payload.len())?;
        self.received.push(received_ns);
        let stamp = parsed.stamp.as_ref();
        self.stamped.push(stamp.is_some());
        self.sent.push(stamp.map_or(0, |stamp| stamp.sent_ns));
        self.sequence.push(stamp.map_or(0, |stamp| stamp.seq));
        let sender = stamp.map_or("", |stamp| &stamp.from);
        self.sender.push(sender.as_bytes());
        let kind = stamp.and_then(|stamp| stamp.kind.as_deref());
        self.has_kind.push(kind.is_some());
        self.kind.push(kind.unwrap_or_default().as_bytes());
        let topic = parsed.topic.as_deref();
        self.has_topic.push(topic.is_some());
        self.topic.push(topic.unwrap_or_default().as_bytes());
        self.data.push(payload);
        Ok(())
    }

    /// Returns the table, with `unpack` also the columns of JSON payloads.
    pub fn finish(self, unpack: bool) -> Result<Table> {
        let rows = self.received.len();
        let data = self.data.finish();
        let text = decoded(&data)?;
        let stamped = self.stamped.into_validity();
        let column = |name: &str, validity, values| Column {
            name: name.to_owned(),
            validity,
            values,
        };
        let mut columns = vec![
            column("received_at", None, Values::Timestamp(self.received)),
            column("sent_at", stamped.clone(), Values::Timestamp(self.sent)),
            column(
                "topic",
                self.has_topic.into_validity(),
                Values::Text(self.topic.finish()),
            ),
            column(
                "sender",
                stamped.clone(),
                Values::Text(self.sender.finish()),
            ),
            column("sequence", stamped, Values::UInt(self.sequence)),
            column(
                "kind",
                self.has_kind.into_validity(),
                Values::Text(self.kind.finish()),
            ),
            column("text", None, Values::Text(text)),
            column("data", None, Values::Bytes(data.clone())),
        ];
        if unpack {
            json::unpack(&data, &mut columns);
        }
        Ok(Table { rows, columns })
    }
}

/// Payloads as text, with undecodable bytes replaced. Shares the memory of `data` if all are UTF-8.
fn decoded(data: &Strings) -> Result<Strings> {
    if let Ok(all) = std::str::from_utf8(&data.bytes) {
        // Two invalid payloads can form a valid character together.
        let at_boundary = |offset: &i64| all.is_char_boundary(to_index(*offset));
        if data.offsets.iter().all(at_boundary) {
            return Ok(data.clone());
        }
    }
    let mut text = StringBuilder::with_rows(data.count());
    for row in 0..data.count() {
        text.push_decoded(data.get(row))?;
    }
    Ok(text.finish())
}
