//! What Python passes, checked: the errors say what to pass instead.

use crate::error::{Error, Result};
use crate::net::{ConnectionOptions, Deadline, Subscription};
use crate::py::convert::zero_copy;
use crate::py::error::import;
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::time::Duration;

/// A number of seconds; one that no float holds is infinite.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seconds(pub(crate) f64);

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<f64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                let sign = if object.lt(0)? { -1.0 } else { 1.0 };
                Ok(Self(f64::INFINITY * sign))
            }
            Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
                Err(not_seconds(&object))
            }
            Err(error) => Err(error),
        }
    }
}

#[cold]
fn not_seconds(object: &Bound<'_, PyAny>) -> PyErr {
    let kind = type_name(object);
    let advice = match kind.as_str() {
        "str" => "pass a number without quotes, as in timeout=5",
        "timedelta" => "pass its seconds, as in timeout=delta.total_seconds()",
        _ => "pass a number, as in timeout=5",
    };
    PyTypeError::new_err(format!(
        "a time is a number of seconds, not {kind}: {advice}"
    ))
}

/// Refuses a number of seconds that makes no sense. Cheap: every send and receive asks.
#[inline]
pub(crate) fn check_seconds(what: &str, seconds: Option<Seconds>) -> Result<()> {
    match seconds {
        // NaN, too, is not 0 or more.
        Some(Seconds(seconds)) if !matches!(seconds, 0.0..) => Err(senseless(what, seconds)),
        _ => Ok(()),
    }
}

#[cold]
fn senseless(what: &str, seconds: f64) -> Error {
    Error::Value(format!(
        "{what} is a number of seconds, 0 or more, or None for no limit; not {seconds}"
    ))
}

/// Seconds to a time; `None` and infinity are no limit.
pub(crate) fn seconds(what: &str, seconds: Option<Seconds>) -> Result<Option<Duration>> {
    check_seconds(what, seconds)?;
    let Some(Seconds(seconds)) = seconds else {
        return Ok(None);
    };
    // Beyond what a clock can hold is no limit, too.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

pub(crate) fn deadline(timeout: Option<Seconds>) -> Result<Deadline> {
    Ok(Deadline::after(seconds("timeout", timeout)?))
}

/// A time-out that a coroutine keeps for later.
pub(crate) fn waits(what: &str, timeout: Option<Seconds>) -> Result<Option<f64>> {
    check_seconds(what, timeout)?;
    Ok(timeout.map(|Seconds(seconds)| seconds))
}

/// A linger must end: an endless one is how programs hang at exit.
pub(crate) fn linger(value: Seconds) -> Result<Duration> {
    let Seconds(number) = value;
    if !matches!(number, 0.0..) {
        return Err(Error::Value(format!(
            "linger is a number of seconds, 0 or more, not {number}"
        )));
    }
    match seconds("linger", Some(value))? {
        // libzmq counts milliseconds in an int.
        Some(linger) if linger.as_millis() <= i32::MAX as u128 => Ok(linger),
        _ => Err(Error::Value(
            "linger must be finite: an endless one lets programs hang at exit; pass the seconds \
             that unsent messages may take, for example 5"
                .into(),
        )),
    }
}

/// What `keepalive` is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    idle: Seconds,
    interval: Seconds,
    count: Whole,
}

impl KeepAlive {
    pub(crate) const DEFAULT: Self = Self {
        idle: Seconds(5.0),
        interval: Seconds(4.0),
        count: Whole(3),
    };
    const WORDS: &'static str =
        "keepalive is (seconds before the first probe, seconds between probes, how many), each 1 or \
         more, for example (5, 4, 3), or None for none";
}

impl<'a, 'py> FromPyObject<'a, 'py> for KeepAlive {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract() {
            Ok((idle, interval, count)) => Ok(Self {
                idle,
                interval,
                count,
            }),
            Err(_) if object.is_instance_of::<PyTuple>() => Err(PyValueError::new_err(Self::WORDS)),
            Err(_) => Err(PyTypeError::new_err(Self::WORDS)),
        }
    }
}

/// How connections are kept: `keepalive`, `reconnect_max` and `batch_bytes`.
pub(crate) fn connecting(
    keepalive: Option<KeepAlive>,
    reconnect_max: Seconds,
    batch_bytes: Whole,
) -> Result<ConnectionOptions> {
    let wrong = || Error::Value(KeepAlive::WORDS.into());
    let keepalive = match keepalive {
        None => None,
        Some(KeepAlive {
            idle,
            interval,
            count: Whole(count),
        }) => {
            let whole = |Seconds(seconds): Seconds| -> Option<i32> {
                // The range is checked, and TCP knows whole seconds only.
                #[allow(clippy::cast_possible_truncation)]
                (1.0..=32_767.0)
                    .contains(&seconds)
                    .then(|| seconds.round() as i32)
            };
            let count = i32::try_from(count)
                .ok()
                .filter(|count| (1..=127).contains(count));
            match (whole(idle), whole(interval), count) {
                (Some(idle), Some(interval), Some(count)) => Some((idle, interval, count)),
                _ => return Err(wrong()),
            }
        }
    };
    let reconnect_max = seconds("reconnect_max", Some(reconnect_max))?
        .filter(|time| time.as_millis() >= 100 && time.as_secs() <= 86_400)
        .ok_or_else(|| {
            Error::Value("reconnect_max is a number of seconds from 0.1 to 86400".into())
        })?;
    let batch_bytes = i32::try_from(batch_bytes.0)
        .ok()
        .filter(|bytes| (1_024..=16_777_216).contains(bytes))
        .ok_or_else(|| {
            Error::Value(format!(
                "batch_bytes is a number of bytes from 1024 to 16777216, not {batch_bytes}"
            ))
        })?;
    Ok(ConnectionOptions {
        keepalive,
        reconnect_max,
        batch_bytes,
    })
}

