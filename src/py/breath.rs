//! When a task that need not wait lets the others of its event loop run.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest that calls which find what they want keep the loop.
const LONGEST: Duration = Duration::from_millis(5);

thread_local! {
    /// When the loop of this thread was last known to go round.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether it is time.
#[inline]
pub(super) fn is_due() -> bool {
    let now = Instant::now();
    match SINCE.get() {
        Some(since) => now.duration_since(since) >= LONGEST,
        None => {
            SINCE.set(Some(now));
            false
        }
    }
}

/// The loop goes round.
pub(super) fn take() {
    SINCE.set(Some(Instant::now()));
}
