//! Python's own copies of what libzmq holds.
//!
//! A copy is made while the subscriber's lock is held: nothing here runs code of Python's, and a lack
//! of memory is no panic.

use crate::error::Error;
use crate::py::convert::objects;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A copy of bytes; None where there is no memory for it.
#[inline]
pub(crate) fn copy<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyBytes>> {
    objects::bytes(py, bytes).ok()
}

/// A copy of bytes.
pub(crate) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    objects::bytes(py, bytes)
}

/// Bytes as text, and whether all could be decoded; those that could not become U+FFFD. None where
/// there is no memory for it.
#[inline]
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> Option<(Bound<'py, PyString>, bool)> {
    if bytes.is_ascii() {
        return ascii(py, bytes).map(|text| (text, true));
    }
    // Checked here first: an exception of Python's decoder could set off a garbage collection, and
    // with it code that comes back to the subscriber, whose lock is held.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some((objects::text(py, text).ok()?, true));
    }
    Some((objects::text(py, &lossy(bytes)?).ok()?, false))
}

/// Like `String::from_utf8_lossy`, which ends the process where there is no memory.
fn lossy(bytes: &[u8]) -> Option<String> {
    let mut text = String::new();
    text.try_reserve(bytes.len()).ok()?;
    for chunk in bytes.utf8_chunks() {
        text.try_reserve(chunk.valid().len() + '\u{fffd}'.len_utf8())
            .ok()?;
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push('\u{fffd}');
        }
    }
    Some(text)
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
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyString>, bool)> {
    Ok(decode(py, bytes).ok_or(Error::NoMemory)?)
}
