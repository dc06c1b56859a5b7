//! `Message.view`: the payload's bytes where they are.
//!
//! Invariant: what is shown never changes or moves while somebody looks at it. A message is frozen,
//! and the view holds the message.

use crate::py::message::Message;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;
use std::ffi::c_int;

/// What a memoryview looks at. Apart from `Message`, which is no buffer itself: `send(message)` would
/// take it for one, and leave its topic behind.
#[pyclass(frozen, name = "_Payload", module = "zmqchat_rs")]
pub(crate) struct Shown {
    message: Py<Message>,
}

#[pymethods]
impl Shown {
    /// Python's buffer protocol can only be spoken in its own terms; this is all of it that is here.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        buffer: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let payload = slf.get().message.get().payload(slf.py());
        let length = ffi::Py_ssize_t::try_from(payload.len())?;
        let read_only = 1;
        // SAFETY: Python hands over a buffer to fill in, which then holds this object, and with it the
        // message whose bytes these are. They are read only.
        let done = unsafe {
            let start = payload.as_ptr().cast_mut().cast();
            ffi::PyBuffer_FillInfo(buffer, slf.as_ptr(), start, length, read_only, flags)
        };
        if done == -1 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

#[pymethods]
impl Message {
    /// The payload's bytes, like `data`, where they are: a read-only memoryview, made without a copy.
    ///
    /// For large payloads: `numpy.frombuffer(message.view, dtype="float32")` costs the same whatever
    /// the size. It keeps the message's memory as long as it lives.
    #[getter]
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        let message = slf.clone().unbind();
        let payload = Bound::new(slf.py(), Shown { message })?;
        PyMemoryView::from(payload.as_any())
    }
}
