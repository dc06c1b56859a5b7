//! The stamp: the last frame that a named publisher adds, one JSON object that says who sent the
//! message, on which topic, as which number, and when.

use super::{is_unprintable, quote, topic};
use crate::error::{Error, Result};
use serde_json::Value;
use std::borrow::Cow;
use std::io::Write;

/// The longest sender's name, in bytes of UTF-8.
pub const MAX_FROM_BYTES: usize = 255;
/// The longest instance id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 64;
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
    /// The message's number, from 0 for each instance and topic.
    pub seq: u64,
    /// The sending time in nanoseconds since 1970-01-01 UTC.
    pub sent_ns: i64,
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

/// What all stamps of one instance begin with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head(Vec<u8>);

impl Head {
    /// Up to the topic.
    #[must_use]
    pub fn new(from: &str, id: &str) -> Self {
        let (from, id) = (json(from), json(id));
        Self(format!(r#"{{"zmqchat":1,"from":{from},"id":{id},"topic":"#).into_bytes())
    }

    /// Writes the whole frame, compact JSON with its keys in a fixed order, in place of what `frame`
    /// held.
    pub fn complete(&self, frame: &mut Vec<u8>, topic: Option<&str>, seq: u64, sent_ns: i64) {
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
        let _ = write!(frame, r#","seq":{seq},"sent_ns":{sent_ns}}}"#);
    }
}

/// A stamp as it stands in its frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glimpse<'a> {
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
}

impl<'a> Glimpse<'a> {
    /// What [`Stamp::decode`] gives, without copies where the frame is as [`Head`] writes it.
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
        })
    }

    fn obeys(&self) -> bool {
        let topic = self.topic.as_deref().map(str::as_bytes);
        self.from.len() <= MAX_FROM_BYTES
            && self.id.len() <= MAX_ID_BYTES
            && topic.is_none_or(|topic| topic::is_topic(topic).is_some())
    }

    /// Reads exactly what [`Head::complete`] writes of strings that need no escapes.
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
        (rest == b"}").then_some(())?;
        Some(Self {
            from: from.into(),
            id: id.into(),
            topic: topic.map(Into::into),
            seq,
            sent_ns: i64::try_from(sent_ns).ok()?,
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
    /// The frame: compact JSON, its keys in a fixed order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut frame = Vec::new();
        Head::new(&self.from, &self.id).complete(
            &mut frame,
            self.topic.as_deref(),
            self.seq,
            self.sent_ns,
        );
        frame
    }

    /// The stamp in `frame`, or `None` where the frame is anything else. Unknown keys are ignored, so
    /// that later versions can add some.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Self> {
        let glimpse = Glimpse::of(frame)?;
        Some(Self {
            from: glimpse.from.into_owned(),
            id: glimpse.id.into_owned(),
            topic: glimpse.topic.map(Cow::into_owned),
            seq: glimpse.seq,
            sent_ns: glimpse.sent_ns,
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
        })
    }
}

/// `text` as a JSON string.
fn json(text: &str) -> String {
    serde_json::to_string(text).expect("every str is a JSON string")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp() -> Stamp {
        Stamp {
            from: "alice".into(),
            id: "9f3c".into(),
            topic: Some("room1".into()),
            seq: 42,
            sent_ns: 1_700_000_000_000_000_000,
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_wire_format() {
        let text = r#"{"zmqchat":1,"from":"alice","id":"9f3c","topic":"room1","seq":42,"sent_ns":1700000000000000000}"#;
        assert_eq!(stamp().encode(), text.as_bytes());
        let bare = Stamp {
            from: "\"é\n".into(),
            topic: None,
            seq: u64::MAX,
            sent_ns: i64::MIN,
            ..stamp()
        };
        let text = r#"{"zmqchat":1,"from":"\"é\n","id":"9f3c","topic":null,"seq":18446744073709551615,"sent_ns":-9223372036854775808}"#;
        assert_eq!(bare.encode(), text.as_bytes());
        assert_eq!(Stamp::decode(text.as_bytes()), Some(bare));
    }

    #[test]
    fn unknown_keys_and_another_order_are_fine() {
        let text = br#"{"sent_ns":1,"later":[{"x":null}],"seq":0,"topic":null,"id":"","from":"b", "zmqchat": 1}"#;
        assert_eq!(Stamp::decode(text).unwrap().from, "b");
    }

    #[test]
    fn a_frame_that_is_no_valid_stamp_is_just_a_frame() {
        let good = String::from_utf8(stamp().encode()).unwrap();
        for (from, to) in [
            ("{\"zmqchat\"", " {\"zmqchat\""),
            (":1,", ":2,"),
            (":1,", ":1.0,"),
            (":1,", ":\"1\","),
            (":1,", ":true,"),
            ("\"zmqchat\":1,", ""),
            ("\"alice\"", "null"),
            ("\"9f3c\"", "7"),
            ("\"room1\"", "\"room 1\""),
            ("\"room1\"", "\"a:b\""),
            ("\"room1\"", "\"\""),
            ("\"room1\"", "\"\\u202e\""),
            ("\"room1\"", "1"),
            ("\"topic\":\"room1\",", ""),
            ("42", "-1"),
            ("42", "4.2"),
            ("42", "18446744073709551616"),
            ("1700000000000000000", "9223372036854775808"),
            ("1700000000000000000", "\"now\""),
            ("}", "}x"),
            ("}", ""),
            ("alice", &"a".repeat(MAX_FROM_BYTES + 1)),
            ("9f3c", &"a".repeat(MAX_ID_BYTES + 1)),
            ("alice", "\\ud800"),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(Stamp::decode(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Stamp::decode(b""), None);
        assert_eq!(Stamp::decode(b"[1]"), None);
        let padded = good.replacen('}', &format!("{}}}", " ".repeat(MAX_BYTES)), 1);
        assert_eq!(Stamp::decode(padded.as_bytes()), None);
        let deep = format!("{{\"a\":{}", "[".repeat(4000));
        assert_eq!(Stamp::decode(deep.as_bytes()), None);
    }

    #[test]
    fn the_longest_stamp_is_still_read() {
        let longest = Stamp {
            from: "\u{1}".repeat(MAX_FROM_BYTES),
            id: "\u{1}".repeat(MAX_ID_BYTES),
            topic: Some(format!("a{}", "\"".repeat(topic::MAX_BYTES - 1))),
            seq: u64::MAX,
            sent_ns: i64::MIN,
        };
        assert_eq!(Stamp::decode(&longest.encode()), Some(longest));
    }

    proptest! {
        #[test]
        fn what_is_encoded_decodes(
            from in "(?s).{0,60}",
            id in "(?s).{0,16}",
            topic in proptest::option::of("[^\\s:\\pC\\[{\"][^\\s:\\pC]{0,59}"),
            seq: u64,
            sent_ns: i64,
        ) {
            let stamp = Stamp { from, id, topic, seq, sent_ns };
            prop_assert_eq!(Stamp::decode(&stamp.encode()), Some(stamp));
        }

        #[test]
        fn no_bytes_panic(tail: Vec<u8>) {
            let mut frame = vec![b'{'];
            frame.extend_from_slice(&tail);
            let _ = Stamp::decode(&frame);
            let _ = Stamp::decode(&tail);
        }

        #[test]
        fn a_damaged_stamp_is_read_as_any_other_json(at in 0_usize..90, byte: u8) {
            let mut frame = stamp().encode();
            frame[at] = byte;
            let slow = (frame[0] == b'{').then(|| Stamp::parse(&frame)).flatten();
            prop_assert_eq!(Stamp::decode(&frame), slow);
        }
    }
}
