//! Prints many messages at a time, for `Subscriber.listen`.
//!
//! Invariant: messages that the stream did not take are queued again, unless they are in a log.

use crate::error::Error;
use crate::net::Frame;
use crate::py::convert::objects;
use crate::py::error::ZmqChatError;
use crate::py::message::Message;
use crate::py::subscriber::receive::Receiver;
use crate::py::transcript::writer::Transcript;
use crate::render::line::Timestamps;
use crate::render::line_batch::{LineBatch, LineContent};
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

/// How messages are shown, and the log that they are written to.
pub(crate) struct Display<'a> {
    pub(crate) receiver: &'a Receiver,
    pub(crate) color: bool,
    pub(crate) timestamps: Timestamps,
    pub(crate) width: Option<usize>,
    pub(crate) log: Option<&'a Transcript>,
}

impl Display<'_> {
    /// Writes the lines of at most `most` messages; `previous` is the time of the line before.
    pub(crate) fn show(
        &self,
        stream: &Bound<'_, PyAny>,
        most: usize,
        previous: Option<i64>,
    ) -> PyResult<(usize, Option<Message>, Option<PyErr>)> {
        let py = stream.py();
        let (mut text, mut logged) = (String::new(), Vec::new());
        let (mut shown, mut undecodable) = (0, 0);
        let (taken, last) = loop {
            let taken = py.detach(|| self.receiver.core.take_batch(most))?;
            if taken.is_empty() {
                return Ok((0, None, None));
            }
            let mut lines = LineBatch::new(self.timestamps, self.color, self.width, previous);
            let mut last = None;
            for (index, received) in taken.iter().enumerate() {
                let rest = received.rest.iter().map(Frame::bytes);
                let frames: Vec<_> = iter::once(received.first.bytes()).chain(rest).collect();
                let parsed = interpret(&frames, self.receiver.core.framing(), received.topic_len);
                let stamp = parsed.stamp.as_ref();
                if parsed.is_presence(&frames) {
                    continue;
                }
                let decoded = String::from_utf8_lossy(parsed.payload(&frames));
                undecodable += u64::from(matches!(decoded, Cow::Owned(_)));
                let content = LineContent {
                    topic: parsed.topic.as_deref(),
                    sender: stamp.map(|stamp| stamp.from.as_str()),
                    action: stamp.is_some_and(Stamp::is_action),
                    text: &decoded,
                };
                lines.push(&mut text, received.at_ns, &content);
                shown += 1;
                last = Some(index);
                if let Some(log) = self.log {
                    let record = Record {
                        frames,
                        framing: self.receiver.core.framing(),
                        parsed: &parsed,
                        received_ns: received.at_ns,
                    };
                    log.line_format().push_line(&mut logged, &record);
                }
            }
            // A batch of presence alone shows nothing: continue with the next one.
            if let Some(last) = last {
                break (taken, last);
            }
        };
        let last = &taken[last];
        let Some(last) = self.receiver.message(py, last) else {
            py.detach(|| self.receiver.core.put_back(taken));
            return Err(Error::NoMemory.into());
        };
        let failed = match self.log.map(|log| log.append(py, &logged)) {
            Some(Err(error)) if error.is_instance_of::<ZmqChatError>(py) => Some(error),
            Some(Err(error)) => {
                py.detach(|| self.receiver.core.put_back(taken));
                return Err(error);
            }
            Some(Ok(())) | None => None,
        };
        let written = objects::text(py, &text).and_then(|text| write(stream, &text));
        match written {
            Ok(()) => {
                let counter = self.receiver.core.undecodable();
                counter.fetch_add(undecodable, Ordering::Relaxed);
                Ok((shown, Some(last), failed))
            }
            Err(error) => {
                if self.log.is_none() || failed.is_some() {
                    py.detach(|| self.receiver.core.put_back(taken));
                }
                Err(error)
            }
        }
    }
}

/// Writes text, escaping characters that the stream's encoding does not have.
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
