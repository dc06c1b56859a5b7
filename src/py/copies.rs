//! Python's own copies of what libzmq holds.
//!
//! A copy is made while the subscriber's lock is held: nothing here runs code of Python's, and a lack
//! of memory is no panic.

use crate::error::Error;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// From here on Python may have no memory for a copy, and says so. Below that it would have none
/// for anything else either, and the simple way is faster.
const LARGE: usize = 1024 * 1024;

/// A copy of bytes; None where there is no memory for it.
#[inline]
pub(super) fn copy<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyBytes>> {
    if bytes.len() < LARGE {
        return Some(PyBytes::new(py, bytes));
    }
    let fill = |copy: &mut [u8]| {
        copy.copy_from_slice(bytes);
        Ok(())
    };
    PyBytes::new_with(py, bytes.len(), fill).ok()
}

/// A copy of bytes.
pub(super) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    Ok(copy(py, bytes).ok_or(Error::NoMemory)?)
}

/// Bytes as text, and whether all could be decoded; those that could not become U+FFFD. None where
/// there is no memory for it.
#[inline]
pub(super) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> Option<(Bound<'py, PyString>, bool)> {
    if bytes.is_ascii() && bytes.len() < LARGE {
        return ascii(py, bytes).map(|text| (text, true));
    }
    // Checked here first: an exception of Python's decoder could set off a garbage collection, and
    // with it code that comes back to the subscriber, whose lock is held.
    if let Ok(text) = std::str::from_utf8(bytes) {
        if text.len() < LARGE {
            return Some((PyString::new(py, text), true));
        }
        return Some((PyString::from_bytes(py, bytes).ok()?, true));
    }
    let text = String::from_utf8_lossy(bytes);
    Some((PyString::from_bytes(py, text.as_bytes()).ok()?, false))
}

/// A text of ASCII, whose bytes are its characters: nothing need be decoded.
#[inline]
fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len()).ok()?;
    // SAFETY: a new `str` of so many one-byte characters, if there is memory, which nobody else has
    // seen yet: it may be written, and each byte is a character below 128. The empty one is shared.
    unsafe {
        let text = ffi::PyUnicode_New(length, 0x7f);
        let Some(text) = Bound::from_owned_ptr_or_opt(py, text) else {
            ffi::PyErr_Clear();
            return None;
        };
        if !bytes.is_empty() {
            let start = ffi::PyUnicode_1BYTE_DATA(text.as_ptr());
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        }
        Some(text.cast_into_unchecked())
    }
}

/// Bytes as text, and whether all could be decoded.
pub(super) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyString>, bool)> {
    Ok(decode(py, bytes).ok_or(Error::NoMemory)?)
}
