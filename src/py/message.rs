//! `Message`.
//!
//! Invariant: a message is frozen, so the bytes that a `view` shows never change or move; the view
//! holds the message.

use crate::net::RawMessage;
use crate::py::convert::args::type_name;
use crate::py::convert::frame_bytes::FrameBytes;
use crate::py::convert::objects::{self, Text};
use crate::py::convert::pybytes::{bytes, copy, text};
use crate::py::error::import;
use crate::render::html;
use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::table::TableBuilder;
use crate::transcript::Record;
use crate::util::local_time;
use crate::wire::message::{interpret, Framing, ParsedMessage};
use crate::wire::stamp::{self, Stamp};
use crate::wire::{quote, topic};
use chrono::{DateTime, FixedOffset, Local};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView, PyString, PyTuple};
use std::borrow::Cow;
use std::ffi::c_int;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// How many characters of a text a notebook's `Out` shows.
const PRETTY_CHARS: usize = 200;

/// A received message; immutable.
///
/// `Subscriber.recv` and similar calls return it. `str(message)` is the text of the first frame,
/// including the topic, as pyzmq's `recv_string` returns it. Any thread may use it, and it can be
/// pickled. Two messages are equal if their frames and topics are equal; times do not count.
///
/// Args:
///     frames: The frames as on the wire, at least one.
///     framing: How to read them: "plain", "envelope" or "raw" (see `Subscriber`).
///     topic: The topic of the message. None takes that of the stamp or the envelope, if any. A
///         single frame is split only if it starts with this topic and `:`.
///     received_at: The time of receipt. None means now. A naive datetime is local time.
///
/// Raises:
///     TypeError: If an item of `frames` is not bytes, or `received_at` is not a datetime.
///     ValueError: If there are no frames, `framing` is none of the three, or the frames do not
///         have this topic.
#[pyclass(frozen, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct Message {
    first: FrameBytes,
    pub(crate) rest: Vec<Py<PyBytes>>,
    framing: Framing,
    /// The length of the topic at the start of the first frame; 0 if the frame is not split.
    topic_len: u8,
    at_ns: i64,
    /// Boxed: most messages are read in one way only, and a small object is created faster.
    parsed: OnceLock<Box<ParsedMessage>>,
    /// The subscriber's counter of texts in which bytes were replaced.
    undecodable: Option<Arc<AtomicU64>>,
    /// Whether this message was counted there.
    counted: AtomicBool,
    /// The sender's address, if it was requested.
    pub(crate) address: Option<Box<str>>,
}

impl Message {
    /// Copies the bytes out of libzmq's buffers, so that a kept message keeps nothing else alive. A
    /// first frame above `share_above` bytes owns its memory and is not copied. None if there is no
    /// memory for a copy.
    pub(crate) fn from_received(
        py: Python<'_>,
        received: &RawMessage,
        framing: Framing,
        undecodable: &Arc<AtomicU64>,
        share_above: usize,
    ) -> Option<Self> {
        let first = received.first.bytes();
        let shared = (first.len() > share_above)
            .then(|| received.first.share())
            .flatten();
        let mut rest = Vec::with_capacity(received.rest.len());
        for frame in &received.rest {
            rest.push(copy(py, frame.bytes())?.unbind());
        }
        Some(Self {
            first: match shared {
                Some(frame) => FrameBytes::shared(frame),
                None => copy(py, first)?.unbind().into(),
            },
            rest,
            framing,
            topic_len: received.topic_len,
            at_ns: received.at_ns,
            parsed: OnceLock::new(),
            undecodable: Some(Arc::clone(undecodable)),
            counted: AtomicBool::new(false),
            address: None,
        })
    }

