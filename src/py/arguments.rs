//! What Python passes, checked: the errors say what to pass instead.

use crate::error::{Error, Result};
use crate::net::{Connecting, Deadline, Subscription};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString};
use std::time::Duration;

/// Seconds to a time; `None` and infinity are no limit.
pub(super) fn seconds(what: &str, seconds: Option<f64>) -> Result<Option<Duration>> {
    let Some(seconds) = seconds else {
        return Ok(None);
    };
    if seconds.is_nan() || seconds < 0.0 {
        return Err(Error::Value(format!(
            "{what} is a number of seconds, 0 or more, or None for no limit; not {seconds}"
        )));
    }
    // Beyond what a clock can hold is no limit, too.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

pub(super) fn deadline(timeout: Option<f64>) -> Result<Deadline> {
    Ok(Deadline::after(seconds("timeout", timeout)?))
}

/// A linger must end: an endless one is how programs hang at exit.
pub(super) fn linger(value: f64) -> Result<Duration> {
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

/// How connections are kept: `keepalive` and `reconnect_max`.
pub(super) fn connecting(
    keepalive: Option<(f64, f64, Whole)>,
    reconnect_max: f64,
) -> Result<Connecting> {
    let wrong = || {
        Error::Value(
            "keepalive is (seconds before the first probe, seconds between probes, how many), each \
             1 or more, for example (5, 4, 3), or None for none"
                .into(),
        )
    };
    let keepalive = match keepalive {
        None => None,
        Some((idle, interval, Whole(count))) => {
            let whole = |seconds: f64| -> Option<i32> {
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
    Ok(Connecting {
        keepalive,
        reconnect_max,
    })
}

/// An `on_event`.
pub(super) fn callback(object: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    Python::attach(|py| match object {
        Some(object) if !object.bind(py).is_callable() => Err(PyTypeError::new_err(
            "on_event is a function that takes an Event, or None",
        )),
        object => Ok(object),
    })
}

/// A whole number; beyond 64 bits the nearest one that fits, which no range of ours admits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Whole(pub(super) i64);

impl<'a, 'py> FromPyObject<'a, 'py> for Whole {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<i64>() {
            Ok(number) => Ok(Self(number)),
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Self(if object.lt(0)? { i64::MIN } else { i64::MAX }))
            }
            Err(error) => Err(error),
        }
    }
}

/// How many: of what, at least this.
pub(super) fn count(what: &str, Whole(value): Whole, least: usize) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|count| *count >= least)
        .ok_or_else(|| Error::Value(format!("{what} is {least} or more, not {value}")))
}

pub(super) fn high_water_mark(Whole(value): Whole) -> Result<i32> {
    i32::try_from(value)
        .ok()
        .filter(|mark| *mark >= 0)
        .ok_or_else(|| {
            Error::Value(format!(
                "high_water_mark is a number of messages from 1 to {}, or 0 for no limit; not {value}",
                i32::MAX
            ))
        })
}

fn type_name(object: &Bound<'_, PyAny>) -> String {
    object
        .get_type()
        .name()
        .map_or_else(|_| "object".into(), |name| name.to_string())
}

/// One text or several: `"a"`, `["a", "b"]`.
pub(super) fn texts(what: &str, object: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if let Ok(text) = object.cast::<PyString>() {
        return Ok(vec![text.to_str()?.to_owned()]);
    }
    let wrong = |object: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!(
            "{what} takes a str or several, not {}",
            type_name(object)
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
pub(super) fn prefixes(object: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<u8>>> {
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
pub(super) fn subscription(
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

/// A payload's bytes.
pub(super) enum Payload<'a> {
    /// Borrowed from a `str` or `bytes`, which cannot change.
    Borrowed(&'a [u8]),
    /// Copied from a buffer, which may.
    Owned(Vec<u8>),
}

impl<'a> Payload<'a> {
    pub(super) fn new(object: &'a Bound<'_, PyAny>) -> PyResult<Self> {
        if let Ok(text) = object.cast::<PyString>() {
            return Ok(Self::Borrowed(text.to_str()?.as_bytes()));
        }
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Borrowed(bytes.as_bytes()));
        }
        // Whatever its item type, strides or shape: the bytes in C order.
        let py = object.py();
        let view = py
            .import(pyo3::intern!(py, "builtins"))?
            .getattr(pyo3::intern!(py, "memoryview"))?
            .call1((object,))
            .map_err(|_| {
                PyTypeError::new_err(format!(
                    "a payload is str, bytes or a buffer (such as bytearray or a NumPy array), not \
                     {name}: pass str(payload), or use send_json",
                    name = type_name(object)
                ))
            })?;
        let bytes = view.call_method0(pyo3::intern!(py, "tobytes"))?;
        Ok(Self::Owned(bytes.cast::<PyBytes>()?.as_bytes().to_vec()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(bytes) => bytes,
            Self::Owned(bytes) => bytes,
        }
    }
}
