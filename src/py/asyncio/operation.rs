//! What the calls for asyncio do, once at once and otherwise again and again until it is done.

use crate::net::{ReadinessCallback, Waiter};
use crate::py::asyncio::fairness;
use crate::py::publisher::batch::Batch;
use crate::py::publisher::Publisher;
use crate::py::subscriber::receiving::TryRecv;
use crate::py::subscriber::Subscriber;
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// How far a coroutine has come.
pub(crate) enum Poll {
    Done(Py<PyAny>),
    /// The task waits for this.
    Waiter(Py<PyAny>),
    /// The others' turn; then it goes on.
    Breath,
}

/// Called once when something was found, before that is final; where it fails, what was found is
/// given back.
pub(crate) type Commit<'a> = &'a mut dyn FnMut() -> PyResult<()>;

/// What a message is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvAs {
    Message,
    /// A message, where a close is the end and no error.
    Next,
    Text,
    Bytes,
}

pub(crate) enum Operation {
    Receive(Py<Subscriber>, RecvAs),
    ReceiveMany(Py<Subscriber>, usize),
    WaitConnected(Py<Subscriber>, Count),
    WaitForSubscribers(Py<Publisher>, Count, Option<Box<str>>),
    Send(Py<Publisher>, Box<Sending>),
    SendMany(Py<Publisher>, Box<Sending>, Batch),
}

/// How many must be there, and how many were at the last look.
pub(crate) struct Count {
    pub(crate) wanted: usize,
    pub(crate) seen: usize,
}

/// What is being sent.
pub(crate) struct Sending {
    /// `str` or `bytes`, which cannot change.
    pub(crate) payload: Option<Py<PyAny>>,
    pub(crate) topic: Option<Box<str>>,
    pub(crate) sent: usize,
    /// Since when there has been no room.
    pub(crate) full_since: Option<Instant>,
}

