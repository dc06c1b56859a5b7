//! What the calls for asyncio do, once at once and otherwise again and again until it is done.

use super::batch::Batch;
use super::breath;
use super::publisher::Publisher;
use super::receiving::Quickly;
use super::subscriber::Subscriber;
use crate::net::{Waiter, Watch};
use pyo3::exceptions::PyStopAsyncIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// How far a coroutine has come.
pub(super) enum Step {
    Done(Py<PyAny>),
    /// The task waits for this.
    Wait(Py<PyAny>),
    /// The others' turn; then it goes on.
    Breath,
}

/// Called once when something was found, before that is final; where it fails, what was found is
/// given back.
pub(super) type Commit<'a> = &'a mut dyn FnMut() -> PyResult<()>;

/// What a message is read as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Message,
    /// A message, where a close is the end and no error.
    Next,
    Text,
    Bytes,
}

pub(super) enum Deed {
    Receive(Py<Subscriber>, Form),
    ReceiveMany(Py<Subscriber>, usize),
    WaitConnected(Py<Subscriber>, Count),
    WaitForSubscribers(Py<Publisher>, Count, Option<Box<str>>),
    Send(Py<Publisher>, Box<Sending>),
    SendMany(Py<Publisher>, Box<Sending>, Batch),
}

/// How many must be there, and how many were at the last look.
pub(super) struct Count {
    pub(super) wanted: usize,
    pub(super) seen: usize,
}

/// What is being sent.
pub(super) struct Sending {
    /// `str` or `bytes`, which cannot change.
    pub(super) payload: Option<Py<PyAny>>,
    pub(super) topic: Option<Box<str>>,
    pub(super) sent: usize,
    /// Since when there has been no room.
    pub(super) full_since: Option<Instant>,
}

impl Deed {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Receive(_, Form::Message) => "Subscriber.arecv",
            Self::Receive(_, Form::Next) => "Subscriber.__anext__",
            Self::Receive(_, Form::Text) => "Subscriber.arecv_text",
            Self::Receive(_, Form::Bytes) => "Subscriber.arecv_bytes",
            Self::ReceiveMany(..) => "Subscriber.arecv_many",
            Self::WaitConnected(..) => "Subscriber.await_connected",
            Self::WaitForSubscribers(..) => "Publisher.await_for_subscribers",
            Self::Send(..) => "Publisher.asend",
            Self::SendMany(..) => "Publisher.asend_many",
        }
    }

    /// Which line to stand in; see `_loops.line`.
    pub(super) fn line(&self) -> &'static str {
        match self {
            Self::Receive(..) | Self::ReceiveMany(..) => "message",
            Self::WaitConnected(..) | Self::WaitForSubscribers(..) => "change",
            Self::Send(..) | Self::SendMany(..) => "room",
        }
    }

    pub(super) fn watched(&self, py: Python<'_>) -> Py<PyAny> {
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
    pub(super) fn at_once(&mut self, py: Python<'_>) -> PyResult<Option<Step>> {
        if let Self::Receive(subscriber, form) = self {
            match subscriber.get().quickly(py, *form)? {
                Quickly::Found(object) => return Ok(Some(Step::Done(object))),
                Quickly::Nothing => return Ok(None),
                Quickly::Occupied => {}
            }
        }
        self.look(py, None, true, &mut || Ok(()))
    }

    /// Looks; where that is in vain, the watch is set.
    pub(super) fn look(
        &mut self,
        py: Python<'_>,
        watch: Option<&Arc<Watch>>,
        first: bool,
        commit: Commit<'_>,
    ) -> PyResult<Option<Step>> {
        let found = match self {
            Self::Receive(subscriber, form) => {
                let subscriber = subscriber.get();
                let taken = py.detach(|| subscriber.core.take_or_watch(1, watch))?;
                subscriber.give_out(py, taken, *form, commit)?.pop()
            }
            Self::ReceiveMany(subscriber, max_count) => {
                let subscriber = subscriber.get();
                let taken = py.detach(|| subscriber.core.take_or_watch(*max_count, watch))?;
                let found = subscriber.give_out(py, taken, Form::Message, commit)?;
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
                breath::spent(py);
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
                    if breath::is_due() {
                        return Ok(Some(Step::Breath));
                    }
                }
                committed(py, commit);
                Some(sending.sent.into_pyobject(py)?.into_any().unbind())
            }
        };
        Ok(found.map(Step::Done))
    }

    /// How many messages the subscriber has received; 0 for what receives nothing.
    pub(super) fn received(&self, py: Python<'_>) -> u64 {
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => {
                let core = &subscriber.get().core;
                py.detach(|| core.received())
            }
            _ => 0,
        }
    }

    /// The error of a timeout. `before` is what `received` gave when the wait began.
    pub(super) fn timed_out(
        &mut self,
        py: Python<'_>,
        timeout: Option<f64>,
        before: Option<u64>,
    ) -> PyErr {
        let taken = before.map_or(0, |before| self.received(py).saturating_sub(before));
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => subscriber
                .get()
                .nothing_came(timeout.map(super::arguments::Seconds), taken, true, py),
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
    pub(super) fn ending(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match self {
            Self::Receive(subscriber, Form::Next)
                if subscriber.get().core.is_closed()
                    && super::error::is::<super::error::ClosedError>(py, &error) =>
            {
                PyStopAsyncIteration::new_err(())
            }
            _ => error,
        }
    }

    pub(super) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
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
    pub(super) fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }
}
