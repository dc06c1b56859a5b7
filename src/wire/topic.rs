//! The topic grammar: 1 to 255 bytes of printable UTF-8 without `:` and whitespace. A topic does not
//! begin like a JSON value. A plain frame is the topic, a `:`, and the payload.

use crate::error::{Error, Result};
use crate::wire::printable::{is_unprintable, quote};

/// The longest topic, in bytes of UTF-8.
pub const MAX_BYTES: usize = 255;

/// How a JSON object, array or string begins. Without this rule, `{"x":1}` would be read as topic `{"x"`
/// and text `1}`. `send_json`, also that of pyzmq, sends such frames without a topic.
const JSON_STARTS: [char; 3] = ['{', '[', '"'];

/// Rejects a topic that does not follow the grammar. The error contains a valid example.
#[inline]
pub fn validate(topic: &str) -> Result<()> {
    if is_plain(topic.as_bytes()) || is_topic(topic.as_bytes()).is_some() {
        return Ok(());
    }
    Err(invalid(topic))
}

/// Whether this is a valid topic in ASCII. Fast, because it is called for every message.
#[inline]
fn is_plain(bytes: &[u8]) -> bool {
    let Some(first) = bytes.first() else {
        return false;
    };
    bytes.len() <= MAX_BYTES
        && !matches!(first, b'{' | b'[' | b'"')
        && bytes.iter().all(|b| b.is_ascii_graphic() && *b != b':')
}

#[cold]
fn invalid(topic: &str) -> Error {
    let reason = if topic.is_empty() {
        "it is empty; use a word or omit the topic".into()
    } else if topic.contains(':') {
        "':' separates topic and payload; use '/', '-' or '.' instead".into()
    } else if topic.contains(char::is_whitespace) {
        "it contains a space, tab or line break; use '-' or '_' instead".into()
    } else if topic.contains(is_unprintable) {
        "it contains an unprintable character; use letters, digits and punctuation".into()
    } else if topic.starts_with(JSON_STARTS) {
        "it begins like JSON; begin it with a letter or digit".into()
    } else {
        format!(
            "it is {} bytes long; expected at most {MAX_BYTES}",
            topic.len()
        )
    };
    let topic = quote(topic);
    Error::Value(format!(
        "invalid topic {topic}: {reason}, for example 'room1'"
    ))
}

/// Returns `bytes` as a topic if they follow the grammar.
#[must_use]
pub fn is_topic(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_BYTES {
        return None;
    }
    let topic = std::str::from_utf8(bytes).ok()?;
    if topic.starts_with(JSON_STARTS) {
        return None;
    }
    let valid = if topic.is_ascii() {
        bytes.iter().all(|b| b.is_ascii_graphic() && *b != b':')
    } else {
        !topic.contains(|c: char| c == ':' || c.is_whitespace() || is_unprintable(c))
    };
    valid.then_some(topic)
}

/// Splits a plain frame at its first `:` into topic and payload. Returns `None` if the frame does not
/// begin with a topic and `:`, or if `//` follows, as in a URL.
///
/// The result may be wrong: `12:30 lunch` has the topic `12`. Messages are split in this way only if the
/// subscriber requests it (`split_topics`).
#[must_use]
pub fn split(frame: &[u8]) -> Option<(&str, &[u8])> {
    // The longest topic and its `:`: the cost does not depend on the length of the frame.
    let head = &frame[..frame.len().min(MAX_BYTES + 1)];
    let colon = head.iter().position(|byte| *byte == b':')?;
    let payload = &frame[colon + 1..];
    if payload.starts_with(b"//") {
        return None;
    }
    Some((is_topic(&head[..colon])?, payload))
}

/// The length of `topic` if `frame` starts with it and `:`, otherwise 0.
#[must_use]
pub fn len_in(frame: &[u8], topic: &str) -> u8 {
    let rest = frame.strip_prefix(topic.as_bytes());
    let has_topic = rest.is_some_and(|rest| rest.starts_with(b":"));
    u8::try_from(topic.len())
        .ok()
        .filter(|_| has_topic)
        .unwrap_or(0)
}

