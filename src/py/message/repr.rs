//! `Message` as a line of text; and `Message`, transcripts and tables as notebooks show them: IPython
//! calls these methods.

use crate::py::convert::objects::{self, Text};
use crate::py::error::import;
use crate::py::message::Message;
use crate::py::table::MessageTable;
use crate::py::transcript::reader::{restored, TranscriptReader};
use crate::py::transcript::{detached_io, Transcript};
use crate::render::html;
use crate::render::line::{self, Line, Timestamps};
use crate::render::sanitize::sanitize;
use crate::table::{Column, Values};
use crate::transcript;
use crate::wire::stamp::Stamp;
use chrono::{SecondsFormat, TimeZone, Utc};
use pyo3::intern;
use pyo3::prelude::*;
use std::path::PathBuf;

/// How many characters of a text stand in a cell's `Out`.
const PRETTY_CHARS: usize = 200;

/// How many characters of a value a cell of a table shows.
const CELL_CHARS: usize = 80;

impl Message {
    /// What a line says of it.
    fn line<'a>(
        &'a self,
        py: Python<'a>,
        sender: Option<&'a str>,
        previous: Option<&Self>,
        text: &'a str,
    ) -> Line<'a> {
        let meaning = self.meaning(py);
        let stamp = meaning.stamp.as_ref();
        let stamped = stamp.map(|stamp| stamp.from.as_str());
        Line {
            at: self.at(),
            previous: previous.map(Self::at),
            topic: meaning.topic.as_deref(),
            sender: sender.or(stamped),
            color_of: stamped,
            action: stamp.is_some_and(Stamp::is_action),
            text,
        }
    }

    fn html(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: Timestamps,
        previous: Option<&Self>,
    ) -> String {
        let payload = self.payload(py);
        // Of a huge payload only what is shown is decoded.
        let text = if payload.len() <= html::SHOWN_BYTES {
            self.lossy_text(py)
        } else {
            String::from_utf8_lossy(&payload[..html::SHOWN_BYTES])
        };
        let line = self.line(py, None, previous, &text);
        html::render(&line, timestamps, color, payload.len())
    }
}

#[pymethods]
impl Message {
    /// One finished line, such as `[12:03:11] room1 alice: Hello`, without the newline at its end.
    ///
    /// Control characters, bidirectional overrides and line breaks of whoever sent it are shown
    /// escaped, so that nobody drives your terminal or forges a second line.
    ///
    /// Args:
    ///     color: Whether to add ANSI colours; a topic or a name has the same colour everywhere.
    ///     timestamps: "time" of day, "iso" (date, microseconds, zone), "delta" (seconds since
    ///         `previous`), or "none".
    ///     previous: The message of the line before, for "delta"; None shows `+0.000`.
    ///     sender: Whom to name as the sender, for example "?" where nobody is known; None names
    ///         the stamp's, whose colour it has in any case.
    ///     width: The columns of a terminal: longer lines are wrapped at words, and indented under
    ///         the text; None leaves the line in one piece.
    ///
    /// Returns:
    ///     The line.
    ///
    /// Raises:
    ///     ValueError: If `timestamps` is none of the four.
    #[pyo3(signature = (*, color = false, timestamps = "time", previous = None, sender = None, width = None))]
    fn render(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: &str,
        previous: Option<&Bound<'_, Self>>,
        sender: Option<&str>,
        width: Option<usize>,
    ) -> PyResult<Text<String>> {
        let timestamps = Timestamps::parse(timestamps)?;
        // The text, escaped, in the line, and wrapped.
        objects::check_memory(self.payload(py).len().saturating_mul(4))?;
        let text = self.lossy_text(py);
        let line = self.line(py, sender, previous.map(Bound::get), &text);
        Ok(Text(match width {
            Some(width) => line::render_wrapped(&line, timestamps, color, width),
            None => line::render(&line, timestamps, color),
        }))
    }

    /// `render` as a line of HTML, which belongs into `_html_block`.
    #[pyo3(signature = (*, color, timestamps, previous))]
    fn _html_line(
        &self,
        py: Python<'_>,
        color: bool,
        timestamps: &str,
        previous: Option<&Bound<'_, Self>>,
    ) -> PyResult<Text<String>> {
        let timestamps = Timestamps::parse(timestamps)?;
        Ok(Text(self.html(
            py,
            color,
            timestamps,
            previous.map(Bound::get),
        )))
    }

