//! What users hold for reading: the messages of a file, and if asked those that are still to come.

use crate::error::{Error, Result};
use crate::transcript::file::{numbers, suffixed, FileId, LONGEST_LINE};
use crate::transcript::input::{Input, Took};
use crate::transcript::{check_path, failed, shown, Checkpoint, Entry};
use crate::wire::topic;
use std::collections::{HashSet, VecDeque};
use std::fs::{self, Metadata};
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often somebody who follows looks for more.
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(25);
const CHECK: Duration = Duration::from_millis(50);
/// How often rotated files are opened anew.
const ATTEMPTS: usize = 100;

/// Reads one file, or several that were rotated, oldest first.
pub struct Reader {
    path: PathBuf,
    follow: bool,
    /// Messages of other topics are left out; None leaves out none.
    topics: Option<HashSet<String>>,
    files: VecDeque<(PathBuf, Input)>,
    /// How far into the first of `files`.
    position: u64,
    /// What was read and not yet parsed.
    block: Vec<u8>,
    /// How far that was parsed.
    parsed: usize,
    /// How far from there it was searched for the end of a line, which may be long.
    searched: usize,
    line: u64,
    messages: u64,
    skipped: u64,
    first_skipped: Option<(PathBuf, u64)>,
}

impl Reader {
    /// Opens the file; with `rotated` also those that it was before.
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
        let wrong = |error: io::Error| failed("read", path, &error);
        let path = std::path::absolute(path).map_err(wrong)?;
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
            line: 0,
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

    /// How many lines were a message, of whatever topic.
    #[must_use]
    pub fn parsed(&self) -> u64 {
        self.messages
    }

    /// How many lines were no message.
    #[must_use]
    pub fn skipped(&self) -> u64 {
        self.skipped
    }

    /// The file and the number of the first such line; told once.
    pub fn take_first_skipped(&mut self) -> Option<(PathBuf, u64)> {
        self.first_skipped.take()
    }

