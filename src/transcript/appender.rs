//! The open file of a transcript: appends whole lines, repairs a torn last line, and rotates. Other
//! processes may append to the same file.
//!
//! Invariant: lines are written with the file locked, at the end of the file that has the name at that
//! time, and after a line break. A killed writer or a full disk can therefore damage only the last line.
//! The next writer moves an incomplete last line to a separate file, `….torn`.

use crate::error::{Error, Result};
use crate::transcript::options::{SyncMode, TranscriptOptions};
use crate::transcript::path::{io_error, quote_path, save_error, with_suffix, FileId};
use crate::util::file_lock::FileLock;
use crate::util::time::{Checkpoint, SLICE};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longer than the line of any message: a message of 64 MiB takes less even if each byte is escaped.
pub(crate) const MAX_LINE_BYTES: u64 = 512 * 1024 * 1024;

/// A write takes far less, so a lock that is held longer belongs to a stopped process or a stalled disk.
const MAX_LOCK_WAIT: Duration = Duration::from_secs(10);
const MAX_RETRY_DELAY: Duration = Duration::from_millis(2);

/// The open file.
pub(crate) struct Appender {
    options: TranscriptOptions,
    file: Arc<File>,
    id: FileId,
    /// Where this process's last line ended. A file of this size was not written by another process.
    end: u64,
    /// False for a device or a pipe.
    regular: bool,
    torn_bytes: u64,
}

impl Appender {
    /// Opens or creates the file, and repairs a torn last line.
    pub(crate) fn open(options: TranscriptOptions, checkpoint: Checkpoint<'_>) -> Result<Self> {
        let (file, metadata) = open(&options)?;
        let mut this = Self {
            id: FileId::of(&metadata),
            regular: metadata.is_file(),
            file: Arc::new(file),
            end: 0,
            torn_bytes: 0,
            options,
        };
        if this.regular {
            this.check_is_transcript()?;
            let mut wait = LockWait::new();
            while this.lock()?.is_none() {
                wait.pause(&this.options.path, checkpoint)?;
            }
        }
        Ok(this)
    }

    /// The file that lines are written to at present.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether the file can be saved; false for a device or a pipe.
    pub(crate) fn is_regular(&self) -> bool {
        self.regular
    }

    /// How many bytes of torn lines this process has moved to the separate file.
    pub(crate) fn torn_bytes(&self) -> u64 {
        self.torn_bytes
    }

    /// Appends as many of these whole lines as fit, or rotates the file if none fits. Returns the number
    /// of bytes written, or `None` while another process holds the lock.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<Option<usize>> {
        if !self.regular {
            let written = (&*self.file).write_all(lines);
            written.map_err(|error| io_error("write to", &self.options.path, &error))?;
            return Ok(Some(lines.len()));
        }
        let Some(_lock) = self.lock()? else {
            return Ok(None);
        };
        let part = fitting(lines, self.end, self.options.max_bytes);
        if part == 0 {
            self.rotate()?;
        } else {
            self.write(&lines[..part])?;
        }
        Ok(Some(part))
    }

    /// Returns once all written lines are on the disk.
    pub(crate) fn save(&self) -> Result<()> {
        if !self.regular {
            return Ok(());
        }
        let saved = self.file.sync_data();
        saved.map_err(|error| save_error(&self.options.path, &error))
    }

    /// Locks the file that has the name now, and repairs its last line. Returns `None` while another
    /// process holds the lock.
    fn lock(&mut self) -> Result<Option<FileLock>> {
        loop {
            let Some(lock) = FileLock::try_acquire(&self.file) else {
                return Ok(None);
            };
            match fs::metadata(&self.options.path) {
                Ok(metadata) if FileId::of(&metadata) == self.id => {
                    if metadata.len() != self.end {
                        self.repair(metadata.len())?;
                    }
                    return Ok(Some(lock));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("write to", &self.options.path, &error));
                }
                // The file was rotated, moved or deleted.
                _ => {
                    drop(lock);
                    self.reopen()?;
                }
            }
        }
    }

    fn reopen(&mut self) -> Result<()> {
        if self.options.sync != SyncMode::Os {
            self.save()?;
        }
        let (file, metadata) = open(&self.options)?;
        self.file = Arc::new(file);
        self.id = FileId::of(&metadata);
        self.end = 0;
        Ok(())
    }

    /// Moves the bytes after the last line break to the separate file. Another process wrote them, and
    /// may have been killed while it wrote.
    fn repair(&mut self, size: u64) -> Result<()> {
        let path = &self.options.path;
        let torn = self.bytes_after_last_line(size);
        let torn = torn.map_err(|error| io_error("read the end of", path, &error))?;
        self.end = size - torn.len() as u64;
        if torn.is_empty() {
            return Ok(());
        }
        let torn_path = with_suffix(path, "torn");
        let moved = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&torn_path)
            .and_then(|mut file| {
                file.write_all(&[torn.as_slice(), b"\n"].concat())?;
                file.sync_data()
            });
        moved.map_err(|error| io_error("move a torn line to", &torn_path, &error))?;
        let truncated = self.file.set_len(self.end);
        truncated.map_err(|error| io_error("remove the torn last line of", path, &error))?;
        self.torn_bytes += torn.len() as u64;
        Ok(())
    }

    fn bytes_after_last_line(&self, size: u64) -> io::Result<Vec<u8>> {
        let mut tail = Vec::new();
        let mut step = 1;
        while (tail.len() as u64) < size {
            let count = step.min(size - tail.len() as u64);
            let mut file = &*self.file;
            file.seek(SeekFrom::Start(size - tail.len() as u64 - count))?;
            let mut block = Vec::new();
            file.take(count).read_to_end(&mut block)?;
            if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
                block.drain(..=at);
                block.append(&mut tail);
                return Ok(block);
            }
            if tail.len() as u64 > MAX_LINE_BYTES {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it has no line breaks",
                ));
            }
            block.append(&mut tail);
            tail = block;
            // The file usually ends with a line break, so the first step reads one byte.
            step = (step * 2).max(64 * 1024);
        }
        Ok(tail)
    }

    /// Writes with one system call. If the disk becomes full during the call, the part is removed again.
    fn write(&mut self, lines: &[u8]) -> Result<()> {
        let written = (&*self.file).write_all(lines);
        if let Err(error) = written {
            // If this fails too, the next write repairs the torn line.
            let _ = self.file.set_len(self.end);
            return Err(io_error("write to", &self.options.path, &error));
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    /// Renames `path` to `path.1`, `path.1` to `path.2`, and so on. The oldest file is overwritten.
    fn rotate(&mut self) -> Result<()> {
        let path = self.options.path.clone();
        // A process that was killed between two renames leaves a free number: renaming ends there.
        let free = (1..self.options.keep).find(|number| !with_suffix(&path, *number).exists());
        for number in (0..free.unwrap_or(self.options.keep)).rev() {
            let from = match number {
                0 => path.clone(),
                _ => with_suffix(&path, number),
            };
            match fs::rename(&from, with_suffix(&path, number + 1)) {
                Err(error) if number == 0 || error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("rename", &from, &error));
                }
                _ => {}
            }
        }
        self.reopen()
    }

    /// Rejects a file with other content, so that a mistyped name does not damage a document.
    fn check_is_transcript(&self) -> Result<()> {
        let path = &self.options.path;
        let mut head = Vec::new();
        let read = (&*self.file).take(11).read_to_end(&mut head);
        read.map_err(|error| io_error("read", path, &error))?;
        let starts_with_date = head.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            _ => byte.is_ascii_digit(),
        });
        if starts_with_date || matches!(head.first(), Some(b'{' | b'#')) {
            return Ok(());
        }
        Err(Error::Value(format!(
            "{} is not a transcript: choose another file name",
            quote_path(path)
        )))
    }
}

