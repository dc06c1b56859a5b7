//! Arguments from Python, checked: each error says what to pass instead.

use crate::error::{Error, Result};
use crate::net::{ConnectionOptions, Deadline, Subscription};
use pyo3::exceptions::{PyOverflowError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyString, PyTuple};
use std::time::Duration;

/// A number of seconds. A number beyond the range of a float is infinite.
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

/// Refuses a negative number of seconds. Cheap: every send and receive calls it.
#[inline]
pub(crate) fn check_seconds(what: &str, seconds: Option<Seconds>) -> Result<()> {
    match seconds {
        // NaN is refused, too.
        Some(Seconds(seconds)) if !matches!(seconds, 0.0..) => Err(negative(what, seconds)),
        _ => Ok(()),
    }
}

#[cold]
fn negative(what: &str, seconds: f64) -> Error {
    Error::Value(format!(
        "invalid {what} {seconds}: expected a number of seconds, 0 or more, or None for no limit"
    ))
}

/// Seconds as a duration; `None` and infinity mean no limit.
pub(crate) fn seconds(what: &str, seconds: Option<Seconds>) -> Result<Option<Duration>> {
    check_seconds(what, seconds)?;
    let Some(Seconds(seconds)) = seconds else {
        return Ok(None);
    };
    // So does a number beyond the range of a clock.
    Ok(Duration::try_from_secs_f64(seconds).ok())
}

pub(crate) fn deadline(timeout: Option<Seconds>) -> Result<Deadline> {
    Ok(Deadline::after(seconds("timeout", timeout)?))
}

/// A timeout, checked now, for a coroutine that may wait later.
pub(crate) fn timeout(what: &str, timeout: Option<Seconds>) -> Result<Option<f64>> {
    check_seconds(what, timeout)?;
    Ok(timeout.map(|Seconds(seconds)| seconds))
}

/// Refuses an infinite linger, with which programs hang at exit.
pub(crate) fn linger(value: Seconds) -> Result<Duration> {
    let Seconds(number) = value;
    if !matches!(number, 0.0..) {
        return Err(Error::Value(format!(
            "invalid linger {number}: expected a number of seconds, 0 or more"
        )));
    }
    match seconds("linger", Some(value))? {
        // libzmq counts milliseconds in an int.
        Some(linger) if linger.as_millis() <= i32::MAX as u128 => Ok(linger),
        _ => Err(Error::Value(
            "invalid linger: an infinite linger can make a program hang at exit; pass the seconds that \
             unsent messages may take, for example 5"
                .into(),
        )),
    }
}

/// The argument `keepalive`.
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
    const EXPECTED: &'static str =
        "invalid keepalive: expected (seconds before the first probe, seconds between probes, number \
         of probes), each 1 or more, for example (5, 4, 3), or None to turn it off";
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
            Err(_) if object.is_instance_of::<PyTuple>() => {
                Err(PyValueError::new_err(Self::EXPECTED))
            }
            Err(_) => Err(PyTypeError::new_err(Self::EXPECTED)),
        }
    }
}

/// The arguments `keepalive`, `reconnect_max` and `batch_bytes`.
pub(crate) fn connection_options(
    keepalive: Option<KeepAlive>,
    reconnect_max: Seconds,
    batch_bytes: Whole,
) -> Result<ConnectionOptions> {
    let wrong = || Error::Value(KeepAlive::EXPECTED.into());
    let keepalive = match keepalive {
        None => None,
        Some(KeepAlive {
            idle,
            interval,
            count: Whole(count),
        }) => {
            let whole = |Seconds(seconds): Seconds| -> Option<i32> {
                // The range is checked, and TCP counts whole seconds.
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
            Error::Value(format!(
                "invalid reconnect_max {}: expected a number of seconds from 0.1 to 86400",
                reconnect_max.0
            ))
        })?;
    let batch_bytes = i32::try_from(batch_bytes.0)
        .ok()
        .filter(|bytes| (1_024..=16_777_216).contains(bytes))
        .ok_or_else(|| {
            Error::Value(format!(
                "invalid batch_bytes {batch_bytes}: expected a number of bytes from 1024 to 16777216"
            ))
        })?;
    Ok(ConnectionOptions {
        keepalive,
        reconnect_max,
        batch_bytes,
    })
}

/// The argument `on_event`.
pub(crate) fn callback(py: Python<'_>, object: Option<Py<PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match object {
        Some(object) if !object.bind(py).is_callable() => Err(PyTypeError::new_err(format!(
            "on_event is a function that takes an Event, or None, not {}",
            type_name(object.bind(py))
        ))),
        object => Ok(object),
    }
}

/// A whole number. Beyond 64 bits it is the nearest one that fits, which no argument allows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Whole(pub(crate) i64);

impl std::fmt::Display for Whole {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            i64::MIN | i64::MAX => formatter.write_str("(beyond 64 bits)"),
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
        ": pass topics and times by name, as in topic=\"room1\""
    } else {
        ""
    };
    PyTypeError::new_err(format!(
        "a count is a whole number, such as 1, not {}{advice}",
        type_name(object)
    ))
}

/// A count of at least `least`.
pub(crate) fn count(what: &str, value: Whole, least: usize) -> Result<usize> {
    usize::try_from(value.0)
        .ok()
        .filter(|count| *count >= least)
        .ok_or_else(|| Error::Value(format!("invalid {what} {value}: expected {least} or more")))
}

pub(crate) fn high_water_mark(value: Whole) -> Result<i32> {
    i32::try_from(value.0)
        .ok()
        .filter(|mark| *mark >= 0)
        .ok_or_else(|| {
            Error::Value(format!(
                "invalid high_water_mark {value}: expected a number of messages from 1 to {}, or 0 for \
                 no limit",
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

/// An example of what to pass for an address or a topic.
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
            "{what} is a str or several, not {}: pass {}",
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
            "prefixes is a str, bytes, or several of them, not {}: for example prefixes=[b\"room\"]",
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

/// The arguments of `subscribe` and `unsubscribe`: a topic or a prefix.
pub(crate) fn subscription(
    topic: Option<&str>,
    raw_prefix: Option<&Bound<'_, PyAny>>,
) -> PyResult<Subscription> {
    match (topic, raw_prefix) {
        (Some(topic), None) => Ok(Subscription::topic(topic)?),
        (None, Some(object)) => {
            let prefix = prefix(object)?.ok_or_else(|| {
                PyTypeError::new_err(format!(
                    "prefix is a str or bytes, not {}: for example prefix=b\"room\"",
                    type_name(object)
                ))
            })?;
            Ok(Subscription::prefix(prefix)?)
        }
        _ => Err(PyTypeError::new_err(
            "expected a topic or a prefix: pass a topic, as in subscribe(\"room1\"), or a raw prefix, \
             as in subscribe(prefix=\"room\") (prefix=\"\" receives everything)",
        )),
    }
}

/// The error of `json.dumps`, with advice.
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
