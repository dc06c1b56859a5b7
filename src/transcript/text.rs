//! The format for people: `2026-01-31T12:03:11.000042+01:00 room1 alice#42: Hello\nworld`.
//!
//! ```text
//! line   = time [" " topic] [" " sender "#" number] ": " payload *(TAB field)
//! field  = name "=" value
//! ```
//!
//! All parts but the time are [escaped](crate::transcript::escape), so that no space, `:`, `#` or tab of theirs
//! stands where one separates. The fields, each only where it says something new:
//!
//! - `id`: the sender's instance; `sent`: when it sent, if not when the message came; `kind`: what
//!   kind of message it is, if no ordinary one;
//! - `first`: the first frame, where the payload is the second and whole;
//! - `more`: one frame after the payload's, as often as there are such;
//! - `stamp`: the stamp's own bytes, where they are not those that we would write;
//! - `framing`: how the frames were read, if not "plain".
//!
//! Fields of other names are passed over, so that later versions can add some.

use crate::transcript::escape::{self, Place};
use crate::transcript::{timestamp, Parts, Record};
use crate::wire::message::Framing;
use crate::wire::topic;
use std::io::Write as _;

/// Appends a line, without the line break.
pub(crate) fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let meaning = record.meaning;
    let offset = timestamp::offset(record.at_ns);
    let payload = meaning.payload(&record.frames);
    out.reserve(payload.len() + 128);
    timestamp::push(out, record.at_ns, offset, true);
    if let Some(topic) = &meaning.topic {
        out.push(b' ');
        escape::push(out, topic.as_bytes(), Place::Name);
    }
    if let Some(stamp) = &meaning.stamp {
        out.push(b' ');
        escape::push(out, stamp.from.as_bytes(), Place::Name);
        out.push(b'#');
        push_number(out, stamp.seq);
    }
    out.extend_from_slice(b": ");
    escape::push(out, payload, Place::Text);
    if let Some(stamp) = &meaning.stamp {
        if !stamp.id.is_empty() {
            push_field(out, "id", stamp.id.as_bytes());
        }
        if stamp.sent_ns != record.at_ns {
            out.extend_from_slice(b"\tsent=");
            timestamp::push(out, stamp.sent_ns, offset, true);
        }
        if let Some(kind) = &stamp.kind {
            push_field(out, "kind", kind.as_bytes());
        }
    }
    let layout = record.layout();
    if let Some(first) = layout.first {
        push_field(out, "first", first);
    }
    for frame in layout.more {
        push_field(out, "more", frame);
    }
    if let Some(stamp) = layout.stamp {
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
    escape::push(out, value, Place::Text);
}

fn push_number(out: &mut Vec<u8>, number: u64) {
    let written = write!(out, "{number}");
    debug_assert!(written.is_ok(), "a Vec takes everything");
}

/// Reads a line without its line break.
pub(crate) fn parse(line: &[u8]) -> Option<crate::transcript::Entry> {
    // An editor of Windows may have been there.
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let mut fields = line.split(|byte| *byte == b'\t');
    let mut parts = Parts::default();
    let mut rest = fields.next()?;
    let mut words = 0;
    loop {
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let last = word.strip_suffix(b":");
        take_word(&mut parts, words, last.unwrap_or(word))?;
        words += 1;
        if last.is_some() {
            break;
        }
    }
    parts.payload = escape::read(rest)?;
    let mut sent = None;
    for field in fields {
        let equals = field.iter().position(|byte| *byte == b'=')?;
        let value = &field[equals + 1..];
        match &field[..equals] {
            b"id" => parts.sender.as_mut()?.2 = escape::read_text(value)?,
            b"kind" => parts.kind = Some(escape::read_text(value)?),
            b"sent" => sent = Some(timestamp::parse(value)?),
            b"first" => parts.first = Some(escape::read(value)?),
            b"more" => parts.more.push(escape::read(value)?),
            b"stamp" => parts.stamp = Some(escape::read(value)?),
            b"framing" => {
                let word = std::str::from_utf8(value).ok()?;
                parts.framing = Some(Framing::parse(word).ok()?);
            }
            _ => {}
        }
    }
    if let (Some(sender), Some(sent)) = (&mut parts.sender, sent) {
        sender.3 = sent;
    }
    Some(parts.entry())
}

/// The time, then a topic, then a sender.
fn take_word(parts: &mut Parts, number: usize, word: &[u8]) -> Option<()> {
    if number == 0 {
        parts.at_ns = timestamp::parse(word)?;
        return Some(());
    }
    if parts.sender.is_some() {
        return None;
    }
    if let Some(hash) = word.iter().position(|byte| *byte == b'#') {
        let name = escape::read_text(&word[..hash])?;
        let digits = std::str::from_utf8(&word[hash + 1..]).ok()?;
        let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = plain.then(|| digits.parse().ok())??;
        parts.sender = Some((name, number, String::new(), parts.at_ns));
        return Some(());
    }
    let topic = escape::read(word)?;
    parts.topic = Some(topic::is_topic(&topic)?.to_owned());
    (number == 1).then_some(())
}
