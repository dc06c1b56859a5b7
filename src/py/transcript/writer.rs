//! `Transcript`: messages into a file.

use crate::py::convert::args::{self, Whole};
use crate::py::message::Message;
use crate::py::runtime::at_exit::AtExit;
use crate::py::runtime::detach::detached_io;
use crate::py::runtime::package::{data_frame, notebook_view, pretty_transcript, warn};
use crate::py::transcript::reader::read_transcript;
use crate::transcript::{self, Format, SyncMode, TranscriptOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyList, PyTuple};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many bytes of a list are written at a time.
const BATCH_BYTES: usize = 256 * 1024;

/// Writes messages to a log file, one line per message.
///
/// The file is only appended to. Each line is printable text, and `read_transcript` restores an
/// equal message: all frames, the stamp, the times to the nanosecond, and bytes that are not UTF-8.
/// A "text" line is easy to read:
///
///     2026-01-31T12:03:11.000042+01:00 room1 alice#42: Hello\nworld
///
/// It holds the time of receipt, the topic, the sender with the sequence number, and the text. In
/// the text, a backslash is written `\\`, and unprintable characters are `\n`, `\t`, `\r`,
/// `\u202e`, or `\xNN` for one byte. Further values that restore the message follow after tabs,
/// such as `id=9f3c` and `sent=…`. A "jsonl" line is a JSON object with the keys of `zmqchat sub
/// --json` and a few more; `data_base64` holds bytes that are not text.
///
/// Any number of processes may write to the same file, and their lines do not mix. If one is killed
/// while it writes a line, the next one moves the torn line to `PATH.torn`. It logs a warning and
/// counts the bytes in `repaired`. If the disk is full or the folder was removed, a call raises
/// ZmqChatError. Earlier messages are intact, and later calls try again.
///
/// Any thread may use it, and a forked child may continue to use it. Leaving its `with` block
/// closes it.
///
/// Args:
///     path: The file. It is created if it does not exist, otherwise appended to.
///     format: "text" or "jsonl".
///     sync: What a written message survives. "os": the end of the process, since the system has it
///         when `write` returns. "disk": also a power cut, after 0.1 s; many messages are saved at
///         a time in the background. "line": also a power cut, at once; each call waits for the
///         disk.
///     max_bytes: A file that would exceed this size is renamed to `PATH.1`, `PATH.1` to `PATH.2`,
///         and so on. Other processes that write to it follow. None sets no limit.
///     keep: The number of renamed files to keep. Older ones are deleted.
///
/// Raises:
///     ZmqChatError: If the file cannot be opened. The error names it.
///     ValueError: If an argument is none of its choices, or the file is not a transcript.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Transcript {
    core: Arc<transcript::Transcript>,
    /// Saves at the end of the program what the background has not saved yet.
    at_exit: Option<AtExit>,
}

impl Transcript {
    /// The path of the file.
    pub(crate) fn file(&self) -> &Path {
        self.core.path()
    }

    /// How lines are written.
    pub(crate) fn line_format(&self) -> Format {
        self.core.format()
    }

    /// For code that writes without the interpreter.
    pub(crate) fn core(&self) -> &Arc<transcript::Transcript> {
        &self.core
    }

    /// Writes complete lines.
    pub(crate) fn append(&self, py: Python<'_>, lines: &[u8]) -> PyResult<()> {
        let outcome = detached_io(py, |checkpoint| self.core.append(lines, checkpoint));
        self.report(py)?;
        outcome
    }

    /// Logs once what was repaired.
    fn report(&self, py: Python<'_>) -> PyResult<()> {
        let count = self.core.take_unreported_repairs();
        if count == 0 {
            return Ok(());
        }
        let path = self.core.path().display();
        warn(
            py,
            &format!(
                "the last line of '{path}' was incomplete, because its writer was killed; its {count} \
                 bytes are in '{path}.torn' now"
            ),
        )
    }
}

impl Drop for Transcript {
    /// Closing takes a lock.
    fn drop(&mut self) {
        let core = &self.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

#[pymethods]
impl Transcript {
    #[new]
    #[pyo3(
        signature = (path, *, format = "text", sync = "os", max_bytes = None, keep = Whole(5)),
        text_signature = "(path, *, format='text', sync='os', max_bytes=None, keep=5)"
    )]
    fn new(
        py: Python<'_>,
        path: PathBuf,
        format: &str,
        sync: &str,
        max_bytes: Option<Whole>,
        keep: Whole,
    ) -> PyResult<Self> {
        let max_bytes = max_bytes
            .map(|most| args::count("max_bytes", most, 1))
            .transpose()?;
        let keep = args::count("keep", keep, 1)?;
        let format = Format::parse(format)?;
        let options = TranscriptOptions {
            path,
            sync: SyncMode::parse(sync)?,
            max_bytes: max_bytes.map(|most| most as u64),
            keep: u32::try_from(keep).unwrap_or(u32::MAX),
        };
        let core = detached_io(py, |checkpoint| {
            transcript::Transcript::open(options, format, checkpoint).map(Arc::new)
        })?;
        let at_exit = match core.sync() {
            SyncMode::Disk => {
                let weak = Arc::downgrade(&core);
                let save = move || {
                    if let Some(core) = weak.upgrade() {
                        core.save_at_exit();
                    }
                };
                Some(AtExit::register(py, save)?)
            }
            _ => None,
        };
        let this = Self { core, at_exit };
        this.report(py)?;
        Ok(this)
    }

