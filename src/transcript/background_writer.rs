//! Writes to a transcript in a thread of its own, for whoever must not wait for a disk.
//!
//! Invariant: what was pushed is either written or counted as skipped: when the queue is full, when
//! the disk refuses, and when the end comes first.

use crate::error::{Error, Result};
use crate::transcript::{Entry, Record, Transcript};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How many messages, and how many bytes of them, wait for the disk.
const MOST_MESSAGES: usize = 100_000;
const MOST_BYTES: usize = 64 * 1024 * 1024;

/// How much is written at a time. Where the disk refuses, as much is skipped.
const CHUNK_BYTES: usize = 64 * 1024;

/// What was written so far, and what was not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages that are in the file.
    pub written: u64,
    /// Messages that are not, and never will be.
    pub skipped: u64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Entry>,
    bytes: usize,
    progress: Progress,
    closing: bool,
    ended: bool,
}

struct Shared {
    /// The process that the thread runs in.
    process: u32,
    transcript: Arc<Transcript>,
    state: Mutex<State>,
    changed: Condvar,
}

/// The thread's other end.
pub struct BackgroundWriter(Arc<Shared>);

fn size(entry: &Entry) -> usize {
    entry.frames.iter().map(Vec::len).sum()
}

impl BackgroundWriter {
    /// Starts the thread. `tell` is called there, with what goes wrong, once until it goes well again.
    pub fn start(
        transcript: Arc<Transcript>,
        tell: impl Fn(&Error) + Send + 'static,
    ) -> Result<Self> {
        let shared = Arc::new(Shared {
            process: std::process::id(),
            transcript,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let in_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("zmqchat-record".into())
            .spawn(move || in_thread.run(&tell))
            .map_err(|error| Error::no_thread("that logs", &error))?;
        Ok(Self(shared))
    }

    /// Has these written, in order, after all that were pushed before. Does not wait.
    pub fn push(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut state = self.0.lock();
        for entry in entries {
            let size = size(&entry);
            let full = state.queue.len() >= MOST_MESSAGES || state.bytes + size > MOST_BYTES;
            // One that is larger than all that may wait goes in where nothing waits.
            if state.closing || (full && !state.queue.is_empty()) {
                state.progress.skipped += 1;
            } else {
                state.bytes += size;
                state.queue.push_back(entry);
            }
        }
        drop(state);
        self.0.changed.notify_all();
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.0.lock().progress
    }

    /// Ends it: what is not written within this time is skipped.
    pub fn close(&self, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.0.lock();
        state.closing = true;
        self.0.changed.notify_all();
        while !state.ended {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                state.progress.skipped += state.queue.len() as u64;
                state.queue.clear();
                state.bytes = 0;
                return;
            }
            let (back, _) = self
                .0
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner);
            state = back;
        }
    }
}

impl Drop for BackgroundWriter {
    fn drop(&mut self) {
        // In a forked child there is no such thread, and the lock may be held for ever.
        if self.0.process == std::process::id() {
            // Nobody waits; the thread writes what it has, and ends.
            self.0.lock().closing = true;
            self.0.changed.notify_all();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn run(&self, tell: &impl Fn(&Error)) {
        let mut failing = false;
        let mut batch = VecDeque::new();
        loop {
            let mut state = self.lock();
            while state.queue.is_empty() && !state.closing {
                state = self
                    .changed
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.queue.is_empty() {
                state.ended = true;
                self.changed.notify_all();
                return;
            }
            // A part of it, so that the end need not wait for all.
            let count = state.queue.len().min(1_000);
            batch.extend(state.queue.drain(..count));
            let taken: usize = batch.iter().map(size).sum();
            state.bytes -= taken;
            drop(state);
            while !batch.is_empty() {
                self.write(&mut batch, &mut failing, tell);
            }
        }
    }

    /// Writes as many as make a chunk.
    fn write(&self, batch: &mut VecDeque<Entry>, failing: &mut bool, tell: &impl Fn(&Error)) {
        let mut lines = Vec::new();
        let mut count: u64 = 0;
        while lines.len() < CHUNK_BYTES {
            let Some(entry) = batch.pop_front() else {
                break;
            };
            let meaning = entry.meaning();
            let record = Record {
                frames: entry.frames.iter().map(Vec::as_slice).collect(),
                framing: entry.framing,
                meaning: &meaning,
                at_ns: entry.at_ns,
            };
            self.transcript.format().push_line(&mut lines, &record);
            count += 1;
        }
        let mut done = 0;
        let outcome = self
            .transcript
            .append_counting(&lines, &mut done, &mut || Ok(()));
        let whole = lines[..done].split(|byte| *byte == b'\n').count() as u64 - 1;
        let mut state = self.lock();
        state.progress.written += whole;
        state.progress.skipped += count - whole;
        drop(state);
        match outcome {
            Err(error) if !std::mem::replace(failing, true) => tell(&error),
            Err(_) => {}
            Ok(()) => *failing = false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::transcript::{Format, Place, Sync};
    use crate::wire::message::Framing;
    use std::path::PathBuf;
    use std::sync::mpsc;

    fn transcript(path: PathBuf) -> Arc<Transcript> {
        let place = Place {
            path,
            sync: Sync::Os,
            max_bytes: None,
            keep: 1,
        };
        Arc::new(Transcript::open(place, Format::Text, &mut || Ok(())).unwrap())
    }

    fn entries(count: usize) -> Vec<Entry> {
        let entry = |number: usize| Entry {
            frames: vec![format!("a:{number}").into_bytes()],
            framing: Framing::Plain,
            topic_len: 0,
            at_ns: 1,
        };
        (0..count).map(entry).collect()
    }

    #[test]
    fn what_was_pushed_is_in_the_file_after_the_close() {
        let path = std::env::temp_dir().join(format!("zmqchat-recorder-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let recorder = BackgroundWriter::start(transcript(path.clone()), |_| {}).unwrap();
        for _ in 0..10 {
            recorder.push(entries(1_000));
        }
        recorder.close(Duration::from_secs(60));
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(text.lines().count(), 10_000);
        let expected = Progress {
            written: 10_000,
            skipped: 0,
        };
        assert_eq!(recorder.progress(), expected);
        recorder.push(entries(2));
        assert_eq!(recorder.progress().skipped, 2);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_full_disk_is_told_once_and_counted() {
        let (tell, told) = mpsc::channel();
        let recorder = BackgroundWriter::start(transcript("/dev/full".into()), move |error| {
            tell.send(error.to_string()).unwrap();
        })
        .unwrap();
        for _ in 0..3 {
            recorder.push(entries(10));
        }
        recorder.close(Duration::from_secs(60));
        assert_eq!(recorder.progress().skipped, 30);
        drop(recorder);
        let told: Vec<String> = told.iter().collect();
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains("/dev/full"));
    }
}
