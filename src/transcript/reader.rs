//! Reads the messages of a file, and on request those that are appended later.

use crate::error::{Error, Result};
use crate::transcript::appender::MAX_LINE_BYTES;
use crate::transcript::entry::Entry;
use crate::transcript::format::parse_line;
use crate::transcript::input::{Input, ReadOutcome, POLL_INTERVAL};
use crate::transcript::path::{
    check_path, io_error, quote_path, rotated_numbers, with_suffix, FileId,
};
use crate::util::time::{Checkpoint, SLICE};
use crate::wire::topic;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How many times the rotated files are opened if a rotation interferes.
const MAX_ATTEMPTS: usize = 100;

/// Reads one file, or with its rotated files, oldest first.
pub struct Reader {
    path: PathBuf,
    follow: bool,
    /// Only messages of these topics are returned; `None` returns all.
    topics: Option<HashSet<String>>,
    files: VecDeque<(PathBuf, Input)>,
    /// How many bytes of the first file were read.
    position: u64,
    /// Bytes that were read.
    block: Vec<u8>,
    /// How many bytes of `block` were parsed.
    parsed: usize,
    /// How many bytes after `parsed` contain no line break. A line may be much longer than one read.
    searched: usize,
    line_number: u64,
    messages: u64,
    skipped: u64,
    first_skipped: Option<(PathBuf, u64)>,
}

impl Reader {
    /// Opens the file, and with `rotated` also its rotated files.
    pub fn open(
        path: &Path,
        follow: bool,
        rotated: bool,
        topics: Option<Vec<String>>,
    ) -> Result<Self> {
        for topic in topics.iter().flatten() {
            topic::validate(topic)?;
        }
        check_path(path)?;
        let path = std::path::absolute(path).map_err(|error| io_error("read", path, &error))?;
        let files = if rotated {
            open_rotated(&path)?
        } else {
            VecDeque::from([(path.clone(), open(&path)?)])
        };
        Ok(Self {
            path,
            follow,
            topics: topics.map(HashSet::from_iter),
            files,
            position: 0,
            block: Vec::new(),
            parsed: 0,
            searched: 0,
            line_number: 0,
            messages: 0,
            skipped: 0,
            first_skipped: None,
        })
    }

