//! Messages in files: `Transcript` writes them, `TranscriptReader` reads them.

pub(crate) mod reader;
pub(crate) mod writer;
