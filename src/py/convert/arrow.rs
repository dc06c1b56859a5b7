//! Tables for libraries that read Arrow: the Arrow PyCapsule interface.

use crate::table::arrow::{Schema, Stream};
use crate::table::Table;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::sync::Arc;

pub(crate) fn stream(py: Python<'_>, table: Arc<Table>) -> PyResult<Bound<'_, PyCapsule>> {
    PyCapsule::new_with_value(py, Stream::of(table), c"arrow_array_stream")
}

pub(crate) fn schema<'py>(py: Python<'py>, table: &Table) -> PyResult<Bound<'py, PyCapsule>> {
    PyCapsule::new_with_value(py, Schema::of(table), c"arrow_schema")
}
