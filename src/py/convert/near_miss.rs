//! Calls with a likely mistake: each error says what to type.

use crate::py::convert::args::type_name;
use crate::py::error::import;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

/// Refuses a second positional argument in a call that takes one.
#[inline]
pub(crate) fn unnamed(extra: Option<&Bound<'_, PyAny>>, call: &str, first: &str) -> PyResult<()> {
    match extra {
        None => Ok(()),
        Some(extra) => Err(must_be_named(extra, call, first)),
    }
}

#[cold]
fn must_be_named(extra: &Bound<'_, PyAny>, call: &str, first: &str) -> PyErr {
    let (name, value) = if extra.is_instance_of::<PyString>() {
        let shown = extra
            .repr()
            .map_or_else(|_| "...".into(), |shown| shown.to_string());
        ("topic", shown)
    } else {
        ("timeout", "5".to_owned())
    };
    PyTypeError::new_err(format!(
        "only {first} is positional: {call}({first}, {name}={value})"
    ))
}

/// Unknown keywords of a constructor, and what to type instead.
pub(crate) type KeywordAdvice = [(&'static [&'static str], &'static str)];

/// Refuses unknown keywords of a constructor.
#[inline]
pub(crate) fn unknown(
    class: &Bound<'_, PyType>,
    keywords: Option<&Bound<'_, PyDict>>,
    advice: &KeywordAdvice,
) -> PyResult<()> {
    match keywords.and_then(|keywords| keywords.keys().into_iter().next()) {
        None => Ok(()),
        Some(name) => Err(not_a_keyword(class, &name, advice)),
    }
}

#[cold]
fn not_a_keyword(
    class: &Bound<'_, PyType>,
    name: &Bound<'_, PyAny>,
    advice: &KeywordAdvice,
) -> PyErr {
    let name = name.to_string();
    let advice = advice
        .iter()
        .find(|(names, _)| names.contains(&name.as_str()))
        .map_or_else(
            || similar(class, &name).unwrap_or_default(),
            |(_, advice)| (*advice).to_owned(),
        );
    let class = class
        .name()
        .map_or_else(|_| "this class".into(), |name| name.to_string());
    PyTypeError::new_err(format!("{class} has no argument '{name}': {advice}"))
}

/// The argument with the most similar name, or all arguments.
fn similar(class: &Bound<'_, PyType>, name: &str) -> PyResult<String> {
    let py = class.py();
    let signature = class.getattr(intern!(py, "__text_signature__"))?;
    let signature = signature.extract::<&str>()?;
    let known: Vec<&str> = signature
        .trim_matches(['(', ')'])
        .split(',')
        .filter_map(|part| part.trim().split_once('='))
        .map(|(name, _)| name)
        .collect();
    let close = import(py, intern!(py, "difflib"))?
        .call_method1(intern!(py, "get_close_matches"), (name, &known))?
        .extract::<Vec<String>>()?;
    Ok(match close.first() {
        Some(close) => format!("did you mean {close}=?"),
        None => format!("it takes {}", known.join(", ")),
    })
}

/// A topic as an argument.
pub(crate) struct Topic<'a>(pub(crate) &'a str);

impl<'a, 'py> FromPyObject<'a, 'py> for Topic<'a> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<&str>() {
            Ok(text) => Ok(Self(text)),
            // Lone surrogates have no UTF-8.
            Err(error) if object.is_instance_of::<PyString>() => Err(error),
            Err(_) => Err(not_a_topic(&object)),
        }
    }
}

/// The error for a topic that is not text.
#[cold]
pub(crate) fn not_a_topic(object: &Bound<'_, PyAny>) -> PyErr {
    let kind = type_name(object);
    let advice = match kind.as_str() {
        "bytes" | "bytearray" => "pass text without the b, as in \"room1\"",
        "list" | "tuple" | "set" => "pass one topic per call, as in \"room1\"",
        _ => "pass text, as in \"room1\"",
    };
    PyTypeError::new_err(format!("a topic is a str or None, not {kind}: {advice}"))
}

/// An address as an argument.
pub(crate) struct AddressText<'a>(pub(crate) &'a str);

impl<'a, 'py> FromPyObject<'a, 'py> for AddressText<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<&str>() {
            Ok(text) => Ok(Self(text)),
            Err(error) if object.is_instance_of::<PyString>() => Err(error),
            Err(_) => Err(PyTypeError::new_err(format!(
                "an address is a str, not {}: pass host and port as text, as in \
                 \"192.168.1.12:5555\"",
                type_name(&object)
            ))),
        }
    }
}
