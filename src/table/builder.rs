//! Messages in, columns out.

use crate::error::Result;
use crate::table::column::{place, Bits, Column, StringBuilder, Strings, Table, Values};
use crate::table::json;
use crate::wire::message::ParsedMessage;

/// A table that is still growing.
#[derive(Debug)]
pub struct Builder {
    received: Vec<i64>,
    sent: Vec<i64>,
    sequence: Vec<u64>,
    /// Which messages have a stamp, and with it `sent`, `sequence` and `sender`.
    stamped: Bits,
    sender: StringBuilder,
    kind: StringBuilder,
    has_kind: Bits,
    topic: StringBuilder,
    has_topic: Bits,
    data: StringBuilder,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            received: Vec::new(),
            sent: Vec::new(),
            sequence: Vec::new(),
            stamped: Bits::default(),
            sender: StringBuilder::with_rows(0),
            kind: StringBuilder::with_rows(0),
            has_kind: Bits::default(),
            topic: StringBuilder::with_rows(0),
            has_topic: Bits::default(),
            data: StringBuilder::with_rows(0),
        }
    }
}

impl Builder {
    /// Adds a message: when it came, in nanoseconds since 1970-01-01 UTC, what its frames mean, and
    /// its payload. An error where there is no memory for that; the table is as it was then.
    pub fn push(&mut self, at_ns: i64, meaning: &ParsedMessage, payload: &[u8]) -> Result<()> {
        self.data.reserve(payload.len())?;
        self.received.push(at_ns);
        let stamp = meaning.stamp.as_ref();
        self.stamped.push(stamp.is_some());
        self.sent.push(stamp.map_or(0, |stamp| stamp.sent_ns));
        self.sequence.push(stamp.map_or(0, |stamp| stamp.seq));
        let sender = stamp.map_or("", |stamp| &stamp.from);
        self.sender.push(sender.as_bytes());
        let kind = stamp.and_then(|stamp| stamp.kind.as_deref());
        self.has_kind.push(kind.is_some());
        self.kind.push(kind.unwrap_or_default().as_bytes());
        let topic = meaning.topic.as_deref();
        self.has_topic.push(topic.is_some());
        self.topic.push(topic.unwrap_or_default().as_bytes());
        self.data.push(payload);
        Ok(())
    }

    /// The table; with `unpack` also the columns of the JSON payloads.
    pub fn finish(self, unpack: bool) -> Result<Table> {
        let rows = self.received.len();
        let data = self.data.finish();
        let text = decoded(&data)?;
        let stamped = self.stamped.unless_all();
        let column = |name: &str, valid, values| Column {
            name: name.to_owned(),
            valid,
            values,
        };
        let mut columns = vec![
            column("received_at", None, Values::Moment(self.received)),
            column("sent_at", stamped.clone(), Values::Moment(self.sent)),
            column(
                "topic",
                self.has_topic.unless_all(),
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
                self.has_kind.unless_all(),
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

/// Payloads as text, undecodable bytes replaced. Where there are none it is the same memory.
fn decoded(data: &Strings) -> Result<Strings> {
    if let Ok(all) = std::str::from_utf8(&data.bytes) {
        // No payload begins in the middle of a character that the one before it left unfinished.
        let whole = |offset: &i64| all.is_char_boundary(place(*offset));
        if data.offsets.iter().all(whole) {
            return Ok(data.clone());
        }
    }
    let mut text = StringBuilder::with_rows(data.count());
    for row in 0..data.count() {
        text.push_decoded(data.get(row))?;
    }
    Ok(text.finish())
}
