//! `TranscriptReader`: messages from a file.

use crate::error::{Error, Result};
use crate::py::convert::args::{self, seconds, Seconds};
use crate::py::convert::arrow;
use crate::py::convert::objects;
use crate::py::message::Message;
use crate::py::runtime::detach::detached_io;
use crate::py::runtime::package::{data_frame, notebook_view, pretty_transcript, warn};
use crate::py::runtime::process_owned::ProcessOwned;
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
/// How often signals are checked while a whole file is read.
const CHECK: Duration = Duration::from_millis(50);

/// The messages of a transcript, one by one; created by `read_transcript`.
///
/// Iterating ends at the end of the file, or, with `follow=True`, when the reader is closed. Any
/// thread may use it; each message is delivered to one of them. Leaving its `with` block closes it.
#[pyclass(frozen, module = "zmqchat_rs")]
pub(crate) struct TranscriptReader {
    path: PathBuf,
    state: ProcessOwned<Mutex<ReaderState>>,
    messages: AtomicU64,
    skipped: AtomicU64,
    closed: AtomicBool,
}

struct ReaderState {
    /// None after the close.
    reader: Option<transcript::Reader>,
    ready: VecDeque<Entry>,
}

impl TranscriptReader {
    /// The next message, and a warning to log.
    fn wait(
        &self,
        limit: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<(Option<Entry>, Option<String>)> {
        let mut state = self.lock(checkpoint)?;
        let warning = self.fill(&mut state, limit, checkpoint)?;
        Ok((state.ready.pop_front(), warning))
    }

    /// The state. Fails in a forked child.
    fn state(&self) -> Result<&Mutex<ReaderState>> {
        self.state.get().ok_or_else(|| Error::Os {
            errno: libc::EPERM,
            message: "this TranscriptReader was made before the fork and belongs to the parent \
                      process: call read_transcript in the child"
                .into(),
        })
    }

    fn lock(&self, checkpoint: Checkpoint<'_>) -> Result<MutexGuard<'_, ReaderState>> {
        let state = self.state()?;
        loop {
            match state.try_lock() {
                Ok(state) => return Ok(state),
                Err(TryLockError::Poisoned(poisoned)) => return Ok(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => {
                    checkpoint()?;
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        }
    }

    /// Reads messages if none are ready; a warning to log.
    fn fill(
        &self,
        state: &mut ReaderState,
        limit: Option<Duration>,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Option<String>> {
        let ReaderState { reader, ready } = state;
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
                "line {line} of '{}' is not a complete message; such lines are skipped",
                path.display()
            )
        }))
    }

    /// Adds all messages that are in the file to a table, and removes them from the reader, even if
    /// that fails.
    pub(crate) fn drain_into(&self, py: Python<'_>, table: &mut TableBuilder) -> PyResult<()> {
        let mut warnings = Vec::new();
        let outcome = detached_io(py, |checkpoint| {
            let mut state = self.lock(checkpoint)?;
            let mut checked = Instant::now();
            loop {
                warnings.extend(self.fill(&mut state, Some(Duration::ZERO), checkpoint)?);
                if state.ready.is_empty() {
                    return Ok(());
                }
                for entry in state.ready.drain(..) {
                    let parsed = entry.interpret();
                    table.push(entry.received_ns, &parsed, parsed.payload(&entry.frames))?;
                }
                // At intervals: attaching may take a while if other threads are busy.
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

    /// The remaining messages, as an Arrow stream.
    pub(crate) fn to_arrow<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        let mut builder = TableBuilder::default();
        self.drain_into(py, &mut builder)?;
        let table = py.detach(|| builder.finish(false))?;
        arrow::stream(py, Arc::new(table))
    }

    fn next(&self, py: Python<'_>, limit: Option<Duration>) -> PyResult<Option<Message>> {
        if !self.closed.load(Ordering::SeqCst) {
            if let Ok(mut state) = self.state()?.try_lock() {
                if let Some(entry) = state.ready.pop_front() {
                    return message_of(py, entry).map(Some);
                }
            }
        }
        let (entry, warning) = detached_io(py, |checkpoint| self.wait(limit, checkpoint))?;
        if let Some(text) = warning {
            warn(py, &text)?;
        }
        entry.map(|entry| message_of(py, entry)).transpose()
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

    /// The number of lines skipped so far because they are not complete messages. Empty lines and
    /// lines that begin with `#` are not counted.
    #[getter]
    fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// The remaining messages as a pandas DataFrame; see `MessageTable.to_pandas`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If pandas is not installed. The error says what to install.
    #[pyo3(signature = (*, json = false))]
    fn to_pandas<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_pandas", json)
    }

    /// The remaining messages as a Polars DataFrame; see `MessageTable.to_polars`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If Polars is not installed. The error says what to install.
    #[pyo3(signature = (*, json = false))]
    fn to_polars<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_polars", json)
    }

    /// The remaining messages for a library that reads Arrow; see `MessageTable`.
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

    /// Whether the reader is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Ends the iteration, also in another thread. Closing twice has no effect.
    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
        // A forked child leaves the parent's reader as it is.
        if let Some(Ok(mut state)) = self.state.get().map(Mutex::try_lock) {
            state.reader = None;
            state.ready.clear();
        }
    }

    /// Returns the reader; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Closes the reader.
    fn __exit__(
        &self,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) {
        let _ = (exc_type, exc, traceback);
        self.close();
    }

    /// The path and the last messages in the file, for notebooks. The iteration does not lose them.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook_view(slf, "transcript_html")
    }

    /// The same as text, for IPython.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        pretty_transcript(slf, p)
    }

    /// The next message. None at the end, or if none arrived within this number of seconds.
    #[pyo3(signature = (timeout))]
    fn _next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Message>> {
        self.next(py, seconds("timeout", timeout)?)
    }

    /// The number of messages read so far, of any topic.
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

fn message_of(py: Python<'_>, entry: Entry) -> PyResult<Message> {
    let frames = entry.frames.iter();
    let frames = frames.map(|frame| Ok(objects::bytes(py, frame)?.unbind()));
    Message::new(
        frames.collect::<PyResult<_>>()?,
        entry.framing,
        entry.topic_len,
        entry.received_ns,
    )
}

/// The messages that a `Transcript` wrote, in either format.
///
/// Lines that are not complete messages are skipped, such as the last line of a killed program.
/// `skipped` counts them, and a warning is logged for the first one.
///
/// Args:
///     path: The file.
///     follow: Whether to wait at the end of the file for further messages, also after the file was
///         rotated. Ctrl+C and `close` end the wait.
///     rotated: Whether to begin with the oldest of `PATH.1`, `PATH.2` and so on.
///     topics: Yield only messages of these exact topics, one or several (default: all messages). A
///         message that was recorded without a topic (by a relay, or a subscriber to everything) is
///         split and yielded if it starts with one of them and `:`.
///
/// Returns:
///     An iterator of messages, which reads the file as it advances.
///
/// Raises:
///     ZmqChatError: If the file cannot be read. The error names it.
///     ValueError: If an item of `topics` is not a valid topic.
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
        state: ProcessOwned::new(Mutex::new(ReaderState {
            reader: Some(reader),
            ready: VecDeque::new(),
        })),
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
        .map(|entry| message_of(py, entry))
        .collect::<PyResult<_>>()?;
    Ok((messages, more))
}