/// An `on_event`.
pub(crate) fn callback(py: Python<'_>, object: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match object {
        Some(object) if !object.bind(py).is_callable() => Err(PyTypeError::new_err(
            "on_event is a function that takes an Event, or None",
        )),
        object => Ok(object),
    }
}

/// A whole number; beyond 64 bits the nearest one that fits, which no range of ours admits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole(pub(crate) i64);

impl std::fmt::Display for Whole {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            i64::MIN | i64::MAX => formatter.write_str("a number of that size"),
            number => number.fmt(formatter),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(if object.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(error) if error.is_instance_of::<PyTypeError>(object.py()) => {
                Err(not_whole(&object))
            }
            Err(error) => Err(error),
        }
    }
}

#[cold]
fn not_whole(object: &Bound<'_, PyAny>) -> PyErr {
    let is_word = object
        .extract::<&str>()
        .is_ok_and(|text| text.parse::<f64>().is_err());
    let advice = if is_word {
        "; topics and times go by name, as in topic=\"room1\""
    } else {
        ""
    };
    PyTypeError::new_err(format!(
        "a count is a whole number, such as 1, not {}{advice}",
        type_name(object)
    ))
}

/// How many: of what, at least this.
pub(crate) fn count(what: &str, value: Whole, least: usize) -> Result<usize> {
    usize::try_from(value.0)
        .ok()
        .filter(|count| *count >= least)
        .ok_or_else(|| Error::Value(format!("{what} is {least} or more, not {value}")))
}

pub(crate) fn high_water_mark(value: Whole) -> Result<i32> {
    i32::try_from(value.0)
        .ok()
        .filter(|mark| *mark >= 0)
        .ok_or_else(|| {
            Error::Value(format!(
                "high_water_mark is a number of messages from 1 to {}, or 0 for no limit; not {value}",
                i32::MAX
            ))
        })
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string())
}

/// What to pass where an address or a topic is a `str`.
#[cold]
fn example(what: &str, object: &Bound<'_, PyAny>) -> String {
    if what == "topics" {
        return "text, as in topics=[\"room1\"]".to_owned();
    }
    let port = object
        .extract::<u16>()
        .map_or_else(|_| "5555".to_owned(), |port| port.to_string());
    let host = if what == "bind" { "*" } else { "192.168.1.12" };
    format!("an address, as in \"{host}:{port}\"")
}

/// One text or several: `"a"`, `["a", "b"]`.
pub(crate) fn texts(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(vec![text.to_str()?.to_owned()]);
    }
    let wrong = |object: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!(
            "{what} takes a str or several, not {}: pass {}",
            type_name(object),
            example(what, object)
        ))
    };
    if object.is_instance_of::<PyBytes>() {
        return Err(wrong(object));
    }
    object
        .try_iter()
        .map_err(|_| wrong(object))?
        .map(|item| {
            let item = item?;
            let text = item.cast::<PyString>().map_err(|_| wrong(&item))?;
            Ok(text.to_str()?.to_owned())
        })
        .collect()
}

/// One prefix, text or bytes.
fn prefix(object: &Bound<'_, PyAny>) -> PyResult<Option<Vec<u8>>> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(Some(text.to_str()?.as_bytes().to_vec()));
    }
    Ok(object
        .cast::<PyBytes>()
        .ok()
        .map(|bytes| bytes.as_bytes().to_vec()))
}

/// One prefix or several.
pub(crate) fn prefixes(object: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
    let wrong = |object: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!(
            "prefixes takes a str or bytes or several, not {}",
            type_name(object)
        ))
    };
    if let Some(one) = prefix(object)? {
        return Ok(vec![one]);
    }
    object
        .try_iter()
        .map_err(|_| wrong(object))?
        .map(|item| {
            let item = item?;
            prefix(&item)?.ok_or_else(|| wrong(&item))
        })
        .collect()
}

/// The arguments of `subscribe` and `unsubscribe`: one of the two.
pub(crate) fn subscription(
    topic: Option<&str>,
    raw_prefix: Option<&Bound<'_, PyAny>>,
) -> PyResult<Subscription> {
    match (topic, raw_prefix) {
        (Some(topic), None) => Ok(Subscription::topic(topic)?),
        (None, Some(object)) => {
            let prefix = prefix(object)?.ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "prefix takes a str or bytes, not {}",
                    type_name(object)
                ))
            })?;
            Ok(Subscription::prefix(prefix)?)
        }
        _ => Err(PyTypeError::new_err(
            "pass one of the two: a topic, as in subscribe(\"room1\"), or a raw prefix, as in \
             subscribe(prefix=\"room\") (prefix=\"\" hears everything)",
        )),
    }
}

