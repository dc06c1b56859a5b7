//! The wire format of a message: its topic, payload and sender in its frames.
//!
//! Interpreting frames copies no payload and never fails: frames of an unknown layout are a message
//! without a topic.

use crate::error::{Error, Result};
use crate::wire::stamp::{self, Stamp};
use crate::wire::topic;

/// The layout of a message in frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// One frame, `topic:payload`.
    Plain,
    /// Two frames, topic and payload.
    Envelope,
    /// Frames are not interpreted. For subscribers.
    Raw,
}

impl Framing {
    /// Parses `"plain"`, `"envelope"` or `"raw"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "plain" => Ok(Self::Plain),
            "envelope" => Ok(Self::Envelope),
            "raw" => Ok(Self::Raw),
            _ => Err(Error::Value(format!(
                "invalid framing {}: expected 'plain', 'envelope' or 'raw'",
                crate::wire::printable::quote(text)
            ))),
        }
    }

    /// The word that [`Framing::parse`] accepts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Envelope => "envelope",
            Self::Raw => "raw",
        }
    }
}

/// The parts of a message. Its payload is `frames[frame][start..]`.
///
/// The topic is that of the stamp or of the envelope. If neither has one, the first frame is split only
/// on request, because `12:30 lunch` may or may not have a topic. The request is the length of the
/// topic, which a subscriber determines when it receives the message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ParsedMessage {
    /// The topic, if there is one.
    pub topic: Option<String>,
    /// The index of the frame with the payload.
    pub frame: usize,
    /// Where the payload starts in that frame.
    pub start: usize,
    /// The stamp, if the message is stamped.
    pub stamp: Option<Stamp>,
}

impl ParsedMessage {
    /// The payload. `frames` are the interpreted frames; with fewer frames the result may be empty.
    #[must_use]
    pub fn payload<'a, F: AsRef<[u8]>>(&self, frames: &'a [F]) -> &'a [u8] {
        frames
            .get(self.frame)
            .and_then(|frame| frame.as_ref().get(self.start..))
            .unwrap_or_default()
    }

    /// Whether the message is presence, see [`stamp::is_presence`]. `frames` is as in [`Self::payload`].
    #[must_use]
    pub fn is_presence<F: AsRef<[u8]>>(&self, frames: &[F]) -> bool {
        let kind = self.stamp.as_ref().and_then(|stamp| stamp.kind.as_deref());
        kind.is_some() && stamp::is_presence(kind, !self.payload(frames).is_empty())
    }
}

/// Interprets `frames`. `topic_len` is the length of the topic at the start of the first frame (see
/// [`ParsedMessage`]), or 0.
///
/// `Plain` and `Envelope` give the same result: the number of frames shows which one the sender used.
#[must_use]
pub fn interpret<F: AsRef<[u8]>>(frames: &[F], framing: Framing, topic_len: u8) -> ParsedMessage {
    if framing == Framing::Raw {
        return ParsedMessage::default();
    }
    match frames {
        [] => ParsedMessage::default(),
        [only] => match known_topic(only.as_ref(), topic_len) {
            Some(topic) => ParsedMessage {
                topic: Some(topic.to_owned()),
                start: topic.len() + 1,
                ..ParsedMessage::default()
            },
            None => ParsedMessage::default(),
        },
        [first, .., last] => {
            let first = first.as_ref();
            let mut parsed =
                stamped(first, last.as_ref(), frames.len()).unwrap_or_else(|| ParsedMessage {
                    topic: topic::is_topic(first).map(str::to_owned),
                    frame: 1,
                    ..ParsedMessage::default()
                });
            if let (None, Some(topic)) = (&parsed.topic, known_topic(first, topic_len)) {
                parsed.topic = Some(topic.to_owned());
                if parsed.frame == 0 {
                    parsed.start = topic.len() + 1;
                }
            }
            parsed
        }
    }
}

/// The topic of this length at the start of a frame, if it is a valid one.
fn known_topic(frame: &[u8], topic_len: u8) -> Option<&str> {
    let end = usize::from(topic_len);
    if end == 0 || frame.get(end) != Some(&b':') {
        return None;
    }
    topic::is_topic(&frame[..end])
}

