//! How a message gets from the core to Python: at once if one is queued, otherwise after a wait.
//!
//! Invariant: a message that cannot be delivered, because there is no memory or a signal handler
//! raised, is queued again.

use crate::error::Error;
use crate::net::subscriber::{ReceiveWaiter, RecvOutcome, Subscriber as Core, TryRead};
use crate::net::{RawMessage, WaitKind};
use crate::py::asyncio::operation::Commit;
use crate::py::convert::args::{self, Seconds};
use crate::py::convert::objects;
use crate::py::convert::pybytes;
use crate::py::message::Message;
use crate::py::runtime::detach::detached;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How many messages are read before other threads may attach to the interpreter.
const BATCH: usize = 1_024;

/// What a message is received as.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RecvAs {
    Message,
    /// A message; a close ends the iteration.
    Next,
    Text,
    Bytes,
}

/// The outcome of an attempt that never waits.
pub(crate) enum TryRecv {
    Received(Py<PyAny>),
    Empty,
    /// Another thread uses the subscriber.
    Busy,
}

impl TryRecv {
    fn of<T>(
        attempt: TryRead<'_, T>,
        make: impl FnOnce(T) -> PyResult<Py<PyAny>>,
    ) -> PyResult<Self> {
        Ok(match attempt {
            TryRead::Found(found) => Self::Received(make(found)?),
            TryRead::Empty(_) => Self::Empty,
            TryRead::Busy => Self::Busy,
        })
    }
}

/// Receives Python objects through the core.
pub(crate) struct Receiver {
    pub(crate) core: Core,
}

impl Receiver {
    /// Reads the next message, without detaching from the interpreter if one is queued. None on a
    /// timeout. `read` returns None if there is no memory for a copy, and creates no object that
    /// could start Python's garbage collector.
    #[inline]
    pub(crate) fn next<T>(
        &self,
        timeout: Option<Seconds>,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> PyResult<Option<T>> {
        self.next_or_count(timeout, true, py, read, &mut 0)
    }

    /// Like `next`; on a timeout `taken` is the number of messages that other consumers took.
    #[inline]
    fn next_or_count<T>(
        &self,
        timeout: Option<Seconds>,
        wants_topic: bool,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
        taken: &mut u64,
    ) -> PyResult<Option<T>> {
        args::check_seconds("timeout", timeout)?;
        let waits = !matches!(timeout, Some(Seconds(0.0)));
        match self.core.try_read(waits, wants_topic, &read)? {
            TryRead::Found(found) => Ok(Some(found)),
            TryRead::Empty(None) => Ok(None),
            TryRead::Empty(waiter) => self.wait(waiter, timeout, py, read, taken),
            TryRead::Busy => self.wait(None, timeout, py, read, taken),
        }
    }

    /// Separate, so that the usual path stays short.
    #[cold]
    #[inline(never)]
    fn wait<T>(
        &self,
        waiter: Option<ReceiveWaiter<'_>>,
        timeout: Option<Seconds>,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
        taken: &mut u64,
    ) -> PyResult<Option<T>> {
        let deadline = args::deadline(timeout)?;
        match detached(py, |checkpoint| {
            self.core.recv(waiter, deadline, checkpoint)
        })? {
            RecvOutcome::Message(received) => Ok(self.hand_out(py, vec![received], read)?.pop()),
            RecvOutcome::TimedOut { taken: count } => {
                *taken = count;
                Ok(None)
            }
        }
    }

    /// Reads the queued messages, up to `max_count`, or waits for the first.
    pub(crate) fn many<'py>(
        &self,
        py: Python<'py>,
        max_count: usize,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        let deadline = args::deadline(timeout)?;
        let waits = !matches!(timeout, Some(Seconds(0.0)));
        let create = |received: &RawMessage| self.create(py, received);
        let (mut found, mut taken) = (Vec::new(), Vec::new());
        let waiter = loop {
            let wanted = max_count - found.len();
            let waits = waits && found.is_empty();
            let (count, again) = (wanted.min(BATCH), wanted > BATCH);
            let attempt = self
                .core
                .try_read_many(count, waits, &mut found, &mut taken, create);
            match attempt {
                Ok(TryRead::Found(BATCH)) if again => {
                    if let Err(error) = py.check_signals() {
                        return Err(self.put_back(py, taken, error));
                    }
                    py.detach(|| ());
                }
                // Messages that were read are delivered; the next call raises the error again.
                Ok(TryRead::Found(_)) => return self.listed(py, found, taken),
                _ if !found.is_empty() => return self.listed(py, found, taken),
                Ok(TryRead::Empty(None)) => return Err(self.timed_out(timeout, 0, false, py)),
                Ok(TryRead::Empty(waiter)) => break waiter,
                Ok(TryRead::Busy) => break None,
                Err(error) => return Err(error.into()),
            }
        };
        let mut taken_by_others = 0;
        let received = if waits {
            match detached(py, |checkpoint| {
                self.core.recv(waiter, deadline, checkpoint)
            })? {
                RecvOutcome::Message(received) => Some(received),
                RecvOutcome::TimedOut { taken } => {
                    taken_by_others = taken;
                    None
                }
            }
        } else {
            // Another thread used the subscriber.
            py.detach(|| self.core.take(1))?.pop()
        };
        taken.push(received.ok_or_else(|| self.timed_out(timeout, taken_by_others, false, py))?);
        // The first message must not be lost, even if the subscriber was closed meanwhile.
        let more = py.detach(|| self.core.take(max_count - 1));
        taken.extend(more.unwrap_or_default());
        found.extend(taken.iter().map_while(create));
        if found.len() < taken.len() {
            return Err(self.put_back(py, taken, Error::NoMemory.into()));
        }
        self.listed(py, found, taken)
    }

