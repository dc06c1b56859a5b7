//! `TranscriptReader`: messages from a file.

use crate::error::{Error, Result};
use crate::py::convert::args::{self, seconds, Seconds};
use crate::py::convert::arrow;
use crate::py::convert::objects;
use crate::py::message::Message;
use crate::py::runtime::detach::detached_io;
use crate::py::runtime::display::{data_frame, pretty_transcript, shown, warn};
use crate::table::TableBuilder;
use crate::transcript::{self, Entry};
use crate::util::time::Checkpoint;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

/// How many messages are read at a time.
const BATCH: usize = 128;
/// How often who reads all of it looks for signals.
const CHECK: Duration = Duration::from_millis(50);

/// The messages of a transcript, one by one; made by `read_transcript`.
///
/// Iterating ends with the file, or, where it follows the file, when somebody closes it. Any threads
/// may share it; each message goes to one of them. Leaving its `with` block closes it.
#[pyclass(frozen, module = "zmqchat_rs")]
pub(crate) struct TranscriptReader {
    path: PathBuf,
    state: Mutex<Reading>,
    messages: AtomicU64,
    skipped: AtomicU64,
    closed: AtomicBool,
}

struct Reading {
    /// None once it is closed.
    reader: Option<transcript::Reader>,
    ready: VecDeque<Entry>,
}

impl TranscriptReader {
    /// The next message, and the warning that is due.
    fn wait(
        &self,
        limit: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(Option<Entry>, Option<String>)> {
        let mut state = self.hold(checkpoint)?;
        let warning = self.fill(&mut state, limit, checkpoint)?;
        Ok((state.ready.pop_front(), warning))
    }

    fn hold(&self, checkpoint: Checkpoint<'_>) -> Result<MutexGuard<'_, Reading>> {
        loop {
            match self.state.try_lock() {
                Ok(state) => return Ok(state),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    checkpoint()?;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// Sees to it that messages are ready, if there are any; the warning that is due.
    fn fill(
        &self,
        state: &mut Reading,
        limit: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Option<String>> {
        let Reading { reader, ready } = state;
        if self.closed.load(Ordering::SeqCst) {
            *reader = None;
            ready.clear();
            return Ok(None);
        }
        let (true, Some(reader)) = (ready.is_empty(), reader.as_mut()) else {
            return Ok(None);
        };
        let entries = reader.next(BATCH, limit, &mut || {
            if self.closed.load(Ordering::SeqCst) {
                return Err(Error::Closed(String::new()));
            }
            checkpoint()
        });
        match entries {
            Ok(entries) => ready.extend(entries),
            Err(Error::Closed(text)) if text.is_empty() => {}
            Err(error) => return Err(error),
        }
        self.messages.store(reader.parsed(), Ordering::Relaxed);
        self.skipped.store(reader.skipped(), Ordering::Relaxed);
        Ok(reader.take_first_skipped().map(|(path, line)| {
            format!(
                "line {line} of '{}' is no whole message; such lines are passed over",
                path.display()
            )
        }))
    }

    /// Adds all messages that are there to a table. They are gone then, whatever comes of it.
    pub(crate) fn drain_into(&self, py: Python<'_>, table: &mut TableBuilder) -> PyResult<()> {
        let mut warnings = Vec::new();
        let outcome = detached_io(py, |checkpoint| {
            let mut state = self.hold(checkpoint)?;
            let mut checked = Instant::now();
            loop {
                warnings.extend(self.fill(&mut state, Some(Duration::ZERO), checkpoint)?);
                if state.ready.is_empty() {
                    return Ok(());
                }
                for entry in state.ready.drain(..) {
                    let meaning = entry.interpret();
                    table.push(entry.received_ns, &meaning, meaning.payload(&entry.frames))?;
                }
                // Not each time: to attach may take a while where other threads are busy.
                if checked.elapsed() >= CHECK {
                    checkpoint()?;
                    checked = Instant::now();
                }
            }
        });
        for text in warnings {
            warn(py, &text)?;
        }
        outcome
    }

    /// The messages that are left, as an Arrow stream.
    pub(crate) fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let mut builder = TableBuilder::default();
        self.drain_into(py, &mut builder)?;
        let table = py.detach(|| builder.finish(false))?;
        arrow::stream(py, Arc::new(table))
    }

    fn next(&self, py: Python<'_>, limit: Option<Duration>) -> PyResult<Option<Message>> {
        if !self.closed.load(Ordering::SeqCst) {
            if let Ok(mut state) = self.state.try_lock() {
                if let Some(entry) = state.ready.pop_front() {
                    return restored(py, entry).map(Some);
                }
            }
        }
        let (entry, warning) = detached_io(py, |checkpoint| self.wait(limit, checkpoint))?;
        if let Some(text) = warning {
            warn(py, &text)?;
        }
        entry.map(|entry| restored(py, entry)).transpose()
    }
}

#[pymethods]
impl TranscriptReader {
    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Message>> {
        self.next(py, None)
    }

    /// How many lines were passed over so far, as they are no whole messages. Empty lines and those
    /// that begin with `#` do not count.
    #[getter]
    fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// What is left of the messages, as a pandas DataFrame; see `MessageTable.to_pandas`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If pandas is not installed; the text says what to install.
    #[pyo3(signature = (*, json = false))]
    fn to_pandas<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_pandas", json)
    }

    /// What is left of the messages, as a Polars DataFrame; see `MessageTable.to_polars`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If Polars is not installed; the text says what to install.
    #[pyo3(signature = (*, json = false))]
    fn to_polars<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_polars", json)
    }

    /// What is left of the messages for a library that reads Arrow; see `MessageTable`.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        slf: &Bound<'py, Self>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        slf.get().to_arrow(slf.py())
    }

    /// The file, as an absolute path.
    #[getter]
    fn path(&self) -> OsString {
        self.path.as_os_str().to_owned()
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the iteration, in another thread as well. Closing twice changes nothing.
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        if let Ok(mut state) = self.state.try_lock() {
            state.reader = None;
            state.ready.clear();
        }
    }

    /// The reader itself; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Closes it.
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exc_type, exc, traceback);
        self.close();
    }

