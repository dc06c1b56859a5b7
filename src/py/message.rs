//! `Message`.

use super::body::Body;
use super::copies::{bytes, copy, text};
use crate::log::Record;
use crate::net::Received;
use crate::table::Builder;
use crate::wire::message::{interpret, Framing, Meaning};
use crate::wire::stamp::Stamp;
use chrono::{DateTime, FixedOffset, Local, TimeZone};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// One received message; immutable.
///
/// Made by `Subscriber.recv` and its like. `str(message)` is the first frame's text, topic
/// included: what pyzmq's `recv_string` would have given. What the frames mean is worked out when
/// first asked for. May be shared between threads, compared, hashed and pickled.
///
/// Args:
///     frames: The frames as they came on the wire, at least one.
///     framing: How to read them: "plain", "envelope" or "raw" (see `Subscriber`).
///     received_at: When they came; None for now. A naive datetime is taken as local time.
///
/// Raises:
///     ValueError: There are no frames, or `framing` is none of the three.
#[pyclass(frozen, module = "zmqchat_rs", skip_from_py_object)]
pub(super) struct Message {
    first: Body,
    pub(super) rest: Vec<Py<PyBytes>>,
    framing: Framing,
    at_ns: i64,
    /// In a box: most messages are read in one way alone, and a small object is made faster.
    meaning: OnceLock<Box<Meaning>>,
    /// Where its subscriber counts texts in which bytes were replaced.
    undecodable: Option<Arc<AtomicU64>>,
    /// Whether this one was counted.
    counted: AtomicBool,
    /// Where it came from, if that was asked for.
    pub(super) address: Option<Box<str>>,
}

