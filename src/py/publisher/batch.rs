//! What `send_many` sends: several payloads, with one topic for all of them or one for each.

use crate::py::convert::args::type_name;
use crate::py::convert::near_miss::not_a_topic;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyIterator, PyMemoryView, PyString};

/// Payloads, taken one by one as they are sent.
pub(crate) struct SendBatch {
    payloads: Py<PyIterator>,
    /// One for each payload; None where `topic` is for all.
    topics: Option<Py<PyIterator>>,
}

/// A payload and its own topic, if it has one.
pub(crate) type Item<'py> = (Bound<'py, PyAny>, Option<Bound<'py, PyString>>);

impl SendBatch {
    /// Refuses what is a single payload, or a single topic, and lists of unlike length.
    pub(crate) fn new(
        payloads: &Bound<'_, PyAny>,
        topic: Option<&str>,
        topics: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        if is_single(payloads) {
            return Err(PyTypeError::new_err(
                "send_many takes a list of payloads; for a single one use send",
            ));
        }
        let Some(topics) = topics else {
            return Ok(Self {
                payloads: several(payloads)?,
                topics: None,
            });
        };
        if topic.is_some() {
            return Err(PyTypeError::new_err(
                "pass one of the two: topic, which is for all payloads, or topics, one for each",
            ));
        }
        if is_single(topics) {
            return Err(PyTypeError::new_err(
                "topics takes a list, one topic for each payload; for the same one pass topic",
            ));
        }
        // A generator has no length: whether it suits shows when it ends.
        if let (Ok(payloads), Ok(topics)) = (payloads.len(), topics.len()) {
            if payloads != topics {
                return Err(PyValueError::new_err(format!(
                    "{payloads} payloads and {topics} topics: each payload needs one topic, or None"
                )));
            }
        }
        Ok(Self {
            payloads: several(payloads)?,
            topics: Some(topics.try_iter()?.unbind()),
        })
    }

    /// The next payload; None after the last.
    #[allow(clippy::inline_always)] // what it gives is large, and must not go through memory
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

    /// Whether each payload has a topic of its own, or none.
    pub(crate) fn has_topics(&self) -> bool {
        self.topics.is_some()
    }

    pub(crate) fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.payloads)?;
        visit.call(&self.topics)
    }
}

/// What was found in both lists.
#[inline]
fn with_topic<'py>(
    payload: Option<PyResult<Bound<'py, PyAny>>>,
    topic: Option<PyResult<Bound<'py, PyAny>>>,
) -> PyResult<Option<Item<'py>>> {
    match (payload.transpose()?, topic.transpose()?) {
        (None, None) => Ok(None),
        (Some(_), None) => Err(unlike("topics")),
        (None, Some(_)) => Err(unlike("payloads")),
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
fn unlike(which: &str) -> PyErr {
    PyValueError::new_err(format!(
        "{which} ended first: each payload needs one topic, or None; what came before was sent"
    ))
}

fn several(payloads: &Bound<'_, PyAny>) -> PyResult<Py<PyIterator>> {
    let Ok(payloads) = payloads.try_iter() else {
        return Err(PyTypeError::new_err(format!(
            "send_many takes a list of payloads, not {}; for a single one use send",
            type_name(payloads)
        )));
    };
    Ok(payloads.unbind())
}

/// Whether it is one payload or topic, whose characters or bytes are not what was meant.
fn is_single(object: &Bound<'_, PyAny>) -> bool {
    object.is_instance_of::<PyString>()
        || object.is_instance_of::<PyBytes>()
        || object.is_instance_of::<PyByteArray>()
        || object.is_instance_of::<PyMemoryView>()
}
