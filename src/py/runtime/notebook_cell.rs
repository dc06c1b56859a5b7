//! The notebook cell that is running: objects created in it are closed when it runs again.

use crate::net::runtime::notebook_cell::{self, CellRun, CellScope};
use crate::py::error::{import, is_finalized};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// Objects that this thread creates belong to the running cell until the result is dropped. Outside
/// of IPython, and in threads that a cell starts, they belong to no cell.
pub(crate) fn scope(py: Python<'_>) -> PyResult<CellScope> {
    Ok(notebook_cell::enter(current(py)?))
}

/// Whether IPython is loaded. Otherwise nothing else is checked or imported.
fn in_ipython(py: Python<'_>) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    let modules = MODULES.import(py, "sys", "modules");
    modules?.contains(intern!(py, "IPython"))
}

fn current(py: Python<'_>) -> PyResult<Option<CellRun>> {
    if !in_ipython(py)? {
        return Ok(None);
    }
    let found: Option<(String, String)> =
        import(py, intern!(py, "zmqchat_rs.display.notebook_cell"))?
            .call_method0(intern!(py, "current"))?
            .extract()?;
    Ok(found.map(|(cell, run)| CellRun { cell, run }))
}

/// The error, with the name of the notebook's variable that uses the address, if there is one.
pub(crate) fn explained(py: Python<'_>, error: PyErr, addresses: &[String]) -> PyErr {
    let explain = || -> PyResult<()> {
        let value = error.value(py);
        if !in_ipython(py)?
            || value.getattr(intern!(py, "errno"))?.extract::<i32>()? != libc::EADDRINUSE
        {
            return Ok(());
        }
        import(py, intern!(py, "zmqchat_rs.display.notebook_cell"))?
            .call_method1(intern!(py, "explain"), (value, addresses))?;
        Ok(())
    };
    // Without the explanation, the error is still complete.
    if !is_finalized(py) {
        let _ = explain();
    }
    error
}
