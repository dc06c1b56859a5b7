//! A coroutine's place in a queue of the event loop: the native side of `_asyncio.py`.

use crate::net::{begin_detached_wait, ReadinessCallback};
use crate::py::asyncio::operation::Operation;
use crate::py::convert::objects;
use crate::py::error::import;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A readiness callback that is registered as long as its queue exists.
#[pyclass(frozen, name = "_Readiness", module = "zmqchat_rs")]
pub(crate) struct Readiness(Arc<ReadinessCallback>);

impl Readiness {
    pub(crate) fn new(callback: Arc<ReadinessCallback>) -> Self {
        Self(callback)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// Wakes a queue from a thread that is not attached to the interpreter. The queue belongs to its
/// event loop: this keeps a weak reference.
pub(crate) fn waker(queue: &Bound<'_, PyAny>) -> PyResult<Box<dyn Fn() + Send + Sync>> {
    let py = queue.py();
    let queue = import(py, intern!(py, "weakref"))?
        .call_method1(intern!(py, "ref"), (queue,))?
        .unbind();
    Ok(Box::new(move || {
        // The end of the program waits until this is dropped.
        let Ok(_waiting) = begin_detached_wait() else {
            return;
        };
        Python::try_attach(|py| {
            let outcome = queue.bind(py).call0().and_then(|queue| {
                if queue.is_none() {
                    return Ok(());
                }
                queue.call_method0(intern!(py, "wake_threadsafe")).map(drop)
            });
            if let Err(error) = outcome {
                error.write_unraisable(py, None);
            }
        });
    }))
}

/// A coroutine that waits.
pub(crate) struct Waiter {
    queue: Py<PyAny>,
    readiness: Arc<ReadinessCallback>,
    /// How many messages had been received when the wait began.
    pub(crate) received_before: u64,
    deadline: Option<Instant>,
    /// While it is in the queue: the future, and the iterator that awaits it.
    queued: Option<(Py<PyAny>, Option<Py<PyIterator>>)>,
    /// It was woken, and must wake the next waiter when it is done.
    has_turn: bool,
}

/// Why a task continues.
pub(crate) enum WakeReason {
    Ready,
    TimedOut,
    /// The future is not done: the task must go on waiting for this.
    Spurious(Py<PyAny>),
}

impl Waiter {
    pub(crate) fn new(
        py: Python<'_>,
        operation: &dyn Operation,
        timeout: Option<f64>,
    ) -> PyResult<Self> {
        let queue = import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(
            intern!(py, "wait_queue"),
            (operation.socket(py), operation.wait_for().as_str()),
        )?;
        let readiness = queue.getattr(intern!(py, "readiness"))?;
        let readiness = Arc::clone(&readiness.cast::<Readiness>()?.get().0);
        Ok(Self {
            queue: queue.unbind(),
            readiness,
            received_before: operation.received(py),
            deadline: timeout
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            queued: None,
            has_turn: false,
        })
    }

    pub(crate) fn readiness(&self) -> Arc<ReadinessCallback> {
        Arc::clone(&self.readiness)
    }

    /// Enters the queue: at its end, or again at its head.
    pub(crate) fn join(&mut self, py: Python<'_>, first_time: bool) -> PyResult<()> {
        let left = self
            .deadline
            .map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64());
        let kwargs = objects::dict(py)?;
        kwargs.set_item(intern!(py, "first"), !first_time)?;
        let future =
            self.queue
                .bind(py)
                .call_method(intern!(py, "join"), (left,), Some(&kwargs))?;
        self.queued = Some((future.unbind(), None));
        Ok(())
    }

    /// The future that the task is to wait for.
    pub(crate) fn future(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // The next waiter makes an attempt of its own when it enters the queue.
        self.has_turn = false;
        if let Some((future, awaiting)) = &mut self.queued {
            let iterator = future
                .bind(py)
                .call_method0(intern!(py, "__await__"))?
                .cast_into::<PyIterator>()?;
            let first = iterator.clone().next();
            *awaiting = Some(iterator.unbind());
            if let Some(future) = first {
                return Ok(future?.unbind());
            }
        }
        // It is done already: the task continues in the loop's next round.
        Ok(py.None())
    }

    pub(crate) fn resume(&mut self, py: Python<'_>) -> PyResult<WakeReason> {
        let Some((future, awaiting)) = &self.queued else {
            return Ok(WakeReason::Ready);
        };
        if let Some(awaiting) = awaiting {
            if let Some(future) = awaiting.bind(py).clone().next() {
                return Ok(WakeReason::Spurious(future?.unbind()));
            }
        }
        let timed_out = future
            .bind(py)
            .call_method0(intern!(py, "result"))?
            .is_truthy()?;
        self.queued = None;
        self.has_turn = !timed_out;
        Ok(if timed_out {
            WakeReason::TimedOut
        } else {
            WakeReason::Ready
        })
    }

    /// Leaves the queue. If it was this one's turn, the next waiter is woken.
    pub(crate) fn leave(&mut self, py: Python<'_>) -> PyResult<()> {
        let queue = self.queue.bind(py);
        if let Some((future, _)) = self.queued.take() {
            queue.call_method1(intern!(py, "leave"), (future,))?;
        }
        if std::mem::take(&mut self.has_turn) {
            queue.call_method0(intern!(py, "wake"))?;
        }
        Ok(())
    }

    /// Leaves the queue from any thread, when the task was garbage-collected.
    pub(crate) fn abandon(self, py: Python<'_>) {
        if let Some((future, _)) = self.queued {
            let queue = self.queue.bind(py);
            if let Err(error) = queue.call_method1(intern!(py, "abandon"), (future,)) {
                error.write_unraisable(py, None);
            }
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.queue)?;
        if let Some((future, awaiting)) = &self.queued {
            visit.call(future)?;
            visit.call(awaiting)?;
        }
        Ok(())
    }
}
