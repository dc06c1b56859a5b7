//! `Subscriber`.

pub(crate) mod asyncio;
pub(crate) mod display;
pub(crate) mod properties;
pub(crate) mod receiving;
pub(crate) mod watch;

use crate::net::subscriber::{Config, Subscriber as Core};
use crate::net::Waiter;
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, Instead};
use crate::py::convert::objects;
use crate::py::convert::pybytes;
use crate::py::error::import;
use crate::py::message::Message;
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::wire::message::Framing;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Receives messages of publishers.
///
/// On the wire it is a plain ZeroMQ subscriber: it receives from any PUB or XPUB socket in any
/// language. Addresses are `192.168.1.12`, `lab-pc:6000`, `[::1]:5555`, `ipc:///tmp/chat` or
/// `inproc://chat`. The default port is 5555. The publisher may start later: connections are made and
/// restored automatically.
///
/// Any threads may share it; each message is delivered to one of them. Iterating over it waits for
/// messages until it is closed. Leaving its `with` block closes it. A forked child must make its own.
///
/// Args:
///     connect: Addresses of publishers, one or several.
///     bind: Addresses to bind for publishers that connect, one or several.
///     topics: Exact topics to receive, one or several (`room1` does not receive `room10`). A message
///         that starts with one of them and `:` has this topic, by the subscriptions at the moment of
///         the receive. None receives everything until the first `subscribe` narrows it; `()`
///         receives nothing yet.
///     prefixes: Raw prefixes to receive, str or bytes, one or several: ZeroMQ's own filter.
///     framing: How to read messages: "plain" reads `topic:text`; "envelope" also subscribes to
///         topics that are a frame of their own; "raw" splits nothing.
///     split_topics: Whether a message without a stamp that starts with none of `topics` is split at
///         its first `:`, if the text before it is a valid topic. This is a guess: `12:30 lunch`
///         then has the topic `12`. With False, such a message has no topic, and its text is whole.
///     high_water_mark: How many messages are queued for each publisher; 0 means no limit. Further
///         messages are lost, or wait at the publisher, as its `on_full` says.
///     max_message_bytes: A publisher that sends a larger frame is cut off, and reconnected to.
///         Less than 4096 counts as 4096, which stamps and the handshake need.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and how many may stay unanswered before the connection counts as lost (whole
///         seconds, 1 or more); None turns it off, and the loss of a silent peer goes unnoticed.
///     reconnect_max: Seconds between two attempts to connect at most; they begin at 0.1.
///     batch_bytes: How many bytes the network's thread reads at a time. Messages of 1 KiB and more
///         go faster in large batches; each connection owns a buffer of that size.
///     on_event: Called with an `Event` for each change of its connections, in a thread of its own, one
///         event at a time; None calls nothing. Its exceptions, SystemExit too, are logged and end
///         nothing. It is kept until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999; the text says what to type instead.
///     ZmqChatError: If an address to bind is in use, or is not this host's.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Subscriber {
    pub(crate) core: Core,
    on_event: Callback,
    /// Steps of iteration, to look for signals now and then.
    steps: AtomicU32,
}

/// What to type instead of names that other libraries use.
const INSTEAD: &Instead = &[
    (
        &["port", "host", "address", "addr", "ip", "url", "endpoint"],
        "the address is the first argument, as in Subscriber(\"192.168.1.12:5555\")",
    ),
    (&["topic"], "use topics=[\"room1\"]"),
    (&["prefix"], "use prefixes=[b\"room\"]"),
    (
        &["timeout"],
        "each call that waits has its own, as in sub.recv(timeout=5)",
    ),
    (&["hwm", "sndhwm", "rcvhwm"], "use high_water_mark=10000"),
];