    /// A message of these frames. The first one is split after `topic_len` bytes.
    pub(crate) fn new(
        frames: Vec<Py<PyBytes>>,
        framing: Framing,
        topic_len: u8,
        at_ns: i64,
    ) -> PyResult<Self> {
        let mut frames = frames.into_iter();
        let first = frames
            .next()
            .ok_or_else(|| PyValueError::new_err("a message has at least one frame"))?;
        Ok(Self {
            first: first.into(),
            rest: frames.collect(),
            framing,
            topic_len,
            at_ns,
            parsed: OnceLock::new(),
            undecodable: None,
            counted: AtomicBool::new(false),
            address: None,
        })
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> Vec<&'a [u8]> {
        std::iter::once(self.first.as_bytes(py))
            .chain(self.rest.iter().map(|frame| frame.as_bytes(py)))
            .collect()
    }

    pub(crate) fn parsed(&self, py: Python<'_>) -> &ParsedMessage {
        self.parsed.get_or_init(|| {
            Box::new(if self.rest.is_empty() {
                let frame = self.first.as_bytes(py);
                interpret(&[frame], self.framing, self.topic_len)
            } else {
                interpret(&self.bytes(py), self.framing, self.topic_len)
            })
        })
    }

    pub(crate) fn payload<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        let parsed = self.parsed(py);
        let frame = match parsed.frame.checked_sub(1) {
            None => self.first.as_bytes(py),
            Some(index) => self.rest[index].as_bytes(py),
        };
        &frame[parsed.start..]
    }

    pub(crate) fn stamp(&self, py: Python<'_>) -> Option<&Stamp> {
        self.parsed(py).stamp.as_ref()
    }

    fn topic(&self, py: Python<'_>) -> Option<&str> {
        self.parsed(py).topic.as_deref()
    }

    fn sender(&self, py: Python<'_>) -> Option<&str> {
        Some(self.stamp(py)?.from.as_str())
    }

    /// What a transcript writes.
    pub(crate) fn record<'a>(&'a self, py: Python<'a>) -> Record<'a> {
        Record {
            frames: self.bytes(py),
            framing: self.framing,
            parsed: self.parsed(py),
            received_ns: self.at_ns,
        }
    }

    /// The time of receipt, in nanoseconds since 1970-01-01 UTC.
    pub(crate) fn at_ns(&self) -> i64 {
        self.at_ns
    }

    /// Adds the message to a table.
    pub(crate) fn tabulate(&self, py: Python<'_>, table: &mut TableBuilder) -> PyResult<()> {
        Ok(table.push(self.at_ns, self.parsed(py), self.payload(py))?)
    }

    pub(crate) fn at(&self) -> DateTime<FixedOffset> {
        local_time::at(self.at_ns)
    }

    fn count_undecodable(&self) {
        if let Some(counter) = &self.undecodable {
            if !self.counted.swap(true, Ordering::Relaxed) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn lossy_text<'a>(&'a self, py: Python<'a>) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(self.payload(py));
        if matches!(text, Cow::Owned(_)) {
            self.count_undecodable();
        }
        text
    }

    /// The same message with the address it was received from.
    pub(crate) fn with_address(mut self, address: Option<String>) -> Self {
        self.address = address.map(String::into_boxed_str);
        self
    }

    fn kind_of_stamp(&self, py: Python<'_>) -> Option<&str> {
        if self.rest.is_empty() {
            return None;
        }
        self.stamp(py)?.kind.as_deref()
    }

    /// The parts of the message's line.
    fn line<'a>(
        &'a self,
        py: Python<'a>,
        sender: Option<&'a str>,
        previous: Option<&Self>,
        text: &'a str,
    ) -> Line<'a> {
        let parsed = self.parsed(py);
        let stamp = parsed.stamp.as_ref();
        let stamped = stamp.map(|stamp| stamp.from.as_str());
        Line {
            received_at: self.at(),
            previous: previous.map(Self::at),
            topic: parsed.topic.as_deref(),
            sender: sender.or(stamped),
            color_key: stamped,
            action: stamp.is_some_and(Stamp::is_action),
            text,
        }
    }

    fn html(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: Timestamps,
        previous: Option<&Self>,
    ) -> String {
        let payload = self.payload(py);
        // Only the shown part of a large payload is decoded.
        let text = if payload.len() <= html::MAX_SHOWN_BYTES {
            self.lossy_text(py)
        } else {
            String::from_utf8_lossy(&payload[..html::MAX_SHOWN_BYTES])
        };
        let line = self.line(py, None, previous, &text);
        html::render(&line, timestamps, color, payload.len())
    }
}

