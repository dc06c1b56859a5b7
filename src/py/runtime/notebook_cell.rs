//! Which cell of a notebook is running: objects made in it are replaced when it runs again.

use crate::net::runtime::notebook_cell::{self, CellRun, CellScope};
use crate::py::error::{import, is_finalized};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyDict;

/// What this thread makes, while the result lives, is the running cell's. Outside of IPython, and in
/// threads that a cell starts, it is nobody's.
pub(crate) fn making(py: Python<'_>) -> PyResult<CellScope> {
    Ok(notebook_cell::enter(current(py)?))
}

/// Whether IPython is there at all; without it nothing more is looked at, or imported.
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

/// An error that names the variable which holds the address, where it is one of the notebook's.
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
    // The error tells what is wrong in any case.
    if !is_finalized(py) {
        let _ = explain();
    }
    error
}
