//! How a message gets from Python to the core: at once where nothing can block, else by a wait.

use super::arguments::Payload;
use super::lending;
use super::publisher::Publisher;
use super::waiting::detached;
use crate::error::{Error, Result};
use crate::net::publisher::OnFull;
use crate::net::{self, Deadline};
use crate::wire::stamp;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

impl Publisher {
    /// Sends one message: without letting go of the interpreter where nothing can block.
    pub(super) fn send_one(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        topic: Option<&str>,
        deadline: impl FnOnce() -> Result<Deadline>,
    ) -> PyResult<()> {
        let payload = Payload::new(payload)?;
        self.core.check(payload.bytes(), topic)?;
        if let Some(bytes) = payload.worth_lending() {
            return self.send_large(py, bytes, topic, deadline);
        }
        self.hand_over(py, payload.bytes().into(), topic, deadline)
    }

    /// Apart, so that the way of most messages stays short.
    #[cold]
    #[inline(never)]
    fn send_large(
        &self,
        py: Python<'_>,
        bytes: &Bound<'_, PyBytes>,
        topic: Option<&str>,
        deadline: impl FnOnce() -> Result<Deadline>,
    ) -> PyResult<()> {
        let can_borrow = self.core.can_borrow(topic);
        let lender = can_borrow.then(|| lending::lend(bytes)).flatten();
        let payload = net::Payload {
            bytes: bytes.as_bytes(),
            lender: lender.as_ref(),
            kind: None,
        };
        self.hand_over(py, payload, topic, deadline)
    }

    #[inline]
    fn hand_over(
        &self,
        py: Python<'_>,
        payload: net::Payload<'_>,
        topic: Option<&str>,
        deadline: impl FnOnce() -> Result<Deadline>,
    ) -> PyResult<()> {
        match self.core.try_send(payload, topic) {
            Some(Ok(true)) => return Ok(()),
            Some(Ok(false)) if self.core.on_full() == OnFull::Raise => {
                self.core.refuse();
                return Err(self.core.full(0).into());
            }
            Some(Err(error)) => return Err(error.into()),
            // The queue is full, or another thread is inside.
            Some(Ok(false)) | None => {}
        }
        let deadline = deadline()?;
        detached(py, |checkpoint| {
            self.core.send(payload, topic, deadline, checkpoint)
        })
    }
}

#[pymethods]
impl Publisher {
    /// Sends a message of this kind, None for an ordinary one, for `chat`; gives the stamp that it
    /// went out with, if no other thread sends at the same time.
    #[pyo3(signature = (payload, kind, *, topic))]
    fn _send_kind<'py>(
        &self,
        py: Python<'py>,
        payload: &Bound<'_, PyAny>,
        kind: Option<&str>,
        topic: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(kind) = kind {
            stamp::check_kind(kind)?;
            if self.name().is_none() {
                let text = "only a publisher with a name says of what kind a message is";
                return Err(Error::Value(text.into()).into());
            }
        }
        let payload = Payload::new(payload)?;
        self.core.check(payload.bytes(), Some(topic))?;
        let message = net::Payload {
            bytes: payload.bytes(),
            lender: None,
            kind,
        };
        self.hand_over(py, message, Some(topic), || Ok(Deadline::after(None)))?;
        let stamp = py.detach(|| self.core.last_stamp())?;
        Ok(PyBytes::new(py, &stamp))
    }
}
