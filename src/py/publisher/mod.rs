//! `Publisher`.

mod batch;
mod send;

use crate::error::Error;
use crate::net::publisher::{Config, OnFull, Publisher as Core};
use crate::net::{connectable, Interest, ReadinessCallback, Subscription};
use crate::py::asyncio::coroutine::coroutine_class;
use crate::py::asyncio::fairness;
use crate::py::asyncio::operation::{commit_final, Commit, Count, Operation, Poll, WaitFor};
use crate::py::asyncio::waiter::{self, Readiness};
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, KeywordAdvice, Topic};
use crate::py::convert::objects;
use crate::py::error::{import, is, QueueFullError};
use crate::py::publisher::batch::SendBatch;
use crate::py::publisher::send::{PendingSend, Sender};
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::py::stats::{Peer, PublisherStats};
use crate::wire::message::Framing;
use crate::wire::stamp;
use crate::wire::topic::validate;
use pyo3::exceptions::PyTypeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyTuple, PyType};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The default of `bind`.
const DEFAULT_BIND: &str = "*:5555";

/// How long `send_many` stays attached to the interpreter: Python's own switch interval.
const SWITCH_INTERVAL: Duration = Duration::from_millis(5);

/// Sends messages to every subscriber of their topics.
///
/// On the wire it is a plain ZeroMQ publisher: any SUB socket in any language receives from it. A
/// message that no subscriber wants is dropped. Call `wait_for_subscribers` before the first one.
///
/// Addresses look like `*:5555`, `192.168.1.12`, `lab-pc:6000`, `[::1]:5555`, `ipc:///tmp/chat` or
/// `inproc://chat`. The default port is 5555, and `*:0` binds a free one.
///
/// Any thread may use it. Leaving its `with` block closes it. A forked child must create its own.
///
/// Args:
///     bind: Addresses to bind, one or several. None binds `*:5555`, unless `connect` is given.
///     connect: Addresses of bound subscribers, one or several.
///     name: The sender's name: 1 to 255 bytes of printable text. It adds a stamp to each message
///         with name, instance id, sequence number per topic, and time. With None there is no
///         stamp, and pyzmq subscribers receive single frames.
///     framing: "plain" sends `topic:text` in one frame, "envelope" sends `[topic, payload]`.
///     on_full: What to do when a subscriber's queue is full. "drop" drops the message for that
///         subscriber alone, "block" waits for the slowest one, "raise" raises QueueFullError.
///     high_water_mark: The maximum number of messages queued per subscriber. 0 means no limit.
///     max_subscriptions: The maximum number of subscriptions per peer, and of all peers together.
///         0 means no limit. Above it, the peer with the most is disconnected, with a warning.
///     max_message_bytes: The largest message that may be sent, in bytes.
///     linger: The longest time to send queued messages after the close, in seconds. 0 drops them.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and the number of unanswered probes after which the connection is lost. Whole
///         seconds, 1 or more. With None, the loss of a silent peer is not detected.
///     reconnect_max: The longest interval between two attempts to connect, in seconds. The first
///         interval is 0.1.
///     batch_bytes: The number of bytes that the network thread writes at a time. Large batches
///         speed up messages of 1 KiB and more. Each connection has a buffer of this size, which
///         occupies memory as far as it was ever filled.
///     on_event: Called with an `Event` for each change of a connection, in a separate thread, one
///         event at a time. None calls nothing. Its exceptions, including SystemExit, are logged.
///         The publisher refers to it until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999. The error says what to type.
///     ZmqChatError: If an address is in use, or does not belong to this host. The error names the
///         process that uses it.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Publisher {
    sender: Sender,
    name: Option<String>,
    linger: Seconds,
    on_event: Callback,
}

