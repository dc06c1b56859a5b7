//! The file: appended to in whole lines, mended, rotated; shared with other processes that do the
//! same.
//!
//! Invariant: what is written goes in with the lock held, at the end of the file that bears the name
//! at that moment, after a line break. So a writer that was killed in the middle, or a disk that
//! became full, can cost no line but the last, and whoever writes next moves what is left of that
//! one into a file beside it, named `….torn`.

use crate::error::{Error, Result};
use crate::transcript::file_lock::{self, Locked, Patience};
use crate::transcript::{failed, shown, Checkpoint, Sync};
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A longer line than any message makes: 64 MiB in which each byte is escaped, and some.
pub(crate) const LONGEST_LINE: u64 = 512 * 1024 * 1024;

/// Where the lines go, and how.
#[derive(Debug, Clone)]
pub struct Place {
    /// The file; absolute.
    pub path: PathBuf,
    /// What a line survives.
    pub sync: Sync,
    /// The file is not to grow beyond this.
    pub max_bytes: Option<u64>,
    /// How many full files are kept.
    pub keep: u32,
}

/// The open file.
pub(crate) struct Appender {
    place: Place,
    file: Arc<File>,
    id: FileId,
    /// Where our last line ended: if the file ends there, nobody else has written.
    end: u64,
    /// Whether it is a file, and no device or pipe.
    regular: bool,
    /// How many bytes of torn lines were moved aside.
    pub(crate) torn: u64,
}

impl Appender {
    /// Opens or makes the file, and mends its last line.
    pub(crate) fn open(place: Place, checkpoint: Checkpoint<'_>) -> Result<Self> {
        let (file, metadata) = open(&place)?;
        let mut this = Self {
            id: FileId::of(&metadata),
            regular: metadata.is_file(),
            file: Arc::new(file),
            end: 0,
            torn: 0,
            place,
        };
        if this.regular {
            this.check_kind()?;
            let mut patience = Patience::new();
            while this.enter()?.is_none() {
                patience.wait(&this.place.path, checkpoint)?;
            }
        }
        Ok(this)
    }

    /// The file as it is now.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Whether it is a file, which can be saved, and no device or pipe.
    pub(crate) fn is_regular(&self) -> bool {
        self.regular
    }

    /// Appends of these whole lines what fits into the file, or moves on to the next one, and says how
    /// many bytes went in; `None` where another process has the lock just now.
    pub(crate) fn append(&mut self, lines: &[u8]) -> Result<Option<usize>> {
        if !self.regular {
            let written = (&*self.file).write_all(lines);
            written.map_err(|error| failed("write to", &self.place.path, &error))?;
            return Ok(Some(lines.len()));
        }
        let Some(_locked) = self.enter()? else {
            return Ok(None);
        };
        let part = fitting(lines, self.end, self.place.max_bytes);
        if part == 0 {
            self.rotate()?;
        } else {
            self.write(&lines[..part])?;
        }
        Ok(Some(part))
    }

    /// Returns when all that was written is on the disk.
    pub(crate) fn save(&self) -> Result<()> {
        if !self.regular {
            return Ok(());
        }
        let saved = self.file.sync_data();
        saved.map_err(|error| failed("save to the disk", &self.place.path, &error))
    }

