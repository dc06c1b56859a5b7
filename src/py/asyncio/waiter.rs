//! How a coroutine of ours stands in line: the native side of `_loops`.

use crate::net::{about_to_wait, ReadinessCallback};
use crate::py::asyncio::operation::Operation;
use crate::py::convert::objects;
use crate::py::error::import;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A watch, as long as its line exists.
#[pyclass(frozen, name = "_Watch", module = "zmqchat_rs")]
pub(crate) struct Readiness(Arc<ReadinessCallback>);

impl Readiness {
    pub(crate) fn new(watch: Arc<ReadinessCallback>) -> Self {
        Self(watch)
    }
}

impl Drop for Readiness {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

/// What tells a line that a look is worth while, from a thread without the interpreter. The line is
/// its loop's: nothing here keeps it.
pub(crate) fn teller(line: &Bound<'_, PyAny>) -> PyResult<Box<dyn Fn() + Send + Sync>> {
    let py = line.py();
    let line = import(py, intern!(py, "weakref"))?
        .call_method1(intern!(py, "ref"), (line,))?
        .unbind();
    Ok(Box::new(move || {
        // The end of the program waits for whoever holds this.
        let Ok(_waiting) = about_to_wait() else {
            return;
        };
        Python::try_attach(|py| {
            let told = line.bind(py).call0().and_then(|line| {
                if line.is_none() {
                    return Ok(());
                }
                line.call_method0(intern!(py, "tell")).map(drop)
            });
            if let Err(error) = told {
                error.write_unraisable(py, None);
            }
        });
    }))
}

/// One who waits.
pub(crate) struct Waiter {
    line: Py<PyAny>,
    watch: Arc<ReadinessCallback>,
    /// How many messages had been received when the wait began.
    pub(crate) received_before: u64,
    ends: Option<Instant>,
    /// While it stands in line: the future, and what awaits that.
    standing: Option<(Py<PyAny>, Option<Py<PyIterator>>)>,
    /// It was woken, and must wake the next when it needs its turn no more.
    has_turn: bool,
}

/// Why a task came back.
pub(crate) enum WakeReason {
    OnesTurn,
    TooLate,
    /// Nobody woke it: it must go on waiting for this.
    TooEarly(Py<PyAny>),
}

impl Waiter {
    pub(crate) fn new(py: Python<'_>, deed: &Operation, timeout: Option<f64>) -> PyResult<Self> {
        let line = import(py, intern!(py, "zmqchat_rs._asyncio"))?
            .call_method1(intern!(py, "line"), (deed.watched(py), deed.line()))?;
        let watch = line.getattr(intern!(py, "watch"))?;
        let watch = Arc::clone(&watch.cast::<Readiness>()?.get().0);
        Ok(Self {
            line: line.unbind(),
            watch,
            received_before: deed.received(py),
            ends: timeout
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .and_then(|timeout| Instant::now().checked_add(timeout)),
            standing: None,
            has_turn: false,
        })
    }

    pub(crate) fn watch(&self) -> Arc<ReadinessCallback> {
        Arc::clone(&self.watch)
    }

    /// Stands in line: at its end, or again at its head.
    pub(crate) fn join(&mut self, py: Python<'_>, first_time: bool) -> PyResult<()> {
        let left = self
            .ends
            .map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64());
        let how = objects::dict(py)?;
        how.set_item(intern!(py, "first"), !first_time)?;
        let future = self
            .line
            .bind(py)
            .call_method(intern!(py, "join"), (left,), Some(&how))?;
        self.standing = Some((future.unbind(), None));
        Ok(())
    }

    /// What the task is to wait for.
    pub(crate) fn begin(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        // Whoever comes next has its own look to take.
        self.has_turn = false;
        if let Some((future, awaiting)) = &mut self.standing {
            let iterator = future
                .bind(py)
                .call_method0(intern!(py, "__await__"))?
                .cast_into::<PyIterator>()?;
            let first = iterator.clone().next();
            *awaiting = Some(iterator.unbind());
            if let Some(what) = first {
                return Ok(what?.unbind());
            }
        }
        // It is done already: the task comes back at once.
        Ok(py.None())
    }

    pub(crate) fn come_back(&mut self, py: Python<'_>) -> PyResult<WakeReason> {
        let Some((future, awaiting)) = &self.standing else {
            return Ok(WakeReason::OnesTurn);
        };
        if let Some(awaiting) = awaiting {
            if let Some(what) = awaiting.bind(py).clone().next() {
                return Ok(WakeReason::TooEarly(what?.unbind()));
            }
        }
        let too_late = future
            .bind(py)
            .call_method0(intern!(py, "result"))?
            .is_truthy()?;
        self.standing = None;
        self.has_turn = !too_late;
        Ok(if too_late {
            WakeReason::TooLate
        } else {
            WakeReason::OnesTurn
        })
    }

    /// Leaves the line; if it is this one's turn, the next one's is now.
    pub(crate) fn pass_on(&mut self, py: Python<'_>) -> PyResult<()> {
        let line = self.line.bind(py);
        if let Some((future, _)) = self.standing.take() {
            line.call_method1(intern!(py, "leave"), (future,))?;
        }
        if std::mem::take(&mut self.has_turn) {
            line.call_method0(intern!(py, "wake"))?;
        }
        Ok(())
    }

    /// The same, wherever this is, when the task is gone.
    pub(crate) fn abandon(self, py: Python<'_>) {
        if let Some((future, _)) = self.standing {
            let line = self.line.bind(py);
            if let Err(error) = line.call_method1(intern!(py, "abandon"), (future,)) {
                error.write_unraisable(py, None);
            }
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.line)?;
        if let Some((future, awaiting)) = &self.standing {
            visit.call(future)?;
            visit.call(awaiting)?;
        }
        Ok(())
    }
}
