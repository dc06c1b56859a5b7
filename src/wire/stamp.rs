//! The stamp: the last frame that a named publisher adds, one JSON object that says who sent the
//! message, on which topic, as which number, and when.

use super::topic;
use serde_json::Value;

/// The longest sender's name, in bytes of UTF-8.
pub const MAX_FROM_BYTES: usize = 255;
/// The longest instance id, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 64;
/// A longer frame is not even parsed. What [`Stamp::encode`] makes within the limits above is
/// shorter, even where JSON writes each byte as `\u0000`.
const MAX_BYTES: usize = 4096;

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

impl Stamp {
    /// The frame: compact JSON, its keys in a fixed order.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let from = json(&self.from);
        let id = json(&self.id);
        let topic = self.topic.as_deref().map_or("null".into(), json);
        format!(
            r#"{{"zmqchat":1,"from":{from},"id":{id},"topic":{topic},"seq":{},"sent_ns":{}}}"#,
            self.seq, self.sent_ns
        )
        .into_bytes()
    }

    /// The stamp in `frame`, or `None` where the frame is anything else. Unknown keys are ignored, so
    /// that later versions can add some.
    #[must_use]
    pub fn decode(frame: &[u8]) -> Option<Self> {
        if frame.first() != Some(&b'{') || frame.len() > MAX_BYTES {
            return None;
        }
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
        fn no_damaged_stamp_panics(at in 0_usize..90, byte: u8) {
            let mut frame = stamp().encode();
            frame[at] = byte;
            let _ = Stamp::decode(&frame);
        }
    }
}
