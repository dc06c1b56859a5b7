//! A function that runs when the program ends.
//!
//! Invariant: `atexit` holds the function, and with it its memory, only until the object that
//! registered it is closed or dropped.

use crate::py::error::import;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyCFunction;

/// A function that is registered with Python's `atexit`.
pub(crate) struct AtExit(Py<PyCFunction>);

impl AtExit {
    /// Registers `run`, which is called detached. It must not keep its object alive.
    pub(crate) fn register(
        py: Python<'_>,
        run: impl Fn() + Send + Sync + 'static,
    ) -> PyResult<Self> {
        let function = PyCFunction::new_closure(py, None, None, move |arguments, _| {
            arguments.py().detach(&run);
        })?;
        import(py, intern!(py, "atexit"))?.call_method1(intern!(py, "register"), (&function,))?;
        Ok(Self(function.unbind()))
    }

    /// Removes the function. Removing it twice changes nothing.
    pub(crate) fn unregister(&self, py: Python<'_>) -> PyResult<()> {
        let atexit = import(py, intern!(py, "atexit"))?;
        atexit.call_method1(intern!(py, "unregister"), (&self.0,))?;
        Ok(())
    }
}

impl Drop for AtExit {
    fn drop(&mut self) {
        let _ = Python::try_attach(|py| {
            // An object may be dropped while an exception is raised, which the call must not replace.
            let raised = PyErr::take(py);
            // This fails only while the interpreter ends, when nothing is left to remove.
            let _ = self.unregister(py);
            if let Some(raised) = raised {
                raised.restore(py);
            }
        });
    }
}
