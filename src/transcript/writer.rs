//! Writes messages to a file, from any number of threads.
//!
//! Invariant: the state of a transcript is used only by the process that created it. In a forked child,
//! the first call opens the file again, before it takes any lock: another thread of the parent may
//! have held a lock during the fork, and the child would share the parent's lock on the file.

use crate::error::{Error, Result};
use crate::transcript::appender::{Appender, LockWait};
use crate::transcript::background_fsync::BackgroundFsync;
use crate::transcript::entry::Record;
use crate::transcript::format::Format;
use crate::transcript::options::{SyncMode, TranscriptOptions};
use crate::transcript::path::{check_path, io_error, quote_path};
use crate::util::sync::lock;
use crate::util::time::Checkpoint;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

/// A file to which messages are written.
pub struct Transcript {
    process: u32,
    options: TranscriptOptions,
    format: Format,
    appender: Mutex<Option<Appender>>,
    fsync: Option<Arc<BackgroundFsync>>,
    closed: AtomicBool,
    count: AtomicU64,
    bytes: AtomicU64,
    repaired: AtomicU64,
    /// The part of `repaired` that was not reported yet.
    unreported: AtomicU64,
    /// In a forked child: the transcript that the child opened.
    child: OnceLock<Result<Box<Transcript>>>,
}

