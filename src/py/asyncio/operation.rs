//! The operation that a coroutine performs: an attempt that succeeds at once, or a wait for the next
//! one.

use crate::net::ReadinessCallback;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;

/// The outcome of an attempt.
pub(crate) enum Poll {
    Done(Py<PyAny>),
    /// The task waits for this future.
    Pending(Py<PyAny>),
    /// Other tasks run first; then it continues.
    Yield,
}

/// Called once when an attempt succeeded, before its result is final. If it fails, the result is
/// given back.
pub(crate) type Commit<'a> = &'a mut dyn FnMut() -> PyResult<()>;

/// Which change a coroutine waits for: the kind of its queue in `_asyncio.py`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum WaitFor {
    Message,
    Change,
    QueueSpace,
}

impl WaitFor {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Change => "change",
            Self::QueueSpace => "space",
        }
    }
}

/// A call for asyncio.
pub(crate) trait Operation {
    /// Its name in warnings, such as "Subscriber.arecv".
    fn name(&self) -> &'static str;

    fn wait_for(&self) -> WaitFor;

    /// The publisher or subscriber.
    fn socket(&self, py: Python<'_>) -> Py<PyAny>;

    /// The first attempt.
    fn try_now(&mut self, py: Python<'_>) -> PyResult<Option<Poll>> {
        self.attempt(py, None, true, &mut || Ok(()))
    }

    /// An attempt. Without success it arms `readiness`, so that no change is missed.
    fn attempt(
        &mut self,
        py: Python<'_>,
        readiness: Option<&Arc<ReadinessCallback>>,
        first: bool,
        commit: Commit<'_>,
    ) -> PyResult<Option<Poll>>;

    /// How many messages the subscriber has received; 0 for an operation that receives nothing.
    fn received(&self, py: Python<'_>) -> u64 {
        let _ = py;
        0
    }

    /// The error of a timeout. `before` is what `received` returned when the wait began.
    fn timed_out(&mut self, py: Python<'_>, timeout: Option<f64>, before: Option<u64>) -> PyErr;

    /// The error as the caller sees it.
    fn raised(&self, py: Python<'_>, error: PyErr) -> PyErr {
        let _ = py;
        error
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// How many connections or subscribers a coroutine waits for, and how many the last attempt found.
pub(crate) struct Count {
    pub(crate) wanted: usize,
    pub(crate) seen: usize,
}

impl Count {
    pub(crate) fn of(wanted: usize) -> Self {
        Self { wanted, seen: 0 }
    }

    /// The result, once there are enough.
    pub(crate) fn reached(
        &self,
        py: Python<'_>,
        commit: Commit<'_>,
    ) -> PyResult<Option<Py<PyAny>>> {
        if self.seen < self.wanted {
            return Ok(None);
        }
        commit()?;
        Ok(Some(self.seen.into_pyobject(py)?.into_any().unbind()))
    }
}

/// Commits a result that cannot be given back.
pub(crate) fn commit_final(py: Python<'_>, commit: Commit<'_>) {
    if let Err(error) = commit() {
        error.write_unraisable(py, None);
    }
}
