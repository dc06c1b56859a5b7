//! The format with one JSON object per line: the output of `zmqchat sub --json`, and the keys that are
//! needed to read the message back.
//!
//! - Every object has, in this order: `received_at`, `topic`, `from`, `sequence`, `sent_at`, `text` and
//!   `received_ns`, the exact time in nanoseconds since 1970.
//! - A message with a sender also has `instance` and `sent_ns`, and `kind` if it is not ordinary.
//! - `data_base64` is the payload, if it is not UTF-8.
//! - `first`, `more`, `stamp` and `framing` are as in the [text format](crate::transcript::text); a frame
//!   is a string, or `{"base64": …}`.
//!
//! Other keys are ignored.

use crate::transcript::entry::{Entry, LineFields, Record, Sender};
use crate::transcript::{base64, timestamp};
use crate::wire::message::Framing;
use crate::wire::{is_unprintable, topic};
use serde_json::{Map, Value};
use std::io::Write as _;

/// Appends a message as a line, without a line break.
pub(crate) fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let parsed = record.parsed;
    let offset = timestamp::offset(record.received_ns);
    let payload = parsed.payload(&record.frames);
    out.reserve(payload.len() + 256);
    out.extend_from_slice(b"{\"received_at\":\"");
    timestamp::push(out, record.received_ns, offset, false);
    out.extend_from_slice(b"\",\"topic\":");
    match &parsed.topic {
        Some(topic) => push_string(out, topic),
        None => out.extend_from_slice(b"null"),
    }
    match &parsed.stamp {
        Some(stamp) => {
            out.extend_from_slice(b",\"from\":");
            push_string(out, &stamp.from);
            push_number(out, "sequence", stamp.seq);
            out.extend_from_slice(b",\"sent_at\":\"");
            timestamp::push(out, stamp.sent_ns, offset, false);
            out.push(b'"');
        }
        None => out.extend_from_slice(b",\"from\":null,\"sequence\":null,\"sent_at\":null"),
    }
    out.extend_from_slice(b",\"text\":");
    let decoded = std::str::from_utf8(payload);
    match decoded {
        Ok(text) => push_string(out, text),
        Err(_) => push_string(out, &String::from_utf8_lossy(payload)),
    }
    push_number(out, "received_ns", record.received_ns);
    if let Some(stamp) = &parsed.stamp {
        out.extend_from_slice(b",\"instance\":");
        push_string(out, &stamp.id);
        push_number(out, "sent_ns", stamp.sent_ns);
        if let Some(kind) = &stamp.kind {
            out.extend_from_slice(b",\"kind\":");
            push_string(out, kind);
        }
    }
    if decoded.is_err() {
        out.extend_from_slice(b",\"data_base64\":\"");
        base64::push(out, payload);
        out.push(b'"');
    }
    let extra = record.extra_frames();
    if let Some(first) = extra.first {
        out.extend_from_slice(b",\"first\":");
        push_frame(out, first);
    }
    for (number, frame) in extra.more.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b",\"more\":[" } else { b"," });
        push_frame(out, frame);
    }
    if !extra.more.is_empty() {
        out.push(b']');
    }
    if let Some(stamp) = extra.stamp {
        out.extend_from_slice(b",\"stamp\":");
        push_frame(out, stamp);
    }
    if record.framing != Framing::Plain {
        out.extend_from_slice(b",\"framing\":");
        push_string(out, record.framing.as_str());
    }
    out.push(b'}');
}

fn push_number(out: &mut Vec<u8>, key: &str, number: impl std::fmt::Display) {
    let written = write!(out, ",\"{key}\":{number}");
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
}

/// Appends a frame: a string if it is UTF-8.
fn push_frame(out: &mut Vec<u8>, frame: &[u8]) {
    if let Ok(text) = std::str::from_utf8(frame) {
        push_string(out, text);
        return;
    }
    out.extend_from_slice(b"{\"base64\":\"");
    base64::push(out, frame);
    out.extend_from_slice(b"\"}");
}

/// Appends a JSON string. DEL, the C1 controls and the bidirectional controls are escaped too, which JSON
/// does not require: the file may be shown in a terminal.
fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut done = 0;
    while done < text.len() {
        let rest = &text.as_bytes()[done..];
        let run = rest
            .iter()
            .position(|byte| !matches!(byte, b' '..=b'~') || matches!(byte, b'"' | b'\\'))
            .unwrap_or(rest.len());
        out.extend_from_slice(&rest[..run]);
        done += run;
        if let Some(c) = text[done..].chars().next() {
            push_char(out, c);
            done += c.len_utf8();
        }
    }
    out.push(b'"');
}

fn push_char(out: &mut Vec<u8>, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        _ => "",
    };
    if !short.is_empty() {
        out.extend_from_slice(short.as_bytes());
    } else if is_unprintable(c) {
        for unit in c.encode_utf16(&mut [0; 2]) {
            let written = write!(out, "\\u{unit:04x}");
            debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
        }
    } else {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Parses a line, given without its line break.
pub(crate) fn parse(line: &[u8]) -> Option<Entry> {
    let Value::Object(mut object) = serde_json::from_slice(line).ok()? else {
        return None;
    };
    let mut fields = LineFields {
        received_ns: time_of(&object, "received_ns", "received_at")?,
        ..LineFields::default()
    };
    if let Some(topic) = text(&mut object, "topic")? {
        topic::is_topic(topic.as_bytes())?;
        fields.topic = Some(topic);
    }
    if let Some(from) = text(&mut object, "from")? {
        fields.kind = text(&mut object, "kind")?;
        fields.sender = Some(Sender {
            name: from,
            sequence: object.get("sequence")?.as_u64()?,
            instance: text(&mut object, "instance")?.unwrap_or_default(),
            sent_ns: time_of(&object, "sent_ns", "sent_at").unwrap_or(fields.received_ns),
        });
    }
    fields.payload = match text(&mut object, "data_base64")? {
        Some(code) => base64::read(&code)?,
        None => text(&mut object, "text")??.into_bytes(),
    };
    if let Some(first) = object.remove("first") {
        fields.first = Some(frame(first)?);
    }
    match object.remove("more") {
        None => {}
        Some(Value::Array(more)) => {
            fields.more = more.into_iter().map(frame).collect::<Option<_>>()?;
        }
        Some(_) => return None,
    }
    if let Some(stamp) = object.remove("stamp") {
        fields.stamp = Some(frame(stamp)?);
    }
    if let Some(word) = text(&mut object, "framing")? {
        fields.framing = Some(Framing::parse(&word).ok()?);
    }
    Some(fields.into_entry())
}

/// The text under a key: `Some(None)` if it is missing or null, `None` if it is not text.
#[allow(clippy::option_option)] // see above
fn text(object: &mut Map<String, Value>, key: &str) -> Option<Option<String>> {
    match object.remove(key) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// A time: the exact number, or the readable time if there is no number.
fn time_of(object: &Map<String, Value>, exact: &str, readable: &str) -> Option<i64> {
    match object.get(exact) {
        Some(number) => number.as_i64(),
        None => timestamp::parse(object.get(readable)?.as_str()?.as_bytes()),
    }
}

fn frame(value: Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.into_bytes()),
        Value::Object(object) => base64::read(object.get("base64")?.as_str()?),
        _ => None,
    }
}