    /// The next messages, up to `most`; none at the end. Who follows waits for one, for so long or
    /// for ever.
    pub fn next(
        &mut self,
        most: usize,
        limit: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let began = Instant::now();
        let mut checked = began;
        loop {
            self.parse(most, &mut entries);
            if !entries.is_empty() {
                return Ok(entries);
            }
            if checked.elapsed() >= CHECK {
                checkpoint()?;
                checked = Instant::now();
            }
            match self.read()? {
                Took::Bytes(_) => continue,
                // To its end, however long that takes.
                Took::Nothing if !self.follow => continue,
                Took::End if self.next_file()? => continue,
                Took::Nothing | Took::End => {}
            }
            if !self.follow || limit.is_some_and(|limit| began.elapsed() >= limit) {
                return Ok(entries);
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Whole lines become messages.
    fn parse(&mut self, most: usize, entries: &mut Vec<Entry>) {
        while entries.len() < most {
            let rest = &self.block[self.parsed..];
            let unseen = &rest[self.searched..];
            let Some(end) = unseen.iter().position(|byte| *byte == b'\n') else {
                self.searched = rest.len();
                return;
            };
            let end = self.searched + end;
            self.searched = 0;
            self.line += 1;
            let line = &rest[..end];
            self.parsed += end + 1;
            match Entry::parse(line) {
                Some(mut entry) => {
                    self.messages += 1;
                    let topics = self.topics.as_ref();
                    if topics.is_none_or(|topics| entry.select(topics)) {
                        entries.push(entry);
                    }
                }
                None if is_blank(line) => {}
                None => self.skip(),
            }
        }
    }

    fn skip(&mut self) {
        self.skipped += 1;
        if self.skipped == 1 {
            let name = self.files.front().map(|(name, _)| name.clone());
            self.first_skipped = name.map(|name| (name, self.line));
        }
    }

    /// Reads a block more.
    fn read(&mut self) -> Result<Took> {
        let Some((name, source)) = self.files.front_mut() else {
            return Ok(Took::End);
        };
        self.block.drain(..self.parsed);
        self.parsed = 0;
        if self.block.len() as u64 > LONGEST_LINE {
            let name = shown(name);
            return Err(Error::Value(format!(
                "{name} is no transcript: it holds no lines"
            )));
        }
        let wrong = |error: io::Error| failed("read", name, &error);
        let took = source.read(&mut self.block).map_err(wrong)?;
        if let Took::Bytes(count) = took {
            self.position += count as u64;
        }
        // A stream cannot be read again: what has no end yet waits for it.
        if let (Took::End, true, Input::File(file)) = (&took, self.follow, source) {
            // A line that is not whole yet is read again from its start: it may be mended meanwhile,
            // and what then stands there is another one.
            self.position -= self.block.len() as u64;
            self.block.clear();
            self.searched = 0;
            if file.metadata().map_err(wrong)?.len() < self.position {
                // Somebody emptied the file.
                self.position = 0;
            }
            file.seek(SeekFrom::Start(self.position)).map_err(wrong)?;
        }
        Ok(took)
    }

    /// Goes on to the file that came after this one; false where there is none.
    fn next_file(&mut self) -> Result<bool> {
        if self.files.len() == 1 && self.follow {
            self.find_newer()?;
        }
        if self.files.len() > 1 || (!self.follow && !self.files.is_empty()) {
            if !self.block.is_empty() {
                // A last line without an end.
                self.line += 1;
                self.skip();
                self.block.clear();
                self.searched = 0;
            }
            self.files.pop_front();
            self.position = 0;
            self.line = 0;
            return Ok(!self.files.is_empty());
        }
        Ok(false)
    }

    /// When the file was rotated away, finds those that came after it.
    fn find_newer(&mut self) -> Result<()> {
        let Some((_, Input::File(file))) = self.files.front() else {
            return Ok(());
        };
        let wrong = |error: io::Error| failed("read", &self.path, &error);
        let ours = FileId::of(&file.metadata().map_err(wrong)?);
        let is_ours =
            |metadata: io::Result<Metadata>| metadata.map(|metadata| FileId::of(&metadata) == ours);
        // For a moment, while it is rotated, nothing bears the name.
        if is_ours(fs::metadata(&self.path)).unwrap_or(true) {
            return Ok(());
        }
        let mut newer = vec![self.path.clone()];
        let mut found = self.path.clone();
        for number in 1_u32.. {
            let name = suffixed(&self.path, number);
            match is_ours(fs::metadata(&name)) {
                Ok(false) => newer.push(name),
                Ok(true) => {
                    found = name;
                    break;
                }
                // It is gone: those that are there may be older.
                Err(_) => {
                    newer.truncate(1);
                    break;
                }
            }
        }
        // It may have been written to after we came to its end, until it was rotated.
        if matches!(self.read()?, Took::Bytes(_)) && self.block.contains(&b'\n') {
            return Ok(());
        }
        for name in newer.into_iter().rev() {
            match Input::open(&name) {
                Ok(source) => self.files.push_back((name, source)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                Err(error) => return Err(failed("read", &name, &error)),
            }
        }
        // Another rotation may have come in between, and moved all names on by one.
        if found != self.path && !is_ours(fs::metadata(&found)).unwrap_or(false) {
            self.files.truncate(1);
        }
        Ok(())
    }
}

fn open(name: &Path) -> Result<Input> {
    Input::open(name).map_err(|error| failed("read", name, &error))
}

/// The file, and those that it was before, oldest first. Where a rotation comes in between, which
/// moves all names on by one, they are opened again.
fn open_rotated(path: &Path) -> Result<VecDeque<(PathBuf, Input)>> {
    for attempt in 1.. {
        let older = numbers(path).map_err(|error| failed("read", path, &error))?;
        let older = older.into_iter().rev();
        let mut files = VecDeque::new();
        for name in older
            .map(|number| suffixed(path, number))
            .chain([path.to_owned()])
        {
            match open(&name) {
                Ok(source) => files.push_back((name, source)),
                // Of a writer that was killed between two renames, the file itself may be missing.
                Err(Error::Os { errno, .. }) if errno == libc::ENOENT && !files.is_empty() => {}
                Err(error) => return Err(error),
            }
        }
        let id = |metadata: io::Result<Metadata>| metadata.ok().map(|found| FileId::of(&found));
        let stayed = |(name, source): &(PathBuf, Input)| match source {
            Input::File(file) => id(fs::metadata(name)) == id(file.metadata()),
            Input::Stream(_) => true,
        };
        if attempt == ATTEMPTS || files.iter().all(stayed) {
            return Ok(files);
        }
    }
    Ok(VecDeque::new())
}

/// Nothing, or a remark of whoever edited the file.
fn is_blank(line: &[u8]) -> bool {
    line.trim_ascii().is_empty() || line.starts_with(b"#")
}
