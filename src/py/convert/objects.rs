//! Python objects, created so that a lack of memory is an error: PyO3's constructors panic.
//!
//! Small objects, such as numbers and names of attributes, are created by PyO3.

use crate::error::Error;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

/// A new reference, or the error that Python has set, which is a `MemoryError`.
///
/// # Safety
///
/// `object` is null with an exception set, or a new reference to an object of type `T`.
unsafe fn owned<T>(py: Python<'_>, object: *mut ffi::PyObject) -> PyResult<Bound<'_, T>> {
    // SAFETY: the caller's promise.
    unsafe { Bound::from_owned_ptr_or_err(py, object).map(|object| object.cast_into_unchecked()) }
}

fn length(count: usize) -> PyResult<ffi::Py_ssize_t> {
    Ok(ffi::Py_ssize_t::try_from(count).map_err(|_| Error::NoMemory)?)
}

/// An error if there is no memory for this number of bytes: Rust's strings would abort the process.
pub(crate) fn check_memory(bytes: usize) -> PyResult<()> {
    const LARGE: usize = 64 * 1024;
    if bytes >= LARGE && Vec::<u8>::new().try_reserve_exact(bytes).is_err() {
        return Err(Error::NoMemory.into());
    }
    Ok(())
}

/// A copy of bytes.
#[inline]
pub(crate) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    let length = length(bytes.len())?;
    // SAFETY: Python copies that many bytes from there; a new reference to a `bytes`, or null.
    unsafe {
        owned(
            py,
            ffi::PyBytes_FromStringAndSize(bytes.as_ptr().cast(), length),
        )
    }
}

/// A copy of text.
#[inline]
pub(crate) fn text<'py>(py: Python<'py>, text: &str) -> PyResult<Bound<'py, PyString>> {
    PyString::from_bytes(py, text.as_bytes())
}

/// A list of these objects.
pub(crate) fn list<T>(py: Python<'_>, items: Vec<Py<T>>) -> PyResult<Bound<'_, PyList>> {
    let length = length(items.len())?;
    // SAFETY: a new reference to a `list` of that length with empty slots, or null.
    let list: Bound<'_, PyList> = unsafe { owned(py, ffi::PyList_New(length))? };
    for (slot, item) in (0..).zip(items) {
        // SAFETY: the slot exists, and no other code has seen the list; it takes over the reference.
        unsafe { ffi::PyList_SetItem(list.as_ptr(), slot, item.into_ptr()) };
    }
    Ok(list)
}

/// A tuple of these objects.
pub(crate) fn tuple<T>(py: Python<'_>, items: Vec<Py<T>>) -> PyResult<Bound<'_, PyTuple>> {
    let length = length(items.len())?;
    // SAFETY: a new reference to a `tuple` of that length with empty slots, or null.
    let tuple: Bound<'_, PyTuple> = unsafe { owned(py, ffi::PyTuple_New(length))? };
    for (slot, item) in (0..).zip(items) {
        // SAFETY: the slot exists, and no other code has seen the tuple; it takes over the reference.
        unsafe { ffi::PyTuple_SetItem(tuple.as_ptr(), slot, item.into_ptr()) };
    }
    Ok(tuple)
}

/// An empty dict.
pub(crate) fn dict(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    // SAFETY: a new reference to a `dict`, or null.
    unsafe { owned(py, ffi::PyDict_New()) }
}

/// Text that becomes a `str`.
pub(crate) struct Text<S>(pub(crate) S);

impl<'py, S: AsRef<str>> IntoPyObject<'py> for Text<S> {
    type Target = PyString;
    type Output = Bound<'py, PyString>;
    type Error = PyErr;

    fn into_pyobject(self, py: Python<'py>) -> PyResult<Self::Output> {
        text(py, self.0.as_ref())
    }
}
