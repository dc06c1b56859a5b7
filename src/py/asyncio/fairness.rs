//! When a coroutine that need not wait yields to the other tasks of its event loop.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest that calls which succeed at once occupy the loop.
const LONGEST: Duration = Duration::from_millis(5);

thread_local! {
    /// When the first such call ended in the current round of this thread's loop.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether the other tasks must run now.
#[inline]
pub(crate) fn is_due() -> bool {
    SINCE.get().is_some_and(|since| since.elapsed() >= LONGEST)
}

#[inline]
pub(crate) fn ended_without_wait(py: Python<'_>) {
    if SINCE.get().is_none() {
        start_clock(py);
    }
}

/// The loop begins a new round.
pub(crate) fn reset() {
    SINCE.set(None);
}

/// Starts the clock, and has the loop reset it in its next round.
#[cold]
fn start_clock(py: Python<'_>) {
    static RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static NEW_ROUND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let start = || -> PyResult<()> {
        let event_loop = RUNNING_LOOP
            .import(py, "asyncio", "get_running_loop")?
            .call0()?;
        let new_round = NEW_ROUND.get_or_try_init(py, || {
            wrap_pyfunction!(new_round, py).map(|function| function.into_any().unbind())
        })?;
        event_loop.call_method1(intern!(py, "call_soon"), (new_round,))?;
        SINCE.set(Some(Instant::now()));
        Ok(())
    };
    // Without an event loop there is no task to yield to.
    let _ = start();
}

#[pyfunction]
fn new_round() {
    reset();
}
