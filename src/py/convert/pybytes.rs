//! Python objects with copies of libzmq's frames.
//!
//! A copy is made while the subscriber's lock is held. Invariant: nothing here runs Python code, and a
//! lack of memory is an error, not a panic.

use crate::error::Error;
use crate::py::convert::objects;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};

/// A copy of bytes; None if there is no memory for it.
#[inline]
pub(crate) fn copy<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyBytes>> {
    objects::bytes(py, bytes).ok()
}

/// A copy of bytes.
pub(crate) fn bytes<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyBytes>> {
    objects::bytes(py, bytes)
}

/// Bytes as text, and whether all were valid; invalid bytes become U+FFFD. None if there is no memory
/// for it.
#[inline]
pub(crate) fn decode<'py>(py: Python<'py>, bytes: &[u8]) -> Option<(Bound<'py, PyString>, bool)> {
    if bytes.is_ascii() {
        return ascii(py, bytes).map(|text| (text, true));
    }
    decode_utf8(py, bytes)
}

/// Separate, so that the path of ASCII stays short.
#[inline(never)]
fn decode_utf8<'py>(py: Python<'py>, bytes: &[u8]) -> Option<(Bound<'py, PyString>, bool)> {
    // Checked here first: an exception of Python's decoder could start a garbage collection, whose
    // code may call the subscriber while its lock is held.
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Some((objects::text(py, text).ok()?, true));
    }
    Some((objects::text(py, &lossy(bytes)?).ok()?, false))
}

/// Like `String::from_utf8_lossy`, which aborts the process if there is no memory.
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

/// ASCII text, whose bytes are its characters and need no decoding.
#[inline]
fn ascii<'py>(py: Python<'py>, bytes: &[u8]) -> Option<Bound<'py, PyString>> {
    let length = ffi::Py_ssize_t::try_from(bytes.len()).ok()?;
    // SAFETY: `text` is a new `str` of `length` one-byte characters that no other code has seen, so it
    // may be written. Each byte is a character below 128. The empty `str` is shared and not written.
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

/// Bytes as text, and whether all were valid.
pub(crate) fn text<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<(Bound<'py, PyString>, bool)> {
    Ok(decode(py, bytes).ok_or(Error::NoMemory)?)
}
