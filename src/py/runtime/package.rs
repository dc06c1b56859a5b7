//! Calls of Python functions that log, show or convert objects for native methods.

use crate::py::convert::objects;
use crate::py::error::import;
use pyo3::intern;
use pyo3::prelude::*;

/// Logs a warning.
pub(crate) fn warn(py: Python<'_>, text: &str) -> PyResult<()> {
    let logging = import(py, intern!(py, "logging"))?;
    let logger = logging.call_method1(intern!(py, "getLogger"), ("zmqchat_rs",))?;
    logger.call_method1(intern!(py, "warning"), ("%s", text))?;
    Ok(())
}

/// An object as a notebook shows it: calls a function of the module for notebooks.
pub(crate) fn notebook_view<'py>(
    object: &Bound<'py, PyAny>,
    function: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let py = object.py();
    import(py, intern!(py, "zmqchat_rs.display.jupyter"))?.call_method1(function, (object,))
}

/// A transcript as IPython shows it in text.
pub(crate) fn pretty_transcript(object: &Bound<'_, PyAny>, p: &Bound<'_, PyAny>) -> PyResult<()> {
    p.call_method1(
        intern!(p.py(), "text"),
        (notebook_view(object, "transcript_text")?,),
    )?;
    Ok(())
}

/// Messages as a data frame: calls `to_pandas` or `to_polars` of the module for tables.
pub(crate) fn data_frame<'py>(
    source: &Bound<'py, PyAny>,
    function: &str,
    json: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let py = source.py();
    let kwargs = objects::dict(py)?;
    kwargs.set_item(intern!(py, "json"), json)?;
    import(py, intern!(py, "zmqchat_rs.data.tables"))?.call_method(
        function,
        (source,),
        Some(&kwargs),
    )
}