    /// How a notebook shows it: one line, as `render` has it, in HTML.
    fn _repr_html_(&self, py: Python<'_>) -> Text<String> {
        Text(html::block(&[self.html(py, true, Timestamps::Time, None)]))
    }

    /// How IPython shows it as text: its `repr`, in which a long text is cut.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        let py = slf.py();
        let payload = slf.get().payload(py);
        let shown = if payload.len() <= 4 * PRETTY_CHARS {
            slf.repr()?.to_string()
        } else {
            let topic = slf.get().meaning(py).topic.as_deref();
            let topic = topic.map_or(String::new(), |topic| {
                format!("topic='{}' ", sanitize(topic))
            });
            let head = String::from_utf8_lossy(&payload[..4 * PRETTY_CHARS]);
            let head: String = head.chars().take(PRETTY_CHARS).collect();
            let bytes = payload.len();
            format!(
                "<Message {topic}text='{}…' ({bytes} bytes in all)>",
                sanitize(&head)
            )
        };
        p.call_method1(intern!(py, "text"), (shown,))?;
        Ok(())
    }
}

/// The body of `_repr_html_` and `_repr_pretty_` of both.
fn shown<'py>(what: &Bound<'py, PyAny>, how: &str) -> PyResult<Bound<'py, PyAny>> {
    let py = what.py();
    import(py, intern!(py, "zmqchat_rs.display.jupyter"))?.call_method1(how, (what,))
}

fn shown_pretty(what: &Bound<'_, PyAny>, p: &Bound<'_, PyAny>) -> PyResult<()> {
    p.call_method1(intern!(p.py(), "text"), (shown(what, "transcript_text")?,))?;
    Ok(())
}

#[pymethods]
impl Transcript {
    /// How a notebook shows it: where it is, and the last messages of the file.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown(slf, "transcript_html")
    }

    /// The same as text.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        shown_pretty(slf, p)
    }
}

#[pymethods]
impl TranscriptReader {
    /// How a notebook shows it: where it is, and the last messages of the file. None of them is
    /// taken from the iteration.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown(slf, "transcript_html")
    }

    /// The same as text.
    fn _repr_pretty_(
        slf: &Bound<'_, Self>,
        p: &Bound<'_, PyAny>,
        cycle: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = cycle;
        shown_pretty(slf, p)
    }
}

#[pymethods]
impl MessageTable {
    /// How a notebook shows it: its first and last rows.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        shown(slf, "table_html")
    }

    /// The values of a row as text, of the first columns; None where the row has none.
    fn _row(&self, row: usize, columns: usize) -> Vec<Option<String>> {
        let columns = self.table.columns.iter().take(columns);
        columns.map(|column| cell(column, row)).collect()
    }
}

/// A value as text, cut at [`CELL_CHARS`].
fn cell(column: &Column, row: usize) -> Option<String> {
    if column.valid.as_ref().is_some_and(|valid| !valid.get(row)) {
        return None;
    }
    Some(match &column.values {
        Values::Moment(values) => Utc
            .timestamp_nanos(values[row])
            .to_rfc3339_opts(SecondsFormat::Micros, true),
        Values::Int(values) => values[row].to_string(),
        Values::UInt(values) => values[row].to_string(),
        Values::Float(values) => values[row].to_string(),
        Values::Bool(values) => if values.get(row) { "True" } else { "False" }.into(),
        Values::Text(values) => {
            let bytes = values.get(row);
            let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * CELL_CHARS + 4)]);
            cut(&text, CELL_CHARS, "")
        }
        Values::Bytes(values) => {
            let bytes = values.get(row);
            let start = &bytes[..bytes.len().min(CELL_CHARS)];
            let text = format!("b'{}'", start.escape_ascii());
            cut(&text, CELL_CHARS, "'")
        }
    })
}

/// The first characters of a text, and `end` where there are more.
fn cut(text: &str, chars: usize, end: &str) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((at, _)) => format!("{}…{end}", &text[..at]),
    }
}

/// Lines of HTML as one element that may stand anywhere.
#[pyfunction]
pub(crate) fn _html_block(lines: Vec<String>) -> String {
    html::block(&lines)
}

/// The last messages of a transcript, and whether there are more before them.
#[pyfunction]
pub(crate) fn _tail(py: Python<'_>, path: PathBuf, count: usize) -> PyResult<(Vec<Message>, bool)> {
    let (entries, more) = detached_io(py, |_| transcript::tail(&path, count))?;
    let messages = entries
        .into_iter()
        .map(|entry| restored(py, entry))
        .collect::<PyResult<_>>()?;
    Ok((messages, more))
}
