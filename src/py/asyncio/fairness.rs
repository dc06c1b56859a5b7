//! When a task that need not wait lets the others of its event loop run.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// The longest that calls which find what they want keep the loop.
const LONGEST: Duration = Duration::from_millis(5);

thread_local! {
    /// When such a call first ended since this thread's loop last went round.
    static SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Whether it is time.
#[inline]
pub(crate) fn is_due() -> bool {
    SINCE.get().is_some_and(|since| since.elapsed() >= LONGEST)
}

/// A call has ended without a wait.
#[inline]
pub(crate) fn spent(py: Python<'_>) {
    if SINCE.get().is_none() {
        begin(py);
    }
}

/// The loop goes round.
pub(crate) fn take() {
    SINCE.set(None);
}

/// Has the loop say when it has gone round.
#[cold]
fn begin(py: Python<'_>) {
    static RUNNING: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static ROUND: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let begin = || -> PyResult<()> {
        let running = RUNNING.import(py, "asyncio", "get_running_loop")?.call0()?;
        let round = ROUND.get_or_try_init(py, || {
            wrap_pyfunction!(went_round, py).map(|function| function.into_any().unbind())
        })?;
        running.call_method1(intern!(py, "call_soon"), (round,))?;
        SINCE.set(Some(Instant::now()));
        Ok(())
    };
    // Without a loop nobody has to wait.
    let _ = begin();
}

#[pyfunction]
fn went_round() {
    take();
}