/// What to type instead of the names that other libraries use.
const KEYWORD_ADVICE: &KeywordAdvice = &[
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
    /// Closing takes locks and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.sender.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

#[pymethods]
impl Publisher {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (bind = None, *positional, connect = None, name = None, framing = "plain", on_full = "drop",
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
        positional: &Bound<'_, PyTuple>,
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
        near_miss::unknown(class, unknown, KEYWORD_ADVICE)?;
        if !positional.is_empty() {
            return Err(PyTypeError::new_err(
                "only the address is positional, with its port (several addresses as a list): pass the \
                 other arguments by name, as in Publisher(\"*:5555\", name=\"alice\")",
            ));
        }
        let connecting = args::connection_options(keepalive, reconnect_max, batch_bytes)?;
        let connect =
            connect.map_or_else(|| Ok(Vec::new()), |connect| args::texts("connect", connect))?;
        let bind = match bind {
            Some(bind) => args::texts("bind", bind)?,
            None if connect.is_empty() => vec![DEFAULT_BIND.to_owned()],
            None => Vec::new(),
        };
        if bind.is_empty() && connect.is_empty() {
            return Err(Error::Value(
                "the publisher has no address: bind one, for example bind=\"*:5555\", or connect to \
                 one, for example connect=\"192.168.1.12:5555\""
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
            connection: connecting,
            event_owner: on_event.number(),
        };
        let bound = config.bind.clone();
        let _cell = notebook_cell::scope(py)?;
        // Resolving a host name may take a while.
        let core = detached(py, |checkpoint| Core::new(config, checkpoint))
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        Ok(Self {
            sender: Sender { core },
            name,
            linger,
            on_event,
        })
    }

    /// Sends one message to the subscribers of its topic.
    ///
    /// With `on_full="drop"` it never waits, and a subscriber whose queue is full loses the
    /// message. With "block" it waits for queue space. Ctrl+C interrupts the wait, and the message
    /// is not sent. `bytes` of 64 KiB and more are not copied, but kept alive until they are sent.
    ///
    /// Args:
    ///     payload: What to send: str (as UTF-8), bytes, or a buffer such as a NumPy array.
    ///     topic: The topic: 1 to 255 bytes of printable UTF-8 without `:` and whitespace. None
    ///         sends the message without a topic.
    ///     timeout: Seconds to wait for queue space with "block". None waits forever, 0 never
    ///         waits.
    ///
    /// Raises:
    ///     ValueError: If the topic is invalid, the message exceeds `max_message_bytes`, or
    ///         `timeout` is negative.
    ///     TypeError: If the payload is another kind of object, a number (also a NumPy number), or
    ///         a buffer of Python objects or pointers.
    ///     TimeoutError: If the queue stayed full for `timeout` seconds with "block".
    ///     QueueFullError: If the queue is full with "raise".
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
        self.sender
            .send(py, payload, topic, || args::deadline(timeout))
    }

    /// Sends each of several payloads as a message, in order.
    ///
    /// Args:
    ///     payloads: A list or another iterable of str, bytes or buffers. The items of a generator
    ///         are sent as they are produced.
    ///     topic: The topic of all messages. None sends them without a topic.
    ///     topics: Instead of `topic`: a list or another iterable with one topic for each payload,
    ///         or None for no topic. Its length must be the same.
    ///     timeout: Seconds for the whole call with "block". None waits forever, 0 never waits.
    ///
    /// Returns:
    ///     The number of messages sent.
    ///
    /// Raises:
    ///     ValueError: If a topic is invalid, a message exceeds `max_message_bytes`, `timeout` is
    ///         negative, or the number of topics differs. Lists of different length are refused
    ///         before anything is sent. With other iterables, the messages before the error were
    ///         sent.
    ///     TypeError: If `payloads` is itself a payload, an item is not a payload, `topics` is
    ///         itself a topic, or both `topic` and `topics` are given.
    ///     TimeoutError: If the queue stayed full with "block". The payloads before were sent.
    ///     QueueFullError: If the queue is full with "raise". Its `sent` is the number of messages
    ///         sent before.
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
        let batch = SendBatch::new(payloads, topic, topics)?;
        let deadline = args::deadline(timeout)?;
        let mut sent = 0;
        let mut attached_since = Instant::now();
        while let Some(item) = batch.next(py) {
            // An endless iterator must allow Ctrl+C and other threads.
            if sent % 64 == 63 && attached_since.elapsed() >= SWITCH_INTERVAL {
                py.check_signals()?;
                // Long enough for another thread to attach. A mere yield wakes it too early.
                py.detach(|| std::thread::sleep(Duration::from_micros(50)));
                attached_since = Instant::now();
            }
            let (payload, own_topic) = item?;
            let topic = own_topic
                .as_ref()
                .map(|own_topic| own_topic.to_str())
                .transpose()?
                .or(topic);
            self.sender
                .send(py, &payload, topic, || Ok(deadline))
                .map_err(|error| {
                    if is::<QueueFullError>(py, &error) {
                        return self.sender.core.queue_full(sent).into();
                    }
                    error
                })?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Sends an object as JSON, which `Message.json` parses.
    ///
    /// Args:
    ///     obj: Any object that `json.dumps` accepts, without NaN and infinity.
    ///     topic: The topic, or None for no topic.
    ///     timeout: Seconds to wait for queue space, as in `send`. None waits forever, 0 never
    ///         waits.
    ///
    /// Raises:
    ///     TypeError: If JSON cannot represent the object.
    ///     ValueError: If the object holds NaN or infinity, or as in `send`.
    ///     TimeoutError: If the queue stayed full with "block".
    ///     QueueFullError: If the queue is full with "raise".
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
        let kwargs = objects::dict(py)?;
        kwargs.set_item(intern!(py, "ensure_ascii"), false)?;
        kwargs.set_item(intern!(py, "allow_nan"), false)?;
        kwargs.set_item(intern!(py, "separators"), (",", ":"))?;
        let text = import(py, intern!(py, "json"))?
            .call_method(intern!(py, "dumps"), (obj,), Some(&kwargs))
            .map_err(|error| args::not_json(py, error))?;
        self.sender
            .send(py, &text, topic, || args::deadline(timeout))
    }

    /// Waits until enough subscribers are connected, so that the first message is not lost.
    ///
    /// It counts connected peers, not subscriptions: a subscriber with three topics counts once.
    /// Over `inproc://`, where peers cannot be distinguished, it counts subscriptions. Ctrl+C
    /// interrupts the wait, and so does `close` in another thread.
    ///
    /// Args:
    ///     count: The number of subscribers to wait for.
    ///     topic: Count the subscribers that receive every message of this topic. None counts all
    ///         subscribers with any subscription.
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The number of subscribers, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer subscribed within `timeout`. The error states the number.
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
            self.sender
                .core
                .wait_for_subscribers(count, topic, deadline, checkpoint)
        })
    }

    /// `send` for asyncio: waits for queue space, with `on_full="block"`, while other tasks run.
    ///
    /// With "drop" and "raise" it never waits, and `send` is sufficient. A cancelled call has not
    /// sent the message. While there is queue space, other tasks run only every 5 ms.
    #[pyo3(
        signature = (payload, unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, payload, *, topic=None, timeout=None)"
    )]
    fn asend(
        slf: &Bound<'_, Self>,
        payload: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<PublisherCoroutine> {
        near_miss::unnamed(unnamed, "asend", "payload")?;
        let topic = topic.map(|Topic(topic)| topic);
        let timeout = args::timeout("timeout", timeout)?;
        let pending = PendingSend {
            payload: Some(slf.get().sender.checked(payload, topic)?),
            topic: topic.map(Into::into),
            sent: 0,
            full_since: None,
        };
        let operation = PublisherOperation::Send(slf.clone().unbind(), Box::new(pending));
        Ok(PublisherCoroutine::new(operation, timeout))
    }

    /// `send_many` for asyncio; see `asend`.
    ///
    /// A cancelled call has sent each payload that it took from `payloads`, except the last one,
    /// which was waiting for queue space.
    #[pyo3(
        signature = (payloads, unnamed = None, *, topic = None, topics = None, timeout = None),
        text_signature = "($self, payloads, *, topic=None, topics=None, timeout=None)"
    )]
    fn asend_many(
        slf: &Bound<'_, Self>,
        payloads: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        topics: Option<&Bound<'_, PyAny>>,
        timeout: Option<Seconds>,
    ) -> PyResult<PublisherCoroutine> {
        near_miss::unnamed(unnamed, "asend_many", "payloads")?;
        let topic = topic.map(|Topic(topic)| topic);
        let timeout = args::timeout("timeout", timeout)?;
        if let Some(topic) = topic {
            validate(topic)?;
        }
        let batch = SendBatch::new(payloads, topic, topics)?;
        let pending = PendingSend {
            payload: None,
            topic: topic.map(Into::into),
            sent: 0,
            full_since: None,
        };
        let operation =
            PublisherOperation::SendMany(slf.clone().unbind(), Box::new(pending), batch);
        Ok(PublisherCoroutine::new(operation, timeout))
    }

    /// `wait_for_subscribers` for asyncio: waits while other tasks run.
    #[pyo3(
        signature = (count = Whole(1), unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, count=1, *, topic=None, timeout=None)"
    )]
    fn await_for_subscribers(
        slf: Py<Self>,
        count: Whole,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<PublisherCoroutine> {
        near_miss::unnamed(unnamed, "await_for_subscribers", "count")?;
        let topic = topic.map(|Topic(topic)| topic);
        let wanted = args::count("count", count, 0)?;
        let timeout = args::timeout("timeout", timeout)?;
        if let Some(topic) = topic {
            validate(topic)?;
        }
        let operation =
            PublisherOperation::WaitForSubscribers(slf, Count::of(wanted), topic.map(Into::into));
        Ok(PublisherCoroutine::new(operation, timeout))
    }

    /// `close` for asyncio: runs it in a thread, because closing may take a moment.
    #[pyo3(signature = (linger = None))]
    fn aclose<'py>(slf: &Bound<'py, Self>, linger: Option<Seconds>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(linger) = linger {
            args::linger(linger)?;
        }
        let kwargs = objects::dict(py)?;
        kwargs.set_item(
            intern!(py, "linger"),
            linger.map(|Seconds(seconds)| seconds),
        )?;
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method(
            intern!(py, "close"),
            (slf,),
            Some(&kwargs),
        )
    }

    /// The number of connected peers with any subscription.
    #[getter]
    fn subscriber_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.sender.core.subscriber_count())?)
    }

    /// How many peers receive a message with this first frame, for `zmqchat pub`.
    fn _receiver_count(&self, py: Python<'_>, first_frame: &[u8]) -> PyResult<usize> {
        Ok(py.detach(|| self.sender.core.receivers(first_frame))?)
    }

    /// The number of subscribers of each subscription, as a dict. A key is a topic (str) or a raw
    /// prefix (bytes; b"" receives everything).
    #[getter]
    fn topics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let topics = objects::dict(py)?;
        for (subscription, count) in py.detach(|| self.sender.core.topics())? {
            match subscription {
                Subscription::Topic(topic) => {
                    topics.set_item(objects::text(py, &topic)?, count)?;
                }
                Subscription::Prefix(prefix) => {
                    topics.set_item(objects::bytes(py, &prefix)?, count)?;
                }
            }
        }
        Ok(topics)
    }

    /// The first bound endpoint, for connections from this host, such as `tcp://127.0.0.1:5555`.
    /// None if nothing is bound. See `addresses` for other hosts.
    #[getter]
    fn endpoint(&self) -> Option<String> {
        self.sender
            .core
            .endpoints()
            .first()
            .map(|bound| connectable(bound))
    }

    /// All bound endpoints, for connections from this host.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        let bound = self.sender.core.endpoints().iter();
        bound.map(|bound| connectable(bound)).collect()
    }

    /// The addresses to type on another host to subscribe, best first, such as `192.168.1.12:5555`.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.sender.core.addresses()
    }

    /// The state of each connection: first those that it makes, then those that subscribers made.
    #[getter]
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.sender.core.peers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// What the publisher has done so far.
    ///
    /// Returns:
    ///     A snapshot: messages sent, their bytes, sends refused, seconds blocked, subscribers.
    ///
    /// Raises:
    ///     ClosedError: If the publisher is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<PublisherStats> {
        Ok(py.detach(|| self.sender.core.stats())?.into())
    }

    /// The name in its stamps, or None if it sends no stamps.
    #[getter]
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether the publisher is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.sender.core.is_closed()
    }

    /// Closes the publisher. Its port is free again when this returns.
    ///
    /// Queued messages are sent in the background for at most `linger` seconds. The program does
    /// not end before that. A call that waits in another thread raises ClosedError. Closing twice
    /// has no effect.
    ///
    /// Args:
    ///     linger: The longest time to send queued messages, in seconds. None uses the
    ///         constructor's value, 0 drops them.
    ///
    /// Raises:
    ///     ValueError: If `linger` is negative or infinite.
    #[pyo3(signature = (linger = None))]
    fn close(&self, py: Python<'_>, linger: Option<Seconds>) -> PyResult<()> {
        let linger = args::linger(linger.unwrap_or(self.linger))?;
        self.on_event.forget();
        Ok(py.detach(|| self.sender.core.close(Some(linger)))?)
    }

    /// Returns the publisher; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().sender.core.check_open()?;
        Ok(slf)
    }

    /// Closes the publisher.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, traceback);
        // In a forked child, the exception that ends the block must not be replaced.
        if self.sender.core.is_inherited() {
            return Ok(());
        }
        self.close(py, None)
    }

    /// Returns the publisher; leaving the `async with` block closes it.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "enter"), (slf,))
    }

    /// Closes the publisher.
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (exc_type, exc, traceback);
        Self::aclose(slf, None)
    }

    /// Registers a queue of `_asyncio.py`, which is woken when another attempt may succeed.
    #[pyo3(signature = (queue, *, messages))]
    fn _on_ready(&self, queue: &Bound<'_, PyAny>, messages: bool) -> PyResult<Readiness> {
        let _ = messages;
        let wake = waiter::waker(queue)?;
        Ok(Readiness::new(queue.py().detach(|| {
            self.sender.core.readiness_callback(Interest::Change, wake)
        })?))
    }

    /// Sends a message with a kind in its stamp, or None for an ordinary message, for `chat`.
    /// Returns its stamp, if no other thread sends at the same time.
    #[pyo3(signature = (payload, kind, *, topic))]
    fn _send_kind<'py>(
        &self,
        py: Python<'py>,
        payload: &Bound<'_, PyAny>,
        kind: Option<&str>,
        topic: &str,
    ) -> PyResult<Bound<'py, PyBytes>> {
        if let Some(kind) = kind {
            stamp::check_kind(kind)?;
            if self.name().is_none() {
                let text = "the publisher sends no kind without a stamp: create it with a name";
                return Err(Error::Value(text.into()).into());
            }
        }
        let stamp = self.sender.send_kind(py, payload, kind, topic)?;
        objects::bytes(py, &stamp)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        if self.sender.core.is_closed() {
            return "<Publisher closed>".into();
        }
        py.detach(|| {
            let mut at = self.sender.core.endpoints().to_vec();
            at.extend(self.sender.core.connections());
            let name = self
                .name
                .as_ref()
                .map_or(String::new(), |name| format!(" name={name:?}"));
            let count = self.sender.core.subscriber_count().unwrap_or(0);
            let plural = if count == 1 { "" } else { "s" };
            format!(
                "<Publisher {}{name} {count} subscriber{plural}>",
                at.join(" ")
            )
        })
    }
}