impl Drop for Subscriber {
    /// Closing takes locks, and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

#[pymethods]
impl Subscriber {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (connect = None, *others, bind = None, topics = None, prefixes = None,
                     framing = "plain", split_topics = false, high_water_mark = Whole(10_000), max_message_bytes = Whole(67_108_864),
                     keepalive = Some(KeepAlive::DEFAULT), reconnect_max = Seconds(2.0), batch_bytes = Whole(131_072), on_event = None, **unknown),
        text_signature = "(connect=(), *, bind=(), topics=None, prefixes=(), framing='plain', \
                          split_topics=False, \
                          high_water_mark=10000, max_message_bytes=67108864, \
                          keepalive=(5.0, 4.0, 3), reconnect_max=2.0, batch_bytes=131072, on_event=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments, each with its default
    fn new(
        class: &Bound<'_, PyType>,
        connect: Option<&Bound<'_, PyAny>>,
        others: &Bound<'_, PyTuple>,
        bind: Option<&Bound<'_, PyAny>>,
        topics: Option<&Bound<'_, PyAny>>,
        prefixes: Option<&Bound<'_, PyAny>>,
        framing: &str,
        split_topics: bool,
        high_water_mark: Whole,
        max_message_bytes: Whole,
        keepalive: Option<KeepAlive>,
        reconnect_max: Seconds,
        batch_bytes: Whole,
        on_event: Option<Py<PyAny>>,
        unknown: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = class.py();
        near_miss::unknown(class, unknown, INSTEAD)?;
        if !others.is_empty() {
            return Err(PyTypeError::new_err(
                "only the address is positional (several in a list); name the other arguments, as in \
                 Subscriber(\"192.168.1.12\", topics=[\"room1\"])",
            ));
        }
        let several = |what, object: Option<&Bound<'_, PyAny>>| {
            object.map_or_else(|| Ok(Vec::new()), |object| args::texts(what, object))
        };
        let on_event = Callback::new(args::callback(py, on_event)?);
        let config = Config {
            connect: several("connect", connect)?,
            bind: several("bind", bind)?,
            topics: topics
                .map(|topics| args::texts("topics", topics))
                .transpose()?,
            prefixes: prefixes.map_or_else(|| Ok(Vec::new()), args::prefixes)?,
            framing: Framing::parse(framing)?,
            split_topics,
            high_water_mark: args::high_water_mark(high_water_mark)?,
            max_message_bytes: args::count("max_message_bytes", max_message_bytes, 1)?,
            connecting: args::connecting(keepalive, reconnect_max, batch_bytes)?,
            tell: on_event.number(),
        };
        let bound = config.bind.clone();
        let _cell = notebook_cell::making(py)?;
        let core = detached(py, |checkpoint| Core::new(config, checkpoint))
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        Ok(Self {
            core,
            on_event,
            steps: AtomicU32::new(0),
        })
    }

