//! The stamp: the last frame of a named publisher's message.
//!
//! It is a JSON object with the sender, topic, sequence number and sending time of the message, and the
//! kind of a message that is not ordinary.

use crate::error::{Error, Result};
use crate::wire::printable::{is_unprintable, quote};
use crate::wire::topic;
use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;

/// The longest sender's name, in bytes of UTF-8.
pub const MAX_FROM_BYTES: usize = 255;
/// The longest instance id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 64;
/// The longest kind, in bytes of UTF-8.
pub const MAX_KIND_BYTES: usize = 32;
/// The kinds of presence: a member of a chat joins, is present, or leaves.
pub const PRESENCE: [&str; 3] = ["come", "here", "go"];
/// The kind of a message whose text is an action of the sender, as in `alice waves`.
pub const ACTION: &str = "action";

/// A longer frame is not parsed. A stamp within the limits above is shorter, even if JSON escapes each
/// byte as `\u0000`.
pub const MAX_BYTES: usize = 4096;

/// Whether a message of this kind only reports that a member joins, is present or leaves. A message with
/// text is never presence.
#[must_use]
pub fn is_presence(kind: Option<&str>, has_text: bool) -> bool {
    kind.is_some_and(|kind| PRESENCE.contains(&kind)) && !has_text
}

/// The sender of a message, its sequence number, and its sending time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher's name, as its user chose it. It is not authenticated.
    pub from: String,
    /// The id of the publisher's instance, a new one for each publisher.
    pub id: String,
    /// The message's topic.
    pub topic: Option<String>,
    /// The sequence number, from 0 for each instance and topic. Presence has the number of the next
    /// message and does not advance it, so that it reveals a loss before it.
    pub seq: u64,
    /// The sending time in nanoseconds since 1970-01-01 UTC.
    pub sent_ns: i64,
    /// The kind of the message; `None` for an ordinary one.
    pub kind: Option<String>,
}

/// Rejects a name that a stamp cannot contain or that is unprintable.
pub fn check_name(name: &str) -> Result<()> {
    let limit = MAX_FROM_BYTES;
    if name.trim().is_empty() || name.len() > limit || name.contains(is_unprintable) {
        return Err(Error::Value(format!(
            "invalid name {name}: expected 1 to {limit} bytes of printable text, not only spaces, for \
             example 'alice'",
            name = quote(name)
        )));
    }
    Ok(())
}

/// Rejects a kind that is not a word in lower case.
pub fn check_kind(kind: &str) -> Result<()> {
    if kind.is_empty()
        || kind.len() > MAX_KIND_BYTES
        || !kind.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        return Err(Error::Value(format!(
            "invalid kind {}: expected 1 to {MAX_KIND_BYTES} lower-case letters",
            quote(kind)
        )));
    }
    Ok(())
}

/// Encodes the stamps of one instance, which begin with the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampEncoder(Vec<u8>);

