//! A thread that calls `fsync` in the background, once for several lines.
//!
//! Invariant: no write waits for the disk. Saving a line starts at most [`SAVE_DELAY`] after the line
//! was written. An error is kept until the next call returns it.

use crate::error::{Error, Result};
use crate::transcript::path::{io_error, save_error};
use crate::util::sync::lock;
use crate::util::thread;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the thread waits for further lines before it saves.
const SAVE_DELAY: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    /// The file, if lines were written after the last save.
    unsaved: Option<Arc<File>>,
    saving: bool,
    closing: bool,
    error: Option<Error>,
}

/// Controls the thread.
pub(crate) struct BackgroundFsync {
    path: PathBuf,
    state: Mutex<State>,
    changed: Condvar,
}

impl BackgroundFsync {
    /// Starts the thread. It ends after [`Self::close`] or [`Self::close_nowait`].
    pub(crate) fn start(path: PathBuf) -> Result<Arc<Self>> {
        let this = Arc::new(Self {
            path,
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let in_thread = Arc::clone(&this);
        // No join handle is kept: in a forked child, the thread does not exist and must not be joined.
        thread::spawn("zmqchat-log", move || in_thread.run())
            .map_err(|error| io_error("start the thread that saves", &this.path, &error))?;
        Ok(this)
    }

    /// Requests that `file` is saved, at most [`SAVE_DELAY`] from now.
    pub(crate) fn request(&self, file: &Arc<File>) {
        let mut state = lock(&self.state);
        if state.unsaved.is_none() {
            state.unsaved = Some(Arc::clone(file));
            self.changed.notify_all();
        } else if !state
            .unsaved
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, file))
        {
            // The file was rotated. The previous one was saved before that.
            state.unsaved = Some(Arc::clone(file));
        }
    }

    /// Returns the error of a save in the background, once.
    pub(crate) fn take_error(&self) -> Result<()> {
        lock(&self.state).error.take().map_or(Ok(()), Err)
    }

    /// Saves what is unsaved, and returns when that is done.
    pub(crate) fn flush(&self) -> Result<()> {
        let mut state = lock(&self.state);
        while state.saving {
            state = self.wait(state);
        }
        self.save(state).error.take().map_or(Ok(()), Err)
    }

    /// Saves what is unsaved, and ends the thread.
    pub(crate) fn close(&self) -> Result<()> {
        let saved = self.flush();
        self.close_nowait();
        saved
    }

    /// Asks the thread to save what is unsaved and to end.
    pub(crate) fn close_nowait(&self) {
        lock(&self.state).closing = true;
        self.changed.notify_all();
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait(state);
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Saves with the lock released, because the disk may take long.
    fn save<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let Some(file) = state.unsaved.take() else {
            return state;
        };
        state.saving = true;
        drop(state);
        let saved = file.sync_data();
        let mut state = lock(&self.state);
        state.saving = false;
        if let Err(error) = saved {
            state.error = Some(save_error(&self.path, &error));
        }
        self.changed.notify_all();
        state
    }

    fn run(&self) {
        let mut state = lock(&self.state);
        loop {
            while state.saving || (state.unsaved.is_none() && !state.closing) {
                state = self.wait(state);
            }
            if !state.closing {
                let (waited, _) = self
                    .changed
                    .wait_timeout_while(state, SAVE_DELAY, |state| !state.closing)
                    .unwrap_or_else(PoisonError::into_inner);
                state = waited;
            }
            if !state.saving {
                state = self.save(state);
            }
            if state.closing && state.unsaved.is_none() && !state.saving {
                return;
            }
        }
    }
}
