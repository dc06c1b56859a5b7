//! Transcripts: files that hold one message per line, so that each message can be read back exactly.
//!
//! | file | contents |
//! |---|---|
//! | `entry` | a message before it is written, and after it was read |
//! | `text`, `json` | the two formats: message to line, line to message |
//! | `format` | the choice between them |
//! | `escape`, `base64`, `timestamp` | bytes and times as text, and back |
//! | `options`, `path` | the arguments of a transcript; names and errors of files |
//! | `appender` | the open file: appends whole lines, repairs a torn last line, rotates |
//! | `writer` | [`Transcript`]: writes messages from any number of threads |
//! | `background_fsync` | a thread that calls `fsync` for several lines at a time |
//! | `background_writer` | a thread that writes, for callers that must not wait for the disk |
//! | `input` | the bytes of a file or of a pipe |
//! | `reader` | [`Reader`]: reads the messages of one or several files, and follows a growing file |
//! | `tail` | the last messages of a file |
//!
//! Invariants: a message is one line of printable text, whatever bytes it contains. A written line is
//! never changed. The only bytes that are ever removed are an incomplete last line, which moves to a
//! separate file.

mod appender;
mod background_fsync;
mod background_writer;
mod base64;
mod entry;
mod escape;
mod format;
mod input;
mod json;
mod options;
mod path;
mod reader;
mod tail;
mod text;
mod timestamp;
mod writer;

pub use crate::transcript::background_writer::{BackgroundWriter, Progress};
pub use crate::transcript::entry::{Entry, Record};
pub use crate::transcript::format::{parse_line, Format};
pub use crate::transcript::options::{SyncMode, TranscriptOptions};
pub use crate::transcript::reader::Reader;
pub use crate::transcript::tail::tail;
pub use crate::transcript::writer::Transcript;

#[cfg(test)]
mod tests;
