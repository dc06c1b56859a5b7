//! The arguments of a transcript.

use crate::error::{Error, Result};
use crate::wire::quote;
use std::path::PathBuf;

/// Which file a transcript writes, and how.
#[derive(Debug, Clone)]
pub struct TranscriptOptions {
    /// The file.
    pub path: PathBuf,
    /// When lines are saved to the disk.
    pub sync: SyncMode,
    /// The size at which the file is rotated; `None` never rotates it.
    pub max_bytes: Option<u64>,
    /// How many rotated files are kept.
    pub keep: u32,
}

/// Which failures a written line survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SyncMode {
    /// The end of the process: the operating system has the line before the call returns.
    #[default]
    Os,
    /// A power failure: the disk has the line before the call returns.
    Line,
    /// A power failure after 0.1 s: the disk has the line at most 0.1 s after the call returns.
    Disk,
}

impl SyncMode {
    /// Parses `"os"`, `"line"` or `"disk"`.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "os" => Ok(Self::Os),
            "line" => Ok(Self::Line),
            "disk" => Ok(Self::Disk),
            _ => Err(Error::Value(format!(
                "invalid sync {}: expected 'os', 'line' or 'disk'",
                quote(text)
            ))),
        }
    }

    /// The word that [`SyncMode::parse`] accepts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Os => "os",
            Self::Line => "line",
            Self::Disk => "disk",
        }
    }
}
