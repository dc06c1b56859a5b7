//! A message's first frame: the bytes, or what libzmq holds until somebody asks for them.
//!
//! A large frame owns its memory, unlike a small one, which may point into a connection's whole read
//! buffer. It is shared, not copied: who only looks at the topic, or hands the message on, never
//! pays for a copy.

use crate::net::SharedFrame;
use crate::py::convert::pybytes;
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use std::sync::OnceLock;

pub(crate) enum Body {
    Bytes(Py<PyBytes>),
    Frame(Box<Held>),
}

/// What libzmq holds, and the bytes once somebody asked for them.
pub(crate) struct Held {
    frame: SharedFrame,
    bytes: OnceLock<Py<PyBytes>>,
}

impl Body {
    /// What libzmq holds.
    #[cold]
    pub(crate) fn shared(frame: SharedFrame) -> Self {
        Self::Frame(Box::new(Held {
            frame,
            bytes: OnceLock::new(),
        }))
    }

    /// The bytes where they are.
    pub(crate) fn as_bytes<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(py),
            Self::Frame(held) => held.frame.bytes(),
        }
    }

    /// The bytes as an object, made when first asked for.
    pub(crate) fn object(&self, py: Python<'_>) -> PyResult<&Py<PyBytes>> {
        match self {
            Self::Bytes(bytes) => Ok(bytes),
            Self::Frame(held) => {
                if let Some(bytes) = held.bytes.get() {
                    return Ok(bytes);
                }
                let made = pybytes::bytes(py, held.frame.bytes())?.unbind();
                // Another thread may have been faster.
                Ok(held.bytes.get_or_init(|| made))
            }
        }
    }
}

impl From<Py<PyBytes>> for Body {
    fn from(bytes: Py<PyBytes>) -> Self {
        Self::Bytes(bytes)
    }
}
