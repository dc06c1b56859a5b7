//! `MessageTable`.

use crate::py::convert::args::type_name;
use crate::py::convert::arrow;
use crate::py::convert::objects;
use crate::py::convert::pybytes;
use crate::py::message::Message;
use crate::py::runtime::package::{data_frame, notebook_view};
use crate::py::transcript::reader::{read_transcript, TranscriptReader};
use crate::py::transcript::writer::Transcript;
use crate::render::sanitize::sanitize;
use crate::table::{Bitmap, Column, Strings, Table, TableBuilder, Values};
use chrono::{SecondsFormat, TimeZone, Utc};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyString};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How many messages are read between two checks for signals.
const CHECK: usize = 4096;
/// How many distinct values of a column share one object each.
const WORDS: usize = 256;
/// How many characters of a value a notebook shows.
const CELL_CHARS: usize = 80;

/// Messages as a table with one row per message.
///
/// Every library that reads Arrow accepts it, without a copy and without pyarrow:
/// `polars.DataFrame(chat)`, `pyarrow.table(chat)`, `duckdb.sql("FROM chat")`.
///
/// The columns are `received_at` and `sent_at` (nanoseconds, time zone UTC), `topic`, `sender`,
/// `sequence`, `kind`, `text` and `data` (bytes), as in `Message`. A missing value is null. The
/// table includes the presence of a chat; `frame[frame.text != ""]` selects the other messages.
///
/// With `json`, each key of the JSON objects among the payloads is a column, too. Its type fits all
/// of its values: integer, float, boolean or text. If none does (arrays, objects, integers beyond
/// 64 bits, mixed types), the column is text with the JSON of each value. A payload that is not
/// JSON has null in these columns. JSON that is not an object is in the column `json`, like the
/// members of an object beyond the 256th key. A key with the name of another column is called
/// `json.KEY`.
///
/// A table never changes, and any thread may use it. Creating it from a list holds Python's lock;
/// creating it from a file does not. Ctrl+C interrupts it.
///
/// Args:
///     source: A list or another iterable of messages, a `TranscriptReader`, a `Transcript`, or the
///         path of one. A reader's remaining messages are taken. If it follows its file, these are
///         the messages in the file by now.
///     json: Whether JSON payloads become columns.
///
/// Raises:
///     TypeError: If `source` is none of these, or holds an item that is not a Message.
///     ZmqChatError: If the file cannot be read. The error names it.
#[pyclass(frozen, module = "zmqchat_rs")]
pub(crate) struct MessageTable {
    pub(crate) table: Arc<Table>,
}

#[pymethods]
impl MessageTable {
    #[new]
    #[pyo3(signature = (source, *, json = false))]
    fn new(source: &Bound<'_, PyAny>, json: bool) -> PyResult<Self> {
        let py = source.py();
        let mut builder = TableBuilder::default();
        if let Ok(reader) = source.cast::<TranscriptReader>() {
            reader.get().drain_into(py, &mut builder)?;
        } else if let Some(path) = path_of(source)? {
            read_transcript(py, path, false, false, None)?.drain_into(py, &mut builder)?;
        } else {
            collect(source, &mut builder)?;
        }
        let table = py.detach(|| builder.finish(json))?;
        Ok(Self {
            table: Arc::new(table),
        })
    }

    /// The names of the columns, in order.
    #[getter]
    fn column_names(&self) -> Vec<&str> {
        let columns = self.table.columns.iter();
        columns.map(|column| column.name.as_str()).collect()
    }

    /// The table as a pandas DataFrame. It requires pandas only.
    ///
    /// Times have the dtype `datetime64[ns, UTC]`, text `string`, `sequence` `UInt64`. Bytes are
    /// objects. JSON columns are `Int64` and `boolean` if a value is missing, otherwise `int64` and
    /// `bool`. A missing float is NaN. For local time:
    /// `frame.received_at.dt.tz_convert("Europe/Berlin")`.
    ///
    /// Returns:
    ///     The DataFrame, which owns its values.
    ///
    /// Raises:
    ///     ImportError: If pandas is not installed. The error says what to install.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_pandas", false)
    }

    /// The table as a Polars DataFrame. It requires Polars only.
    ///
    /// Times have the type `Datetime("ns", "UTC")`.
    ///
    /// Returns:
    ///     The DataFrame, which shares the table's memory.
    ///
    /// Raises:
    ///     ImportError: If Polars is not installed. The error says what to install.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        data_frame(slf.as_any(), "to_polars", false)
    }

    /// The table for a library that reads Arrow: the Arrow PyCapsule interface. `requested_schema`
    /// has no effect.
    #[pyo3(signature = (requested_schema = None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        arrow::stream(py, Arc::clone(&self.table))
    }

    /// The names and types of the columns, through the same interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema(py, &self.table)
    }

    /// The first and last rows, for notebooks.
    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook_view(slf, "table_html")
    }

    /// The first values of a row as text; None for a missing value.
    fn _row(&self, row: usize, columns: usize) -> Vec<Option<String>> {
        let columns = self.table.columns.iter().take(columns);
        columns.map(|column| cell(column, row)).collect()
    }

    /// Each column for NumPy and pandas: name, kind, values, and missing values. The values are a
    /// list of strings or bytes, or the bytes of an array. The missing values have one byte per
    /// row, 1 if the row has no value; or None.
    fn _columns<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut columns = Vec::new();
        for column in &self.table.columns {
            let valid = column.validity.as_ref();
            let (kind, values) = match &column.values {
                Values::Timestamp(values) => ("moment", array(py, values)?),
                Values::Int(values) => ("int", array(py, values)?),
                Values::UInt(values) => ("uint", array(py, values)?),
                Values::Float(values) => ("float", array(py, values)?),
                Values::Bool(values) => ("bool", flags(py, values, self.table.rows, true)?),
                Values::Text(values) if column.name == "text" => ("text", texts(py, values)?),
                Values::Text(values) => ("text", words(py, values, valid)?),
                Values::Bytes(values) => ("bytes", bytes(py, values)?),
            };
            let missing = valid
                .map(|valid| flags(py, valid, self.table.rows, false))
                .transpose()?;
            let column = (column.name.as_str(), kind, values, missing);
            columns.push(column.into_pyobject(py)?.into_any());
        }
        Ok(columns)
    }

    fn __len__(&self) -> usize {
        self.table.rows
    }

    fn __repr__(&self) -> String {
        let names = self.column_names().join(", ");
        let rows = self.table.rows;
        let names = sanitize(&names).into_owned();
        format!("<MessageTable {rows} rows: {names}>")
    }
}

