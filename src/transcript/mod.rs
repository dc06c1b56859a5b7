//! The transcript: messages kept in a file, a line each, so that they read back exactly.
//!
//! | room | what stands in it |
//! |---|---|
//! | `moment` | a time as a line tells it: with its zone, to the nanosecond |
//! | `escape`, `base64` | any bytes as text, and back |
//! | `text`, `json` | the two formats: a message to a line, a line to a message |
//! | `lock` | the lock on a file that other processes write too |
//! | `file` | the file: appended to in whole lines, mended, rotated |
//! | `syncer` | `fsync`, a little later, in the background |
//! | `transcript` | what users hold for writing |
//! | `recorder` | a thread that writes, for whoever must not wait |
//! | `reader` | what users hold for reading |
//! | `source` | where its bytes come from: a file, or a pipe, for which it never waits long |
//! | `tail` | the last messages of a file |
//!
//! Invariants: whatever a stranger sends, a message is one line of printable text; a line that was
//! written is never altered; and only the tail of a file that its writer's death cut short is ever
//! taken out, into a file beside it.

mod background_fsync;
pub mod background_writer;
mod base64;
mod escape;
mod file;
mod file_lock;
mod input;
mod json;
pub mod reader;
mod tail;
mod text;
mod timestamp;
pub mod writer;

pub use crate::transcript::background_writer::BackgroundWriter;
pub use crate::transcript::file::Place;
pub use crate::transcript::reader::Reader;
pub use crate::transcript::tail::tail;
pub use crate::transcript::writer::Transcript;

use crate::error::{Error, Result};
use crate::wire::message::{interpret, Framing, ParsedMessage};
use crate::wire::quote;
use crate::wire::topic::{self, MAX_BYTES};
use std::collections::HashSet;
use std::io;
use std::path::Path;

/// Called now and then by whoever waits; its error ends the wait.
pub type Checkpoint<'a> = &'a mut dyn FnMut() -> Result<()>;

/// How a line is written. A file may hold both: each line tells by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Format {
    /// For people, and exact nevertheless.
    #[default]
    Text,
    /// One JSON object a line.
    Jsonl,
}

impl Format {
    /// Reads `"text"` or `"jsonl"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "text" => Ok(Self::Text),
            "jsonl" => Ok(Self::Jsonl),
            _ => Err(Error::Value(format!(
                "format is 'text' or 'jsonl', not {}",
                quote(text)
            ))),
        }
    }

    /// The word that [`Format::parse`] reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Jsonl => "jsonl",
        }
    }

    /// Appends the line of a message, with the line break at its end.
    pub fn push_line(self, out: &mut Vec<u8>, record: &Record<'_>) {
        match self {
            Self::Text => text::push(out, record),
            Self::Jsonl => json::push(out, record),
        }
        out.push(b'\n');
    }
}

/// What a written line survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Sync {
    /// The death of the process: the system has it before the call returns.
    #[default]
    Os,
    /// A power cut: the disk has it before the call returns.
    Line,
    /// A power cut a moment later: the disk has it 0.1 s after the call, or somewhat sooner.
    Disk,
}

impl Sync {
    /// Reads `"os"`, `"line"` or `"disk"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "os" => Ok(Self::Os),
            "line" => Ok(Self::Line),
            "disk" => Ok(Self::Disk),
            _ => Err(Error::Value(format!(
                "sync is 'os', 'line' or 'disk', not {}",
                quote(text)
            ))),
        }
    }

    /// The word that [`Sync::parse`] reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Line => "line",
            Self::Disk => "disk",
        }
    }
}

/// A message to be written, borrowed from whoever has it.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Its frames, at least one.
    pub frames: Vec<&'a [u8]>,
    /// How they were read.
    pub framing: Framing,
    /// What they mean, read in that way.
    pub meaning: &'a ParsedMessage,
    /// When it came, in nanoseconds since 1970-01-01 UTC.
    pub at_ns: i64,
}

