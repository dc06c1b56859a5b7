//! The payload of a message: `str`, `bytes`, or any other buffer.

use crate::py::convert::args::type_name;
use crate::py::convert::zero_copy;
use crate::py::error::import;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// Refuses buffers whose bytes are useless to a receiver: a NumPy number, and pointers into this
/// process's memory.
fn refuse_numbers_and_pointers(object: &Bound<'_, PyAny>, view: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let format = view.getattr(intern!(py, "format"))?;
    let format = format.extract::<&str>()?;
    let name = type_name(object);
    if holds_pointers(format) {
        return Err(PyTypeError::new_err(format!(
            "this {name} holds Python objects or pointers (format {format:?}), which no other process \
             can read: convert it to numbers, for example array.astype(float), or use send_json"
        )));
    }
    // A ctypes number has no `__float__`, and a record has fields.
    let is_number = view.getattr(intern!(py, "ndim"))?.extract::<usize>()? == 0
        && !format.contains(['{', 'x'])
        && object.hasattr(intern!(py, "__float__"))?;
    if is_number {
        return Err(PyTypeError::new_err(format!(
            "a payload is str, bytes or a buffer, not a number ({name}): pass str(x) for text, use \
             send_json(x.item()), or use pack_array(x) to keep its type"
        )));
    }
    if is_time(object)? {
        return Err(PyTypeError::new_err(format!(
            "a payload is str, bytes or a buffer, not a time ({name}): pass str(x) for text, or use \
             pack_array(x) to keep its type"
        )));
    }
    Ok(())
}

/// Whether it is a `datetime64` or `timedelta64`, which NumPy exports as bytes without a format.
fn is_time(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let Some(dtype) = object.getattr_opt(intern!(py, "dtype"))? else {
        return Ok(false);
    };
    match dtype.getattr_opt(intern!(py, "kind"))? {
        Some(kind) => Ok(kind.eq("m")? || kind.eq("M")?),
        None => Ok(false),
    }
}

/// Whether a buffer's format (PEP 3118, and that of ctypes) has an item that is a pointer.
fn holds_pointers(format: &str) -> bool {
    // `T{d:name:O:other:}`: names are between colons.
    format.split(':').step_by(2).any(|types| {
        types.contains(['O', '&', 'P', 'X', 'z'])
            // `wchar_t *` of ctypes; before a letter it is a complex number.
            || types.ends_with('Z')
    })
}

/// A payload's bytes.
pub(crate) enum PayloadBytes<'a, 'py> {
    /// Borrowed from a `str`, which cannot change.
    Text(&'a [u8]),
    /// Python bytes, which cannot change.
    Bytes(&'a Bound<'py, PyBytes>),
    /// Copied from a buffer, which can change.
    Owned(Bound<'py, PyBytes>),
}

impl<'a, 'py> PayloadBytes<'a, 'py> {
    #[inline]
    pub(crate) fn new(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self::Text(text.to_str()?.as_bytes()));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        Self::of_buffer(object)
    }

    /// The bytes in C order, for any item type, strides and shape. Separate, so that the usual path
    /// stays short.
    #[cold]
    #[inline(never)]
    fn of_buffer(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let view = import(py, intern!(py, "builtins"))?
            .getattr(intern!(py, "memoryview"))?
            .call1((object,))
            .map_err(|error| {
                // The error of a released or closed buffer is clear.
                if !error.is_instance_of::<PyTypeError>(py) {
                    return error;
                }
                PyTypeError::new_err(format!(
                    "a payload is str, bytes or a buffer (such as bytearray or a NumPy array), not \
                     {name}: pass str(payload), or use send_json",
                    name = type_name(object)
                ))
            })?;
        refuse_numbers_and_pointers(object, &view)?;
        let bytes = view.call_method0(intern!(py, "tobytes"))?;
        Ok(Self::Owned(bytes.cast_into::<PyBytes>()?))
    }

    /// Bytes that are large enough to be sent without a copy.
    #[inline]
    pub(crate) fn lendable(&self) -> Option<&'a Bound<'py, PyBytes>> {
        match self {
            Self::Bytes(bytes) if bytes.as_bytes().len() >= zero_copy::MIN_BYTES => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Text(bytes) => bytes,
            Self::Owned(bytes) => bytes.as_bytes(),
        }
    }
}