    /// Waits for the next message.
    ///
    /// Ctrl+C ends the wait with the signal handler's own exception; a message that came meanwhile is
    /// the next one. `close` in another thread ends it with ClosedError.
    ///
    /// Args:
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The message.
    ///
    /// Raises:
    ///     TimeoutError: If none arrived within `timeout`.
    ///     ValueError: If `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Py<Message>> {
        self.expect(timeout, true, py, |received| self.made(py, received))
    }

    /// Why no message arrived, and what to do, for `zmqchat sub` and `ReadinessCallback.wait`, the only consumers
    /// that they know of, after a wait of so many seconds.
    fn _timeout_cause(&self, py: Python<'_>, waited: f64) -> String {
        let waited = Duration::try_from_secs_f64(waited).unwrap_or(Duration::ZERO);
        py.detach(|| self.core.timeout_cause(0, false, Waiter::Thread(waited)))
    }

    /// `recv` for `_listening`: None when none came in time, so that no handler's TimeoutError is
    /// taken for that.
    #[pyo3(signature = (timeout))]
    fn _next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Py<Message>>> {
        self.next(timeout, py, |received| self.made(py, received))
    }

    /// `_next` for `chat`: the message also tells from which address it came.
    #[pyo3(signature = (timeout))]
    fn _next_from(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Message>> {
        self.next(timeout, py, |received| {
            let message = self.message(py, received)?;
            Some(message.coming_from(received.first.peer_address()))
        })
    }

    /// Waits for the next message and gives the text of its first frame, topic included.
    ///
    /// That is what pyzmq's `recv_string` gives, except that undecodable bytes become U+FFFD.
    ///
    /// Args:
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The text.
    ///
    /// Raises:
    ///     TimeoutError: If no message arrived within `timeout`.
    ///     ValueError: If `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv_text<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyString>> {
        let (text, whole) = self.expect(timeout, false, py, |received| {
            pybytes::decode(py, received.first.bytes())
        })?;
        if !whole {
            self.core.undecodable().fetch_add(1, Ordering::Relaxed);
        }
        Ok(text)
    }

    /// Waits for the next message and gives its first frame, topic included: pyzmq's `recv`.
    ///
    /// Args:
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The bytes.
    ///
    /// Raises:
    ///     TimeoutError: If no message arrived within `timeout`.
    ///     ValueError: If `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv_bytes<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        self.expect(timeout, false, py, |received| {
            pybytes::copy(py, received.first.bytes())
        })
    }

    /// Waits for one message, then takes along what is there already.
    ///
    /// Args:
    ///     max_count: How many at most, 1 or more.
    ///     timeout: Seconds to wait for the first; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     1 to `max_count` messages, in order.
    ///
    /// Raises:
    ///     TimeoutError: If none arrived within `timeout`.
    ///     ValueError: If `max_count` is 0, or `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(
        signature = (max_count = Whole(256), *, timeout = None),
        text_signature = "($self, max_count=256, *, timeout=None)"
    )]
    fn recv_many<'py>(
        &self,
        py: Python<'py>,
        max_count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<Bound<'py, PyList>> {
        let max_count = args::count("max_count", max_count, 1)?;
        self.many(py, max_count, timeout)
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        // A loop in C, such as `list(sub)`, looks for signals nowhere else. Two threads may count
        // one step together, which does no harm.
        let step = self.steps.load(Ordering::Relaxed).wrapping_add(1);
        self.steps.store(step, Ordering::Relaxed);
        if step % 256 == 0 {
            py.check_signals()?;
        }
        match self.next(None, py, |received| self.made(py, received)) {
            Err(error)
                if self.core.is_closed()
                    && crate::py::error::is::<crate::py::error::ClosedError>(py, &error) =>
            {
                Ok(None)
            }
            outcome => outcome,
        }
    }

    /// Prints messages as they come, until Ctrl+C, which it takes as the end.
    ///
    /// Prints through `sys.stdout` as it is at that moment. Exceptions of other signal handlers
    /// pass. A `close` in another thread is the end, too.
    ///
    /// Args:
    ///     count: How many messages to print at most; None for no limit, 0 prints none.
    ///     timeout: Seconds for the whole call; None for no limit, 0 prints what is there.
    ///     color: "auto" (NO_COLOR, FORCE_COLOR, TERM and the stream decide), "always" or "never";
    ///         True and False mean the last two.
    ///     timestamps: "time", "iso", "delta" or "none"; see `Message.render`.
    ///     log: Where to keep the messages, too: a `Transcript`, which stays open, or the path of
    ///         one; None for nowhere. A log that fails is a warning, and messages go on.
    ///
    /// Returns:
    ///     How many messages were printed.
    ///
    /// Raises:
    ///     ValueError: If an argument is none of its choices.
    ///     ClosedError: If the subscriber was closed before the call.
    ///     OSError: If the stream fails, such as BrokenPipeError, or the log cannot be opened.
    #[pyo3(
        signature = (*, count = None, timeout = None, color = None, timestamps = "time", log = None),
        text_signature = "($self, *, count=None, timeout=None, color='auto', timestamps='time', log=None)"
    )]
    fn listen<'py>(
        slf: &Bound<'py, Self>,
        count: Option<Whole>,
        timeout: Option<Seconds>,
        color: Option<Bound<'py, PyAny>>,
        timestamps: &str,
        log: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let color = color.unwrap_or_else(|| intern!(py, "auto").clone().into_any());
        let count = count
            .map(|count| args::count("count", count, 0))
            .transpose()?;
        args::seconds("timeout", timeout)?;
        let how = objects::dict(py)?;
        how.set_item(intern!(py, "count"), count)?;
        how.set_item(
            intern!(py, "timeout"),
            timeout.map(|Seconds(seconds)| seconds),
        )?;
        how.set_item(intern!(py, "color"), color)?;
        how.set_item(intern!(py, "timestamps"), timestamps)?;
        how.set_item(intern!(py, "log"), log)?;
        // Python prints: `sys.stdout` may be a notebook's cell.
        import(py, intern!(py, "zmqchat_rs.display.sinks"))?.call_method(
            intern!(py, "listen"),
            (slf,),
            Some(&how),
        )
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Closes it; queued messages are dropped. Closing twice changes nothing.
    ///
    /// A call that waits in another thread ends with ClosedError, and a loop over it ends.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.on_event.forget();
        Ok(py.detach(|| self.core.close())?)
    }

    /// The subscriber itself; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().core.check_open()?;
        Ok(slf)
    }

    /// Closes it.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, traceback);
        // What ends the block in a forked child must not be replaced by an error.
        if self.core.is_inherited() {
            return Ok(());
        }
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        if self.core.is_closed() {
            return Ok("<Subscriber closed>".into());
        }
        let at = py.detach(|| {
            let mut at = self.core.endpoints().to_vec();
            at.extend(self.core.connections());
            at.join(" ")
        });
        let hears = objects::list(py, self.subscriptions(py).unwrap_or_default())?.repr()?;
        Ok(format!("<Subscriber {at} subscriptions={hears}>"))
    }
}