    /// The file, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The number of lines that were messages, of any topic.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.messages
    }

    /// The number of lines that were not messages.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The file and the line number of the first skipped line, once.
    pub fn take_first_skipped(&mut self) -> Option<(PathBuf, u64)> {
        self.first_skipped.take()
    }

    /// Returns the next messages, at most `limit`; none at the end. A reader that follows the file waits
    /// for a message for `timeout`, or without limit.
    pub fn next(
        &mut self,
        limit: usize,
        timeout: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let started = Instant::now();
        let mut checked = started;
        loop {
            self.parse(limit, &mut entries);
            if !entries.is_empty() {
                return Ok(entries);
            }
            if checked.elapsed() >= SLICE {
                checkpoint()?;
                checked = Instant::now();
            }
            match self.read()? {
                ReadOutcome::Bytes(_) => continue,
                // A stream that is not followed is read to its end.
                ReadOutcome::Pending if !self.follow => continue,
                ReadOutcome::End if self.next_file()? => continue,
                ReadOutcome::Pending | ReadOutcome::End => {}
            }
            if !self.follow || timeout.is_some_and(|timeout| started.elapsed() >= timeout) {
                return Ok(entries);
            }
            std::thread::sleep(POLL_INTERVAL);
        }
    }

    /// Parses whole lines of the block.
    fn parse(&mut self, limit: usize, entries: &mut Vec<Entry>) {
        while entries.len() < limit {
            let rest = &self.block[self.parsed..];
            let unsearched = &rest[self.searched..];
            let Some(end) = unsearched.iter().position(|byte| *byte == b'\n') else {
                self.searched = rest.len();
                return;
            };
            let end = self.searched + end;
            self.searched = 0;
            self.line_number += 1;
            let line = &rest[..end];
            self.parsed += end + 1;
            match parse_line(line) {
                Some(mut entry) => {
                    self.messages += 1;
                    let topics = self.topics.as_ref();
                    if topics.is_none_or(|topics| entry.select(topics)) {
                        entries.push(entry);
                    }
                }
                None if is_comment(line) => {}
                None => self.skip(),
            }
        }
    }

    fn skip(&mut self) {
        self.skipped += 1;
        if self.skipped == 1 {
            let path = self.files.front().map(|(path, _)| path.clone());
            self.first_skipped = path.map(|path| (path, self.line_number));
        }
    }

    /// Reads more bytes into the block. At the end of a file that is followed, the position returns to the
    /// start of an incomplete line.
    fn read(&mut self) -> Result<ReadOutcome> {
        let outcome = self.read_block()?;
        let (ReadOutcome::End, true) = (&outcome, self.follow) else {
            return Ok(outcome);
        };
        // An incomplete line of a stream remains in the block: a stream cannot be read again.
        if let Some((path, Input::File(file))) = self.files.front_mut() {
            let read_error = |error: io::Error| io_error("read", path, &error);
            // An incomplete line of a file is read again from its start: a repair may replace it.
            self.position -= self.block.len() as u64;
            self.block.clear();
            self.searched = 0;
            if file.metadata().map_err(read_error)?.len() < self.position {
                // The file was truncated.
                self.position = 0;
            }
            file.seek(SeekFrom::Start(self.position))
                .map_err(read_error)?;
        }
        Ok(outcome)
    }

    /// Reads more bytes into the block, once.
    fn read_block(&mut self) -> Result<ReadOutcome> {
        let Some((path, input)) = self.files.front_mut() else {
            return Ok(ReadOutcome::End);
        };
        self.block.drain(..self.parsed);
        self.parsed = 0;
        if self.block.len() as u64 > MAX_LINE_BYTES {
            return Err(Error::Value(format!(
                "{} is not a transcript: it has no line breaks",
                quote_path(path)
            )));
        }
        let outcome = input
            .read(&mut self.block)
            .map_err(|error| io_error("read", path, &error))?;
        if let ReadOutcome::Bytes(count) = outcome {
            self.position += count as u64;
        }
        Ok(outcome)
    }

    /// Continues with the next newer file. Returns false if there is none.
    fn next_file(&mut self) -> Result<bool> {
        if self.files.len() == 1 && self.follow {
            self.find_newer()?;
        }
        if self.files.len() > 1 || (!self.follow && !self.files.is_empty()) {
            if !self.block.is_empty() {
                // An incomplete last line.
                self.line_number += 1;
                self.skip();
                self.block.clear();
                self.searched = 0;
            }
            self.files.pop_front();
            self.position = 0;
            self.line_number = 0;
            return Ok(!self.files.is_empty());
        }
        Ok(false)
    }

    /// If the file was rotated, adds the newer files to `files`.
    fn find_newer(&mut self) -> Result<()> {
        let Some((_, Input::File(file))) = self.files.front() else {
            return Ok(());
        };
        let read_error = |error: io::Error| io_error("read", &self.path, &error);
        let current = FileId::of(&file.metadata().map_err(read_error)?);
        let is_current = |metadata: io::Result<Metadata>| {
            metadata.map(|metadata| FileId::of(&metadata) == current)
        };
        // During a rotation, no file has the name for a short time.
        if is_current(fs::metadata(&self.path)).unwrap_or(true) {
            return Ok(());
        }
        let mut newer = vec![self.path.clone()];
        let mut current_path = self.path.clone();
        for number in 1_u32.. {
            let path = with_suffix(&self.path, number);
            match is_current(fs::metadata(&path)) {
                Ok(false) => newer.push(path),
                Ok(true) => {
                    current_path = path;
                    break;
                }
                // The file was deleted, so the rotated files may be older.
                Err(_) => {
                    newer.truncate(1);
                    break;
                }
            }
        }
        // Lines may have been appended between the last read and the rotation. A line may need several
        // reads.
        loop {
            let before = self.block.len();
            match self.read_block()? {
                ReadOutcome::Bytes(_) if self.block[before..].contains(&b'\n') => return Ok(()),
                ReadOutcome::Bytes(_) => {}
                ReadOutcome::Pending | ReadOutcome::End => break,
            }
        }
        for path in newer.into_iter().rev() {
            match Input::open(&path) {
                Ok(input) => self.files.push_back((path, input)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(io_error("read", &path, &error)),
            }
        }
        // If another rotation renamed the files meanwhile, the next call finds them.
        if current_path != self.path && !is_current(fs::metadata(&current_path)).unwrap_or(false) {
            self.files.truncate(1);
        }
        Ok(())
    }
}

