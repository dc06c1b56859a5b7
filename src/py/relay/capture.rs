//! The capture of a relay: a transcript, written by a separate thread.

use crate::error::Result;
use crate::net::relay::{report_not_logged, Capture, Captured, Relay as Core};
use crate::py::runtime::at_exit::AtExit;
use crate::py::runtime::detach::detached_io;
use crate::py::transcript::writer::Transcript;
use crate::transcript::Progress;
use crate::transcript::{self, BackgroundWriter, Entry, Format, SyncMode, TranscriptOptions};
use crate::wire::message::Framing;
use pyo3::prelude::*;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The shortest time that writing the last messages may take.
const MIN_LINGER: Duration = Duration::from_millis(50);

/// Hands forwarded messages to the thread that writes them.
pub(crate) struct TranscriptCapture(BackgroundWriter);

impl Capture for TranscriptCapture {
    fn take(&self, messages: Vec<Captured>) {
        self.0.push(messages.into_iter().map(|message| Entry {
            frames: message.frames,
            framing: Framing::Plain,
            // A relay has no topics: the reader of the transcript names them.
            topic_len: 0,
            received_ns: message.at_ns,
        }));
    }
}

impl TranscriptCapture {
    pub(crate) fn progress(&self) -> Progress {
        self.0.progress()
    }

    pub(crate) fn open(py: Python<'_>, capture: &Bound<'_, PyAny>, owner: u64) -> PyResult<Self> {
        let transcript = if let Ok(transcript) = capture.cast::<Transcript>() {
            Arc::clone(transcript.get().core())
        } else {
            let path: PathBuf = capture.extract()?;
            let jsonl = path.extension().is_some_and(|end| end == "jsonl");
            let format = if jsonl { Format::Jsonl } else { Format::Text };
            let options = TranscriptOptions {
                path,
                sync: SyncMode::Os,
                max_bytes: None,
                keep: 1,
            };
            detached_io(py, |checkpoint| {
                transcript::Transcript::open(options, format, checkpoint).map(Arc::new)
            })?
        };
        transcript.check_open()?;
        let writer = BackgroundWriter::start(transcript, move |error| {
            report_not_logged(owner, error.to_string());
        })?;
        Ok(Self(writer))
    }
}

/// Closes the relay first, so that no message arrives while the rest is written.
pub(crate) fn close(
    core: &Core,
    capture: Option<&TranscriptCapture>,
    linger: Duration,
) -> Result<()> {
    core.close(Some(linger))?;
    if let Some(capture) = capture {
        capture.0.close(linger.max(MIN_LINGER));
    }
    Ok(())
}

/// Closes a capturing relay at the end of the program, so that the last messages are written.
pub(crate) fn close_at_exit(
    py: Python<'_>,
    core: &Arc<Core>,
    capture: &Arc<TranscriptCapture>,
    linger: Duration,
) -> PyResult<AtExit> {
    let (core, capture) = (Arc::downgrade(core), Arc::downgrade(capture));
    AtExit::register(py, move || {
        if let (Some(core), Some(capture)) = (core.upgrade(), capture.upgrade()) {
            // This fails in a forked child, which has nothing to close.
            let _ = close(&core, Some(&capture), linger);
        }
    })
}