impl Transcript {
    /// Opens or creates the file, and repairs a torn last line.
    pub fn open(
        mut options: TranscriptOptions,
        format: Format,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Self> {
        if options.max_bytes == Some(0) || options.keep == 0 {
            return Err(Error::Value(
                "invalid max_bytes or keep: expected 1 or more; max_bytes=None sets no limit"
                    .into(),
            ));
        }
        check_path(&options.path)?;
        options.path = std::path::absolute(&options.path)
            .map_err(|error| io_error("open", &options.path, &error))?;
        let appender = Appender::open(options.clone(), checkpoint)?;
        let fsync = match options.sync {
            SyncMode::Disk => Some(BackgroundFsync::start(options.path.clone())?),
            SyncMode::Os | SyncMode::Line => None,
        };
        Ok(Self {
            process: std::process::id(),
            format,
            repaired: AtomicU64::new(appender.torn_bytes()),
            unreported: AtomicU64::new(appender.torn_bytes()),
            appender: Mutex::new(Some(appender)),
            fsync,
            closed: AtomicBool::new(false),
            count: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            child: OnceLock::new(),
            options,
        })
    }

    /// The transcript of this process: `self`, or the one that a forked child opens.
    fn own(&self) -> Result<&Self> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(self.closed_error());
        }
        if self.process == std::process::id() {
            return Ok(self);
        }
        let child = self.child.get_or_init(|| {
            Self::open(self.options.clone(), self.format, &mut || Ok(())).map(Box::new)
        });
        match child {
            Ok(child) => child.own(),
            Err(error) => Err(error.clone()),
        }
    }

    /// As [`Self::own`], but `None` if a forked child has not opened the file.
    fn opened(&self) -> Option<&Self> {
        if self.process == std::process::id() {
            return Some(self);
        }
        self.child.get()?.as_ref().ok()?.opened()
    }

    /// Writes one message.
    pub fn write(&self, record: &Record<'_>, checkpoint: Checkpoint<'_>) -> Result<()> {
        let mut line = Vec::new();
        self.format.push_line(&mut line, record);
        self.append(&line, checkpoint)
    }

    /// Writes lines of [`Format::push_line`]. After an error, the lines before it are in the file and
    /// are counted.
    pub fn append(&self, lines: &[u8], checkpoint: Checkpoint<'_>) -> Result<()> {
        self.append_counting(lines, &mut 0, checkpoint)
    }

    /// As [`Self::append`]. Adds the number of bytes written to `written`, also after an error.
    pub(crate) fn append_counting(
        &self,
        lines: &[u8],
        written: &mut usize,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        let own = self.own()?;
        let mut wait = None;
        while *written < lines.len() {
            if !self.try_append(own, lines, written)? {
                wait.get_or_insert_with(LockWait::new)
                    .pause(&own.options.path, checkpoint)?;
            }
        }
        Ok(())
    }

    /// Appends as many of the lines after `written` as fit into the file. Returns false while another
    /// process has the file locked. If the lines are written but cannot be saved, `written` includes them.
    fn try_append(&self, own: &Self, lines: &[u8], written: &mut usize) -> Result<bool> {
        let lines = &lines[*written..];
        let mut guard = lock(&own.appender);
        let appender = guard.as_mut().ok_or_else(|| own.closed_error())?;
        let outcome = appender.append(lines);
        let torn = appender.torn_bytes();
        let before = own.repaired.swap(torn, Ordering::Relaxed);
        if torn > before {
            self.unreported.fetch_add(torn - before, Ordering::Relaxed);
        }
        let Some(bytes) = outcome? else {
            return Ok(false);
        };
        *written += bytes;
        if bytes > 0 {
            let count = lines[..bytes].split(|byte| *byte == b'\n').count() - 1;
            own.count.fetch_add(count as u64, Ordering::Relaxed);
            own.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
            match (&own.fsync, own.options.sync) {
                (Some(fsync), _) if appender.is_regular() => fsync.request(appender.file()),
                (None, SyncMode::Line) => appender.save()?,
                _ => {}
            }
        }
        // The error of an earlier save. It does not prevent this write.
        own.fsync
            .as_ref()
            .map_or(Ok(()), |fsync| fsync.take_error())?;
        Ok(true)
    }

    fn closed_error(&self) -> Error {
        Error::Closed(format!(
            "the transcript {} is closed",
            quote_path(&self.options.path)
        ))
    }

    /// Returns once all written lines are on the disk.
    pub fn flush(&self) -> Result<()> {
        let own = self.own()?;
        let guard = lock(&own.appender);
        let appender = guard.as_ref().ok_or_else(|| own.closed_error())?;
        match &own.fsync {
            Some(fsync) => fsync.flush(),
            None => appender.save(),
        }
    }

    /// Saves what `sync="disk"` has not saved yet, and closes the file. Closing is idempotent.
    pub fn close(&self) -> Result<()> {
        if self.closed.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        if self.process != std::process::id() {
            // The parent's file remains open in the child until the child ends.
            return match self.child.get() {
                Some(Ok(child)) => child.close(),
                _ => Ok(()),
            };
        }
        *lock(&self.appender) = None;
        self.fsync.as_ref().map_or(Ok(()), |fsync| fsync.close())
    }

    /// Saves what `sync="disk"` has not saved yet. Called when the process ends.
    pub fn save_at_exit(&self) {
        if let Some(fsync) = self.opened().and_then(|own| own.fsync.as_ref()) {
            // The process ends, so an error cannot be reported.
            let _ = fsync.flush();
        }
    }

    /// Asks the background thread to save what is left and to end, without waiting for it.
    pub fn close_nowait(&self) {
        if self.process == std::process::id() {
            if let Some(fsync) = &self.fsync {
                fsync.close_nowait();
            }
        }
    }

    /// Returns an error if the transcript is closed.
    pub fn check_open(&self) -> Result<()> {
        if self.is_closed() {
            return Err(self.closed_error());
        }
        Ok(())
    }

    /// Whether the transcript is closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.options.path
    }

    /// The format of the lines.
    #[must_use]
    pub fn format(&self) -> Format {
        self.format
    }

    /// When lines are saved to the disk.
    #[must_use]
    pub fn sync(&self) -> SyncMode {
        self.options.sync
    }

    /// The number of messages that this process wrote through this object.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.opened()
            .map_or(0, |own| own.count.load(Ordering::Relaxed))
    }

    /// The size of those messages in the file, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.opened()
            .map_or(0, |own| own.bytes.load(Ordering::Relaxed))
    }

    /// How many bytes of torn lines were moved to a separate file.
    #[must_use]
    pub fn repaired(&self) -> u64 {
        self.opened()
            .map_or(0, |own| own.repaired.load(Ordering::Relaxed))
    }

    /// The part of [`Self::repaired`] that earlier calls did not return. Cheap: called after every write.
    pub fn take_unreported_repairs(&self) -> u64 {
        match self.unreported.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.unreported.swap(0, Ordering::Relaxed),
        }
    }
}

impl Drop for Transcript {
    fn drop(&mut self) {
        self.close_nowait();
    }
}