/// The error of `json.dumps`, with what to write instead.
#[cold]
pub(crate) fn not_json(py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyTypeError>(py) {
        return error;
    }
    let advised = PyTypeError::new_err(format!(
        "{}: convert it first, for example float(x), array.tolist() for a NumPy array, or str(x)",
        error.value(py)
    ));
    advised.set_cause(py, Some(error));
    advised
}

/// Refuses buffers whose raw bytes are useless to a receiver: a NumPy number, and addresses in this
/// process's memory.
fn refuse_numbers_and_pointers(object: &Bound<'_, PyAny>, view: &Bound<'_, PyAny>) -> PyResult<()> {
    let py = object.py();
    let format = view.getattr(pyo3::intern!(py, "format"))?;
    let format = format.extract::<&str>()?;
    let name = type_name(object);
    if holds_pointers(format) {
        return Err(PyTypeError::new_err(format!(
            "this {name} holds Python objects or pointers (format {format:?}), which only this \
             process can read: convert it to numbers, for example array.astype(float), or use \
             send_json"
        )));
    }
    // A number of ctypes is not a number in Python, and a record has fields.
    let is_number = view
        .getattr(pyo3::intern!(py, "ndim"))?
        .extract::<usize>()?
        == 0
        && !format.contains(['{', 'x'])
        && object.hasattr(pyo3::intern!(py, "__float__"))?;
    if is_number {
        return Err(PyTypeError::new_err(format!(
            "a payload is str, bytes or a buffer, not a number ({name}): pass str(x) for text, use \
             send_json(x.item()), or pack_array(x) to keep its type"
        )));
    }
    if is_time(object)? {
        return Err(PyTypeError::new_err(format!(
            "a payload is str, bytes or a buffer, not a time ({name}): pass str(x) for text, or \
             pack_array(x) to keep its type"
        )));
    }
    Ok(())
}

/// Whether it is a `datetime64` or a `timedelta64`, which is exported as bytes without a format.
fn is_time(object: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = object.py();
    let Some(dtype) = object.getattr_opt(pyo3::intern!(py, "dtype"))? else {
        return Ok(false);
    };
    match dtype.getattr_opt(pyo3::intern!(py, "kind"))? {
        Some(kind) => Ok(kind.eq("m")? || kind.eq("M")?),
        None => Ok(false),
    }
}

/// Whether a buffer's format (PEP 3118, and that of ctypes) has an item that is an address.
fn holds_pointers(format: &str) -> bool {
    // `T{d:name:O:other:}`: names are between colons.
    format.split(':').step_by(2).any(|types| {
        types.contains(['O', '&', 'P', 'X', 'z'])
            // ctypes' `wchar_t *`; before a letter it is a complex number.
            || types.ends_with('Z')
    })
}

/// A payload's bytes.
pub(crate) enum Payload<'a, 'py> {
    /// Borrowed from a `str`, which cannot change.
    Text(&'a [u8]),
    /// Bytes, which cannot change either.
    Bytes(&'a Bound<'py, PyBytes>),
    /// Copied from a buffer, which may.
    Owned(Bound<'py, PyBytes>),
}

impl<'a, 'py> Payload<'a, 'py> {
    #[inline]
    pub(crate) fn new(object: &'a Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self::Text(text.to_str()?.as_bytes()));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes));
        }
        Self::of_buffer(object)
    }

    /// Whatever its item type, strides or shape: the bytes in C order. Apart, so that the way of most
    /// messages stays short.
    #[cold]
    #[inline(never)]
    fn of_buffer(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        let py = object.py();
        let view = import(py, pyo3::intern!(py, "builtins"))?
            .getattr(pyo3::intern!(py, "memoryview"))?
            .call1((object,))
            .map_err(|error| {
                // A buffer that was released or closed says so itself.
                if !error.is_instance_of::<PyTypeError>(py) {
                    return error;
                }
                PyTypeError::new_err(format!(
                    "a payload is str, bytes or a buffer (such as bytearray or a NumPy array), not \
                     {name}: pass str(payload), or use send_json",
                    name = type_name(object)
                ))
            })?;
        refuse_numbers_and_pointers(object, &view)?;
        let bytes = view.call_method0(pyo3::intern!(py, "tobytes"))?;
        Ok(Self::Owned(bytes.cast_into::<PyBytes>()?))
    }

    /// Bytes that are dearer to copy than to lend.
    #[inline]
    pub(crate) fn worth_lending(&self) -> Option<&'a Bound<'py, PyBytes>> {
        match self {
            Self::Bytes(bytes) if bytes.as_bytes().len() >= zero_copy::LEAST => Some(bytes),
            _ => None,
        }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes.as_bytes(),
            Self::Text(bytes) => bytes,
            Self::Owned(bytes) => bytes.as_bytes(),
        }
    }
}
