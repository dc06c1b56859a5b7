//! The readable format: `2026-01-31T12:03:11.000042+01:00 room1 alice#42: Hello\nworld`.
//!
//! ```text
//! line   = time [" " topic] [" " sender "#" number] ": " payload *(TAB field)
//! field  = name "=" value
//! ```
//!
//! All parts but the time are [escaped](crate::transcript::escape), so that they contain no separators.
//! A field is written only if it adds information:
//!
//! - `id`: the sender's instance;
//! - `sent`: the sending time, if it differs from the receiving time;
//! - `kind`: the kind of a message that is not ordinary;
//! - `first`: the first frame, if the payload is the second;
//! - `more`: a frame after the payload, once for each such frame;
//! - `stamp`: the bytes of the stamp, if encoding the sender gives other bytes;
//! - `framing`: how the frames were interpreted, if not "plain".
//!
//! Fields with other names are ignored, so that later versions can add some.

use crate::transcript::entry::{Entry, LineFields, Record, Sender};
use crate::transcript::escape::{self, Context};
use crate::transcript::timestamp;
use crate::wire::message::Framing;
use crate::wire::topic;
use std::io::Write as _;

/// Appends a message as a line, without a line break.
pub(crate) fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let parsed = record.parsed;
    let offset = timestamp::offset(record.received_ns);
    let payload = parsed.payload(&record.frames);
    out.reserve(payload.len() + 128);
    timestamp::push(out, record.received_ns, offset, true);
    if let Some(topic) = &parsed.topic {
        out.push(b' ');
        escape::push(out, topic.as_bytes(), Context::Name);
    }
    if let Some(stamp) = &parsed.stamp {
        out.push(b' ');
        escape::push(out, stamp.from.as_bytes(), Context::Name);
        out.push(b'#');
        push_number(out, stamp.seq);
    }
    out.extend_from_slice(b": ");
    escape::push(out, payload, Context::Text);
    if let Some(stamp) = &parsed.stamp {
        if !stamp.id.is_empty() {
            push_field(out, "id", stamp.id.as_bytes());
        }
        if stamp.sent_ns != record.received_ns {
            out.extend_from_slice(b"\tsent=");
            timestamp::push(out, stamp.sent_ns, offset, true);
        }
        if let Some(kind) = &stamp.kind {
            push_field(out, "kind", kind.as_bytes());
        }
    }
    let extra = record.extra_frames();
    if let Some(first) = extra.first {
        push_field(out, "first", first);
    }
    for frame in extra.more {
        push_field(out, "more", frame);
    }
    if let Some(stamp) = extra.stamp {
        push_field(out, "stamp", stamp);
    }
    if record.framing != Framing::Plain {
        push_field(out, "framing", record.framing.as_str().as_bytes());
    }
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &[u8]) {
    out.push(b'\t');
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    escape::push(out, value, Context::Text);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "writing to a Vec cannot fail");
}

/// Parses a line, given without its line break.
pub(crate) fn parse(line: &[u8]) -> Option<Entry> {
    // An editor on Windows may have added this.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut parts = line.split(|byte| *byte == b'\t');
    let mut fields = LineFields::default();
    let mut rest = parts.next()?;
    let mut index = 0;
    loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let last = word.strip_suffix(b":");
        parse_word(&mut fields, index, last.unwrap_or(word))?;
        index += 1;
        if last.is_some() {
            break;
        }
    }
    fields.payload = escape::read(rest)?;
    let mut sent_ns = None;
    for part in parts {
        let equals = part.iter().position(|byte| *byte == b'=')?;
        let value = &part[equals + 1..];
        match &part[..equals] {
            b"id" => fields.sender.as_mut()?.instance = escape::read_text(value)?,
            b"kind" => fields.kind = Some(escape::read_text(value)?),
            b"sent" => sent_ns = Some(timestamp::parse(value)?),
            b"first" => fields.first = Some(escape::read(value)?),
            b"more" => fields.more.push(escape::read(value)?),
            b"stamp" => fields.stamp = Some(escape::read(value)?),
            b"framing" => {
                let word = std::str::from_utf8(value).ok()?;
                fields.framing = Some(Framing::parse(word).ok()?);
            }
            _ => {}
        }
    }
    if let (Some(sender), Some(sent_ns)) = (&mut fields.sender, sent_ns) {
        sender.sent_ns = sent_ns;
    }
    Some(fields.into_entry())
}

/// Parses the word with this index: the time is first, then an optional topic, then an optional sender.
fn parse_word(fields: &mut LineFields, index: usize, word: &[u8]) -> Option<()> {
    if index == 0 {
        fields.received_ns = timestamp::parse(word)?;
        return Some(());
    }
    if fields.sender.is_some() {
        return None;
    }
    if let Some(hash) = word.iter().position(|byte| *byte == b'#') {
        let name = escape::read_text(&word[..hash])?;
        let digits = std::str::from_utf8(&word[hash + 1..]).ok()?;
        let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
        let sequence = is_number.then(|| digits.parse().ok())??;
        fields.sender = Some(Sender {
            name,
            sequence,
            instance: String::new(),
            sent_ns: fields.received_ns,
        });
        return Some(());
    }
    let topic = escape::read(word)?;
    fields.topic = Some(topic::is_topic(&topic)?.to_owned());
    (index == 1).then_some(())
}