impl Message {
    /// Copies the bytes out of libzmq's buffers, so that a kept message keeps nothing else alive; a
    /// first frame above `share_above` bytes owns its memory, and need not be copied. None where there
    /// is no memory for a copy.
    pub(super) fn from_received(
        py: Python<'_>,
        received: &Received,
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
                Some(frame) => Body::shared(frame),
                None => copy(py, first)?.unbind().into(),
            },
            rest,
            framing,
            at_ns: received.at_ns,
            meaning: OnceLock::new(),
            undecodable: Some(Arc::clone(undecodable)),
            counted: AtomicBool::new(false),
            address: None,
        })
    }

    fn bytes<'a>(&'a self, py: Python<'a>) -> Vec<&'a [u8]> {
        std::iter::once(self.first.as_bytes(py))
            .chain(self.rest.iter().map(|frame| frame.as_bytes(py)))
            .collect()
    }

    pub(super) fn meaning(&self, py: Python<'_>) -> &Meaning {
        self.meaning.get_or_init(|| {
            Box::new(if self.rest.is_empty() {
                interpret(&[self.first.as_bytes(py)], self.framing)
            } else {
                interpret(&self.bytes(py), self.framing)
            })
        })
    }

    pub(super) fn payload<'a>(&'a self, py: Python<'a>) -> &'a [u8] {
        let meaning = self.meaning(py);
        let frame = match meaning.frame.checked_sub(1) {
            None => self.first.as_bytes(py),
            Some(index) => self.rest[index].as_bytes(py),
        };
        &frame[meaning.start..]
    }

    pub(super) fn stamp(&self, py: Python<'_>) -> Option<&Stamp> {
        self.meaning(py).stamp.as_ref()
    }

    /// What a transcript keeps of it.
    pub(super) fn record<'a>(&'a self, py: Python<'a>) -> Record<'a> {
        Record {
            frames: self.bytes(py),
            framing: self.framing,
            meaning: self.meaning(py),
            at_ns: self.at_ns,
        }
    }

    /// When it came, in nanoseconds since 1970-01-01 UTC.
    pub(super) fn at_ns(&self) -> i64 {
        self.at_ns
    }

    /// Adds it to a table.
    pub(super) fn tabulate(&self, py: Python<'_>, table: &mut Builder) {
        table.push(self.at_ns, self.meaning(py), self.payload(py));
    }

    pub(super) fn at(&self) -> DateTime<FixedOffset> {
        Local.timestamp_nanos(self.at_ns).fixed_offset()
    }

    fn count_undecodable(&self) {
        if let Some(counter) = &self.undecodable {
            if !self.counted.swap(true, Ordering::Relaxed) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn lossy_text<'a>(&'a self, py: Python<'a>) -> Cow<'a, str> {
        let text = String::from_utf8_lossy(self.payload(py));
        if matches!(text, Cow::Owned(_)) {
            self.count_undecodable();
        }
        text
    }
}

#[pymethods]
impl Message {
    #[new]
    #[pyo3(signature = (frames, *, framing = "plain", received_at = None))]
    fn new(
        frames: &Bound<'_, PyAny>,
        framing: &str,
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
                let seconds: f64 = at.call_method0(intern!(at.py(), "timestamp"))?.extract()?;
                // Python's times have microseconds; the float has no more.
                #[allow(clippy::cast_possible_truncation)]
                let microseconds = (seconds * 1e6).round() as i64;
                microseconds.checked_mul(1_000).ok_or_else(|| {
                    PyValueError::new_err("received_at is a time between the years 1678 and 2261")
                })?
            }
        };
        restore(frames, framing, at_ns)
    }

    /// The topic, or None where there is none.
    ///
    /// A stamp decides; without one it is what stands before the first `:` if that obeys the topic
    /// grammar (a documented guess: `12:30 lunch` has topic `12`), or the first of several frames.
    #[getter]
    fn topic(&self, py: Python<'_>) -> Option<&str> {
        self.meaning(py).topic.as_deref()
    }

    /// The payload as text, without the topic; undecodable bytes are replaced by U+FFFD.
    #[getter]
    fn text<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        let (text, whole) = text(py, self.payload(py))?;
        if !whole {
            self.count_undecodable();
        }
        Ok(text)
    }

    /// The payload's bytes, untouched, without the topic.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let payload = self.payload(py);
        if payload.len() == self.first.as_bytes(py).len() && self.meaning(py).frame == 0 {
            return Ok(self.first.object(py)?.bind(py).clone());
        }
        bytes(py, payload)
    }

    /// The first frame as it came: what pyzmq's `recv` would have given.
    #[getter]
    fn raw(&self, py: Python<'_>) -> PyResult<Py<PyBytes>> {
        Ok(self.first.object(py)?.clone_ref(py))
    }

    /// All frames as they came: what pyzmq's `recv_multipart` would have given, as a tuple.
    #[getter]
    fn frames<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let first = self.first.object(py)?;
        let frames: Vec<_> = std::iter::once(first).chain(&self.rest).collect();
        PyTuple::new(py, frames)
    }

    /// When it was taken from the network's queue: an aware datetime in local time.
    #[getter]
    fn received_at(&self) -> DateTime<FixedOffset> {
        self.at()
    }

    /// The name of the publisher, from its stamp; None where there is no stamp.
    #[getter]
    fn sender(&self, py: Python<'_>) -> Option<&str> {
        Some(self.stamp(py)?.from.as_str())
    }

    /// The publisher's instance id, from its stamp; a restarted publisher has another one.
    #[getter]
    fn instance(&self, py: Python<'_>) -> Option<&str> {
        Some(self.stamp(py)?.id.as_str())
    }

    /// When it was sent, by the sender's clock, from its stamp: an aware datetime in local time.
    #[getter]
    fn sent_at(&self, py: Python<'_>) -> Option<DateTime<FixedOffset>> {
        Some(
            Local
                .timestamp_nanos(self.stamp(py)?.sent_ns)
                .fixed_offset(),
        )
    }

    /// The number that its instance gave it within its topic, from 0, from the stamp.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> Option<u64> {
        Some(self.stamp(py)?.seq)
    }

    /// Seconds from sending to receiving, from the stamp; None where there is no stamp. As right as
    /// the two clocks agree.
    #[getter]
    fn delay(&self, py: Python<'_>) -> Option<f64> {
        // Differences of times are far below 2^52 ns.
        #[allow(clippy::cast_precision_loss)]
        let nanoseconds = self.at_ns.saturating_sub(self.stamp(py)?.sent_ns) as f64;
        Some(nanoseconds / 1e9)
    }

    /// The payload parsed as JSON.
    ///
    /// Returns:
    ///     What the payload holds: dict, list, str, int, float, bool or None.
    ///
    /// Raises:
    ///     ValueError: The payload is not JSON (`json.JSONDecodeError`), or not UTF-8.
    fn json<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        py.import(intern!(py, "json"))?
            .call_method1(intern!(py, "loads"), (bytes(py, self.payload(py))?,))
    }

    fn __str__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyString>> {
        Ok(text(py, self.first.as_bytes(py))?.0)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut parts = Vec::new();
        if let Some(topic) = self.topic(py) {
            parts.push(format!("topic={}", PyString::new(py, topic).repr()?));
        }
        if let Some(sender) = self.sender(py) {
            parts.push(format!("sender={}", PyString::new(py, sender).repr()?));
        }
        parts.push(format!("text={}", self.text(py)?.repr()?));
        Ok(format!("<Message {}>", parts.join(" ")))
    }

    fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> Py<PyAny> {
        let Ok(other) = other.cast::<Self>() else {
            return py.NotImplemented();
        };
        let other = other.get();
        let same = self.at_ns == other.at_ns
            && self.framing == other.framing
            && self.bytes(py) == other.bytes(py);
        pyo3::types::PyBool::new(py, same)
            .to_owned()
            .into_any()
            .unbind()
    }

    fn __hash__(&self, py: Python<'_>) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.at_ns, self.bytes(py)).hash(&mut hasher);
        hasher.finish()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let restore = py
            .import(intern!(py, "zmqchat_rs._core"))?
            .getattr(intern!(py, "_restore_message"))?;
        let arguments = (self.frames(py)?, self.framing.as_str(), self.at_ns);
        (restore, arguments).into_pyobject(py)
    }
}

/// Makes a pickled message anew.
#[pyfunction]
pub(super) fn _restore_message(
    frames: Vec<Py<PyBytes>>,
    framing: &str,
    at_ns: i64,
) -> PyResult<Message> {
    restore(frames, framing, at_ns)
}

pub(super) fn restore(frames: Vec<Py<PyBytes>>, framing: &str, at_ns: i64) -> PyResult<Message> {
    let framing = Framing::parse(framing)?;
    let mut frames = frames.into_iter();
    let first = frames.next().ok_or_else(|| {
        pyo3::exceptions::PyValueError::new_err("a message has at least one frame")
    })?;
    Ok(Message {
        first: first.into(),
        rest: frames.collect(),
        framing,
        at_ns,
        meaning: OnceLock::new(),
        undecodable: None,
        counted: AtomicBool::new(false),
        address: None,
    })
}
