//! The coroutines that the asyncio methods return.
//!
//! A call that can succeed at once ends at once, without a future and without a round of the event
//! loop. Otherwise the coroutine waits in a queue of `_asyncio.py`. Invariant: it takes or sends only
//! in the step in which it ends, so that a cancelled or never awaited coroutine has taken nothing.

use crate::py::asyncio::fairness;
use crate::py::asyncio::operation::{Operation, Poll};
use crate::py::asyncio::waiter::{Waiter, WakeReason};
use pyo3::exceptions::{PyRuntimeError, PyRuntimeWarning, PyStopIteration, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyType;
use std::ffi::CString;
use std::sync::{Mutex, MutexGuard};

/// The state of a coroutine, whose class is made by `coroutine_class`.
pub(crate) struct Coroutine<O: Operation>(Mutex<Execution<O>>);

struct Execution<O> {
    operation: O,
    timeout: Option<f64>,
    phase: Phase,
    /// Only while the operation has to wait.
    waiter: Option<Box<Waiter>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Created,
    Started,
    Ended,
}

impl<O: Operation> Coroutine<O> {
    #[inline]
    pub(crate) fn new(operation: O, timeout: Option<f64>) -> Self {
        Self(Mutex::new(Execution {
            operation,
            timeout,
            phase: Phase::Created,
            waiter: None,
        }))
    }

    fn execution(&self) -> PyResult<MutexGuard<'_, Execution<O>>> {
        self.0
            .try_lock()
            .map_err(|_| PyValueError::new_err("coroutine already executing"))
    }

    /// One step in Python's protocol: the future to wait for, or the end.
    #[inline]
    pub(crate) fn step(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.execution()?.step(py)
    }

    pub(crate) fn throw(
        &self,
        py: Python<'_>,
        typ: &Bound<'_, PyAny>,
        val: Option<Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.close(py)?;
        let value = match (typ.cast::<PyType>(), val) {
            (Err(_), _) => typ.clone(),
            (Ok(class), Some(value)) if value.is_instance(class)? => value,
            (Ok(class), Some(value)) => class.call1((value,))?,
            (Ok(class), None) => class.call0()?,
        };
        if let Some(traceback) = tb {
            value.setattr(intern!(py, "__traceback__"), traceback)?;
        }
        Err(PyErr::from_value(value))
    }

    pub(crate) fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.execution()?.end(py)
    }

    pub(crate) fn qualified_name(&self) -> String {
        self.execution().map_or_else(
            |_| "coroutine".into(),
            |execution| execution.operation.name().into(),
        )
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(execution) = self.0.try_lock() {
            execution.operation.traverse(visit)?;
            if let Some(waiter) = &execution.waiter {
                waiter.traverse(visit)?;
            }
        }
        Ok(())
    }

    pub(crate) fn clear(&self) {
        if let Ok(mut execution) = self.0.try_lock() {
            // Only what is part of a cycle: a future refers to the task that awaits it.
            execution.waiter = None;
        }
    }
}

impl<O: Operation> Execution<O> {
    #[inline]
    fn step(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.advance(py) {
            Ok(Poll::Done(value)) => {
                self.phase = Phase::Ended;
                if self.waiter.take().is_none() {
                    fairness::ended_without_wait(py);
                }
                Err(PyStopIteration::new_err((value,)))
            }
            Ok(Poll::Pending(future)) => Ok(future),
            // Without a future the task continues in the loop's next round.
            Ok(Poll::Yield) => {
                fairness::reset();
                if let Some(waiter) = &mut self.waiter {
                    waiter.leave(py)?;
                }
                Ok(py.None())
            }
            Err(error) => {
                self.end(py)?;
                Err(self.operation.raised(py, error))
            }
        }
    }

    fn advance(&mut self, py: Python<'_>) -> PyResult<Poll> {
        if let Some(waiter) = &mut self.waiter {
            return resume(py, &mut self.operation, waiter, self.timeout);
        }
        if self.phase == Phase::Ended {
            return Err(PyRuntimeError::new_err(
                "cannot reuse already awaited coroutine",
            ));
        }
        self.phase = Phase::Started;
        if fairness::is_due() {
            return Ok(Poll::Yield);
        }
        match self.operation.try_now(py)? {
            Some(poll) => Ok(poll),
            None => begin_to_wait(py, &mut self.operation, &mut self.waiter, self.timeout),
        }
    }

    /// Leaves the queue; nothing was taken or sent.
    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        self.phase = Phase::Ended;
        match self.waiter.take() {
            Some(mut waiter) => waiter.leave(py),
            None => Ok(()),
        }
    }
}