/// `received_at` in seconds since 1970 UTC.
fn timestamp(at: &Bound<'_, PyAny>) -> PyResult<f64> {
    // Through its method: PyO3 panics if it cannot import `datetime`, as at the end of a program.
    if !at.hasattr(intern!(at.py(), "timestamp"))? {
        return Err(PyTypeError::new_err(format!(
            "received_at is a datetime or None, not {}: pass one such as datetime.now(timezone.utc)",
            type_name(at)
        )));
    }
    // A naive datetime near the first or the last year has no local time.
    at.call_method0(intern!(at.py(), "timestamp"))
        .map_err(|_| out_of_range())?
        .extract()
}

fn out_of_range() -> PyErr {
    PyValueError::new_err("received_at is out of range: expected a time between 1678 and 2261")
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (frames, *, framing = "plain", topic = None, received_at = None))]
    fn py_new(
        py: Python<'_>,
        frames: &Bound<'_, PyAny>,
        framing: &str,
        topic: Option<&str>,
        received_at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let frames: Vec<Py<PyBytes>> = frames.extract().map_err(|_| {
            PyTypeError::new_err(
                "frames is a list of bytes, one for each frame, for example [b\"room1:Hello\"]",
            )
        })?;
        let at_ns = match received_at {
            None => Local::now().timestamp_nanos_opt().unwrap_or(0),
            Some(at) => {
                let seconds = timestamp(at)?;
                // Python's times have microseconds.
                #[allow(clippy::cast_possible_truncation)]
                let microseconds = (seconds * 1e6).round() as i64;
                microseconds.checked_mul(1_000).ok_or_else(out_of_range)?
            }
        };
        restore(py, frames, framing, at_ns, topic)
    }

    /// The topic, or None if none is certain.
    ///
    /// It is the topic of the stamp, or the first of several frames if that is a valid topic.
    /// Otherwise it is the exact topic of the subscriber (`topics=[...]`) that the first frame
    /// starts with, before a `:`. Other frames are not split, so that `12:30 lunch` stays whole,
    /// unless the subscriber was created with `split_topics=True`.
    #[getter(topic)]
    fn topic_text(&self, py: Python<'_>) -> Option<Text<&str>> {
        self.topic(py).map(Text)
    }

    /// The payload as text, without the topic. If `topic` is None, it is the whole frame.
    /// Undecodable bytes become U+FFFD.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let (text, is_valid) = text(py, self.payload(py))?;
        if !is_valid {
            self.count_undecodable();
        }
        Ok(text)
    }

    /// The payload's bytes, unchanged, without the topic. If `topic` is None, it is the whole
    /// frame.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let payload = self.payload(py);
        if payload.len() == self.first.as_bytes(py).len() && self.parsed(py).frame == 0 {
            return Ok(self.first.object(py)?.bind(py).clone());
        }
        bytes(py, payload)
    }

    /// The payload's bytes as a read-only memoryview, without a copy.
    ///
    /// For large payloads: `numpy.frombuffer(message.view, dtype="float32")` costs the same for any
    /// size. The view keeps the message alive.
    #[getter]
    fn view<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyMemoryView>> {
        let message = slf.clone().unbind();
        let payload = Bound::new(slf.py(), PayloadBuffer { message })?;
        PyMemoryView::from(payload.as_any())
    }

    /// The first frame, unchanged, as pyzmq's `recv` returns it.
    #[getter]
    fn raw(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        Ok(self.first.object(py)?.clone_ref(py))
    }

    /// All frames, unchanged, as a tuple. pyzmq's `recv_multipart` returns them as a list.
    #[getter]
    fn frames<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let first = self.first.object(py)?;
        let frames = std::iter::once(first).chain(&self.rest);
        objects::tuple(py, frames.map(|frame| frame.clone_ref(py)).collect())
    }

    /// The time at which it was taken from the network queue: an aware datetime in local time.
    #[getter]
    fn received_at(&self) -> DateTime<FixedOffset> {
        self.at()
    }

    /// The name of the publisher, from the stamp. None without a stamp.
    #[getter(sender)]
    fn sender_text(&self, py: Python<'_>) -> Option<Text<&str>> {
        self.sender(py).map(Text)
    }

    /// The publisher's instance id, from the stamp. A restarted publisher has another one. None
    /// without a stamp.
    #[getter]
    fn instance(&self, py: Python<'_>) -> Option<Text<&str>> {
        Some(Text(self.stamp(py)?.id.as_str()))
    }

    /// The time at which it was sent, by the sender's clock, from the stamp: an aware datetime in
    /// local time. None without a stamp.
    #[getter]
    fn sent_at(&self, py: Python<'_>) -> Option<DateTime<FixedOffset>> {
        Some(local_time::at(self.stamp(py)?.sent_ns))
    }

    /// The sequence number, from 0, per instance and topic, from the stamp. None without a stamp. A
    /// `Chat`'s presence is not counted: it has the number of the chat's next message.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> Option<u64> {
        Some(self.stamp(py)?.seq)
    }

    /// Seconds from sending to receiving, from the stamp. None without a stamp. It is as accurate
    /// as the two clocks agree.
    #[getter]
    fn delay(&self, py: Python<'_>) -> Option<f64> {
        // Differences of times are far below 2^52 ns, so that the float is exact.
        #[allow(clippy::cast_precision_loss)]
        let nanoseconds = self.at_ns.saturating_sub(self.stamp(py)?.sent_ns) as f64;
        Some(nanoseconds / 1e9)
    }

    /// The kind of message, from the stamp. None for an ordinary message.
    ///
    /// "come", "here" and "go" are a `Chat`'s presence, without text, which `Subscriber.listen`
    /// skips. "action" describes an action of the sender ("waves"). Later versions may add kinds.
    #[getter]
    fn kind(&self, py: Python<'_>) -> Option<Text<&str>> {
        self.kind_of_stamp(py).map(Text)
    }

    /// The IP address of the sender, or of the relay that forwarded it. Known for messages that a
    /// `Chat` received over TCP, otherwise None.
    #[getter]
    fn address(&self) -> Option<Text<&str>> {
        self.address.as_deref().map(Text)
    }

    /// The payload parsed as JSON.
    ///
    /// Returns:
    ///     The parsed object: dict, list, str, int, float, bool or None.
    ///
    /// Raises:
    ///     ValueError: If the payload is not JSON (`json.JSONDecodeError`) or not UTF-8.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let json = import(py, intern!(py, "json"))?;
        let parsed = json.call_method1(intern!(py, "loads"), (bytes(py, self.payload(py))?,));
        parsed.map_err(|error| match self.unsplit_advice(py) {
            Some(advice) => advised(&json, &error, &advice).unwrap_or(error),
            None => error,
        })
    }

    /// The message as one line, such as `[12:03:11] room1 alice: Hello`, without a newline.
    ///
    /// Control characters, bidirectional overrides and line breaks in the message are escaped. A
    /// sender can neither control your terminal nor forge a second line.
    ///
    /// Args:
    ///     color: Whether to add ANSI colours. A topic or name has the same colour everywhere.
    ///     timestamps: "time" of day, "iso" (date, microseconds, zone), "delta" (seconds since
    ///         `previous`), or "none".
    ///     previous: The message of the line before, for "delta". None shows `+0.000`.
    ///     sender: The sender's name to show, for example "?" for an unknown one. None shows the
    ///         name in the stamp. The colour is always that of the name in the stamp.
    ///     width: The number of columns of a terminal. Longer lines are wrapped at words and
    ///         indented under the text. None does not wrap.
    ///
    /// Returns:
    ///     The line.
    ///
    /// Raises:
    ///     ValueError: If `timestamps` is none of the four.
    #[pyo3(signature = (*, color = false, timestamps = "time", previous = None, sender = None, width = None))]
    fn render(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: &str,
        previous: Option<&Bound<'_, Self>>,
        sender: Option<&str>,
        width: Option<usize>,
    ) -> PyResult<Text<String>> {
        let timestamps = Timestamps::parse(timestamps)?;
        // The text, its escaped form, the line, and the wrapped line.
        objects::check_memory(self.payload(py).len().saturating_mul(4))?;
        let text = self.lossy_text(py);
        let line = self.line(py, sender, previous.map(Bound::get), &text);
        Ok(Text(match width {
            Some(width) => line::render_wrapped(&line, timestamps, color, width),
            None => line::render(&line, timestamps, color),
        }))
    }

    fn __str__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(text(py, self.first.as_bytes(py))?.0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<Text<String>> {
        let mut parts = Vec::new();
        if let Some(topic) = self.topic(py) {
            parts.push(format!("topic={}", objects::text(py, topic)?.repr()?));
        }
        if let Some(sender) = self.sender(py) {
            parts.push(format!("sender={}", objects::text(py, sender)?.repr()?));
        }
        parts.push(format!("text={}", self.text(py)?.repr()?));
        Ok(Text(format!("<Message {}>", parts.join(" "))))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> Py<PyAny> {
        let Ok(other) = other.cast::<Self>() else {
            return py.NotImplemented();
        };
        let other = other.get();
        let same = self.bytes(py) == other.bytes(py) && self.topic(py) == other.topic(py);
        pyo3::types::PyBool::new(py, same)
            .to_owned()
            .into_any()
            .unbind()
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.bytes(py), self.topic(py)).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let restore = import(py, intern!(py, "zmqchat_rs._core"))?
            .getattr(intern!(py, "_restore_message"))?;
        let arguments = (
            self.frames(py)?,
            self.framing.as_str(),
            self.at_ns,
            self.topic(py).map(Text),
        );
        (restore, arguments).into_pyobject(py)
    }

    /// The line of `render` as HTML, for notebooks.
    fn _repr_html_(&self, py: Python<'_>) -> Text<String> {
        Text(html::block(&[self.html(py, true, Timestamps::Time, None)]))
    }

    /// The `repr` with long text cut, for IPython.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        let py = slf.py();
        let payload = slf.get().payload(py);
        let shown = if payload.len() <= 4 * PRETTY_CHARS {
            slf.repr()?.to_string()
        } else {
            let topic = slf.get().parsed(py).topic.as_deref();
            let topic = topic.map_or(String::new(), |topic| {
                format!("topic='{}' ", sanitize(topic))
            });
            let head = String::from_utf8_lossy(&payload[..4 * PRETTY_CHARS]);
            let head: String = head.chars().take(PRETTY_CHARS).collect();
            let bytes = payload.len();
            format!(
                "<Message {topic}text='{}…' ({bytes} bytes in total)>",
                sanitize(&head)
            )
        };
        p.call_method1(intern!(py, "text"), (shown,))?;
        Ok(())
    }

    /// `render` as a line of HTML, for `_html_block`.
    #[pyo3(signature = (*, color, timestamps, previous))]
    fn _html_line(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: &str,
        previous: Option<&Bound<'_, Self>>,
    ) -> PyResult<Text<String>> {
        let timestamps = Timestamps::parse(timestamps)?;
        Ok(Text(self.html(
            py,
            color,
            timestamps,
            previous.map(Bound::get),
        )))
    }

    /// Whether it is a chat's presence, which is not shown.
    #[getter]
    fn _is_presence(&self, py: Python<'_>) -> bool {
        let kind = self.kind_of_stamp(py);
        kind.is_some() && stamp::is_presence(kind, !self.payload(py).is_empty())
    }

    /// The advice of `json` and `unpack_array` if the payload may start with a topic; otherwise
    /// None.
    #[pyo3(name = "_unsplit_advice")]
    fn unsplit_advice(&self, py: Python<'_>) -> Option<String> {
        if self.topic(py).is_some() || self.framing == Framing::Raw {
            return None;
        }
        let (topic, _) = topic::split(self.payload(py))?;
        let topic = objects::text(py, topic).ok()?.repr().ok()?;
        Some(format!(
            "the message has no topic, but it may start with topic {topic}: subscribe with \
             topics=[{topic}], or create the Subscriber with split_topics=True"
        ))
    }
}

