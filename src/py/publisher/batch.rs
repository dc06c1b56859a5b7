//! The payloads of `send_many`, with one topic for all of them or one topic each.

use crate::py::convert::args::type_name;
use crate::py::convert::near_miss::not_a_topic;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyMemoryView, PyString};

/// Payloads, taken from their iterator one by one as they are sent.
pub(crate) struct SendBatch {
    payloads: Py<PyIterator>,
    /// One topic for each payload; None if `topic` applies to all.
    topics: Option<Py<PyIterator>>,
}

/// A payload and its own topic, if it has one.
pub(crate) type Item<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyString>>);

impl SendBatch {
    /// Refuses a single payload, a single topic, and lists of different length.
    pub(crate) fn new(
        payloads: &Bound<'_, PyAny>,
        topic: Option<&str>,
        topics: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if is_single(payloads) {
            return Err(PyTypeError::new_err(
                "payloads is a single payload, expected a list: use send for a single one",
            ));
        }
        let Some(topics) = topics else {
            return Ok(Self {
                payloads: iterator(payloads)?,
                topics: None,
            });
        };
        if topic.is_some() {
            return Err(PyTypeError::new_err(
                "both topic and topics are given: pass topic for all payloads, or topics with one for \
                 each",
            ));
        }
        if is_single(topics) {
            return Err(PyTypeError::new_err(
                "topics is a single topic, expected a list with one for each payload: pass topic for \
                 the same one",
            ));
        }
        // A generator has no length: a difference is found at its end.
        if let (Ok(payloads), Ok(topics)) = (payloads.len(), topics.len()) {
            if payloads != topics {
                return Err(PyValueError::new_err(format!(
                    "{payloads} payloads but {topics} topics: pass one topic, or None, for each payload"
                )));
            }
        }
        Ok(Self {
            payloads: iterator(payloads)?,
            topics: Some(topics.try_iter()?.unbind()),
        })
    }

    /// The next payload; None after the last.
    #[allow(clippy::inline_always)] // the item is large and must not be written to memory
    #[inline(always)]
    pub(crate) fn next<'py>(&self, py: Python<'py>) -> Option<PyResult<Item<'py>>> {
        match (self.payloads.bind(py).clone().next(), &self.topics) {
            (None, None) => None,
            (Some(payload), None) => Some(payload.map(|payload| (payload, None))),
            (payload, Some(topics)) => {
                with_topic(payload, topics.bind(py).clone().next()).transpose()
            }
        }
    }

    /// Whether each payload has its own topic, or None.
    pub(crate) fn has_topics(&self) -> bool {
        self.topics.is_some()
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.payloads)?;
        visit.call(&self.topics)
    }
}

/// The next item of both iterators.
#[inline]
fn with_topic<'py>(
    payload: Option<PyResult<Bound<'py, PyAny>>>,
    topic: Option<PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Option<Item<'py>>> {
    match (payload.transpose()?, topic.transpose()?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(different_length("topics")),
        (None, Some(_)) => Err(different_length("payloads")),
        (Some(payload), Some(topic)) => match topic.cast_into::<PyString>() {
            Ok(topic) => Ok(Some((payload, Some(topic)))),
            Err(error) => match error.into_inner() {
                none if none.is_none() => Ok(Some((payload, None))),
                other => Err(not_a_topic(&other)),
            },
        },
    }
}

#[cold]
fn different_length(which: &str) -> PyErr {
    PyValueError::new_err(format!(
        "{which} ended first: pass one topic, or None, for each payload; the payloads before were sent"
    ))
}

fn iterator(payloads: &Bound<'_, PyAny>) -> PyResult<Py<PyIterator>> {
    let Ok(payloads) = payloads.try_iter() else {
        return Err(PyTypeError::new_err(format!(
            "payloads is a list of payloads, not {}: use send for a single one",
            type_name(payloads)
        )));
    };
    Ok(payloads.unbind())
}

/// Whether it is a single payload or topic: iterating over its characters or bytes is a mistake.
fn is_single(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyMemoryView>()
}