impl Operation {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Receive(_, RecvAs::Message) => "Subscriber.arecv",
            Self::Receive(_, RecvAs::Next) => "Subscriber.__anext__",
            Self::Receive(_, RecvAs::Text) => "Subscriber.arecv_text",
            Self::Receive(_, RecvAs::Bytes) => "Subscriber.arecv_bytes",
            Self::ReceiveMany(..) => "Subscriber.arecv_many",
            Self::WaitConnected(..) => "Subscriber.await_connected",
            Self::WaitForSubscribers(..) => "Publisher.await_for_subscribers",
            Self::Send(..) => "Publisher.asend",
            Self::SendMany(..) => "Publisher.asend_many",
        }
    }

    /// Which line to stand in; see `_loops.line`.
    pub(crate) fn line(&self) -> &'static str {
        match self {
            Self::Receive(..) | Self::ReceiveMany(..) => "message",
            Self::WaitConnected(..) | Self::WaitForSubscribers(..) => "change",
            Self::Send(..) | Self::SendMany(..) => "room",
        }
    }

    pub(crate) fn watched(&self, py: Python<'_>) -> Py<PyAny> {
        match self {
            Self::Receive(subscriber, _)
            | Self::ReceiveMany(subscriber, _)
            | Self::WaitConnected(subscriber, _) => subscriber.clone_ref(py).into_any(),
            Self::WaitForSubscribers(publisher, ..)
            | Self::Send(publisher, _)
            | Self::SendMany(publisher, ..) => publisher.clone_ref(py).into_any(),
        }
    }

    /// The first look, mostly without letting go of the interpreter.
    #[inline]
    pub(crate) fn at_once(&mut self, py: Python<'_>) -> PyResult<Option<Poll>> {
        if let Self::Receive(subscriber, form) = self {
            match subscriber.get().quickly(py, *form)? {
                TryRecv::Found(object) => return Ok(Some(Poll::Done(object))),
                TryRecv::Nothing => return Ok(None),
                TryRecv::Occupied => {}
            }
        }
        self.look(py, None, true, &mut || Ok(()))
    }

    /// Looks; where that is in vain, the watch is set.
    pub(crate) fn look(
        &mut self,
        py: Python<'_>,
        watch: Option<&Arc<ReadinessCallback>>,
        first: bool,
        commit: Commit<'_>,
    ) -> PyResult<Option<Poll>> {
        let found = match self {
            Self::Receive(subscriber, form) => {
                let subscriber = subscriber.get();
                let taken = py.detach(|| subscriber.core.take_or_watch(1, watch))?;
                subscriber.give_out(py, taken, *form, commit)?.pop()
            }
            Self::ReceiveMany(subscriber, max_count) => {
                let subscriber = subscriber.get();
                let taken = py.detach(|| subscriber.core.take_or_watch(*max_count, watch))?;
                let found = subscriber.give_out(py, taken, RecvAs::Message, commit)?;
                if found.is_empty() {
                    None
                } else {
                    Some(found.into_pyobject(py)?.into_any().unbind())
                }
            }
            Self::WaitConnected(subscriber, count) => {
                let core = &subscriber.get().core;
                let wanted = count.wanted;
                count.seen = py.detach(|| core.connected_or_watch(wanted, watch, first))?;
                count.found(py, commit)?
            }
            Self::WaitForSubscribers(publisher, count, topic) => {
                let (core, topic) = (&publisher.get().core, topic.as_deref());
                let wanted = count.wanted;
                count.seen =
                    py.detach(|| core.subscribers_or_watch(wanted, topic, watch, first))?;
                count.found(py, commit)?
            }
            Self::Send(publisher, sending) => {
                if !publisher.get().put(py, sending, watch, first)? {
                    return Ok(None);
                }
                committed(py, commit);
                Some(py.None())
            }
            Self::SendMany(publisher, sending, batch) => {
                let publisher = publisher.get();
                fairness::spent(py);
                loop {
                    if sending.payload.is_none() {
                        let Some(item) = batch.next(py) else {
                            break;
                        };
                        let (payload, own) = item?;
                        if batch.has_topics() {
                            let own = own.as_ref().map(|own| own.to_str()).transpose()?;
                            sending.topic = own.map(Into::into);
                        }
                        sending.payload = Some(publisher.payload(&payload, sending.topic())?);
                    }
                    if !publisher.put(py, sending, watch, first)? {
                        return Ok(None);
                    }
                    sending.payload = None;
                    sending.sent += 1;
                    if fairness::is_due() {
                        return Ok(Some(Poll::Breath));
                    }
                }
                committed(py, commit);
                Some(sending.sent.into_pyobject(py)?.into_any().unbind())
            }
        };
        Ok(found.map(Poll::Done))
    }

    /// How many messages the subscriber has received; 0 for what receives nothing.
    pub(crate) fn received(&self, py: Python<'_>) -> u64 {
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => {
                let core = &subscriber.get().core;
                py.detach(|| core.received())
            }
            _ => 0,
        }
    }

    /// The error of a timeout. `before` is what `received` gave when the wait began.
    pub(crate) fn timed_out(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        before: Option<u64>,
    ) -> PyErr {
        let taken = before.map_or(0, |before| self.received(py).saturating_sub(before));
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => {
                subscriber.get().nothing_came(
                    timeout.map(crate::py::convert::args::Seconds),
                    taken,
                    true,
                    py,
                )
            }
            Self::WaitConnected(subscriber, count) => {
                let (seen, wanted) = (count.seen, count.wanted);
                let core = &subscriber.get().core;
                py.detach(|| core.too_few(seen, wanted, Waiter::Task))
                    .into()
            }
            Self::WaitForSubscribers(publisher, count, topic) => {
                let (seen, wanted) = (count.seen, count.wanted);
                let core = &publisher.get().core;
                py.detach(|| core.too_few(seen, wanted, topic.as_deref()))
                    .into()
            }
            Self::Send(publisher, sending) | Self::SendMany(publisher, sending, _) => {
                let core = &publisher.get().core;
                if let Some(since) = sending.full_since.take() {
                    core.has_blocked(since.elapsed());
                }
                core.stayed_full().into()
            }
        }
    }

    /// The error as the caller is to see it.
    pub(crate) fn ending(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match self {
            Self::Receive(subscriber, RecvAs::Next)
                if subscriber.get().core.is_closed()
                    && crate::py::error::is::<crate::py::error::ClosedError>(py, &error) =>
            {
                PyStopAsyncIteration::new_err(())
            }
            _ => error,
        }
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self {
            Self::Receive(subscriber, _)
            | Self::ReceiveMany(subscriber, _)
            | Self::WaitConnected(subscriber, _) => visit.call(subscriber),
            Self::WaitForSubscribers(publisher, ..) => visit.call(publisher),
            Self::Send(publisher, sending) => {
                visit.call(publisher)?;
                visit.call(&sending.payload)
            }
            Self::SendMany(publisher, sending, batch) => {
                visit.call(publisher)?;
                visit.call(&sending.payload)?;
                batch.traverse(visit)
            }
        }
    }
}

/// For what cannot be given back.
fn committed(py: Python<'_>, commit: Commit<'_>) {
    if let Err(error) = commit() {
        error.write_unraisable(py, None);
    }
}

impl Count {
    fn found(&self, py: Python<'_>, commit: Commit<'_>) -> PyResult<Option<Py<PyAny>>> {
        if self.seen < self.wanted {
            return Ok(None);
        }
        commit()?;
        Ok(Some(self.seen.into_pyobject(py)?.into_any().unbind()))
    }
}

impl Sending {
    pub(crate) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }
}