impl Record<'_> {
    /// What stands in the frames beside the payload's own.
    fn layout(&self) -> Layout<'_> {
        let stamped = self.meaning.stamp.as_ref();
        let last = self.frames.len() - usize::from(stamped.is_some());
        Layout {
            first: (self.meaning.frame == 1).then(|| self.frames[0]),
            more: self
                .frames
                .get(self.meaning.frame + 1..last)
                .unwrap_or_default(),
            stamp: stamped
                .filter(|stamp| {
                    stamp.topic != self.meaning.topic || stamp.encode() != self.frames[last]
                })
                .map(|_| self.frames[last]),
        }
    }
}

/// What of a message's frames neither topic nor payload nor sender tell.
struct Layout<'a> {
    /// The first frame, where the payload has the second to itself.
    first: Option<&'a [u8]>,
    /// The frames after the payload's, without a stamp.
    more: &'a [&'a [u8]],
    /// The stamp, where the other parts would make another one.
    stamp: Option<&'a [u8]>,
}

/// A message as it was read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its frames, at least one.
    pub frames: Vec<Vec<u8>>,
    /// How to read them.
    pub framing: Framing,
    /// The length of the topic that the first frame starts with; 0 where it is not split.
    pub topic_len: u8,
    /// When it came, in nanoseconds since 1970-01-01 UTC.
    pub at_ns: i64,
}

impl Entry {
    /// What its frames mean.
    #[must_use]
    pub fn meaning(&self) -> ParsedMessage {
        interpret(&self.frames, self.framing, self.topic_len)
    }

    /// Whether it has one of these topics. A message that was recorded without a topic is split where its
    /// first frame starts with one of them and `:`.
    pub fn select(&mut self, topics: &HashSet<String>) -> bool {
        if let Some(topic) = self.meaning().topic {
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
        self.meaning().topic.is_some()
    }

    /// Reads a line of either format, without its line break; `None` where it is neither.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        match line.first()? {
            b'{' => json::parse(line),
            _ => text::parse(line),
        }
    }
}

/// The parts of a line that became an [`Entry`] or not.
#[derive(Debug, Default)]
struct Parts {
    at_ns: i64,
    framing: Option<Framing>,
    topic: Option<String>,
    /// Name, number, instance and time of sending.
    sender: Option<(String, u64, String, i64)>,
    kind: Option<String>,
    payload: Vec<u8>,
    first: Option<Vec<u8>>,
    more: Vec<Vec<u8>>,
    stamp: Option<Vec<u8>>,
}

impl Parts {
    /// The message that was written so: what [`Record::layout`] took apart, together again.
    fn entry(self) -> Entry {
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
            let (from, seq, id, sent_ns) = self.sender?;
            let stamp = crate::wire::stamp::Stamp {
                from,
                id,
                topic,
                seq,
                sent_ns,
                kind,
            };
            Some(stamp.encode())
        }));
        Entry {
            frames,
            framing: self.framing.unwrap_or(Framing::Plain),
            topic_len,
            at_ns: self.at_ns,
        }
    }
}

/// Refuses what can be no file's name.
fn check_path(path: &Path) -> Result<()> {
    let bytes = path.as_os_str().as_encoded_bytes();
    if bytes.is_empty() || bytes.contains(&0) {
        return Err(Error::Value(
            "a file's name has at least one character and no NUL (\\0): for example \"chat.log\""
                .into(),
        ));
    }
    Ok(())
}

/// An error of the system's that names the file, and what to do where that is known.
fn failed(what: &str, path: &Path, error: &io::Error) -> Error {
    let errno = error.raw_os_error().unwrap_or(libc::EIO);
    let text = error.to_string();
    let words = text.split(" (os error").next().unwrap_or(&text);
    let advice = match errno {
        libc::ENOSPC | libc::EDQUOT => {
            "; what was written before is whole: make room, and it goes on"
        }
        libc::ENOENT | libc::ENOTDIR if what != "read" => "; is its folder still there?",
        libc::EACCES | libc::EPERM | libc::EROFS if what != "read" => {
            "; choose a file that you may write to"
        }
        _ => "",
    };
    Error::Os {
        errno,
        message: format!("cannot {what} {}: {words}{advice}", shown(path)),
    }
}

/// A path as an error tells it: whole, in quotes, and escaped.
fn shown(path: &Path) -> String {
    let mut out = String::from("'");
    for c in path.to_string_lossy().chars() {
        crate::wire::push_escaped(&mut out, c);
    }
    out.push('\'');
    out
}

#[cfg(test)]
mod tests;
