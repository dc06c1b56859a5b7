//! `Publisher`.

pub(crate) mod asyncio;
pub(crate) mod batch;
pub(crate) mod properties;
pub(crate) mod sending;

use crate::error::Error;
use crate::net::publisher::{Config, OnFull, Publisher as Core};
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, Instead, Topic};
use crate::py::convert::objects;
use crate::py::error::import;
use crate::py::publisher::batch::Batch;
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::wire::message::Framing;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple, PyType};
use std::time::{Duration, Instant};

/// What a publisher binds when nothing else is said.
const DEFAULT_BIND: &str = "*:5555";

/// How long `send_many` keeps the interpreter: its own switch interval.
const BREATH: Duration = Duration::from_millis(5);

/// Sends messages to all subscribers.
///
/// On the wire it is a plain ZeroMQ publisher: any SUB socket in any language can receive from it. A
/// message without a subscriber is lost, so wait for subscribers before the first one
/// (`wait_for_subscribers`). Addresses are `*:5555`, `192.168.1.12`, `lab-pc:6000`, `[::1]:5555`,
/// `ipc:///tmp/chat` or `inproc://chat`. The default port is 5555; `*:0` takes a free one.
///
/// Any threads may share it. Leaving its `with` block closes it. A forked child must make its own.
///
/// Args:
///     bind: Addresses to bind, one or several; None means `*:5555`, unless `connect` is given.
///     connect: Addresses of subscribers that are bound, one or several.
///     name: The sender's name: 1 to 255 bytes of printable text. It adds a stamp to each message:
///         name, instance, sequence number for each topic, time. None sends no stamps, and peers
///         that read with plain pyzmq see single-frame messages.
///     framing: "plain" sends `topic:text` in one frame; "envelope" sends `[topic, payload]`.
///     on_full: What happens when a subscriber's queue is full: "drop" loses messages for that
///         subscriber alone, "block" waits for the slowest, "raise" raises QueueFullError.
///     high_water_mark: How many messages are queued for each subscriber; 0 means no limit.
///     max_subscriptions: The limit of subscriptions for each peer, and for all peers together; 0 means
///         no limit. Above it, the peer with the most is cut off, with a warning in the log.
///     max_message_bytes: The largest message that may be sent, in bytes.
///     linger: Seconds that unsent messages may take after the close; 0 drops them at once.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and how many may stay unanswered before the connection counts as lost (whole
///         seconds, 1 or more); None turns it off, and the loss of a silent peer goes unnoticed.
///     reconnect_max: Seconds between two attempts to connect at most; they begin at 0.1.
///     batch_bytes: How many bytes the network's thread writes at a time. Messages of 1 KiB and more
///         go faster in large batches; each connection owns a buffer of that size, which takes memory
///         as far as it was ever filled.
///     on_event: Called with an `Event` for each change of its connections, in a thread of its own, one
///         event at a time; None calls nothing. Its exceptions, SystemExit too, are logged and end
///         nothing. It is kept until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999; the text says what to type instead.
///     ZmqChatError: If the address is in use, or is not this host's; the text names the user.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Publisher {
    pub(crate) core: Core,
    name: Option<String>,
    linger: Seconds,
    on_event: Callback,
}

/// What to type instead of names that other libraries use.
const INSTEAD: &Instead = &[
    (
        &["port"],
        "the port is part of the address, as in Publisher(\"*:5555\")",
    ),
    (
        &["host", "address", "addr", "ip", "url", "endpoint"],
        "use bind=\"*:5555\", or connect=\"192.168.1.12:5555\"",
    ),
    (
        &["topic", "topics"],
        "each message has its own topic, as in pub.send(\"Hello\", topic=\"room1\")",
    ),
    (&["hwm", "sndhwm", "rcvhwm"], "use high_water_mark=10000"),
];