    /// Takes the lock on the file that bears the name now, and sees to it that it ends with a line;
    /// `None` where another process has it.
    fn enter(&mut self) -> Result<Option<Locked>> {
        loop {
            let Some(locked) = file_lock::acquire(&self.file) else {
                return Ok(None);
            };
            match fs::metadata(&self.place.path) {
                Ok(metadata) if FileId::of(&metadata) == self.id => {
                    if metadata.len() != self.end {
                        self.mend(metadata.len())?;
                    }
                    return Ok(Some(locked));
                }
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("write to", &self.place.path, &error));
                }
                // It was rotated, moved or deleted.
                _ => {
                    drop(locked);
                    self.reopen()?;
                }
            }
        }
    }

    fn reopen(&mut self) -> Result<()> {
        if self.place.sync != Sync::Os {
            self.save()?;
        }
        let (file, metadata) = open(&self.place)?;
        self.file = Arc::new(file);
        self.id = FileId::of(&metadata);
        self.end = 0;
        Ok(())
    }

    /// Somebody else has written, and perhaps died of it: moves what follows the last line break
    /// aside.
    fn mend(&mut self, size: u64) -> Result<()> {
        let path = &self.place.path;
        let tail = self.tail(size);
        let tail = tail.map_err(|error| failed("read the end of", path, &error))?;
        self.end = size - tail.len() as u64;
        if tail.is_empty() {
            return Ok(());
        }
        let aside = suffixed(path, "torn");
        let kept = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&aside)
            .and_then(|mut file| {
                file.write_all(&[tail.as_slice(), b"\n"].concat())?;
                file.sync_data()
            });
        kept.map_err(|error| failed("keep a torn line in", &aside, &error))?;
        let cut = self.file.set_len(self.end);
        cut.map_err(|error| failed("mend the last line of", path, &error))?;
        self.torn += tail.len() as u64;
        Ok(())
    }

    /// What stands after the last line break.
    fn tail(&self, size: u64) -> io::Result<Vec<u8>> {
        let mut tail = Vec::new();
        let mut step = 1;
        while (tail.len() as u64) < size {
            let want = step.min(size - tail.len() as u64);
            let mut file = &*self.file;
            file.seek(SeekFrom::Start(size - tail.len() as u64 - want))?;
            let mut part = Vec::new();
            file.take(want).read_to_end(&mut part)?;
            if let Some(at) = part.iter().rposition(|byte| *byte == b'\n') {
                part.drain(..=at);
                part.append(&mut tail);
                return Ok(part);
            }
            if tail.len() as u64 > LONGEST_LINE {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "it holds no lines",
                ));
            }
            part.append(&mut tail);
            tail = part;
            // The usual end is a line break.
            step = (step * 2).max(64 * 1024);
        }
        Ok(tail)
    }

    /// One call to the system; where the disk is full in the middle of it, nothing is left behind.
    fn write(&mut self, lines: &[u8]) -> Result<()> {
        let written = (&*self.file).write_all(lines);
        if let Err(error) = written {
            // Where this fails as well, the next write finds a torn line, and mends it.
            let _ = self.file.set_len(self.end);
            return Err(failed("write to", &self.place.path, &error));
        }
        self.end += lines.len() as u64;
        Ok(())
    }

    /// Makes room: `path` becomes `path.1`, that becomes `path.2`, and so on; the last one goes.
    fn rotate(&mut self) -> Result<()> {
        let path = self.place.path.clone();
        // Who was killed between two renames has left a number free: as far as that one.
        let free = (1..self.place.keep).find(|number| !suffixed(&path, *number).exists());
        for number in (0..free.unwrap_or(self.place.keep)).rev() {
            let from = match number {
                0 => path.clone(),
                _ => suffixed(&path, number),
            };
            match fs::rename(&from, suffixed(&path, number + 1)) {
                Err(error) if number == 0 || error.kind() != io::ErrorKind::NotFound => {
                    return Err(failed("rename", &from, &error));
                }
                _ => {}
            }
        }
        self.reopen()
    }

    /// Refuses a file that is none of ours: a slip of the keyboard must not add to a thesis.
    fn check_kind(&self) -> Result<()> {
        let path = &self.place.path;
        let mut head = Vec::new();
        let read = (&*self.file).take(11).read_to_end(&mut head);
        read.map_err(|error| failed("read", path, &error))?;
        let like_a_date = head.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            _ => byte.is_ascii_digit(),
        });
        if like_a_date || matches!(head.first(), Some(b'{' | b'#')) {
            return Ok(());
        }
        Err(Error::Value(format!(
            "{} holds something that is no transcript: choose another name",
            shown(path)
        )))
    }
}

/// How much of `lines`, in whole lines, goes into a file of that size: all where there is no limit;
/// at least one line where the file is empty.
fn fitting(lines: &[u8], size: u64, max_bytes: Option<u64>) -> usize {
    let Some(max_bytes) = max_bytes else {
        return lines.len();
    };
    let room = usize::try_from(max_bytes.saturating_sub(size)).unwrap_or(usize::MAX);
    if lines.len() <= room {
        return lines.len();
    }
    let end_of = |found: Option<usize>| found.map_or(0, |at| at + 1);
    match end_of(lines[..room].iter().rposition(|byte| *byte == b'\n')) {
        0 if size == 0 => end_of(lines.iter().position(|byte| *byte == b'\n')).max(1),
        part => part,
    }
}

fn open(place: &Place) -> Result<(File, Metadata)> {
    let path = &place.path;
    let is_new = place.sync != Sync::Os && !path.exists();
    let opened = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .open(path)
        .and_then(|file| {
            if is_new {
                sync_name(path)?;
            }
            let metadata = file.metadata()?;
            Ok((file, metadata))
        });
    opened.map_err(|error| failed("open", path, &error))
}

/// A new file's name survives a power cut once its folder is on the disk.
fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(folder) if cfg!(unix) => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// `path` and a dot and that.
pub(crate) fn suffixed(path: &Path, suffix: impl std::fmt::Display) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{suffix}"));
    name.into()
}

/// The numbers of the files that bore the name before, the last one first. One may be missing, where
/// its writer was killed.
pub(crate) fn numbers(path: &Path) -> io::Result<Vec<u32>> {
    let mut found = Vec::new();
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Ok(found);
    };
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        let rest = entry
            .as_encoded_bytes()
            .strip_prefix(name.as_encoded_bytes())
            .and_then(|rest| rest.strip_prefix(b"."));
        let number = rest.and_then(|rest| std::str::from_utf8(rest).ok()?.parse::<u32>().ok());
        // Written as we write it: "07" is somebody else's.
        found.extend(number.filter(|number| {
            *number > 0 && rest.is_some_and(|rest| rest == number.to_string().as_bytes())
        }));
    }
    found.sort_unstable();
    Ok(found)
}

/// What tells a file from another that bore its name before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileId(u64, u64);

impl FileId {
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self(metadata.dev(), metadata.ino())
    }

    /// The time of its making is the best that the standard library knows here.
    #[cfg(windows)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::windows::fs::MetadataExt;
        Self(0, metadata.creation_time())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_go_in_as_far_as_they_fit() {
        let lines = b"one\ntwo\nthree\n";
        for (size, most, expected) in [
            (0, None, 14),
            (u64::MAX, None, 14),
            (0, Some(14), 14),
            (0, Some(13), 8),
            (1, Some(14), 8),
            (7, Some(14), 4),
            (11, Some(14), 0),
            (20, Some(14), 0),
            // A file of its own for a line that is too long.
            (0, Some(3), 4),
            (0, Some(1), 4),
            (1, Some(3), 0),
        ] {
            assert_eq!(fitting(lines, size, most), expected, "{size} {most:?}");
        }
    }
}
