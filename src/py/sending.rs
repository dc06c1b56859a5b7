//! How a message gets from Python to the core: at once where nothing can block, else by a wait.

use super::arguments::Payload;
use super::lending;
use super::publisher::Publisher;
use super::waiting::detached;
use crate::error::Result;
use crate::net::publisher::OnFull;
use crate::net::{self, Deadline};
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