impl Drop for Publisher {
    /// Closing takes locks, and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

#[pymethods]
impl Publisher {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (bind = None, *others, connect = None, name = None, framing = "plain", on_full = "drop",
                     high_water_mark = Whole(10_000), max_subscriptions = Whole(20_000), max_message_bytes = Whole(67_108_864), linger = Seconds(1.0), keepalive = Some(KeepAlive::DEFAULT),
                     reconnect_max = Seconds(2.0), batch_bytes = Whole(262_144), on_event = None, **unknown),
        text_signature = "(bind=None, *, connect=(), name=None, framing='plain', on_full='drop', \
                          high_water_mark=10000, max_subscriptions=20000, max_message_bytes=67108864, linger=1.0, keepalive=(5.0, 4.0, 3), \
                          reconnect_max=2.0, batch_bytes=262144, on_event=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments, each with its default
    fn new(
        class: &Bound<'_, PyType>,
        bind: Option<&Bound<'_, PyAny>>,
        others: &Bound<'_, PyTuple>,
        connect: Option<&Bound<'_, PyAny>>,
        name: Option<String>,
        framing: &str,
        on_full: &str,
        high_water_mark: Whole,
        max_subscriptions: Whole,
        max_message_bytes: Whole,
        linger: Seconds,
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
                "only the address, with its port, is positional (several in a list); name the other \
                 arguments, as in Publisher(\"*:5555\", name=\"alice\")",
            ));
        }
        let connecting = args::connecting(keepalive, reconnect_max, batch_bytes)?;
        let connect =
            connect.map_or_else(|| Ok(Vec::new()), |connect| args::texts("connect", connect))?;
        let bind = match bind {
            Some(bind) => args::texts("bind", bind)?,
            None if connect.is_empty() => vec![DEFAULT_BIND.to_owned()],
            None => Vec::new(),
        };
        if bind.is_empty() && connect.is_empty() {
            return Err(Error::Value(
                "a publisher needs somewhere to be: bind an address, for example \"*:5555\", or \
                 connect to one"
                    .into(),
            )
            .into());
        }
        let on_event = Callback::new(args::callback(py, on_event)?);
        let config = Config {
            bind,
            connect,
            name: name.clone(),
            framing: Framing::parse(framing)?,
            on_full: OnFull::parse(on_full)?,
            high_water_mark: args::high_water_mark(high_water_mark)?,
            max_subscriptions: args::count("max_subscriptions", max_subscriptions, 0)?,
            max_message_bytes: args::count("max_message_bytes", max_message_bytes, 1)?,
            linger: args::linger(linger)?,
            connecting,
            tell: on_event.number(),
        };
        let bound = config.bind.clone();
        let _cell = notebook_cell::making(py)?;
        // Looking up a name to bind may take a while.
        let core = detached(py, |checkpoint| Core::new(config, checkpoint))
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        Ok(Self {
            core,
            name,
            linger,
            on_event,
        })
    }

    /// Sends one message to whoever subscribes to it.
    ///
    /// With `on_full="drop"` it never waits; a subscriber whose queue is full loses the message.
    /// With "block" it waits for room, and Ctrl+C ends the wait; the message was then not sent.
    /// `bytes` of 64 KiB and more are not copied: they are kept alive until they are sent.
    ///
    /// Args:
    ///     payload: What to send: str (as UTF-8), bytes, or any buffer, such as a NumPy array.
    ///     topic: What the message is about: 1 to 255 bytes of UTF-8, printable, without `:` and
    ///         whitespace. None sends it without a topic.
    ///     timeout: Seconds to wait for room under "block"; None waits forever, 0 not at all.
    ///
    /// Raises:
    ///     ValueError: If the topic is invalid, the message exceeds `max_message_bytes`, or
    ///         `timeout` is negative.
    ///     TypeError: If the payload is another kind of object, a number (of NumPy, too), or a buffer
    ///         of Python objects or pointers.
    ///     TimeoutError: If the queue stayed full, under "block".
    ///     QueueFullError: If the queue is full, under "raise".
    ///     ClosedError: If the publisher is closed.
    #[pyo3(
        signature = (payload, unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, payload, *, topic=None, timeout=None)"
    )]
    fn send(
        &self,
        py: Python<'_>,
        payload: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        near_miss::unnamed(unnamed, "send", "payload")?;
        let topic = topic.map(|Topic(topic)| topic);
        args::check_seconds("timeout", timeout)?;
        self.send_one(py, payload, topic, || args::deadline(timeout))
    }

    /// Sends each of several payloads as a message of its own, in order.
    ///
    /// Args:
    ///     payloads: A list or any other iterable of str, bytes or buffers. A generator's items go
    ///         out as they come.
    ///     topic: The topic of all of them; None for none.
    ///     topics: A topic for each of them instead, in a list or any other iterable of the same
    ///         length, with None where there is none.
    ///     timeout: Seconds for the whole call, under "block"; None waits forever, 0 not at all.
    ///
    /// Returns:
    ///     How many were sent.
    ///
    /// Raises:
    ///     ValueError: If a topic is invalid, a message exceeds `max_message_bytes`, `timeout` is
    ///         negative, or there are not as many topics as payloads. Lists of unlike length are
    ///         refused at once; with other iterables, what came before was sent.
    ///     TypeError: If `payloads` is itself one payload, or an item is none; `topics` is itself one
    ///         topic, or `topic` was passed as well.
    ///     TimeoutError: If the queue stayed full, under "block"; the payloads before were sent.
    ///     QueueFullError: If the queue is full, under "raise"; `.sent` is the number that was sent before.
    ///     ClosedError: If the publisher is closed.
    #[pyo3(
        signature = (payloads, unnamed = None, *, topic = None, topics = None, timeout = None),
        text_signature = "($self, payloads, *, topic=None, topics=None, timeout=None)"
    )]
    fn send_many(
        &self,
        py: Python<'_>,
        payloads: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        topics: Option<&Bound<'_, PyAny>>,
        timeout: Option<Seconds>,
    ) -> PyResult<usize> {
        near_miss::unnamed(unnamed, "send_many", "payloads")?;
        let topic = topic.map(|Topic(topic)| topic);
        let batch = Batch::new(payloads, topic, topics)?;
        let deadline = args::deadline(timeout)?;
        let mut sent = 0;
        let mut breath = Instant::now();
        while let Some(item) = batch.next(py) {
            // An iterator without end must leave room for Ctrl+C and for other threads.
            if sent % 64 == 63 && breath.elapsed() >= BREATH {
                py.check_signals()?;
                // Long enough for another thread to take the interpreter: a mere yield wakes the
                // waiting one too early, again and again.
                py.detach(|| std::thread::sleep(Duration::from_micros(50)));
                breath = Instant::now();
            }
            let (payload, own) = item?;
            let topic = own.as_ref().map(|own| own.to_str()).transpose()?.or(topic);
            self.send_one(py, &payload, topic, || Ok(deadline))
                .map_err(|error| {
                    if crate::py::error::is::<crate::py::error::QueueFullError>(py, &error) {
                        return self.core.full(sent).into();
                    }
                    error
                })?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Sends an object as JSON; `Message.json` gives it back.
    ///
    /// Args:
    ///     obj: What `json.dumps` accepts; NaN and infinity are refused, since JSON has none.
    ///     topic: The topic; None for none.
    ///     timeout: As in `send`: seconds, None waits forever, 0 not at all.
    ///
    /// Raises:
    ///     TypeError: If the object has no form in JSON.
    ///     ValueError: If it holds NaN or infinity, or as in `send`.
    ///     TimeoutError: If the queue stayed full, under "block".
    ///     QueueFullError: If the queue is full, under "raise".
    ///     ClosedError: If the publisher is closed.
    #[pyo3(
        signature = (obj, unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, obj, *, topic=None, timeout=None)"
    )]
    fn send_json(
        &self,
        py: Python<'_>,
        obj: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<()> {
        near_miss::unnamed(unnamed, "send_json", "obj")?;
        let topic = topic.map(|Topic(topic)| topic);
        args::check_seconds("timeout", timeout)?;
        let how = objects::dict(py)?;
        how.set_item(intern!(py, "ensure_ascii"), false)?;
        how.set_item(intern!(py, "allow_nan"), false)?;
        how.set_item(intern!(py, "separators"), (",", ":"))?;
        let text = import(py, intern!(py, "json"))?
            .call_method(intern!(py, "dumps"), (obj,), Some(&how))
            .map_err(|error| args::not_json(py, error))?;
        self.send_one(py, &text, topic, || args::deadline(timeout))
    }

    /// Waits until enough subscribers are there, so that the first message is not lost.
    ///
    /// Counts connected peers, not subscriptions: one subscriber with three topics is one. (A peer
    /// over `inproc://` names no connection; there, subscriptions are counted.) Ctrl+C ends the
    /// wait, and `close` in another thread does.
    ///
    /// Args:
    ///     count: How many must be there.
    ///     topic: Count those who hear this topic whole; None counts all who hear anything.
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     How many there are, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer subscribed within `timeout`; the text says how many did.
    ///     ValueError: If the topic is invalid, or `count` or `timeout` is negative.
    ///     ClosedError: If the publisher is closed.
    #[pyo3(
        signature = (count = Whole(1), unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, count=1, *, topic=None, timeout=None)"
    )]
    fn wait_for_subscribers(
        &self,
        py: Python<'_>,
        count: Whole,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<usize> {
        near_miss::unnamed(unnamed, "wait_for_subscribers", "count")?;
        let topic = topic.map(|Topic(topic)| topic);
        let count = args::count("count", count, 0)?;
        let deadline = args::deadline(timeout)?;
        detached(py, |checkpoint| {
            self.core
                .wait_for_subscribers(count, topic, deadline, checkpoint)
        })
    }

    /// The name in its stamps; None if it does not stamp.
    #[getter]
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Closes it, and returns when its port is free again. Closing twice changes nothing.
    ///
    /// Unsent messages go on being sent in the background, for at most `linger` seconds, which the
    /// end of the program waits for. A call that waits in another thread ends with ClosedError.
    ///
    /// Args:
    ///     linger: Seconds that unsent messages may take; None uses the constructor's, 0 drops them.
    ///
    /// Raises:
    ///     ValueError: If `linger` is negative or infinite.
    #[pyo3(signature = (linger = None))]
    fn close(&self, py: Python<'_>, linger: Option<Seconds>) -> PyResult<()> {
        let linger = args::linger(linger.unwrap_or(self.linger))?;
        self.on_event.forget();
        Ok(py.detach(|| self.core.close(Some(linger)))?)
    }

    /// The publisher itself; leaving the `with` block closes it.
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
        self.close(py, None)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        if self.core.is_closed() {
            return "<Publisher closed>".into();
        }
        py.detach(|| {
            let mut at = self.core.endpoints().to_vec();
            at.extend(self.core.connections());
            let name = self
                .name
                .as_ref()
                .map_or(String::new(), |name| format!(" name={name:?}"));
            let count = self.core.subscriber_count().unwrap_or(0);
            let plural = if count == 1 { "" } else { "s" };
            format!(
                "<Publisher {}{name} {count} subscriber{plural}>",
                at.join(" ")
            )
        })
    }
}