fn open(path: &Path) -> Result<Input> {
    Input::open(path).map_err(|error| io_error("read", path, &error))
}

/// Opens the file and its rotated files, oldest first. Opens them again if a rotation renamed them
/// meanwhile.
fn open_rotated(path: &Path) -> Result<VecDeque<(PathBuf, Input)>> {
    for attempt in 1.. {
        let numbers = rotated_numbers(path).map_err(|error| io_error("read", path, &error))?;
        let mut files = VecDeque::new();
        for path in numbers
            .into_iter()
            .rev()
            .map(|number| with_suffix(path, number))
            .chain([path.to_owned()])
        {
            match open(&path) {
                Ok(input) => files.push_back((path, input)),
                // If a writer was killed between two renames, the newest file is missing.
                Err(Error::Os { errno, .. }) if errno == libc::ENOENT && !files.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let id = |metadata: io::Result<Metadata>| metadata.ok().map(|data| FileId::of(&data));
        let kept_name = |(path, input): &(PathBuf, Input)| match input {
            Input::File(file) => id(fs::metadata(path)) == id(file.metadata()),
            Input::Stream(_) => true,
        };
        if attempt == MAX_ATTEMPTS || files.iter().all(kept_name) {
            return Ok(files);
        }
    }
    Ok(VecDeque::new())
}

/// Whether the line is empty or a comment.
fn is_comment(line: &[u8]) -> bool {
    line.trim_ascii().is_empty() || line.starts_with(b"#")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs::OpenOptions;
    use std::io::Write as _;

    /// A folder that is removed with its files.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("zmqchat-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn append(&self, name: &str, bytes: &[u8]) {
            let path = self.0.join(name);
            let mut file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .unwrap();
            file.write_all(bytes).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn line(text: &str) -> Vec<u8> {
        format!("2026-01-31T12:03:11.000042+01:00 room1: {text}\n").into_bytes()
    }

    /// The lengths of the payloads.
    fn read_all(reader: &mut Reader) -> Vec<usize> {
        let mut lengths = Vec::new();
        loop {
            let entries = reader
                .next(10, Some(Duration::ZERO), &mut || Ok(()))
                .unwrap();
            if entries.is_empty() {
                return lengths;
            }
            lengths.extend(
                entries
                    .iter()
                    .map(|entry| entry.interpret().payload(&entry.frames).len()),
            );
        }
    }

    #[test]
    fn a_follower_reads_a_long_line_that_was_appended_before_a_rotation() {
        let folder = Folder::new("reader-rotation");
        folder.append("chat.log", &line("first"));
        let path = folder.0.join("chat.log");
        let mut reader = Reader::open(&path, true, false, None).unwrap();
        assert_eq!(read_all(&mut reader), [5]);
        // The reader is at the end of the file. The line and the rotation follow before its next step.
        assert!(matches!(reader.read().unwrap(), ReadOutcome::End));
        let long = "x".repeat(1_000_000);
        folder.append("chat.log", &line(&long));
        fs::rename(&path, folder.0.join("chat.log.1")).unwrap();
        folder.append("chat.log", &line("last"));
        let _ = reader.next_file().unwrap();
        assert_eq!(read_all(&mut reader), [1_000_000, 4]);
        assert_eq!(reader.skipped(), 0);
    }

    #[test]
    fn a_follower_skips_an_incomplete_last_line_of_a_rotated_file() {
        let folder = Folder::new("reader-incomplete");
        let path = folder.0.join("chat.log");
        folder.append("chat.log", &line("first"));
        folder.append("chat.log", "x".repeat(1_000_000).as_bytes());
        let mut reader = Reader::open(&path, true, false, None).unwrap();
        assert_eq!(read_all(&mut reader), [5]);
        fs::rename(&path, folder.0.join("chat.log.1")).unwrap();
        folder.append("chat.log", &line("last"));
        assert_eq!(read_all(&mut reader), [4]);
        assert_eq!(reader.skipped(), 1);
    }
}
