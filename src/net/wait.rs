//! How long to wait, and who may interrupt.

use crate::error::Result;
use std::time::{Duration, Instant};

/// Called between two slices of a wait, with no lock held; an error ends the wait and is passed on.
/// The Python face runs signal handlers in it; the core knows nothing of that.
pub type Checkpoint<'a> = &'a mut dyn FnMut() -> Result<()>;

/// The longest time between two calls of the checkpoint. Windows has no EINTR on Ctrl+C
/// (zeromq/czmq#302), and a signal may reach another thread, so waits are cut even on Unix.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// When a wait, perhaps of several steps, is over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// No end.
    pub const NEVER: Self = Self(None);

    /// After this time; `None` is never. A time beyond the clock's range is never, too.
    #[must_use]
    pub fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Whether the time is over.
    #[must_use]
    pub fn expired(&self) -> bool {
        self.0.is_some_and(|end| Instant::now() >= end)
    }

    /// How long the next slice of the wait may be.
    pub(crate) fn slice(&self) -> Duration {
        match self.0 {
            None => SLICE,
            Some(end) => end.saturating_duration_since(Instant::now()).min(SLICE),
        }
    }
}