/// The object that a memoryview shows. It is separate from `Message`: if a message were a buffer,
/// `send(message)` would accept it and drop its topic.
#[pyclass(frozen, name = "_Payload", module = "zmqchat_rs")]
pub(crate) struct PayloadBuffer {
    message: Py<Message>,
}

#[pymethods]
impl PayloadBuffer {
    /// Python's buffer protocol, which is unsafe.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        buffer: *mut ffi::Py_buffer,
        flags: c_int,
    ) -> PyResult<()> {
        let payload = slf.get().message.get().payload(slf.py());
        let length = ffi::Py_ssize_t::try_from(payload.len())?;
        let read_only = 1;
        // SAFETY: Python hands over a buffer to fill in, which then holds this object, and with it the
        // message whose bytes these are. They are read only.
        let done = unsafe {
            let start = payload.as_ptr().cast_mut().cast();
            ffi::PyBuffer_FillInfo(buffer, slf.as_ptr(), start, length, read_only, flags)
        };
        if done == -1 {
            return Err(PyErr::fetch(slf.py()));
        }
        Ok(())
    }
}

/// The same error of `json.loads`, with advice before its text.
fn advised(json: &Bound<'_, PyModule>, error: &PyErr, advice: &str) -> Option<PyErr> {
    let py = json.py();
    let class = json.getattr(intern!(py, "JSONDecodeError")).ok()?;
    let value = error.value(py);
    let text: String = value.getattr(intern!(py, "msg")).ok()?.extract().ok()?;
    let doc = value.getattr(intern!(py, "doc")).ok()?;
    let pos = value.getattr(intern!(py, "pos")).ok()?;
    let advised = class.call1((format!("{advice}. {text}"), doc, pos)).ok()?;
    Some(PyErr::from_value(advised))
}