/// The path, if the source is a file.
fn path_of(source: &Bound<'_, PyAny>) -> PyResult<Option<PathBuf>> {
    if let Ok(transcript) = source.cast::<Transcript>() {
        return Ok(Some(transcript.get().file().to_owned()));
    }
    let is_path = source.is_instance_of::<PyString>()
        || source.hasattr(intern!(source.py(), "__fspath__"))?;
    is_path.then(|| source.extract()).transpose()
}

fn collect(source: &Bound<'_, PyAny>, builder: &mut TableBuilder) -> PyResult<()> {
    let py = source.py();
    let wrong = |what: &str, object: &Bound<'_, PyAny>| {
        PyTypeError::new_err(format!("{what}, not {}", type_name(object)))
    };
    if source.is_instance_of::<Message>() {
        return Err(PyTypeError::new_err(
            "source is a single Message, expected a list: pass [message]",
        ));
    }
    let items = source.try_iter().map_err(|_| {
        wrong(
            "source is a list of messages, a TranscriptReader, a Transcript or a path",
            source,
        )
    })?;
    for (number, item) in items.enumerate() {
        let item = item?;
        let message = item
            .cast::<Message>()
            .map_err(|_| wrong("an item of source is a Message", &item))?;
        message.get().tabulate(py, builder)?;
        if number % CHECK == CHECK - 1 {
            py.check_signals()?;
        }
    }
    Ok(())
}

/// The bytes of an array.
fn array<'py, T: Plain>(py: Python<'py>, values: &[T]) -> PyResult<Bound<'py, PyAny>> {
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.bytes()).collect();
    Ok(objects::bytes(py, &bytes)?.into_any())
}

/// A number of eight bytes.
trait Plain: Copy {
    fn bytes(self) -> [u8; 8];
}

impl Plain for i64 {
    fn bytes(self) -> [u8; 8] {
        self.to_ne_bytes()
    }
}

impl Plain for u64 {
    fn bytes(self) -> [u8; 8] {
        self.to_ne_bytes()
    }
}

impl Plain for f64 {
    fn bytes(self) -> [u8; 8] {
        self.to_ne_bytes()
    }
}

/// One byte per row, 1 if the bit equals `one`.
fn flags<'py>(
    py: Python<'py>,
    bits: &Bitmap,
    rows: usize,
    one: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let bytes: Vec<u8> = (0..rows)
        .map(|row| u8::from(bits.get(row) == one))
        .collect();
    Ok(objects::bytes(py, &bytes)?.into_any())
}

fn texts<'py>(py: Python<'py>, values: &Strings) -> PyResult<Bound<'py, PyAny>> {
    let list = objects::list::<PyAny>(py, Vec::new())?;
    for row in 0..values.count() {
        list.append(pybytes::text(py, values.get(row))?.0)?;
    }
    Ok(list.into_any())
}

/// Text that usually repeats.
fn words<'py>(
    py: Python<'py>,
    values: &Strings,
    valid: Option<&Bitmap>,
) -> PyResult<Bound<'py, PyAny>> {
    let list = objects::list::<PyAny>(py, Vec::new())?;
    let mut known: HashMap<&[u8], Bound<'py, PyString>> = HashMap::new();
    for row in 0..values.count() {
        if valid.is_some_and(|valid| !valid.get(row)) {
            list.append(py.None())?;
            continue;
        }
        let word = values.get(row);
        if let Some(word) = known.get(word) {
            list.append(word)?;
            continue;
        }
        let (text, _) = pybytes::text(py, word)?;
        list.append(&text)?;
        if known.len() < WORDS {
            known.insert(word, text);
        }
    }
    Ok(list.into_any())
}

fn bytes<'py>(py: Python<'py>, values: &Strings) -> PyResult<Bound<'py, PyAny>> {
    let list = objects::list::<PyAny>(py, Vec::new())?;
    for row in 0..values.count() {
        list.append(pybytes::bytes(py, values.get(row))?)?;
    }
    Ok(list.into_any())
}

/// A value as text, cut at [`CELL_CHARS`].
fn cell(column: &Column, row: usize) -> Option<String> {
    if column
        .validity
        .as_ref()
        .is_some_and(|valid| !valid.get(row))
    {
        return None;
    }
    Some(match &column.values {
        Values::Timestamp(values) => Utc
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
