//! The clock, deadlines, and how a wait is interrupted.

use crate::error::Result;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Called between two slices of a wait, with no lock held. An error ends the wait and is passed on.
/// The Python binding runs signal handlers in it.
pub type Checkpoint<'a> = &'a mut dyn FnMut() -> Result<()>;

/// The longest time between two calls of the checkpoint. Windows has no EINTR on Ctrl+C
/// (zeromq/czmq#302), and the system may deliver a signal to another thread. So waits are cut into
/// slices on every system.
pub(crate) const SLICE: Duration = Duration::from_millis(50);

/// When a wait, which may consist of several steps, ends.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Option<Instant>);

impl Deadline {
    /// A deadline that never passes.
    pub const NEVER: Self = Self(None);

    /// A deadline after this time. `None`, or a time beyond the clock's range, means never.
    #[must_use]
    pub fn after(timeout: Option<Duration>) -> Self {
        Self(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
    }

    /// Whether the deadline has passed.
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

/// Nanoseconds since 1970, UTC.
pub(crate) fn unix_ns() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// The current tick of the system's coarse clock, which lasts 1 to 10 ms. Reading it takes a fifth of
/// the time of an exact clock.
#[cfg(target_os = "linux")]
#[derive(Default)]
pub(crate) struct CoarseTick {
    seconds: libc::time_t,
    nanoseconds: libc::c_long,
}

#[cfg(target_os = "linux")]
impl CoarseTick {
    /// Whether a new tick has begun since the last call.
    #[inline]
    pub(crate) fn advance(&mut self) -> bool {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: fills in the structure that is passed, from a clock that Linux always has.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
        let is_new = (self.seconds, self.nanoseconds) != (now.tv_sec, now.tv_nsec);
        (self.seconds, self.nanoseconds) = (now.tv_sec, now.tv_nsec);
        is_new
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Default)]
pub(crate) struct CoarseTick(Option<Instant>);

#[cfg(not(target_os = "linux"))]
impl CoarseTick {
    /// Whether a new tick has begun since the last call.
    pub(crate) fn advance(&mut self) -> bool {
        const MILLISECOND: Duration = Duration::from_millis(1);
        let is_new = self.0.is_none_or(|began| began.elapsed() >= MILLISECOND);
        if is_new {
            self.0 = Some(Instant::now());
        }
        is_new
    }
}