/// Separate, so that the usual path stays short.
#[cold]
fn begin_to_wait(
    py: Python<'_>,
    operation: &mut dyn Operation,
    waiter: &mut Option<Box<Waiter>>,
    timeout: Option<f64>,
) -> PyResult<Poll> {
    if timeout == Some(0.0) {
        fairness::ended_without_wait(py);
        return Err(operation.timed_out(py, timeout, None));
    }
    let new = Box::new(Waiter::new(py, operation, timeout)?);
    enqueue(py, operation, waiter.insert(new), true)
}

#[cold]
fn resume(
    py: Python<'_>,
    operation: &mut dyn Operation,
    waiter: &mut Waiter,
    timeout: Option<f64>,
) -> PyResult<Poll> {
    let expired = match waiter.resume(py)? {
        WakeReason::Spurious(future) => return Ok(Poll::Pending(future)),
        WakeReason::Ready => false,
        WakeReason::TimedOut => true,
    };
    fairness::reset();
    let outcome = operation.attempt(py, None, false, &mut || waiter.leave(py))?;
    if let Some(poll) = outcome {
        return Ok(poll);
    }
    if expired {
        return Err(operation.timed_out(py, timeout, Some(waiter.received_before)));
    }
    enqueue(py, operation, waiter, false)
}

/// Enters the queue, then tries once more with the readiness callback armed, so that no change is
/// missed between the attempt and the wait.
fn enqueue(
    py: Python<'_>,
    operation: &mut dyn Operation,
    waiter: &mut Waiter,
    first: bool,
) -> PyResult<Poll> {
    waiter.join(py, first)?;
    let readiness = waiter.readiness();
    let outcome = operation.attempt(py, Some(&readiness), first, &mut || waiter.leave(py))?;
    match outcome {
        Some(poll) => Ok(poll),
        None => Ok(Poll::Pending(waiter.future(py)?)),
    }
}

impl<O: Operation> Drop for Coroutine<O> {
    /// Warns of a coroutine that was never awaited, and therefore has done nothing.
    fn drop(&mut self) {
        let Ok(execution) = self.0.get_mut() else {
            return;
        };
        if execution.phase == Phase::Ended {
            return;
        }
        Python::try_attach(|py| {
            // An exception that is set stays set.
            let raised = PyErr::take(py);
            if let Some(waiter) = execution.waiter.take() {
                waiter.abandon(py);
            } else if execution.phase == Phase::Created {
                warn_never_awaited(py, execution.operation.name());
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

fn warn_never_awaited(py: Python<'_>, name: &str) {
    let text = format!("coroutine '{name}' was never awaited: it has done nothing; write `await`");
    if let Ok(text) = CString::new(text) {
        let category = py.get_type::<PyRuntimeWarning>();
        if let Err(error) = PyErr::warn(py, &category, &text, 1) {
            error.write_unraisable(py, None);
        }
    }
}

/// Makes the Python class of the coroutines that perform an operation.
macro_rules! coroutine_class {
    ($class:ident, $operation:ty) => {
        /// What the calls for asyncio return: await it once, or make a task of it.
        #[pyclass(frozen, weakref, name = "Coroutine", module = "zmqchat_rs")]
        pub(crate) struct $class($crate::py::asyncio::coroutine::Coroutine<$operation>);

        impl $class {
            #[inline]
            fn new(operation: $operation, timeout: Option<f64>) -> Self {
                Self($crate::py::asyncio::coroutine::Coroutine::new(
                    operation, timeout,
                ))
            }
        }

        #[pymethods]
        impl $class {
            fn __await__(slf: Py<Self>) -> Py<Self> {
                slf
            }

            #[inline]
            fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
                self.0.step(py)
            }

            fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                let _ = value;
                self.0.step(py)
            }

            #[pyo3(signature = (typ, val = None, tb = None))]
            fn throw(
                &self,
                py: Python<'_>,
                typ: &Bound<'_, PyAny>,
                val: Option<Bound<'_, PyAny>>,
                tb: Option<Bound<'_, PyAny>>,
            ) -> PyResult<Py<PyAny>> {
                self.0.throw(py, typ, val, tb)
            }

            fn close(&self, py: Python<'_>) -> PyResult<()> {
                self.0.close(py)
            }

            #[getter]
            fn __qualname__(&self) -> String {
                self.0.qualified_name()
            }

            #[getter]
            fn __name__(&self) -> String {
                let name = self.0.qualified_name();
                name.rsplit('.').next().unwrap_or(&name).to_owned()
            }

            fn __repr__(&self) -> String {
                format!("<coroutine {}>", self.0.qualified_name())
            }

            fn __traverse__(
                &self,
                visit: pyo3::gc::PyVisit<'_>,
            ) -> Result<(), pyo3::gc::PyTraverseError> {
                self.0.traverse(&visit)
            }

            fn __clear__(&self) {
                self.0.clear();
            }
        }
    };
}
pub(crate) use coroutine_class;
