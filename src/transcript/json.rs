//! One JSON object a line: what `zmqchat sub --json` prints, and what it takes to read it back.
//!
//! Always there, in this order: `received_at`, `topic`, `from`, `sequence`, `sent_at`, `text`, and
//! `received_ns`, nanoseconds since 1970, which is exact. With a sender also `instance` and
//! `sent_ns`, and `kind` if it is no ordinary one. Only where they say something new: `data_base64` (the payload, where it is no UTF-8),
//! `first`, `more`, `stamp` and `framing` as in the [text format](crate::transcript::text); a frame is a string,
//! or `{"base64": …}`. Keys of other names are passed over.

use crate::transcript::{base64, timestamp, Entry, Parts, Record};
use crate::wire::message::Framing;
use crate::wire::{is_unprintable, topic};
use serde_json::{Map, Value};
use std::io::Write as _;

/// Appends a line, without the line break.
pub(crate) fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let meaning = record.meaning;
    let offset = timestamp::offset(record.at_ns);
    let payload = meaning.payload(&record.frames);
    out.reserve(payload.len() + 256);
    out.extend_from_slice(b"{\"received_at\":\"");
    timestamp::push(out, record.at_ns, offset, false);
    out.extend_from_slice(b"\",\"topic\":");
    match &meaning.topic {
        Some(topic) => push_string(out, topic),
        None => out.extend_from_slice(b"null"),
    }
    match &meaning.stamp {
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
    let whole = std::str::from_utf8(payload);
    match whole {
        Ok(text) => push_string(out, text),
        Err(_) => push_string(out, &String::from_utf8_lossy(payload)),
    }
    push_number(out, "received_ns", record.at_ns);
    if let Some(stamp) = &meaning.stamp {
        out.extend_from_slice(b",\"instance\":");
        push_string(out, &stamp.id);
        push_number(out, "sent_ns", stamp.sent_ns);
        if let Some(kind) = &stamp.kind {
            out.extend_from_slice(b",\"kind\":");
            push_string(out, kind);
        }
    }
    if whole.is_err() {
        out.extend_from_slice(b",\"data_base64\":\"");
        base64::push(out, payload);
        out.push(b'"');
    }
    let layout = record.layout();
    if let Some(first) = layout.first {
        out.extend_from_slice(b",\"first\":");
        push_frame(out, first);
    }
    for (number, frame) in layout.more.iter().enumerate() {
        out.extend_from_slice(if number == 0 { b",\"more\":[" } else { b"," });
        push_frame(out, frame);
    }
    if !layout.more.is_empty() {
        out.push(b']');
    }
    if let Some(stamp) = layout.stamp {
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
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

/// A frame: text where it is some.
fn push_frame(out: &mut Vec<u8>, frame: &[u8]) {
    if let Ok(text) = std::str::from_utf8(frame) {
        push_string(out, text);
        return;
    }
    out.extend_from_slice(b"{\"base64\":\"");
    base64::push(out, frame);
    out.extend_from_slice(b"\"}");
}

/// A JSON string. JSON itself would leave DEL, the C1 controls and the bidirectional ones as they
/// are; these are escaped too, since people look at the file in a terminal.
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
            debug_assert!(written.is_ok(), "a Vec takes everything");
        }
    } else {
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Reads a line without its line break.
pub(crate) fn parse(line: &[u8]) -> Option<Entry> {
    let Value::Object(mut object) = serde_json::from_slice(line).ok()? else {
        return None;
    };
    let mut parts = Parts {
        at_ns: moment_of(&object, "received_ns", "received_at")?,
        ..Parts::default()
    };
    if let Some(topic) = text(&mut object, "topic")? {
        topic::is_topic(topic.as_bytes())?;
        parts.topic = Some(topic);
    }
    if let Some(from) = text(&mut object, "from")? {
        let number = object.get("sequence")?.as_u64()?;
        let id = text(&mut object, "instance")?.unwrap_or_default();
        let sent_ns = moment_of(&object, "sent_ns", "sent_at").unwrap_or(parts.at_ns);
        parts.kind = text(&mut object, "kind")?;
        parts.sender = Some((from, number, id, sent_ns));
    }
    parts.payload = match text(&mut object, "data_base64")? {
        Some(code) => base64::read(&code)?,
        None => text(&mut object, "text")??.into_bytes(),
    };
    if let Some(first) = object.remove("first") {
        parts.first = Some(frame(first)?);
    }
    match object.remove("more") {
        None => {}
        Some(Value::Array(more)) => {
            parts.more = more.into_iter().map(frame).collect::<Option<_>>()?;
        }
        Some(_) => return None,
    }
    if let Some(stamp) = object.remove("stamp") {
        parts.stamp = Some(frame(stamp)?);
    }
    if let Some(word) = text(&mut object, "framing")? {
        parts.framing = Some(Framing::parse(&word).ok()?);
    }
    Some(parts.entry())
}

/// A text that may be missing or null: `Some(None)`.
#[allow(clippy::option_option)] // the outer one is for what is no text
fn text(object: &mut Map<String, Value>, key: &str) -> Option<Option<String>> {
    match object.remove(key) {
        None | Some(Value::Null) => Some(None),
        Some(Value::String(text)) => Some(Some(text)),
        Some(_) => None,
    }
}

/// A time: the exact number, or else what people read.
fn moment_of(object: &Map<String, Value>, exact: &str, readable: &str) -> Option<i64> {
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