/// The start of a plain frame with this topic, which is also the prefix of a subscription to it: `room1:`.
#[must_use]
pub fn prefix(topic: &str) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(topic.len() + 1);
    prefix.extend_from_slice(topic.as_bytes());
    prefix.push(b':');
    prefix
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(topic: &str) -> String {
        validate(topic).unwrap_err().to_string()
    }

    #[test]
    fn valid_topics_are_accepted() {
        let longest = "x".repeat(MAX_BYTES);
        for topic in ["room1", "a", "räum/été", "日本", "//", "a{", &longest] {
            assert_eq!(validate(topic), Ok(()), "{topic}");
            assert_eq!(is_topic(topic.as_bytes()), Some(topic));
        }
    }

    #[test]
    fn an_error_contains_the_violated_rule() {
        for (topic, expected) in [
            ("", "invalid topic '': it is empty"),
            (
                "a:b",
                "invalid topic 'a:b': ':' separates topic and payload",
            ),
            ("{room", "begins like JSON"),
            ("my room", "contains a space"),
            ("a\u{a0}b", "contains a space"),
            ("a\nb", "'a\\nb'"),
            (
                "a\x1b[31m",
                "invalid topic 'a\\x1b[31m': it contains an unprintable character",
            ),
            ("a\0b", "'a\\x00b'"),
            ("\u{202e}a", "'\\u202ea'"),
            ("\u{feff}a", "unprintable"),
            (&"é".repeat(128), "256 bytes long; expected at most 255"),
        ] {
            let text = error(topic);
            assert!(text.contains(expected), "{topic:?}: {text}");
            assert!(text.contains("'room1'"), "{text}");
            assert!(!text.contains(is_unprintable), "{text:?}");
            assert_eq!(is_topic(topic.as_bytes()), None);
        }
    }

    #[test]
    fn frames_split_as_documented() {
        let split = |frame: &'static str| {
            split(frame.as_bytes()).map(|(t, p)| (t, std::str::from_utf8(p).unwrap()))
        };
        assert_eq!(split("room1:Hello"), Some(("room1", "Hello")));
        assert_eq!(split("room1:"), Some(("room1", "")));
        assert_eq!(split("room1:a:b"), Some(("room1", "a:b")));
        assert_eq!(split("12:30 lunch"), Some(("12", "30 lunch")));
        assert_eq!(split("a:/b"), Some(("a", "/b")));
        for text in [
            "",
            "Hello",
            ":x",
            "http://example.org",
            "my room:x",
            "a\x1b:x",
        ] {
            assert_eq!(split(text), None, "{text:?}");
        }
        assert_eq!(super::split(b"a\xff:x"), None);
    }

    #[test]
    fn only_the_first_256_bytes_are_searched_for_the_colon() {
        let mut frame = vec![b'x'; MAX_BYTES];
        frame.extend_from_slice(b":y");
        assert_eq!(split(&frame).unwrap().0.len(), MAX_BYTES);
        frame.insert(0, b'x');
        assert_eq!(split(&frame), None);
    }

    proptest! {
        #[test]
        fn a_joined_frame_is_split_into_its_parts(topic in "[^:\\s\\pC]{1,60}", payload: Vec<u8>) {
            prop_assume!(validate(&topic).is_ok() && !payload.starts_with(b"//"));
            let mut frame = prefix(&topic);
            frame.extend_from_slice(&payload);
            prop_assert_eq!(split(&frame), Some((topic.as_str(), payload.as_slice())));
        }

        #[test]
        fn sent_and_received_topics_follow_the_same_grammar(topic in "[\\PC\u{80}-\u{9f}\u{2028}: ]{0,90}") {
            prop_assert_eq!(validate(&topic).is_ok(), is_topic(topic.as_bytes()).is_some());
        }

        #[test]
        fn splitting_any_frame_does_not_panic(frame: Vec<u8>) {
            if let Some((topic, payload)) = split(&frame) {
                prop_assert_eq!(validate(topic), Ok(()));
                prop_assert_eq!(topic.len() + 1 + payload.len(), frame.len());
            }
        }
    }
}