    /// How a notebook shows it: where it is, and the last messages of the file. None of them is
    /// taken from the iteration.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown(slf, "transcript_html")
    }

    /// The same as text.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        pretty_transcript(slf, p)
    }

    /// The next message, or None: at the end, or when none came in so many seconds.
    #[pyo3(signature = (timeout))]
    fn _next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Message>> {
        self.next(py, seconds("timeout", timeout)?)
    }

    /// How many messages were read so far, of whatever topic.
    #[getter]
    fn _messages(&self) -> u64 {
        self.messages.load(Ordering::Relaxed)
    }

    fn __repr__(&self) -> String {
        let closed = if self.closed.load(Ordering::SeqCst) {
            " closed"
        } else {
            ""
        };
        format!("<TranscriptReader '{}'{closed}>", self.path.display())
    }
}

fn restored(py: Python<'_>, entry: Entry) -> PyResult<Message> {
    let frames = entry.frames.iter();
    let frames = frames.map(|frame| Ok(objects::bytes(py, frame)?.unbind()));
    Message::new(
        frames.collect::<PyResult<_>>()?,
        entry.framing,
        entry.topic_len,
        entry.received_ns,
    )
}

/// Reads what a `Transcript` wrote, in either format.
///
/// Lines that are no whole messages, such as the last one of a program that was killed, are passed
/// over: `skipped` counts them, and the first one is reported as a warning in the log.
///
/// Args:
///     path: The file.
///     follow: Whether to wait for what is still to be written at the end of the file, also after
///         it was rotated. Ctrl+C ends the wait, and so does `close`.
///     rotated: Whether to begin with the oldest of `PATH.1`, `PATH.2` and so on.
///     topics: Give only messages of these exact topics, one or several (default: all messages). A
///         message that a relay or a subscriber to everything recorded without a topic is included,
///         and split, if it starts with one of them and `:`.
///
/// Returns:
///     An iterator of messages, which reads as it goes.
///
/// Raises:
///     ZmqChatError: If the file cannot be read; the text names it.
///     ValueError: If an item of `topics` cannot be a topic.
#[pyfunction]
#[pyo3(signature = (path, *, follow = false, rotated = false, topics = None))]
pub(crate) fn read_transcript(
    py: Python<'_>,
    path: PathBuf,
    follow: bool,
    rotated: bool,
    topics: Option<&Bound<'_, PyAny>>,
) -> PyResult<TranscriptReader> {
    let topics = topics
        .map(|topics| args::texts("topics", topics))
        .transpose()?;
    let reader = detached_io(py, |_| {
        transcript::Reader::open(&path, follow, rotated, topics)
    })?;
    Ok(TranscriptReader {
        path: reader.path().to_owned(),
        state: Mutex::new(Reading {
            reader: Some(reader),
            ready: VecDeque::new(),
        }),
        messages: AtomicU64::new(0),
        skipped: AtomicU64::new(0),
        closed: AtomicBool::new(false),
    })
}

/// The last messages of a transcript, and whether there are more before them.
#[pyfunction]
pub(crate) fn _tail(py: Python<'_>, path: PathBuf, count: usize) -> PyResult<(Vec<Message>, bool)> {
    let (entries, more) = detached_io(py, |_| transcript::tail(&path, count))?;
    let messages = entries
        .into_iter()
        .map(|entry| restored(py, entry))
        .collect::<PyResult<_>>()?;
    Ok((messages, more))
}
