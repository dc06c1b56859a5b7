//! The topic grammar: 1 to 255 bytes of UTF-8, printable, with no `:` and no whitespace, and not
//! begun like a JSON value. A plain frame is the topic, a `:`, and the payload.

use crate::error::{Error, Result};
use crate::wire::printable::{is_unprintable, quote};

/// The longest topic, in bytes of UTF-8.
pub const MAX_BYTES: usize = 255;

/// How a JSON object, array or string begins. Without this rule `{"x":1}`, which `send_json` and
/// pyzmq's own put on the wire without a topic, would be read as topic `{"x"` and text `1}`.
const JSON_STARTS: [char; 3] = ['{', '[', '"'];

/// Refuses a topic that no peer could tell from its payload; the error says what to type instead.
#[inline]
pub fn validate(topic: &str) -> Result<()> {
    if is_plain(topic.as_bytes()) || is_topic(topic.as_bytes()).is_some() {
        return Ok(());
    }
    refuse(topic)
}

/// Whether it is a topic of ASCII, which most are: asked for every message.
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
fn refuse(topic: &str) -> Result<()> {
    let refuse = |why: &str| {
        let topic = quote(topic);
        Err(Error::Value(format!(
            "{topic} cannot be a topic: {why}, for example 'room1'"
        )))
    };
    if topic.is_empty() {
        return Err(Error::Value(
            "a topic cannot be empty: type a word, for example 'room1', or give no topic at all"
                .into(),
        ));
    }
    if topic.contains(':') {
        return refuse(
            "':' ends the topic on the wire; use '/', '-' or '.' in its place, or type one word",
        );
    }
    if topic.contains(char::is_whitespace) {
        return refuse(
            "it holds a space, tab or line break; use '-' or '_' in its place, or type one word",
        );
    }
    if topic.contains(is_unprintable) {
        return refuse("it holds a character that does not show; type letters, digits and signs");
    }
    if topic.starts_with(JSON_STARTS) {
        return refuse("it begins like JSON, which is text; type letters, digits and signs");
    }
    if topic.len() > MAX_BYTES {
        return refuse(&format!(
            "it is {} bytes long and {MAX_BYTES} is the most; type something shorter",
            topic.len()
        ));
    }
    Ok(())
}

/// `bytes` as a topic, if they obey the grammar.
#[must_use]
pub fn is_topic(bytes: &[u8]) -> Option<&str> {
    if bytes.is_empty() || bytes.len() > MAX_BYTES {
        return None;
    }
    let topic = std::str::from_utf8(bytes).ok()?;
    if topic.starts_with(JSON_STARTS) {
        return None;
    }
    let obeys = if topic.is_ascii() {
        bytes.iter().all(|b| b.is_ascii_graphic() && *b != b':')
    } else {
        !topic.contains(|c: char| c == ':' || c.is_whitespace() || is_unprintable(c))
    };
    obeys.then_some(topic)
}

/// Splits a plain frame at its first `:` into topic and payload. Returns `None` where the frame does not
/// begin with a topic and `:`, or where `//` follows, as in a URL.
///
/// This is a guess: it finds the topic `12` in `12:30 lunch`. A message is split so only if its
/// subscriber asked for that (`split_topics`).
#[must_use]
pub fn split(frame: &[u8]) -> Option<(&str, &[u8])> {
    // The longest topic and its `:`, so a long frame costs no more than a short one.
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
    let begins = rest.is_some_and(|rest| rest.starts_with(b":"));
    u8::try_from(topic.len())
        .ok()
        .filter(|_| begins)
        .unwrap_or(0)
}

/// What a plain frame on `topic` starts with, and the prefix that a subscriber to it asks for: `room1:`.
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

    fn refusal(topic: &str) -> String {
        validate(topic).unwrap_err().to_string()
    }

    #[test]
    fn good_topics_pass() {
        let longest = "x".repeat(MAX_BYTES);
        for topic in ["room1", "a", "räum/été", "日本", "//", "a{", &longest] {
            assert_eq!(validate(topic), Ok(()), "{topic}");
            assert_eq!(is_topic(topic.as_bytes()), Some(topic));
        }
    }

    #[test]
    fn each_broken_rule_is_named() {
        for (topic, expected) in [
            ("", "cannot be empty"),
            ("a:b", "'a:b' cannot be a topic: ':' ends the topic"),
            ("{room", "begins like JSON"),
            ("my room", "holds a space"),
            ("a\u{a0}b", "holds a space"),
            ("a\nb", "'a\\nb'"),
            (
                "a\x1b[31m",
                "'a\\x1b[31m' cannot be a topic: it holds a character that does not show",
            ),
            ("a\0b", "'a\\x00b'"),
            ("\u{202e}a", "'\\u202ea'"),
            ("\u{feff}a", "does not show"),
            (&"é".repeat(128), "256 bytes long and 255 is the most"),
        ] {
            let text = refusal(topic);
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
    fn the_colon_is_sought_in_the_first_256_bytes_alone() {
        let mut frame = vec![b'x'; MAX_BYTES];
        frame.extend_from_slice(b":y");
        assert_eq!(split(&frame).unwrap().0.len(), MAX_BYTES);
        frame.insert(0, b'x');
        assert_eq!(split(&frame), None);
    }

    proptest! {
        #[test]
        fn what_was_joined_splits_again(topic in "[^:\\s\\pC]{1,60}", payload: Vec<u8>) {
            prop_assume!(validate(&topic).is_ok() && !payload.starts_with(b"//"));
            let mut frame = prefix(&topic);
            frame.extend_from_slice(&payload);
            prop_assert_eq!(split(&frame), Some((topic.as_str(), payload.as_slice())));
        }

        #[test]
        fn a_sent_topic_and_a_received_one_obey_one_grammar(topic in "[\\PC\u{80}-\u{9f}\u{2028}: ]{0,90}") {
            prop_assert_eq!(validate(&topic).is_ok(), is_topic(topic.as_bytes()).is_some());
        }

        #[test]
        fn no_frame_panics(frame: Vec<u8>) {
            if let Some((topic, payload)) = split(&frame) {
                prop_assert_eq!(validate(topic), Ok(()));
                prop_assert_eq!(topic.len() + 1 + payload.len(), frame.len());
            }
        }
    }
}
