//! How a message gets from Python to the core: at once if nothing can block, otherwise after a wait.

use crate::error::Result;
use crate::net::publisher::{OnFull, Publisher as Core};
use crate::net::{self, Deadline, ReadinessCallback};
use crate::py::convert::payload::PayloadBytes;
use crate::py::convert::zero_copy;
use crate::py::runtime::detach::detached;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::sync::Arc;
use std::time::Instant;

/// Sends Python's objects through the core.
pub(crate) struct Sender {
    pub(crate) core: Core,
}

/// The message that a coroutine sends.
pub(crate) struct PendingSend {
    /// `str` or `bytes`, which cannot change.
    pub(crate) payload: Option<Py<PyAny>>,
    pub(crate) topic: Option<Box<str>>,
    /// How many messages of the same call were sent before.
    pub(crate) sent: usize,
    /// Since when the queue has been full.
    pub(crate) full_since: Option<Instant>,
}

impl Sender {
    /// Sends one message, without detaching from the interpreter if nothing can block.
    pub(crate) fn send(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        topic: Option<&str>,
        deadline: impl FnOnce() -> Result<Deadline>,
    ) -> PyResult<()> {
        // The shortest path for the usual payload: a `PayloadBytes` would be written to memory.
        if let Ok(text) = payload.cast::<PyString>() {
            let bytes = text.to_str()?.as_bytes();
            self.core.check(bytes, topic)?;
            return self.hand_over(py, bytes.into(), topic, deadline);
        }
        let payload = PayloadBytes::new(payload)?;
        self.core.check(payload.bytes(), topic)?;
        if let Some(bytes) = payload.lendable() {
            return self.send_large(py, bytes, topic, deadline);
        }
        self.hand_over(py, payload.bytes().into(), topic, deadline)
    }

    /// Separate, so that the usual path stays short.
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
        let lender = can_borrow.then(|| zero_copy::lend(bytes)).flatten();
        let payload = net::Payload {
            bytes: bytes.as_bytes(),
            shared: lender.as_ref(),
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
                self.core.count_refusal();
                return Err(self.core.queue_full(0).into());
            }
            Some(Err(error)) => return Err(error.into()),
            // The queue is full, or another thread uses the publisher.
            Some(Ok(false)) | None => {}
        }
        let deadline = deadline()?;
        detached(py, |checkpoint| {
            self.core.send(payload, topic, deadline, checkpoint)
        })
    }

    /// A payload for a later send: checked, and an object that cannot change.
    pub(crate) fn checked(
        &self,
        object: &Bound<'_, PyAny>,
        topic: Option<&str>,
    ) -> PyResult<Py<PyAny>> {
        let payload = PayloadBytes::new(object)?;
        self.core.check(payload.bytes(), topic)?;
        Ok(match payload {
            PayloadBytes::Owned(bytes) => bytes.into_any().unbind(),
            PayloadBytes::Text(_) | PayloadBytes::Bytes(_) => object.clone().unbind(),
        })
    }

    /// Sends a coroutine's message if there is queue space. Otherwise it arms `readiness`.
    pub(crate) fn send_pending(
        &self,
        py: Python<'_>,
        pending: &mut PendingSend,
        readiness: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> PyResult<bool> {
        let Some(object) = &pending.payload else {
            return Ok(true);
        };
        let topic = pending.topic.as_deref();
        let payload = PayloadBytes::new(object.bind(py))?;
        let lender = payload
            .lendable()
            .filter(|_| self.core.can_borrow(topic))
            .and_then(zero_copy::lend);
        let frame = net::Payload {
            bytes: payload.bytes(),
            shared: lender.as_ref(),
            kind: None,
        };
        let blocks = self.core.on_full() == OnFull::Block;
        let sent = match (readiness, self.core.try_send(frame, topic)) {
            (_, Some(Ok(true))) => true,
            (_, Some(Err(error))) => return Err(error.into()),
            (None, Some(Ok(false))) if blocks => false,
            (_, Some(Ok(false))) if !blocks => {
                self.core.count_refusal();
                return Err(self.core.queue_full(pending.sent).into());
            }
            // Another thread uses the publisher, or the readiness callback must be armed.
            _ => py.detach(|| self.core.send_or_arm(frame, topic, readiness, first))?,
        };
        if sent {
            if let Some(since) = pending.full_since.take() {
                self.core.add_blocked_time(since.elapsed());
            }
        } else if !blocks {
            self.core.count_refusal();
            return Err(self.core.queue_full(pending.sent).into());
        } else {
            pending.full_since.get_or_insert_with(Instant::now);
        }
        Ok(sent)
    }

    /// Sends a message with a kind in its stamp. Returns the stamp, if no other thread sends at the
    /// same time.
    pub(crate) fn send_kind(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        kind: Option<&str>,
        topic: &str,
    ) -> PyResult<Vec<u8>> {
        let payload = PayloadBytes::new(payload)?;
        self.core.check(payload.bytes(), Some(topic))?;
        let message = net::Payload {
            bytes: payload.bytes(),
            shared: None,
            kind,
        };
        self.hand_over(py, message, Some(topic), || Ok(Deadline::after(None)))?;
        Ok(py.detach(|| self.core.last_stamp())?)
    }
}
