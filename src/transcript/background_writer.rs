//! A thread that writes to a transcript, for callers that must not wait for the disk.
//!
//! Invariant: every message that was pushed is either written or counted as skipped. A message is
//! skipped when the queue is full, when writing fails, or when closing takes too long.

use crate::error::{Error, Result};
use crate::transcript::entry::{Entry, Record};
use crate::transcript::writer::Transcript;
use crate::util::sync::lock;
use crate::util::thread;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The limits of the queue.
const MAX_QUEUED_MESSAGES: usize = 100_000;
const MAX_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The size of one write. If it fails, the messages in it are skipped.
const CHUNK_BYTES: usize = 64 * 1024;

/// How many messages were written and skipped.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages in the file.
    pub written: u64,
    /// Messages that are not in the file and will not be written.
    pub skipped: u64,
}

#[derive(Default)]
struct Queue {
    entries: VecDeque<Entry>,
    bytes: usize,
    progress: Progress,
    closing: bool,
    finished: bool,
}

struct Shared {
    /// The process of the thread.
    process: u32,
    transcript: Arc<Transcript>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Controls the thread.
pub struct BackgroundWriter(Arc<Shared>);

fn size(entry: &Entry) -> usize {
    entry.frames.iter().map(Vec::len).sum()
}

impl BackgroundWriter {
    /// Starts the thread. The thread calls `on_error` for the first error, and again only after a write
    /// has succeeded.
    pub fn start(
        transcript: Arc<Transcript>,
        on_error: impl Fn(&Error) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            process: std::process::id(),
            transcript,
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let in_thread = Arc::clone(&shared);
        thread::spawn("zmqchat-record", move || in_thread.run(&on_error))
            .map_err(|error| Error::no_thread("that writes the transcript", &error))?;
        Ok(Self(shared))
    }

    /// Adds messages to the queue, without waiting.
    pub fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut queue = lock(&self.0.queue);
        for entry in entries {
            let size = size(&entry);
            let full =
                queue.entries.len() >= MAX_QUEUED_MESSAGES || queue.bytes + size > MAX_QUEUED_BYTES;
            // An empty queue takes a message of any size.
            if queue.closing || (full && !queue.entries.is_empty()) {
                queue.progress.skipped += 1;
            } else {
                queue.bytes += size;
                queue.entries.push_back(entry);
            }
        }
        drop(queue);
        self.0.changed.notify_all();
    }

    /// How many messages were written and skipped so far.
    #[must_use]
    pub fn progress(&self) -> Progress {
        lock(&self.0.queue).progress
    }

    /// Ends the thread. Messages that are not written within `timeout` are skipped.
    pub fn close(&self, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut queue = lock(&self.0.queue);
        queue.closing = true;
        self.0.changed.notify_all();
        while !queue.finished {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                queue.progress.skipped += queue.entries.len() as u64;
                queue.entries.clear();
                queue.bytes = 0;
                return;
            }
            let (guard, _) = self
                .0
                .changed
                .wait_timeout(queue, left)
                .unwrap_or_else(PoisonError::into_inner);
            queue = guard;
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        // In a forked child the thread does not exist, and the lock may never be released.
        if self.0.process == std::process::id() {
            // The thread writes the queued messages, and ends.
            lock(&self.0.queue).closing = true;
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    fn run(&self, on_error: &impl Fn(&Error)) {
        let mut failing = false;
        let mut batch = VecDeque::new();
        loop {
            let mut queue = lock(&self.queue);
            while queue.entries.is_empty() && !queue.closing {
                queue = self
                    .changed
                    .wait(queue)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if queue.entries.is_empty() {
                queue.finished = true;
                self.changed.notify_all();
                return;
            }
            // A part of the queue, so that `close` can skip the rest when its time is over.
            let count = queue.entries.len().min(1_000);
            batch.extend(queue.entries.drain(..count));
            let taken: usize = batch.iter().map(size).sum();
            queue.bytes -= taken;
            drop(queue);
            while !batch.is_empty() {
                self.write(&mut batch, &mut failing, on_error);
            }
        }
    }

    /// Writes the first messages of `batch`, up to [`CHUNK_BYTES`].
    fn write(&self, batch: &mut VecDeque<Entry>, failing: &mut bool, on_error: &impl Fn(&Error)) {
        let mut lines = Vec::new();
        let mut count: u64 = 0;
        while lines.len() < CHUNK_BYTES {
            let Some(entry) = batch.pop_front() else {
                break;
            };
            let parsed = entry.interpret();
            let record = Record {
                frames: entry.frames.iter().map(Vec::as_slice).collect(),
                framing: entry.framing,
                parsed: &parsed,
                received_ns: entry.received_ns,
            };
            self.transcript.format().push_line(&mut lines, &record);
            count += 1;
        }
        let mut written_bytes = 0;
        let outcome = self
            .transcript
            .append_counting(&lines, &mut written_bytes, &mut || Ok(()));
        let written = lines[..written_bytes].split(|byte| *byte == b'\n').count() as u64 - 1;
        let mut queue = lock(&self.queue);
        queue.progress.written += written;
        queue.progress.skipped += count - written;
        drop(queue);
        match outcome {
            Err(error) if !std::mem::replace(failing, true) => on_error(&error),
            Err(_) => {}
            Ok(()) => *failing = false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::transcript::format::Format;
    use crate::transcript::options::{SyncMode, TranscriptOptions};
    use crate::wire::message::Framing;
    use std::path::PathBuf;
    use std::sync::mpsc;

    fn transcript(path: PathBuf) -> Arc<Transcript> {
        let options = TranscriptOptions {
            path,
            sync: SyncMode::Os,
            max_bytes: None,
            keep: 1,
        };
        Arc::new(Transcript::open(options, Format::Text, &mut || Ok(())).unwrap())
    }

    fn entries(count: usize) -> Vec<Entry> {
        let entry = |number: usize| Entry {
            frames: vec![format!("a:{number}").into_bytes()],
            framing: Framing::Plain,
            topic_len: 0,
            received_ns: 1,
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn pushed_messages_are_in_the_file_after_close() {
        let path =
            std::env::temp_dir().join(format!("zmqchat-background-writer-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let writer = BackgroundWriter::start(transcript(path.clone()), |_| {}).unwrap();
        for _ in 0..10 {
            writer.push(entries(1_000));
        }
        writer.close(Duration::from_secs(60));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 10_000);
        let expected = Progress {
            written: 10_000,
            skipped: 0,
        };
        assert_eq!(writer.progress(), expected);
        writer.push(entries(2));
        assert_eq!(writer.progress().skipped, 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_reported_once_and_skipped_messages_are_counted() {
        let (sender, receiver) = mpsc::channel();
        let writer = BackgroundWriter::start(transcript("/dev/full".into()), move |error| {
            sender.send(error.to_string()).unwrap();
        })
        .unwrap();
        for _ in 0..3 {
            writer.push(entries(10));
        }
        writer.close(Duration::from_secs(60));
        assert_eq!(writer.progress().skipped, 30);
        drop(writer);
        let errors: Vec<String> = receiver.iter().collect();
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("/dev/full"));
    }
}
