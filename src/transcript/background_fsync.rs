//! `fsync`, a little later, in the background: many lines share one.
//!
//! Invariant: no write waits for it, and at most [`LATER`] after a line was written it is on its way
//! to the disk. An error is kept until somebody asks.

use crate::error::{Error, Result};
use crate::transcript::failed;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a line may wait for others.
const LATER: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    /// What was written to since the last time.
    dirty: Option<Arc<File>>,
    busy: bool,
    closing: bool,
    error: Option<Error>,
}

/// The thread's other end.
pub(crate) struct BackgroundFsync {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

impl BackgroundFsync {
    /// Starts the thread, which ends after `close`.
    pub(crate) fn start(path: PathBuf) -> Result<Arc<Self>> {
        let this = Arc::new(Self {
            path,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let in_thread = Arc::clone(&this);
        // No handle is kept: a forked child has it without the thread, and must not touch it.
        std::thread::Builder::new()
            .name("zmqchat-log".into())
            .spawn(move || in_thread.run())
            .map_err(|error| failed("start the thread that saves", &this.path, &error))?;
        Ok(this)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that there is something to save.
    pub(crate) fn written(&self, file: &Arc<File>) {
        let mut state = self.lock();
        if state.dirty.is_none() {
            state.dirty = Some(Arc::clone(file));
            self.changed.notify_all();
        } else if !state
            .dirty
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, file))
        {
            // The one before was saved when it was left.
            state.dirty = Some(Arc::clone(file));
        }
    }

    /// What went wrong since somebody last asked.
    pub(crate) fn take_error(&self) -> Result<()> {
        self.lock().error.take().map_or(Ok(()), Err)
    }

    /// Saves what there is, now, and returns when that is done.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut state = self.lock();
        while state.busy {
            state = self.wait(state);
        }
        self.save(state).error.take().map_or(Ok(()), Err)
    }

    /// [`flush`](Self::flush), and the end of the thread.
    pub(crate) fn close(&self) -> Result<()> {
        let saved = self.flush();
        self.leave();
        saved
    }

    /// The end of the thread; what there is, it saves before.
    pub(crate) fn leave(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Without the lock, as it may take long.
    fn save<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(file) = state.dirty.take() else {
            return state;
        };
        state.busy = true;
        drop(state);
        let saved = file.sync_data();
        let mut state = self.lock();
        state.busy = false;
        if let Err(error) = saved {
            state.error = Some(failed("save to the disk", &self.path, &error));
        }
        self.changed.notify_all();
        state
    }

    fn run(&self) {
        let mut state = self.lock();
        loop {
            while state.busy || (state.dirty.is_none() && !state.closing) {
                state = self.wait(state);
            }
            if !state.closing {
                let (waited, _) = self
                    .changed
                    .wait_timeout_while(state, LATER, |state| !state.closing)
                    .unwrap_or_else(PoisonError::into_inner);
                state = waited;
            }
            if !state.busy {
                state = self.save(state);
            }
            if state.closing && state.dirty.is_none() && !state.busy {
                return;
            }
        }
    }
}