impl StampEncoder {
    /// Encodes the fields before the topic.
    #[must_use]
    pub fn new(from: &str, id: &str) -> Self {
        let (from, id) = (json_string(from), json_string(id));
        Self(format!(r#"{{"zmqchat":1,"from":{from},"id":{id},"topic":"#).into_bytes())
    }

    /// Replaces the content of `frame` with a stamp: compact JSON with its keys in a fixed order.
    pub fn encode_into(
        &self,
        frame: &mut Vec<u8>,
        topic: Option<&str>,
        seq: u64,
        sent_ns: i64,
        kind: Option<&str>,
    ) {
        frame.clear();
        frame.extend_from_slice(&self.0);
        match topic {
            None => frame.extend_from_slice(b"null"),
            // JSON escapes two of the characters that a topic may contain.
            Some(topic) if topic.contains(['"', '\\']) => {
                frame.extend_from_slice(json_string(topic).as_bytes());
            }
            Some(topic) => {
                frame.push(b'"');
                frame.extend_from_slice(topic.as_bytes());
                frame.push(b'"');
            }
        }
        // Writing to memory cannot fail.
        let _ = match kind {
            None => write!(frame, r#","seq":{seq},"sent_ns":{sent_ns}}}"#),
            Some(kind) => {
                let kind = json_string(kind);
                write!(frame, r#","seq":{seq},"sent_ns":{sent_ns},"kind":{kind}}}"#)
            }
        };
    }
}

/// A stamp that borrows the strings of its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampRef<'a> {
    /// As in [`Stamp`].
    pub from: Cow<'a, str>,
    /// As in [`Stamp`].
    pub id: Cow<'a, str>,
    /// As in [`Stamp`].
    pub topic: Option<Cow<'a, str>>,
    /// As in [`Stamp`].
    pub seq: u64,
    /// As in [`Stamp`].
    pub sent_ns: i64,
    /// As in [`Stamp`].
    pub kind: Option<Cow<'a, str>>,
}

impl<'a> StampRef<'a> {
    /// Decodes a frame. Copies nothing if the frame is as [`StampEncoder`] writes it.
    #[must_use]
    pub fn decode(frame: &'a [u8]) -> Option<Self> {
        if frame.first() != Some(&b'{') || frame.len() > MAX_BYTES {
            return None;
        }
        if let Some(stamp) = Self::decode_canonical(frame) {
            return stamp.is_valid().then_some(stamp);
        }
        let stamp = Stamp::from_json(frame)?;
        Some(Self {
            from: stamp.from.into(),
            id: stamp.id.into(),
            topic: stamp.topic.map(Into::into),
            seq: stamp.seq,
            sent_ns: stamp.sent_ns,
            kind: stamp.kind.map(Into::into),
        })
    }

    fn is_valid(&self) -> bool {
        let topic = self.topic.as_deref().map(str::as_bytes);
        self.from.len() <= MAX_FROM_BYTES
            && self.id.len() <= MAX_ID_BYTES
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| kind.len() <= MAX_KIND_BYTES)
            && topic.is_none_or(|topic| topic::is_topic(topic).is_some())
    }

    /// Decodes a frame of [`StampEncoder::encode_into`] whose strings need no escapes.
    fn decode_canonical(frame: &'a [u8]) -> Option<Self> {
        let rest = frame.strip_prefix(br#"{"zmqchat":1,"from":"#)?;
        let (from, rest) = split_string(rest)?;
        let (id, rest) = split_string(rest.strip_prefix(br#","id":"#)?)?;
        let rest = rest.strip_prefix(br#","topic":"#)?;
        let (topic, rest) = match rest.strip_prefix(b"null") {
            Some(rest) => (None, rest),
            None => split_string(rest).map(|(topic, rest)| (Some(topic), rest))?,
        };
        let (seq, rest) = split_number(rest.strip_prefix(br#","seq":"#)?)?;
        let (sent_ns, rest) = split_number(rest.strip_prefix(br#","sent_ns":"#)?)?;
        let kind = if rest == b"}" {
            None
        } else {
            let (kind, rest) = split_string(rest.strip_prefix(br#","kind":"#)?)?;
            (rest == b"}").then_some(Some(kind))?
        };
        Some(Self {
            from: from.into(),
            id: id.into(),
            topic: topic.map(Into::into),
            seq,
            sent_ns: i64::try_from(sent_ns).ok()?,
            kind: kind.map(Into::into),
        })
    }
}

/// A JSON string without escapes and control characters, and the bytes after it.
fn split_string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let bytes = bytes.strip_prefix(b"\"")?;
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
    let (text, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

/// A non-negative JSON integer, and the bytes after it.
fn split_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = bytes.split_at(end);
    if number.len() > 1 && number.starts_with(b"0") {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

impl Stamp {
    /// Whether the text is an action of the sender.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.kind.as_deref() == Some(ACTION)
    }

    /// Encodes the stamp as a frame: compact JSON with its keys in a fixed order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        StampEncoder::new(&self.from, &self.id).encode_into(
            &mut frame,
            self.topic.as_deref(),
            self.seq,
            self.sent_ns,
            self.kind.as_deref(),
        );
        frame
    }

    /// Decodes a frame. Returns `None` if it is not a valid stamp. Unknown keys are ignored, so that later
    /// versions can add some.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let stamp = StampRef::decode(frame)?;
        Some(Self {
            from: stamp.from.into_owned(),
            id: stamp.id.into_owned(),
            topic: stamp.topic.map(Cow::into_owned),
            seq: stamp.seq,
            sent_ns: stamp.sent_ns,
            kind: stamp.kind.map(Cow::into_owned),
        })
    }

    /// Decodes JSON with any key order and whitespace.
    fn from_json(frame: &[u8]) -> Option<Self> {
        let Ok(Value::Object(mut object)) = serde_json::from_slice(frame) else {
            return None;
        };
        if object.get("zmqchat")?.as_u64() != Some(1) {
            return None;
        }
        let topic = match object.remove("topic")? {
            Value::Null => None,
            Value::String(topic) => Some(topic),
            _ => return None,
        };
        if topic
            .as_ref()
            .is_some_and(|topic| topic::is_topic(topic.as_bytes()).is_none())
        {
            return None;
        }
        let kind = match object.remove("kind") {
            None | Some(Value::Null) => None,
            Some(Value::String(kind)) if kind.len() <= MAX_KIND_BYTES => Some(kind),
            _ => return None,
        };
        let mut text = |key, max_bytes| match object.remove(key)? {
            Value::String(text) if text.len() <= max_bytes => Some(text),
            _ => None,
        };
        Some(Self {
            from: text("from", MAX_FROM_BYTES)?,
            id: text("id", MAX_ID_BYTES)?,
            topic,
            seq: object.get("seq")?.as_u64()?,
            sent_ns: object.get("sent_ns")?.as_i64()?,
            kind,
        })
    }
}

/// Encodes a JSON string.
fn json_string(text: &str) -> String {
    serde_json::to_string(text).expect("every str is a JSON string")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
