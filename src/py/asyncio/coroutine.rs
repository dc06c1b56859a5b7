//! What `await` is given by the calls for asyncio: a coroutine of our own.
//!
//! One that finds what it wants ends at once, without a future and without going round the event
//! loop; otherwise it stands in line (`_loops`). Invariant: it takes or sends only in the step in
//! which it ends. So whoever is cancelled has taken nothing, and whoever is never awaited neither.

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

/// What the calls for asyncio return: await it once, or make a task of it.
#[pyclass(frozen, weakref, name = "Coroutine", module = "zmqchat_rs")]
pub(crate) struct Coroutine(Mutex<State>);

struct State {
    deed: Operation,
    timeout: Option<f64>,
    phase: Phase,
    /// What only those have who had to wait.
    wait: Option<Box<Waiter>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fresh,
    Begun,
    Over,
}

impl Coroutine {
    #[inline]
    pub(crate) fn new(deed: Operation, timeout: Option<f64>) -> Self {
        Self(Mutex::new(State {
            deed,
            timeout,
            phase: Phase::Fresh,
            wait: None,
        }))
    }

    fn state(&self) -> PyResult<MutexGuard<'_, State>> {
        self.0
            .try_lock()
            .map_err(|_| PyValueError::new_err("coroutine already executing"))
    }

    fn qualified_name(&self) -> String {
        self.state()
            .map_or_else(|_| "coroutine".into(), |state| state.deed.name().into())
    }
}

#[pymethods]
impl Coroutine {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.state()?.step(py)
    }

    fn send(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let _ = value;
        self.state()?.step(py)
    }

    #[pyo3(signature = (typ, val = None, tb = None))]
    fn throw(
        &self,
        py: Python<'_>,
        typ: &Bound<'_, PyAny>,
        val: Option<Bound<'_, PyAny>>,
        tb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        self.state()?.end(py)?;
        let value = match (typ.cast::<PyType>(), val) {
            (Err(_), _) => typ.clone(),
            (Ok(kind), Some(value)) if value.is_instance(kind)? => value,
            (Ok(kind), Some(value)) => kind.call1((value,))?,
            (Ok(kind), None) => kind.call0()?,
        };
        if let Some(traceback) = tb {
            value.setattr(intern!(py, "__traceback__"), traceback)?;
        }
        Err(PyErr::from_value(value))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.state()?.end(py)
    }

    #[getter]
    fn __qualname__(&self) -> String {
        self.qualified_name()
    }

    #[getter]
    fn __name__(&self) -> String {
        let name = self.qualified_name();
        name.rsplit('.').next().unwrap_or(&name).to_owned()
    }

    fn __repr__(&self) -> String {
        format!("<coroutine {}>", self.qualified_name())
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(state) = self.0.try_lock() {
            state.deed.traverse(&visit)?;
            if let Some(wait) = &state.wait {
                wait.traverse(&visit)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.0.try_lock() {
            // Only what is part of a cycle: a future knows the task that awaits it.
            state.wait = None;
        }
    }
}

impl State {
    /// One step, as Python knows it: what to wait for, or how it ended.
    #[inline]
    fn step(&mut self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.go_on(py) {
            Ok(Poll::Done(value)) => {
                self.phase = Phase::Over;
                if self.wait.take().is_none() {
                    fairness::spent(py);
                }
                Err(PyStopIteration::new_err((value,)))
            }
            Ok(Poll::Waiter(what)) => Ok(what),
            // Without a future the task comes back in the loop's next round.
            Ok(Poll::Breath) => {
                fairness::take();
                if let Some(wait) = &mut self.wait {
                    wait.pass_on(py)?;
                }
                Ok(py.None())
            }
            Err(error) => {
                self.end(py)?;
                Err(self.deed.ending(py, error))
            }
        }
    }

    fn go_on(&mut self, py: Python<'_>) -> PyResult<Poll> {
        if self.wait.is_some() {
            return self.go_on_waiting(py);
        }
        if self.phase == Phase::Over {
            return Err(PyRuntimeError::new_err(
                "cannot reuse already awaited coroutine",
            ));
        }
        self.phase = Phase::Begun;
        if fairness::is_due() {
            return Ok(Poll::Breath);
        }
        match self.deed.at_once(py)? {
            Some(step) => Ok(step),
            None => self.begin_to_wait(py),
        }
    }

    /// Apart, so that the way of most messages stays short.
    #[cold]
    fn begin_to_wait(&mut self, py: Python<'_>) -> PyResult<Poll> {
        if self.timeout == Some(0.0) {
            fairness::spent(py);
            return Err(self.deed.timed_out(py, self.timeout, None));
        }
        let wait = Waiter::new(py, &self.deed, self.timeout)?;
        self.wait = Some(Box::new(wait));
        self.stand_in_line(py, true)
    }

    #[cold]
    fn go_on_waiting(&mut self, py: Python<'_>) -> PyResult<Poll> {
        let Self { deed, wait, .. } = self;
        let Some(wait) = wait else {
            return Ok(Poll::Breath);
        };
        let expired = match wait.come_back(py)? {
            WakeReason::TooEarly(what) => return Ok(Poll::Waiter(what)),
            WakeReason::OnesTurn => false,
            WakeReason::TooLate => true,
        };
        fairness::take();
        let looked = deed.look(py, None, false, &mut || wait.pass_on(py))?;
        if let Some(step) = looked {
            return Ok(step);
        }
        if expired {
            return Err(deed.timed_out(py, self.timeout, Some(wait.received_before)));
        }
        self.stand_in_line(py, false)
    }

    /// Looks once more, with the watch set, so that nothing happens between the look and the wait.
    fn stand_in_line(&mut self, py: Python<'_>, first: bool) -> PyResult<Poll> {
        let Self { deed, wait, .. } = self;
        let Some(wait) = wait else {
            return Ok(Poll::Breath);
        };
        wait.join(py, first)?;
        let watch = wait.watch();
        let looked = deed.look(py, Some(&watch), first, &mut || wait.pass_on(py))?;
        match looked {
            Some(step) => Ok(step),
            None => Ok(Poll::Waiter(wait.begin(py)?)),
        }
    }

    /// Leaves the line, and does no more.
    fn end(&mut self, py: Python<'_>) -> PyResult<()> {
        self.phase = Phase::Over;
        match self.wait.take() {
            Some(mut wait) => wait.pass_on(py),
            None => Ok(()),
        }
    }
}

impl Drop for Coroutine {
    /// One that was never begun has done nothing, which should not go unnoticed.
    fn drop(&mut self) {
        let Ok(state) = self.0.get_mut() else { return };
        if state.phase == Phase::Over {
            return;
        }
        Python::try_attach(|py| {
            // What was raised before stays raised.
            let raised = PyErr::take(py);
            if let Some(wait) = state.wait.take() {
                wait.abandon(py);
            } else if state.phase == Phase::Fresh {
                warn_of(py, state.deed.name());
            }
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}

fn warn_of(py: Python<'_>, name: &str) {
    let text = format!("coroutine '{name}' was never awaited: it has done nothing; write `await`");
    if let Ok(text) = CString::new(text) {
        let kind = py.get_type::<PyRuntimeWarning>();
        if let Err(error) = PyErr::warn(py, &kind, &text, 1) {
            error.write_unraisable(py, None);
        }
    }
}