/// The calls for asyncio.
enum PublisherOperation {
    WaitForSubscribers(Py<Publisher>, Count, Option<Box<str>>),
    Send(Py<Publisher>, Box<PendingSend>),
    SendMany(Py<Publisher>, Box<PendingSend>, SendBatch),
}

coroutine_class!(PublisherCoroutine, PublisherOperation);

impl PublisherOperation {
    fn publisher(&self) -> &Py<Publisher> {
        match self {
            Self::WaitForSubscribers(publisher, ..)
            | Self::Send(publisher, _)
            | Self::SendMany(publisher, ..) => publisher,
        }
    }
}

impl Operation for PublisherOperation {
    fn name(&self) -> &'static str {
        match self {
            Self::WaitForSubscribers(..) => "Publisher.await_for_subscribers",
            Self::Send(..) => "Publisher.asend",
            Self::SendMany(..) => "Publisher.asend_many",
        }
    }

    fn wait_for(&self) -> WaitFor {
        match self {
            Self::WaitForSubscribers(..) => WaitFor::Change,
            Self::Send(..) | Self::SendMany(..) => WaitFor::QueueSpace,
        }
    }

    fn socket(&self, py: Python<'_>) -> Py<PyAny> {
        self.publisher().clone_ref(py).into_any()
    }

    fn attempt(
        &mut self,
        py: Python<'_>,
        readiness: Option<&Arc<ReadinessCallback>>,
        first: bool,
        commit: Commit<'_>,
    ) -> PyResult<Option<Poll>> {
        let result = match self {
            Self::WaitForSubscribers(publisher, count, topic) => {
                let (core, topic) = (&publisher.get().sender.core, topic.as_deref());
                let wanted = count.wanted;
                count.seen =
                    py.detach(|| core.count_subscribers_or_arm(wanted, topic, readiness, first))?;
                count.reached(py, commit)?
            }
            Self::Send(publisher, pending) => {
                let sender = &publisher.get().sender;
                if !sender.send_pending(py, pending, readiness, first)? {
                    return Ok(None);
                }
                commit_final(py, commit);
                Some(py.None())
            }
            Self::SendMany(publisher, pending, batch) => {
                let sender = &publisher.get().sender;
                fairness::ended_without_wait(py);
                loop {
                    if pending.payload.is_none() {
                        let Some(item) = batch.next(py) else {
                            break;
                        };
                        let (payload, own_topic) = item?;
                        if batch.has_topics() {
                            let own_topic = own_topic
                                .as_ref()
                                .map(|own_topic| own_topic.to_str())
                                .transpose()?;
                            pending.topic = own_topic.map(Into::into);
                        }
                        pending.payload = Some(sender.checked(&payload, pending.topic.as_deref())?);
                    }
                    if !sender.send_pending(py, pending, readiness, first)? {
                        return Ok(None);
                    }
                    pending.payload = None;
                    pending.sent += 1;
                    if fairness::is_due() {
                        return Ok(Some(Poll::Yield));
                    }
                }
                commit_final(py, commit);
                Some(pending.sent.into_pyobject(py)?.into_any().unbind())
            }
        };
        Ok(result.map(Poll::Done))
    }

    fn timed_out(&mut self, py: Python<'_>, _timeout: Option<f64>, _before: Option<u64>) -> PyErr {
        match self {
            Self::WaitForSubscribers(publisher, count, topic) => {
                let (seen, wanted) = (count.seen, count.wanted);
                let core = &publisher.get().sender.core;
                py.detach(|| core.too_few_subscribers(seen, wanted, topic.as_deref()))
                    .into()
            }
            Self::Send(publisher, pending) | Self::SendMany(publisher, pending, _) => {
                let core = &publisher.get().sender.core;
                if let Some(since) = pending.full_since.take() {
                    core.add_blocked_time(since.elapsed());
                }
                core.queue_stayed_full().into()
            }
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.publisher())?;
        match self {
            Self::WaitForSubscribers(..) => Ok(()),
            Self::Send(_, pending) => visit.call(&pending.payload),
            Self::SendMany(_, pending, batch) => {
                visit.call(&pending.payload)?;
                batch.traverse(visit)
            }
        }
    }
}
