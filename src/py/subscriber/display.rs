//! How messages get onto the screen many at a time: the fast way of `Subscriber.listen`.
//!
//! Invariant: what the stream did not take is put back, unless a log has it.

use crate::error::Error;
use crate::net::Frame;
use crate::py::convert::objects;
use crate::py::error::ZmqChatError;
use crate::py::message::Message;
use crate::py::subscriber::Subscriber;
use crate::py::transcript::Transcript;
use crate::render::line::Timestamps;
use crate::render::line_batch::{Lines, Said};
use crate::transcript::Record;
use crate::wire::message::interpret;
use crate::wire::stamp::Stamp;
use pyo3::exceptions::PyUnicodeEncodeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::borrow::Cow;
use std::iter;
use std::sync::atomic::Ordering;

#[pymethods]
impl Subscriber {
    /// Writes the lines of what is waiting, at most so many messages, to a stream, in one call: either
    /// all of them are written, or what it raises is raised, and all of them are waiting again. A log
    /// gets them first; what it has does not come again.
    ///
    /// No Python code runs between the stream's return and ours, so that a signal's handler finds
    /// them either waiting or shown. A chat's presence is passed over. Gives how many there were, the last one, and why the log failed.
    #[pyo3(signature = (stream, *, most, color, timestamps, width, previous, log))]
    #[allow(clippy::too_many_arguments)] // keyword arguments
    fn _show(
        &self,
        stream: &Bound<'_, PyAny>,
        most: usize,
        color: bool,
        timestamps: &str,
        width: Option<usize>,
        previous: Option<&Bound<'_, Message>>,
        log: Option<&Bound<'_, Transcript>>,
    ) -> PyResult<(usize, Option<Message>, Option<PyErr>)> {
        let py = stream.py();
        let timestamps = Timestamps::parse(timestamps)?;
        let previous = previous.map(|message| message.get().at_ns());
        let log = log.map(Bound::get);
        let (mut text, mut logged) = (String::new(), Vec::new());
        let (mut shown, mut undecodable) = (0, 0);
        let (taken, last) = loop {
            let taken = py.detach(|| self.core.take_some(most))?;
            if taken.is_empty() {
                return Ok((0, None, None));
            }
            let mut lines = Lines::new(timestamps, color, width, previous);
            let mut last = None;
            for (index, received) in taken.iter().enumerate() {
                let rest = received.rest.iter().map(Frame::bytes);
                let frames: Vec<_> = iter::once(received.first.bytes()).chain(rest).collect();
                let meaning = interpret(&frames, self.core.framing(), received.topic_len);
                let stamp = meaning.stamp.as_ref();
                if meaning.is_presence(&frames) {
                    continue;
                }
                let decoded = String::from_utf8_lossy(meaning.payload(&frames));
                undecodable += u64::from(matches!(decoded, Cow::Owned(_)));
                let said = Said {
                    topic: meaning.topic.as_deref(),
                    sender: stamp.map(|stamp| stamp.from.as_str()),
                    action: stamp.is_some_and(Stamp::is_action),
                    text: &decoded,
                };
                lines.push(&mut text, received.at_ns, &said);
                shown += 1;
                last = Some(index);
                if let Some(log) = log {
                    let record = Record {
                        frames,
                        framing: self.core.framing(),
                        meaning: &meaning,
                        at_ns: received.at_ns,
                    };
                    log.line_format().push_line(&mut logged, &record);
                }
            }
            // Presence alone is nothing to show: there may be more behind it.
            if let Some(last) = last {
                break (taken, last);
            }
        };
        let last = &taken[last];
        let Some(last) = self.message(py, last) else {
            py.detach(|| self.core.put_back(taken));
            return Err(Error::NoMemory.into());
        };
        let failed = match log.map(|log| log.append(py, &logged)) {
            Some(Err(error)) if error.is_instance_of::<ZmqChatError>(py) => Some(error),
            Some(Err(error)) => {
                py.detach(|| self.core.put_back(taken));
                return Err(error);
            }
            Some(Ok(())) | None => None,
        };
        let written = objects::text(py, &text).and_then(|text| write(stream, &text));
        match written {
            Ok(()) => {
                let counter = self.core.undecodable();
                counter.fetch_add(undecodable, Ordering::Relaxed);
                Ok((shown, Some(last), failed))
            }
            Err(error) => {
                if log.is_none() || failed.is_some() {
                    py.detach(|| self.core.put_back(taken));
                }
                Err(error)
            }
        }
    }
}

/// Writes text, escaping what the stream's encoding has no character for.
fn write(stream: &Bound<'_, PyAny>, text: &Bound<'_, PyString>) -> PyResult<()> {
    let py = stream.py();
    let Err(error) = stream.call_method1(intern!(py, "write"), (text,)) else {
        return Ok(());
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
