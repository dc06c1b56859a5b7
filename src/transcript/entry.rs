//! A message as a line of a transcript represents it.
//!
//! A line contains time, topic, sender and payload. The bytes of frames that cannot be derived from
//! these are additional fields, see [`ExtraFrames`].

use crate::wire::message::{interpret, Framing, ParsedMessage};
use crate::wire::stamp::Stamp;
use crate::wire::topic::{self, MAX_BYTES};
use std::collections::HashSet;

/// A borrowed message that is to be written.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its frames, at least one.
    pub frames: Vec<&'a [u8]>,
    /// How the frames were interpreted.
    pub framing: Framing,
    /// Their interpretation.
    pub parsed: &'a ParsedMessage,
    /// When the message was received, in nanoseconds since 1970-01-01 UTC.
    pub received_ns: i64,
}

impl Record<'_> {
    pub(crate) fn extra_frames(&self) -> ExtraFrames<'_> {
        let stamped = self.parsed.stamp.as_ref();
        let last = self.frames.len() - usize::from(stamped.is_some());
        ExtraFrames {
            first: (self.parsed.frame == 1).then(|| self.frames[0]),
            more: self
                .frames
                .get(self.parsed.frame + 1..last)
                .unwrap_or_default(),
            stamp: stamped
                .filter(|stamp| {
                    stamp.topic != self.parsed.topic || stamp.encode() != self.frames[last]
                })
                .map(|_| self.frames[last]),
        }
    }
}

/// The frames of a message that cannot be derived from its topic, payload and sender.
pub(crate) struct ExtraFrames<'a> {
    /// The first frame, if the payload is the second.
    pub(crate) first: Option<&'a [u8]>,
    /// The frames after the payload, without the stamp.
    pub(crate) more: &'a [&'a [u8]],
    /// The stamp, if encoding the sender gives other bytes.
    pub(crate) stamp: Option<&'a [u8]>,
}

/// A message that was read from a transcript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its frames, at least one.
    pub frames: Vec<Vec<u8>>,
    /// How to interpret the frames.
    pub framing: Framing,
    /// The length of the topic that the first frame starts with; 0 if the frame is not split.
    pub topic_len: u8,
    /// When the message was received, in nanoseconds since 1970-01-01 UTC.
    pub received_ns: i64,
}

impl Entry {
    /// Interprets the frames.
    #[must_use]
    pub fn interpret(&self) -> ParsedMessage {
        interpret(&self.frames, self.framing, self.topic_len)
    }

    /// Whether the message has one of `topics`. A message that was written without a topic is split if
    /// its first frame starts with one of them and `:`.
    pub fn select(&mut self, topics: &HashSet<String>) -> bool {
        if let Some(topic) = self.interpret().topic {
            return topics.contains(&topic);
        }
        let first = &self.frames[0];
        let end = first
            .iter()
            .take(MAX_BYTES + 1)
            .position(|&byte| byte == b':');
        let topic = end.and_then(|end| std::str::from_utf8(&first[..end]).ok());
        let Some(topic) = topic.filter(|topic| topics.contains(*topic)) else {
            return false;
        };
        self.topic_len = u8::try_from(topic.len()).unwrap_or(0);
        self.interpret().topic.is_some()
    }
}

/// The fields of a line, before they become an [`Entry`].
#[derive(Debug, Default)]
pub(crate) struct LineFields {
    pub(crate) received_ns: i64,
    pub(crate) framing: Option<Framing>,
    pub(crate) topic: Option<String>,
    pub(crate) sender: Option<Sender>,
    pub(crate) kind: Option<String>,
    pub(crate) payload: Vec<u8>,
    pub(crate) first: Option<Vec<u8>>,
    pub(crate) more: Vec<Vec<u8>>,
    pub(crate) stamp: Option<Vec<u8>>,
}

/// The sender in a line: the fields of its stamp.
#[derive(Debug)]
pub(crate) struct Sender {
    pub(crate) name: String,
    pub(crate) sequence: u64,
    pub(crate) instance: String,
    pub(crate) sent_ns: i64,
}

impl LineFields {
    /// Rebuilds the frames of the message. The reverse of [`Record::extra_frames`].
    pub(crate) fn into_entry(self) -> Entry {
        let mut frames = Vec::with_capacity(2);
        match (self.first, &self.topic) {
            (Some(first), _) => frames.extend([first, self.payload]),
            (None, Some(topic)) => {
                let mut frame = topic::prefix(topic);
                frame.extend_from_slice(&self.payload);
                frames.push(frame);
            }
            (None, None) => frames.push(self.payload),
        }
        frames.extend(self.more);
        let (topic, kind) = (self.topic, self.kind);
        let topic_len = topic
            .as_deref()
            .map_or(0, |topic| topic::len_in(&frames[0], topic));
        frames.extend(self.stamp.or_else(|| {
            let sender = self.sender?;
            let stamp = Stamp {
                from: sender.name,
                id: sender.instance,
                topic,
                seq: sender.sequence,
                sent_ns: sender.sent_ns,
                kind,
            };
            Some(stamp.encode())
        }));
        Entry {
            frames,
            framing: self.framing.unwrap_or(Framing::Plain),
            topic_len,
            received_ns: self.received_ns,
        }
    }
}