    /// A list of the messages that were read. Signals are checked last, as in `hand_out`.
    fn listed<'py>(
        &self,
        py: Python<'py>,
        found: Vec<Py<Message>>,
        taken: Vec<RawMessage>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = objects::list(py, found).and_then(|list| py.check_signals().map(|()| list));
        list.map_err(|error| self.put_back(py, taken, error))
    }

    /// Queues messages again that cannot be delivered.
    fn put_back(&self, py: Python<'_>, taken: Vec<RawMessage>, error: PyErr) -> PyErr {
        py.detach(|| self.core.put_back(taken));
        error
    }

    /// Like `next`; a timeout is an error.
    #[inline]
    pub(crate) fn expect<T>(
        &self,
        timeout: Option<Seconds>,
        wants_topic: bool,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> PyResult<T> {
        let mut taken = 0;
        match self.next_or_count(timeout, wants_topic, py, read, &mut taken)? {
            Some(found) => Ok(found),
            None => Err(self.timed_out(timeout, taken, false, py)),
        }
    }

    /// Reads messages that were taken, or queues all of them again. Signals are checked last: if a
    /// handler raised after this returned, the messages would be lost.
    pub(crate) fn hand_out<T>(
        &self,
        py: Python<'_>,
        taken: Vec<RawMessage>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> PyResult<Vec<T>> {
        let mut found = Vec::with_capacity(taken.len());
        found.extend(taken.iter().map_while(read));
        let outcome = if found.len() == taken.len() {
            py.check_signals()
        } else {
            Err(Error::NoMemory.into())
        };
        match outcome {
            Ok(()) => Ok(found),
            Err(error) => Err(self.put_back(py, taken, error)),
        }
    }

    /// The next message for a coroutine, if one is queued and no other thread uses the subscriber.
    #[inline]
    pub(crate) fn try_recv(&self, py: Python<'_>, form: RecvAs) -> PyResult<TryRecv> {
        Ok(match form {
            RecvAs::Message | RecvAs::Next => {
                let attempt = self
                    .core
                    .try_read(false, true, |received| self.create(py, received))?;
                TryRecv::of(attempt, |message| Ok(message.into_any()))?
            }
            RecvAs::Text => {
                let read = |received: &RawMessage| pybytes::decode(py, received.first.bytes());
                let attempt = self.core.try_read(false, false, read)?;
                TryRecv::of(attempt, |text| Ok(self.counted_text(text)))?
            }
            RecvAs::Bytes => {
                let read = |received: &RawMessage| pybytes::copy(py, received.first.bytes());
                let attempt = self.core.try_read(false, false, read)?;
                TryRecv::of(attempt, |bytes| Ok(bytes.into_any().unbind()))?
            }
        })
    }

    /// Messages that were taken, for a coroutine. All of them are queued again if that fails.
    pub(crate) fn hand_to_task(
        &self,
        py: Python<'_>,
        taken: Vec<RawMessage>,
        form: RecvAs,
        commit: Commit<'_>,
    ) -> PyResult<Vec<Py<PyAny>>> {
        if taken.is_empty() {
            return Ok(Vec::new());
        }
        if let Err(error) = commit() {
            py.detach(|| self.core.put_back(taken));
            return Err(error);
        }
        match form {
            RecvAs::Message | RecvAs::Next => {
                let found = self.hand_out(py, taken, |received| self.create(py, received))?;
                Ok(found.into_iter().map(Py::into_any).collect())
            }
            RecvAs::Text => {
                let read = |received: &RawMessage| pybytes::decode(py, received.first.bytes());
                let found = self.hand_out(py, taken, read)?;
                Ok(found
                    .into_iter()
                    .map(|text| self.counted_text(text))
                    .collect())
            }
            RecvAs::Bytes => {
                let read = |received: &RawMessage| pybytes::copy(py, received.first.bytes());
                let found = self.hand_out(py, taken, read)?;
                Ok(found
                    .into_iter()
                    .map(|bytes| bytes.into_any().unbind())
                    .collect())
            }
        }
    }

    /// The text as an object. It is counted if bytes were replaced.
    fn counted_text(&self, (text, is_valid): (Bound<'_, PyString>, bool)) -> Py<PyAny> {
        if !is_valid {
            self.core.undecodable().fetch_add(1, Ordering::Relaxed);
        }
        text.into_any().unbind()
    }

    /// The error of a timeout, for a thread or a task of an event loop. `taken` is the number of
    /// messages that other consumers took meanwhile.
    #[cold]
    pub(crate) fn timed_out(
        &self,
        timeout: Option<Seconds>,
        taken: u64,
        is_task: bool,
        py: Python<'_>,
    ) -> PyErr {
        let waited = timeout.map_or(0.0, |Seconds(seconds)| seconds);
        if timeout.is_some() && waited == 0.0 {
            return Error::Timeout("no message is queued".into()).into();
        }
        let by = if is_task {
            WaitKind::Task
        } else {
            WaitKind::Thread(Duration::try_from_secs_f64(waited).unwrap_or(Duration::MAX))
        };
        py.detach(|| self.core.no_message(taken, by)).into()
    }

    /// A message as an object, created in waiter: moving it from call to call would double its cost.
    /// Messages are not tracked by the garbage collector, so that creating one never starts it.
    #[inline]
    pub(crate) fn create(&self, py: Python<'_>, received: &RawMessage) -> Option<Py<Message>> {
        Py::new(py, self.message(py, received)?).ok()
    }

    #[inline]
    pub(crate) fn message(&self, py: Python<'_>, received: &RawMessage) -> Option<Message> {
        Message::from_received(
            py,
            received,
            self.core.framing(),
            self.core.undecodable(),
            self.core.owned_above(),
        )
    }
}