    /// Writes one message.
    ///
    /// Args:
    ///     message: The message.
    ///
    /// Raises:
    ///     ZmqChatError: If the disk is full or the system reports another error. The error names
    ///         the file.
    ///     ClosedError: If the transcript is closed.
    fn write(&self, py: Python<'_>, message: &Bound<'_, Message>) -> PyResult<()> {
        let mut line = Vec::new();
        self.core
            .format()
            .push_line(&mut line, &message.get().record(py));
        self.append(py, &line)
    }

    /// Writes several messages, in order; much faster than single calls.
    ///
    /// Args:
    ///     messages: A list or another iterable of messages. The items of a generator are written
    ///         as they are produced.
    ///
    /// Returns:
    ///     The number of messages written.
    ///
    /// Raises:
    ///     ZmqChatError: As in `write`. `count` is the number of messages written so far. Each of
    ///         them is complete.
    ///     TypeError: If an item is not a Message. Those before it were written.
    ///     ClosedError: If the transcript is closed.
    fn write_many(&self, py: Python<'_>, messages: &Bound<'_, PyAny>) -> PyResult<usize> {
        let is_complete =
            messages.is_instance_of::<PyList>() || messages.is_instance_of::<PyTuple>();
        let batch = if is_complete { BATCH_BYTES } else { 1 };
        let mut lines = Vec::new();
        let mut count = 0;
        for item in messages.try_iter()? {
            let message = item.and_then(|item| {
                item.cast_into::<Message>().map_err(|error| {
                    PyTypeError::new_err(format!(
                        "messages holds an item that is not a Message: {error}"
                    ))
                })
            });
            let message = match message {
                Ok(message) => message,
                Err(error) => {
                    self.append(py, &lines)?;
                    return Err(error);
                }
            };
            let format = self.core.format();
            format.push_line(&mut lines, &message.get().record(py));
            count += 1;
            if lines.len() >= batch {
                self.append(py, &lines)?;
                lines.clear();
            }
        }
        self.append(py, &lines)?;
        Ok(count)
    }

    /// Waits until all written messages survive a power cut, for any `sync`.
    ///
    /// Raises:
    ///     ZmqChatError: If the disk reports an error.
    ///     ClosedError: If the transcript is closed.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        detached_io(py, |_| self.core.flush())
    }

    /// Closes the file. With `sync="disk"`, remaining messages are saved first. Closing twice has
    /// no effect.
    ///
    /// Raises:
    ///     ZmqChatError: If the disk reports an error. The file is closed nevertheless.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let outcome = detached_io(py, |_| self.core.close());
        if let Some(at_exit) = &self.at_exit {
            at_exit.unregister(py)?;
        }
        outcome
    }

    /// All messages in the file as a pandas DataFrame; see `MessageTable.to_pandas`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If pandas is not installed. The error says what to install.
    ///     ZmqChatError: If the file cannot be read. The error names it.
    #[pyo3(signature = (*, json = false))]
    fn to_pandas<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_pandas", json)
    }

    /// All messages in the file as a Polars DataFrame; see `MessageTable.to_polars`.
    ///
    /// Args:
    ///     json: Whether JSON payloads become columns; see `MessageTable`.
    ///
    /// Returns:
    ///     The DataFrame.
    ///
    /// Raises:
    ///     ImportError: If Polars is not installed. The error says what to install.
    ///     ZmqChatError: If the file cannot be read. The error names it.
    #[pyo3(signature = (*, json = false))]
    fn to_polars<'py>(slf: &Bound<'py, Self>, json: bool) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_polars", json)
    }

    /// All messages in the file for a library that reads Arrow; see `MessageTable`.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        slf: &Bound<'py, Self>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let path = slf.get().file().to_owned();
        read_transcript(slf.py(), path, false, false, None)?.to_arrow(slf.py())
    }

    /// Whether the transcript is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// The file, as an absolute path.
    #[getter]
    fn path(&self) -> OsString {
        self.core.path().as_os_str().to_owned()
    }

    /// How lines are written: "text" or "jsonl".
    #[getter]
    fn format(&self) -> &'static str {
        self.core.format().as_str()
    }

    /// What a written message survives: "os", "line" or "disk".
    #[getter]
    fn sync(&self) -> &'static str {
        self.core.sync().as_str()
    }

    /// The number of messages that this object has written, in this process.
    #[getter]
    fn count(&self) -> u64 {
        self.core.count()
    }

    /// The number of bytes that these messages take in the file.
    #[getter]
    fn bytes(&self) -> u64 {
        self.core.bytes()
    }

    /// The number of bytes that were moved to `PATH.torn`, from lines whose writer was killed.
    #[getter]
    fn repaired(&self) -> u64 {
        self.core.repaired()
    }

    /// Returns the transcript; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().core.check_open()?;
        Ok(slf)
    }

    /// Closes the transcript.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, traceback);
        self.close(py)
    }

    /// The path and the last messages in the file, for notebooks.
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

    fn __repr__(&self) -> String {
        let path = self.core.path().display();
        let closed = if self.core.is_closed() { " closed" } else { "" };
        format!(
            "<Transcript '{path}' {}{closed}>",
            self.core.format().as_str()
        )
    }
}

/// The line that a transcript would hold for a message.
///
/// Args:
///     message: The message.
///     format: "text" or "jsonl".
///
/// Returns:
///     The line, without the line break.
///
/// Raises:
///     ValueError: If the format is neither.
#[pyfunction]
#[pyo3(signature = (message, *, format = "text"))]
pub(crate) fn transcript_line(
    py: Python<'_>,
    message: &Bound<'_, Message>,
    format: &str,
) -> PyResult<String> {
    let mut line = Vec::new();
    Format::parse(format)?.push_line(&mut line, &message.get().record(py));
    line.pop();
    Ok(String::from_utf8_lossy(&line).into_owned())
}
