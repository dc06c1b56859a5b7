//! The stamp: the last frame that a named publisher adds, one JSON object that says who sent the
//! message, on which topic, as which number, when, and, where it is no ordinary one, of what kind.

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
/// What a chat says of itself, without text: that somebody came, is there, went.
pub const PRESENCE: [&str; 3] = ["come", "here", "go"];
/// What somebody does, as in `alice waves`.
pub const ACTION: &str = "action";
/// Whether a message of this kind only reports that a member comes, is present or goes. A message
/// with text is not presence, whatever its kind.
#[must_use]
pub fn is_presence(kind: Option<&str>, has_text: bool) -> bool {
    kind.is_some_and(|kind| PRESENCE.contains(&kind)) && !has_text
}

/// A longer frame is not even parsed. What [`Stamp::encode`] makes within the limits above is
/// shorter, even where JSON writes each byte as `\u0000`.
pub const MAX_BYTES: usize = 4096;

/// Who sent a message, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp {
    /// The publisher's name, as its user chose it: shown to people, proof of nothing.
    pub from: String,
    /// The publisher's instance, new at each start.
    pub id: String,
    /// The message's topic.
    pub topic: Option<String>,
    /// The message's number, from 0 for each instance and topic. Presence has the number of the next
    /// message and does not advance it, so that it shows whether a message before it is missing.
    pub seq: u64,
    /// The sending time in nanoseconds since 1970-01-01 UTC.
    pub sent_ns: i64,
    /// What kind of message it is; `None` for an ordinary one.
    pub kind: Option<String>,
}

/// A name is shown before every line and carried in every stamp.
pub fn check_name(name: &str) -> Result<()> {
    let limit = MAX_FROM_BYTES;
    if name.trim().is_empty() || name.len() > limit || name.contains(is_unprintable) {
        return Err(Error::Value(format!(
            "a publisher's name has 1 to {limit} bytes, not only spaces, and no characters that do \
             not show: {name} does not fit",
            name = quote(name)
        )));
    }
    Ok(())
}

/// A kind is a word of ours, never a user's text.
pub fn check_kind(kind: &str) -> Result<()> {
    if kind.is_empty()
        || kind.len() > MAX_KIND_BYTES
        || !kind.bytes().all(|byte| byte.is_ascii_lowercase())
    {
        return Err(Error::Value(format!(
            "a kind is a word of 1 to {MAX_KIND_BYTES} lower-case letters, not {}",
            quote(kind)
        )));
    }
    Ok(())
}

/// What all stamps of one instance begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StampEncoder(Vec<u8>);

impl StampEncoder {
    /// Up to the topic.
    #[must_use]
    pub fn new(from: &str, id: &str) -> Self {
        let (from, id) = (json(from), json(id));
        Self(format!(r#"{{"zmqchat":1,"from":{from},"id":{id},"topic":"#).into_bytes())
    }

    /// Writes the whole frame, compact JSON with its keys in a fixed order, in place of what `frame`
    /// held.
    pub fn complete(
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
            // The grammar leaves two characters that JSON escapes.
            Some(topic) if topic.contains(['"', '\\']) => {
                frame.extend_from_slice(json(topic).as_bytes());
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
                let kind = json(kind);
                write!(frame, r#","seq":{seq},"sent_ns":{sent_ns},"kind":{kind}}}"#)
            }
        };
    }
}

/// A stamp as it stands in its frame.
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
    /// What [`Stamp::decode`] gives, without copies where the frame is as [`StampEncoder`] writes it.
    #[must_use]
    pub fn of(frame: &'a [u8]) -> Option<Self> {
        if frame.first() != Some(&b'{') || frame.len() > MAX_BYTES {
            return None;
        }
        if let Some(known) = Self::as_written(frame) {
            return known.obeys().then_some(known);
        }
        let stamp = Stamp::parse(frame)?;
        Some(Self {
            from: stamp.from.into(),
            id: stamp.id.into(),
            topic: stamp.topic.map(Into::into),
            seq: stamp.seq,
            sent_ns: stamp.sent_ns,
            kind: stamp.kind.map(Into::into),
        })
    }

    fn obeys(&self) -> bool {
        let topic = self.topic.as_deref().map(str::as_bytes);
        self.from.len() <= MAX_FROM_BYTES
            && self.id.len() <= MAX_ID_BYTES
            && self
                .kind
                .as_ref()
                .is_none_or(|kind| kind.len() <= MAX_KIND_BYTES)
            && topic.is_none_or(|topic| topic::is_topic(topic).is_some())
    }

    /// Reads exactly what [`StampEncoder::complete`] writes of strings that need no escapes.
    fn as_written(frame: &'a [u8]) -> Option<Self> {
        let rest = frame.strip_prefix(br#"{"zmqchat":1,"from":"#)?;
        let (from, rest) = string(rest)?;
        let (id, rest) = string(rest.strip_prefix(br#","id":"#)?)?;
        let rest = rest.strip_prefix(br#","topic":"#)?;
        let (topic, rest) = match rest.strip_prefix(b"null") {
            Some(rest) => (None, rest),
            None => string(rest).map(|(topic, rest)| (Some(topic), rest))?,
        };
        let (seq, rest) = digits(rest.strip_prefix(br#","seq":"#)?)?;
        let (sent_ns, rest) = digits(rest.strip_prefix(br#","sent_ns":"#)?)?;
        // Most messages are ordinary ones.
        let kind = if rest == b"}" {
            None
        } else {
            let (kind, rest) = string(rest.strip_prefix(br#","kind":"#)?)?;
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

/// A JSON string without escapes or controls, and what follows it.
fn string(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let bytes = bytes.strip_prefix(b"\"")?;
    let end = bytes
        .iter()
        .position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?;
    let (text, rest) = bytes.split_at(end);
    Some((std::str::from_utf8(text).ok()?, rest.strip_prefix(b"\"")?))
}

/// A whole number as JSON writes it, not negative, and what follows it.
fn digits(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit())?;
    let (number, rest) = bytes.split_at(end);
    if number.len() > 1 && number.starts_with(b"0") {
        return None;
    }
    Some((std::str::from_utf8(number).ok()?.parse().ok()?, rest))
}

impl Stamp {
    /// Whether the text is what the sender does.
    #[must_use]
    pub fn is_action(&self) -> bool {
        self.kind.as_deref() == Some(ACTION)
    }

    /// The frame: compact JSON, its keys in a fixed order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        StampEncoder::new(&self.from, &self.id).complete(
            &mut frame,
            self.topic.as_deref(),
            self.seq,
            self.sent_ns,
            self.kind.as_deref(),
        );
        frame
    }

    /// The stamp in `frame`, or `None` where the frame is anything else. Unknown keys are ignored, so
    /// that later versions can add some.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let glimpse = StampRef::of(frame)?;
        Some(Self {
            from: glimpse.from.into_owned(),
            id: glimpse.id.into_owned(),
            topic: glimpse.topic.map(Cow::into_owned),
            seq: glimpse.seq,
            sent_ns: glimpse.sent_ns,
            kind: glimpse.kind.map(Cow::into_owned),
        })
    }

    /// Any JSON.
    fn parse(frame: &[u8]) -> Option<Self> {
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
        let mut text = |key, most| match object.remove(key)? {
            Value::String(text) if text.len() <= most => Some(text),
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

/// `text` as a JSON string.
fn json(text: &str) -> String {
    serde_json::to_string(text).expect("every str is a JSON string")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
