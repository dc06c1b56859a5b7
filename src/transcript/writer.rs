//! What users hold for writing: one file, for any number of threads.
//!
//! Invariant: an object is used by the process that made it. In a forked child it opens the file for
//! itself when first used, before any lock is touched: of the parent's, another thread may have held
//! one at the fork, and its lock on the file would be the parent's own.

use crate::error::{Error, Result};
use crate::transcript::background_fsync::BackgroundFsync;
use crate::transcript::file::{Appender, Place};
use crate::transcript::file_lock::Patience;
use crate::transcript::{check_path, failed, shown, Checkpoint, Format, Record, Sync};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// A log of messages.
pub struct Transcript {
    process: u32,
    place: Place,
    format: Format,
    appender: Mutex<Option<Appender>>,
    syncer: Option<Arc<BackgroundFsync>>,
    closed: AtomicBool,
    count: AtomicU64,
    bytes: AtomicU64,
    repaired: AtomicU64,
    /// What of that nobody was told yet.
    news: AtomicU64,
    /// The forked child's own, in the child.
    heir: OnceLock<Result<Box<Transcript>>>,
}

impl Transcript {
    /// Opens or makes the file, and mends its last line.
    pub fn open(mut place: Place, format: Format, checkpoint: Checkpoint<'_>) -> Result<Self> {
        if place.max_bytes == Some(0) || place.keep == 0 {
            return Err(Error::Value(
                "max_bytes and keep are 1 or more; max_bytes=None is for a file without a limit"
                    .into(),
            ));
        }
        check_path(&place.path)?;
        place.path = std::path::absolute(&place.path)
            .map_err(|error| failed("open", &place.path, &error))?;
        let appender = Appender::open(place.clone(), checkpoint)?;
        let syncer = match place.sync {
            Sync::Disk => Some(BackgroundFsync::start(place.path.clone())?),
            Sync::Os | Sync::Line => None,
        };
        Ok(Self {
            process: std::process::id(),
            format,
            repaired: AtomicU64::new(appender.torn),
            news: AtomicU64::new(appender.torn),
            appender: Mutex::new(Some(appender)),
            syncer,
            closed: AtomicBool::new(false),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            heir: OnceLock::new(),
            place,
        })
    }

    /// This process's own.
    fn own(&self) -> Result<&Self> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed_error());
        }
        if self.process == std::process::id() {
            return Ok(self);
        }
        let heir = self.heir.get_or_init(|| {
            Self::open(self.place.clone(), self.format, &mut || Ok(())).map(Box::new)
        });
        match heir {
            Ok(heir) => heir.own(),
            Err(error) => Err(error.clone()),
        }
    }

    /// This process's own, if it is there.
    fn present(&self) -> Option<&Self> {
        if self.process == std::process::id() {
            return Some(self);
        }
        self.heir.get()?.as_ref().ok()?.present()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Appender>> {
        self.appender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one message.
    pub fn write(&self, record: &Record<'_>, checkpoint: Checkpoint<'_>) -> Result<()> {
        let mut line = Vec::new();
        self.format.push_line(&mut line, record);
        self.append(&line, checkpoint)
    }

    /// Writes lines that [`Format::push_line`] made. Where they are not all written, what was counts
    /// as written, and is whole.
    pub fn append(&self, lines: &[u8], checkpoint: Checkpoint<'_>) -> Result<()> {
        self.append_counting(lines, &mut 0, checkpoint)
    }

    /// The same; `done` counts the bytes that were written, whatever the outcome.
    pub(crate) fn append_counting(
        &self,
        lines: &[u8],
        done: &mut usize,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        let own = self.own()?;
        let mut patience = None;
        while *done < lines.len() {
            match self.append_some(own, &lines[*done..])? {
                Some(count) => *done += count,
                None => patience
                    .get_or_insert_with(Patience::new)
                    .wait(&own.place.path, checkpoint)?,
            }
        }
        Ok(())
    }

    /// As many of the lines as go in at once; `None` while another process has the file locked.
    fn append_some(&self, own: &Self, lines: &[u8]) -> Result<Option<usize>> {
        let mut guard = own.lock();
        let appender = guard.as_mut().ok_or_else(|| own.closed_error())?;
        if let Some(syncer) = &own.syncer {
            syncer.take_error()?;
        }
        let outcome = appender.append(lines);
        let before = own.repaired.swap(appender.torn, Ordering::Relaxed);
        if appender.torn > before {
            let news = appender.torn - before;
            self.news.fetch_add(news, Ordering::Relaxed);
        }
        let done = outcome?;
        if let Some(done @ 1..) = done {
            let count = lines[..done].split(|byte| *byte == b'\n').count() - 1;
            own.count.fetch_add(count as u64, Ordering::Relaxed);
            own.bytes.fetch_add(done as u64, Ordering::Relaxed);
            match (&own.syncer, own.place.sync) {
                (Some(syncer), _) if appender.is_regular() => syncer.written(appender.file()),
                (None, Sync::Line) => appender.save()?,
                _ => {}
            }
        }
        Ok(done)
    }

    fn closed_error(&self) -> Error {
        Error::Closed(format!(
            "the transcript {} is closed",
            shown(&self.place.path)
        ))
    }

    /// Returns when all that was written survives a power cut.
    pub fn flush(&self) -> Result<()> {
        let own = self.own()?;
        let guard = own.lock();
        let appender = guard.as_ref().ok_or_else(|| own.closed_error())?;
        match &own.syncer {
            Some(syncer) => syncer.flush(),
            None => appender.save(),
        }
    }

    /// Closes the file; what `sync="disk"` has not saved yet, it saves. Closing twice changes
    /// nothing.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        if self.process != std::process::id() {
            // The parent's own file closes with the child's process.
            return match self.heir.get() {
                Some(Ok(heir)) => heir.close(),
                _ => Ok(()),
            };
        }
        *self.lock() = None;
        self.syncer.as_ref().map_or(Ok(()), |syncer| syncer.close())
    }

    /// Saves what `sync="disk"` has not saved yet: for the end of the process.
    pub fn save_at_exit(&self) {
        if let Some(syncer) = self.present().and_then(|own| own.syncer.as_ref()) {
            // Nobody is left to be told.
            let _ = syncer.flush();
        }
    }

    /// What [`close`](Self::close) does when nobody waits for it.
    pub fn close_nowait(&self) {
        if self.process == std::process::id() {
            if let Some(syncer) = &self.syncer {
                syncer.leave();
            }
        }
    }

    /// Refuses a closed one.
    pub fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        Ok(())
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.place.path
    }

    /// How lines are written.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// What a line survives.
    #[must_use]
    pub fn sync(&self) -> Sync {
        self.place.sync
    }

    /// How many messages were written here, by this process.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.present()
            .map_or(0, |own| own.count.load(Ordering::Relaxed))
    }

    /// How many bytes those are in the file.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.present()
            .map_or(0, |own| own.bytes.load(Ordering::Relaxed))
    }

    /// How many bytes of torn lines were moved aside.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.present()
            .map_or(0, |own| own.repaired.load(Ordering::Relaxed))
    }

    /// How many of these bytes nobody was told of; told once. Asked for after every write, so it is
    /// cheap.
    pub fn take_news(&self) -> u64 {
        match self.news.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.news.swap(0, Ordering::Relaxed),
        }
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        self.close_nowait();
    }
}
