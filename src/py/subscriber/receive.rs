//! How a message gets from the core to Python: at once where one is there, else after a wait.
//!
//! Invariant: what could not be handed out, for want of memory or because a signal's handler raised,
//! is put back.

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

/// So many messages are read before other threads may have the interpreter.
const AT_A_TIME: usize = 1_024;

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
    Occupied,
}

impl TryRecv {
    fn of<T>(look: TryRead<'_, T>, make: impl FnOnce(T) -> PyResult<Py<PyAny>>) -> PyResult<Self> {
        Ok(match look {
            TryRead::Found(found) => Self::Received(make(found)?),
            TryRead::Empty(_) => Self::Empty,
            TryRead::Busy => Self::Occupied,
        })
    }
}

/// The core, and the ways out of it.
pub(crate) struct Receiver {
    pub(crate) core: Core,
}

impl Receiver {
    /// Reads the next message: what is there at once, without letting go of the interpreter; None
    /// on a timeout. `read` gives None where there is no memory for a copy, and makes
    /// nothing that Python's garbage collector could run code for.
    #[inline]
    pub(crate) fn next<T>(
        &self,
        timeout: Option<Seconds>,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> PyResult<Option<T>> {
        self.next_or_count(timeout, true, py, read, &mut 0)
    }

    /// The same; on a timeout `taken` counts the messages that other consumers took meanwhile.
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
            TryRead::Empty(place) => self.wait(place, timeout, py, read, taken),
            TryRead::Busy => self.wait(None, timeout, py, read, taken),
        }
    }

    /// Apart, so that the quick way stays short.
    #[cold]
    #[inline(never)]
    fn wait<T>(
        &self,
        place: Option<ReceiveWaiter<'_>>,
        timeout: Option<Seconds>,
        py: Python<'_>,
        read: impl Fn(&RawMessage) -> Option<T>,
        taken: &mut u64,
    ) -> PyResult<Option<T>> {
        let deadline = args::deadline(timeout)?;
        match detached(py, |checkpoint| self.core.recv(place, deadline, checkpoint))? {
            RecvOutcome::Message(received) => Ok(self.hand_out(py, vec![received], read)?.pop()),
            RecvOutcome::TimedOut { taken: count } => {
                *taken = count;
                Ok(None)
            }
        }
    }

    /// Reads what is there, up to `max_count` messages, or waits for the first.
    pub(crate) fn many<'py>(
        &self,
        py: Python<'py>,
        max_count: usize,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        let deadline = args::deadline(timeout)?;
        let waits = !matches!(timeout, Some(Seconds(0.0)));
        let made = |received: &RawMessage| self.made(py, received);
        let (mut found, mut taken) = (Vec::new(), Vec::new());
        let place = loop {
            let wanted = max_count - found.len();
            let waits = waits && found.is_empty();
            let (count, again) = (wanted.min(AT_A_TIME), wanted > AT_A_TIME);
            let look = self
                .core
                .try_read_many(count, waits, &mut found, &mut taken, made);
            match look {
                Ok(TryRead::Found(AT_A_TIME)) if again => {
                    if let Err(error) = py.check_signals() {
                        return Err(self.taken_back(py, taken, error));
                    }
                    py.detach(|| ());
                }
                // What was read is handed out; an error will show again.
                Ok(TryRead::Found(_)) => return self.listed(py, found, taken),
                _ if !found.is_empty() => return self.listed(py, found, taken),
                Ok(TryRead::Empty(None)) => return Err(self.timed_out(timeout, 0, false, py)),
                Ok(TryRead::Empty(place)) => break place,
                Ok(TryRead::Busy) => break None,
                Err(error) => return Err(error.into()),
            }
        };
        let mut others = 0;
        let received = if waits {
            match detached(py, |checkpoint| self.core.recv(place, deadline, checkpoint))? {
                RecvOutcome::Message(received) => Some(received),
                RecvOutcome::TimedOut { taken } => {
                    others = taken;
                    None
                }
            }
        } else {
            // Another thread was inside.
            py.detach(|| self.core.take(1))?.pop()
        };
        taken.push(received.ok_or_else(|| self.timed_out(timeout, others, false, py))?);
        // Once the first is here nothing may lose it: an object closed meanwhile gives no more.
        let more = py.detach(|| self.core.take(max_count - 1));
        taken.extend(more.unwrap_or_default());
        found.extend(taken.iter().map_while(made));
        if found.len() < taken.len() {
            return Err(self.taken_back(py, taken, Error::NoMemory.into()));
        }
        self.listed(py, found, taken)
    }

    /// A list of what was read. A signal is looked at last of all, as in `hand_out`.
    fn listed<'py>(
        &self,
        py: Python<'py>,
        found: Vec<Py<Message>>,
        taken: Vec<RawMessage>,
    ) -> PyResult<Bound<'py, PyList>> {
        let list = objects::list(py, found).and_then(|list| py.check_signals().map(|()| list));
        list.map_err(|error| self.taken_back(py, taken, error))
    }

    /// Puts back what cannot be handed out.
    fn taken_back(&self, py: Python<'_>, taken: Vec<RawMessage>, error: PyErr) -> PyErr {
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

    /// Reads messages that were taken, or puts all of them back. A signal that came with them is
    /// looked at here, last of all: what its handler raises would otherwise come up when the caller
    /// has them already, and they would be gone.
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
            Err(error) => Err(self.taken_back(py, taken, error)),
        }
    }

    /// The next message for a coroutine, if one is there and no other thread is inside.
    #[inline]
    pub(crate) fn try_recv(&self, py: Python<'_>, form: RecvAs) -> PyResult<TryRecv> {
        Ok(match form {
            RecvAs::Message | RecvAs::Next => {
                let look = self
                    .core
                    .try_read(false, true, |received| self.made(py, received))?;
                TryRecv::of(look, |message| Ok(message.into_any()))?
            }
            RecvAs::Text => {
                let read = |received: &RawMessage| pybytes::decode(py, received.first.bytes());
                let look = self.core.try_read(false, false, read)?;
                TryRecv::of(look, |text| Ok(self.counted(text)))?
            }
            RecvAs::Bytes => {
                let read = |received: &RawMessage| pybytes::copy(py, received.first.bytes());
                let look = self.core.try_read(false, false, read)?;
                TryRecv::of(look, |bytes| Ok(bytes.into_any().unbind()))?
            }
        })
    }

    /// Messages that were taken, for a coroutine; all of them are put back where that fails.
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
                let found = self.hand_out(py, taken, |received| self.made(py, received))?;
                Ok(found.into_iter().map(Py::into_any).collect())
            }
            RecvAs::Text => {
                let read = |received: &RawMessage| pybytes::decode(py, received.first.bytes());
                let found = self.hand_out(py, taken, read)?;
                Ok(found.into_iter().map(|text| self.counted(text)).collect())
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

    /// A text, counted if bytes in it were replaced.
    fn counted(&self, (text, whole): (Bound<'_, PyString>, bool)) -> Py<PyAny> {
        if !whole {
            self.core.undecodable().fetch_add(1, Ordering::Relaxed);
        }
        text.into_any().unbind()
    }

    /// The error of a timeout, for a thread or a task of an event loop. `taken` counts the messages
    /// that another consumer took meanwhile.
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
            return Error::Timeout("no message is waiting".into()).into();
        }
        let by = if is_task {
            WaitKind::Task
        } else {
            WaitKind::Thread(Duration::try_from_secs_f64(waited).unwrap_or(Duration::MAX))
        };
        py.detach(|| self.core.no_message(taken, by)).into()
    }

    /// A message as an object, made where it stays: moved from call to call it would cost twice as
    /// much. The garbage collector does not look after messages, so that none sets it off.
    #[inline]
    pub(crate) fn made(&self, py: Python<'_>, received: &RawMessage) -> Option<Py<Message>> {
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