/// Interprets `count` frames from `first` to `last` if `last` is a stamp that matches them. A stamp that
/// does not match is an ordinary frame, for example published JSON.
fn stamped(first: &[u8], last: &[u8], count: usize) -> Option<ParsedMessage> {
    if count > 3 {
        return None;
    }
    let stamp = Stamp::decode(last)?;
    let topic = stamp.topic.as_deref().unwrap_or_default();
    let (frame, start) = if count == 3 {
        (first == topic.as_bytes()).then_some((1, 0))?
    } else if topic.is_empty() {
        (0, 0)
    } else {
        let rest = first.strip_prefix(topic.as_bytes())?;
        rest.starts_with(b":").then_some((0, topic.len() + 1))?
    };
    Some(ParsedMessage {
        topic: stamp.topic.clone(),
        frame,
        start,
        stamp: Some(stamp),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn presence_is_a_message_of_certain_kinds_without_text() {
        let stamped = |kind: Option<&str>, text: &str| {
            let stamp = Stamp {
                kind: kind.map(str::to_owned),
                ..stamp(Some("lobby"))
            };
            let frames = [format!("lobby:{text}").into_bytes(), stamp.encode()];
            interpret(&frames, Framing::Plain, 0).is_presence(&frames)
        };
        for kind in crate::wire::stamp::PRESENCE {
            assert!(stamped(Some(kind), ""));
            assert!(!stamped(Some(kind), "hello"));
        }
        assert!(!stamped(None, ""));
        assert!(!stamped(Some("action"), ""));
    }

    fn stamp(topic: Option<&str>) -> Stamp {
        Stamp {
            from: "alice".into(),
            id: "9f3c".into(),
            topic: topic.map(str::to_owned),
            seq: 0,
            sent_ns: 1,
            kind: None,
        }
    }

    /// Topic, payload and whether the message has a stamp.
    fn read(frames: &[&[u8]], framing: Framing, topic_len: u8) -> (Option<String>, Vec<u8>, bool) {
        let parsed = interpret(frames, framing, topic_len);
        let payload = parsed.payload(frames).to_vec();
        (parsed.topic, payload, parsed.stamp.is_some())
    }

    fn expect(frames: &[&[u8]], topic: Option<&str>, payload: &[u8], stamped: bool) {
        expect_split(0, frames, topic, payload, stamped);
    }

    fn expect_split(
        topic_len: u8,
        frames: &[&[u8]],
        topic: Option<&str>,
        payload: &[u8],
        stamped: bool,
    ) {
        for framing in [Framing::Plain, Framing::Envelope] {
            let expected = (topic.map(str::to_owned), payload.to_vec(), stamped);
            assert_eq!(read(frames, framing, topic_len), expected, "{frames:?}");
        }
        let raw = (None, frames[0].to_vec(), false);
        assert_eq!(read(frames, Framing::Raw, topic_len), raw);
    }

    #[test]
    fn one_frame_is_not_split_without_a_request() {
        let stamp_alone = stamp(None).encode();
        for frame in [
            &b"Hello"[..],
            b"room1:Hello",
            b"12:30 lunch",
            b"2026-01-31T12:30:05,21.5",
            b"http://x",
            b"",
            &stamp_alone,
        ] {
            expect(&[frame], None, frame, false);
        }
    }

    #[test]
    fn one_frame_is_split_at_the_length_of_its_topic() {
        expect_split(5, &[b"room1:Hello"], Some("room1"), b"Hello", false);
        expect_split(5, &[b"room1://x"], Some("room1"), b"//x", false);
        expect_split(2, &[b"12:30 lunch"], Some("12"), b"30 lunch", false);
    }

    #[test]
    fn a_topic_length_without_a_topic_is_ignored() {
        for (topic_len, frame) in [(4, &b"room1:Hi"[..]), (5, b"room1"), (7, b"my room:Hi")] {
            expect_split(topic_len, &[frame], None, frame, false);
        }
    }

    #[test]
    fn a_stamp_without_a_topic_leaves_the_split_to_the_subscriber() {
        let none = stamp(None).encode();
        expect_split(5, &[b"room1:Hi", &none], Some("room1"), b"Hi", true);
        let room = stamp(Some("a")).encode();
        expect_split(3, &[b"a:b:Hi", &room], Some("a"), b"b:Hi", true);
    }

    #[test]
    fn the_payload_of_several_frames_is_not_split() {
        expect_split(5, &[b"room1:x", b"Hi"], Some("room1"), b"Hi", false);
        expect_split(1, &[b"room1", b"a:b"], Some("room1"), b"a:b", false);
    }

    #[test]
    fn a_stamped_plain_frame_is_split_by_its_stamp() {
        let (none, room) = (stamp(None).encode(), stamp(Some("room1")).encode());
        expect(&[b"room1:Hi", &room], Some("room1"), b"Hi", true);
        expect(&[b"room1://x", &room], Some("room1"), b"//x", true);
        expect(&[b"12:30 lunch", &none], None, b"12:30 lunch", true);
        expect(&[b"", &none], None, b"", true);
    }

    #[test]
    fn a_stamped_envelope_has_three_frames() {
        let (none, room) = (stamp(None).encode(), stamp(Some("room1")).encode());
        expect(&[b"room1", b"a:b", &room], Some("room1"), b"a:b", true);
        expect(&[b"", b"Hi", &none], None, b"Hi", true);
    }

    #[test]
    fn a_stamp_that_does_not_match_is_an_ordinary_frame() {
        let (none, room) = (stamp(None).encode(), stamp(Some("room1")).encode());
        expect(&[b"room1", &room], Some("room1"), &room, false);
        expect(&[b"room10:Hi", &room], None, &room, false);
        expect(&[b"room2", b"Hi", &room], Some("room2"), b"Hi", false);
        expect(&[b"room1", b"Hi", &none], Some("room1"), b"Hi", false);
        expect(&[b"room1", b"Hi", b"x", &room], Some("room1"), b"Hi", false);
        expect(&[b"room1:x", b"Hi", b"x", &room], None, b"Hi", false);
    }

    #[test]
    fn multipart_messages_of_other_senders_are_interpreted() {
        expect(&[b"room1", b"a:b"], Some("room1"), b"a:b", false);
        expect(&[b"a b", b"Hi", b"x"], None, b"Hi", false);
        expect(&[b"room1:x", b"Hi"], None, b"Hi", false);
        expect(&[b"", b"Hi"], None, b"Hi", false);
        expect(&[b"\xff", b""], None, b"", false);
    }

    #[test]
    fn a_message_without_frames_is_empty() {
        for framing in [Framing::Plain, Framing::Envelope, Framing::Raw] {
            let parsed = interpret::<&[u8]>(&[], framing, 1);
            assert_eq!(parsed, ParsedMessage::default());
            assert_eq!(parsed.payload::<&[u8]>(&[]), b"");
            assert_eq!(Framing::parse(framing.as_str()), Ok(framing));
        }
        let text = Framing::parse("fancy\x1b").unwrap_err().to_string();
        assert_eq!(
            text,
            "invalid framing 'fancy\\x1b': expected 'plain', 'envelope' or 'raw'"
        );
    }

    fn any_frame() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            any::<Vec<u8>>(),
            "(room1)?:?[a-z]{0,3}".prop_map(String::into_bytes),
            proptest::option::of("(room1|[a-z])")
                .prop_map(|topic| stamp(topic.as_deref()).encode()),
        ]
    }

    proptest! {
        #[test]
        fn the_payload_is_always_within_the_frames(
            frames in proptest::collection::vec(any_frame(), 1..5), topic_len: u8,
        ) {
            for framing in [Framing::Plain, Framing::Envelope, Framing::Raw] {
                let parsed = interpret(&frames, framing, topic_len);
                prop_assert!(parsed.frame < frames.len());
                prop_assert!(parsed.start <= frames[parsed.frame].len());
                if let Some(topic) = &parsed.topic {
                    prop_assert_eq!(topic::validate(topic), Ok(()));
                }
                if let Some(topic) = parsed.stamp.and_then(|stamp| stamp.topic) {
                    prop_assert_eq!(Some(topic), parsed.topic);
                }
            }
        }

        #[test]
        fn the_message_of_a_named_publisher_is_interpreted(
            topic in proptest::option::of("[a-z/]{1,9}"), payload: Vec<u8>,
        ) {
            let stamp = stamp(topic.as_deref());
            let mut plain = topic.as_deref().map(topic::prefix).unwrap_or_default();
            plain.extend_from_slice(&payload);
            let envelope = topic.clone().unwrap_or_default().into_bytes();
            for frames in [
                vec![plain, stamp.encode()],
                vec![envelope, payload.clone(), stamp.encode()],
            ] {
                let parsed = interpret(&frames, Framing::Plain, 0);
                prop_assert_eq!(parsed.payload(&frames), payload.as_slice());
                prop_assert_eq!(&parsed.topic, &topic);
                prop_assert_eq!(parsed.stamp.as_ref(), Some(&stamp));
            }
        }
    }
}