/// Restores a pickled message.
#[pyfunction]
#[pyo3(signature = (frames, framing, at_ns, topic = None))]
pub(crate) fn _restore_message(
    py: Python<'_>,
    frames: Vec<Py<PyBytes>>,
    framing: &str,
    at_ns: i64,
    topic: Option<&str>,
) -> PyResult<Message> {
    restore(py, frames, framing, at_ns, topic)
}

/// A message that has this topic. None takes that of the stamp or the envelope.
fn restore(
    py: Python<'_>,
    frames: Vec<Py<PyBytes>>,
    framing: &str,
    at_ns: i64,
    topic: Option<&str>,
) -> PyResult<Message> {
    let framing = Framing::parse(framing)?;
    let Some(topic) = topic else {
        return Message::new(frames, framing, 0, at_ns);
    };
    topic::validate(topic)?;
    let topic_len = match frames.first() {
        Some(first) => topic::len_in(first.as_bytes(py), topic),
        None => 0,
    };
    let message = Message::new(frames, framing, topic_len, at_ns)?;
    if message.topic(py) == Some(topic) {
        return Ok(message);
    }
    let quoted = quote(topic);
    let remedy = match (framing, message.topic(py)) {
        (Framing::Raw, _) => {
            "framing=\"raw\" gives a message no topic; leave out `topic`".to_owned()
        }
        (_, Some(own)) => format!("its topic is {}; leave out `topic`", quote(own)),
        (_, None) => format!(
            "expected the first frame to start with {}",
            quote(&format!("{topic}:"))
        ),
    };
    Err(PyValueError::new_err(format!(
        "the message does not have the topic {quoted}: {remedy}"
    )))
}

/// Lines of HTML as one element that can be placed anywhere.
#[pyfunction]
pub(crate) fn _html_block(lines: Vec<String>) -> String {
    html::block(&lines)
}