/// Waits until another process releases its lock.
pub(crate) struct LockWait {
    started: Instant,
    checked: Instant,
    delay: Duration,
}

impl LockWait {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            started: now,
            checked: now,
            delay: Duration::from_micros(20),
        }
    }

    /// Sleeps before the next attempt, longer each time. Call it with no lock held: the checkpoint may
    /// run a signal handler that writes to the same transcript.
    pub(crate) fn pause(&mut self, path: &Path, checkpoint: Checkpoint<'_>) -> Result<()> {
        std::thread::sleep(self.delay);
        self.delay = (self.delay * 2).min(MAX_RETRY_DELAY);
        if self.checked.elapsed() >= SLICE {
            checkpoint()?;
            self.checked = Instant::now();
        }
        if self.started.elapsed() < MAX_LOCK_WAIT {
            return Ok(());
        }
        Err(Error::Os {
            errno: libc::EAGAIN,
            message: format!(
                "cannot write to {}: another process has locked it for {} s; check for a stopped \
                 process that writes to this file",
                quote_path(path),
                MAX_LOCK_WAIT.as_secs()
            ),
        })
    }
}

/// How many bytes of `lines`, in whole lines, fit into a file of this size. Without a limit, all of them
/// fit. An empty file takes at least one line.
fn fitting(lines: &[u8], size: u64, max_bytes: Option<u64>) -> usize {
    let Some(max_bytes) = max_bytes else {
        return lines.len();
    };
    let free = usize::try_from(max_bytes.saturating_sub(size)).unwrap_or(usize::MAX);
    if lines.len() <= free {
        return lines.len();
    }
    let after = |line_break: Option<usize>| line_break.map_or(0, |at| at + 1);
    match after(lines[..free].iter().rposition(|byte| *byte == b'\n')) {
        0 if size == 0 => after(lines.iter().position(|byte| *byte == b'\n')).max(1),
        part => part,
    }
}

fn open(options: &TranscriptOptions) -> Result<(File, Metadata)> {
    let path = &options.path;
    let is_new = options.sync != SyncMode::Os && !path.exists();
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .and_then(|file| {
            if is_new {
                sync_folder(path)?;
            }
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
    opened.map_err(|error| io_error("open", path, &error))
}

/// Saves the folder, so that the name of a new file survives a power failure.
fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_lines_are_written_up_to_the_limit() {
        let lines = b"one\ntwo\nthree\n";
        for (size, max_bytes, expected) in [
            (0, None, 14),
            (u64::MAX, None, 14),
            (0, Some(14), 14),
            (0, Some(13), 8),
            (1, Some(14), 8),
            (7, Some(14), 4),
            (11, Some(14), 0),
            (20, Some(14), 0),
            // A line that is longer than the limit gets a file of its own.
            (0, Some(3), 4),
            (0, Some(1), 4),
            (1, Some(3), 0),
        ] {
            assert_eq!(
                fitting(lines, size, max_bytes),
                expected,
                "{size} {max_bytes:?}"
            );
        }
    }
}
