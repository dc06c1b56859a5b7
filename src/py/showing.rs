//! How messages get onto the screen many at a time: the fast way of `Subscriber.listen`.
//!
//! Invariant: what the stream did not take is put back.

use super::message::Message;
use super::subscriber::Subscriber;
use crate::net::Received;
use crate::show::line::Timestamps;
use crate::show::lines::{Lines, Said};
use crate::wire::message::{interpret, Meaning};
use crate::wire::stamp;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::sync::atomic::Ordering;

#[pymethods]
impl Subscriber {
    /// Writes the lines of what is waiting, at most so many messages, to a stream, in one call: either
    /// all of them are written, or what it raises is raised, and all of them are waiting again.
    ///
    /// No Python code runs between the stream's return and ours, so that a signal's handler finds
    /// them either waiting or shown. Gives how many there were, and the last one.
    #[pyo3(signature = (stream, *, most, color, timestamps, previous))]
    fn _show(
        &self,
        stream: &Bound<'_, PyAny>,
        most: usize,
        color: bool,
        timestamps: &str,
        previous: Option<&Bound<'_, Message>>,
    ) -> PyResult<(usize, Option<Message>)> {
        let py = stream.py();
        let timestamps = Timestamps::parse(timestamps)?;
        let previous = previous.map(|message| message.get().at_ns());
        loop {
            let taken = py.detach(|| self.core.take_some(most))?;
            if taken.is_empty() {
                return Ok((0, None));
            }
            let mut lines = Lines::new(timestamps, color, previous);
            let mut text = String::new();
            let (mut shown, mut last, mut undecodable) = (0, None, 0);
            for received in &taken {
                let meaning = self.meaning(received);
                let stamp = meaning.stamp.as_ref();
                let kind = stamp.and_then(|stamp| stamp.kind.as_deref());
                if kind.is_some_and(|kind| stamp::PRESENCE.contains(&kind)) {
                    continue;
                }
                let payload = match meaning.frame.checked_sub(1) {
                    None => received.first.bytes(),
                    Some(index) => received.rest[index].bytes(),
                };
                let decoded = String::from_utf8_lossy(&payload[meaning.start..]);
                undecodable += u64::from(matches!(decoded, std::borrow::Cow::Owned(_)));
                let said = Said {
                    topic: meaning.topic.as_deref(),
                    sender: stamp.map(|stamp| stamp.from.as_str()),
                    action: kind == Some(stamp::ACTION),
                    text: &decoded,
                };
                lines.push(&mut text, received.at_ns, &said);
                shown += 1;
                last = Some(received);
            }
            // A chat's presence alone is no end: more may be waiting.
            let Some(last) = last else { continue };
            let written = match self.message(py, last) {
                Some(last) => write(stream, &PyString::new(py, &text)).map(|()| last),
                None => Err(crate::error::Error::NoMemory.into()),
            };
            return match written {
                Ok(last) => {
                    let counter = self.core.undecodable();
                    counter.fetch_add(undecodable, Ordering::Relaxed);
                    Ok((shown, Some(last)))
                }
                Err(error) => {
                    py.detach(|| self.core.put_back(taken));
                    Err(error)
                }
            };
        }
    }
}

impl Subscriber {
    fn meaning(&self, received: &Received) -> Meaning {
        let first = received.first.bytes();
        if received.rest.is_empty() {
            return interpret(&[first], self.core.framing());
        }
        let rest = received.rest.iter().map(|frame| frame.bytes());
        let frames: Vec<_> = std::iter::once(first).chain(rest).collect();
        interpret(&frames, self.core.framing())
    }
}

/// Writes text, escaping what the stream's encoding has no character for.
fn write(stream: &Bound<'_, PyAny>, text: &Bound<'_, PyString>) -> PyResult<()> {
    let py = stream.py();
    let error = match stream.call_method1(intern!(py, "write"), (text,)) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    if !error.is_instance_of::<PyUnicodeEncodeError>(py) {
        return Err(error);
    }
    let encoding = match stream.getattr_opt(intern!(py, "encoding"))? {
        Some(encoding) if encoding.is_truthy()? => encoding,
        _ => intern!(py, "ascii").clone().into_any(),
    };
    let escaped = text
        .call_method1(intern!(py, "encode"), (&encoding, "backslashreplace"))?
        .call_method1(intern!(py, "decode"), (&encoding,))?;
    stream.call_method1(intern!(py, "write"), (escaped,))?;
    Ok(())
}
