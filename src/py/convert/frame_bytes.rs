//! A message's first frame: Python bytes, or libzmq's frame until the bytes are needed.
//!
//! A large frame owns its memory, unlike a small one, which may point into a connection's whole read
//! buffer. It is shared, not copied: reading the topic or forwarding the message costs no copy.

use crate::net::SharedFrame;
use crate::py::convert::pybytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::OnceLock;

pub(crate) enum FrameBytes {
    Bytes(Py<PyBytes>),
    Shared(Box<Shared>),
}

/// A frame of libzmq, and its bytes once they were needed.
pub(crate) struct Shared {
    frame: SharedFrame,
    bytes: OnceLock<Py<PyBytes>>,
}

impl FrameBytes {
    #[cold]
    pub(crate) fn shared(frame: SharedFrame) -> Self {
        Self::Shared(Box::new(Shared {
            frame,
            bytes: OnceLock::new(),
        }))
    }

    /// The bytes, without a copy.
    pub(crate) fn as_bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(py),
            Self::Shared(shared) => shared.frame.bytes(),
        }
    }

    /// The bytes as an object, created by the first call.
    pub(crate) fn object(&self, py: Python<'_>) -> PyResult<&Py<PyBytes>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Shared(shared) => {
                if let Some(bytes) = shared.bytes.get() {
                    return Ok(bytes);
                }
                let made = pybytes::bytes(py, shared.frame.bytes())?.unbind();
                // Another thread may have created them meanwhile.
                Ok(shared.bytes.get_or_init(|| made))
            }
        }
    }
}

impl From<Py<PyBytes>> for FrameBytes {
    fn from(bytes: Py<PyBytes>) -> Self {
        Self::Bytes(bytes)
    }
}
