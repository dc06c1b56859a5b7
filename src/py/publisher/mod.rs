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
use crate::py::convert::near_miss::{self, Instead, Topic};
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
    sender: Sender,
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
        let core = &self.sender.core;
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
            connection: connecting,
            event_owner: on_event.number(),
        };
        let bound = config.bind.clone();
        let _cell = notebook_cell::making(py)?;
        // Looking up a name to bind may take a while.
        let core = detached(py, |checkpoint| Core::new(config, checkpoint))
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        Ok(Self {
            sender: Sender { core },
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
        self.sender
            .send(py, payload, topic, || args::deadline(timeout))
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
        let batch = SendBatch::new(payloads, topic, topics)?;
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
            self.sender
                .core
                .wait_for_subscribers(count, topic, deadline, checkpoint)
        })
    }

    /// `send` for asyncio: waits for room, under `on_full="block"`, while other tasks run.
    ///
    /// Without "block" it never waits, and `send` does as well. When it is cancelled, the message was
    /// not sent. Where there is room it does not go round the loop, except every 5 ms, so that other
    /// tasks get their turn.
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
        let timeout = args::waits("timeout", timeout)?;
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
    /// When it is cancelled, each payload that it took from `payloads` was sent, but for the last,
    /// which waited for room.
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
        let timeout = args::waits("timeout", timeout)?;
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

    /// `wait_for_subscribers` for asyncio.
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
        let timeout = args::waits("timeout", timeout)?;
        if let Some(topic) = topic {
            validate(topic)?;
        }
        let operation =
            PublisherOperation::WaitForSubscribers(slf, Count::of(wanted), topic.map(Into::into));
        Ok(PublisherCoroutine::new(operation, timeout))
    }

    /// `close` for asyncio: closes it in a thread, because that may take a moment.
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

    /// How many connected peers subscribe to anything at this moment.
    #[getter]
    fn subscriber_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.sender.core.subscriber_count())?)
    }

    /// How many peers receive a message with this first frame, for `zmqchat pub`.
    fn _receiver_count(&self, py: Python<'_>, first_frame: &[u8]) -> PyResult<usize> {
        Ok(py.detach(|| self.sender.core.receivers(first_frame))?)
    }

    /// What is subscribed to, and by how many: a dict of topic (str) or raw prefix (bytes; b"" is
    /// everything) to count.
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

    /// The first bound endpoint, to which this host can connect, such as `tcp://127.0.0.1:5555`; see
    /// `addresses` for other hosts. None if it only connects.
    #[getter]
    fn endpoint(&self) -> Option<String> {
        self.sender
            .core
            .endpoints()
            .first()
            .map(|bound| connectable(bound))
    }

    /// All bound endpoints, to which this host can connect.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        let bound = self.sender.core.endpoints().iter();
        bound.map(|bound| connectable(bound)).collect()
    }

    /// What another laptop can type to subscribe, best first, such as `192.168.1.12:5555`.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.sender.core.addresses()
    }

    /// Its connections as they stand: those it asked for, then those that came from subscribers.
    #[getter]
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.sender.core.peers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// What it has done so far.
    ///
    /// Returns:
    ///     A snapshot: messages sent, their bytes, sends refused, seconds blocked, subscribers.
    ///
    /// Raises:
    ///     ClosedError: If the publisher is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<PublisherStats> {
        Ok(py.detach(|| self.sender.core.stats())?.into())
    }

    /// The name in its stamps; None if it does not stamp.
    #[getter]
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.sender.core.is_closed()
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
        Ok(py.detach(|| self.sender.core.close(Some(linger)))?)
    }

    /// The publisher itself; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().sender.core.check_open()?;
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
        if self.sender.core.is_inherited() {
            return Ok(());
        }
        self.close(py, None)
    }

    /// The publisher itself; leaving the `async with` block closes it.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "enter"), (slf,))
    }

    /// Closes it.
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (exc_type, exc, traceback);
        Self::aclose(slf, None)
    }

    /// For `_loops`: what tells a line when to look again.
    #[pyo3(signature = (line, *, messages))]
    fn _on_ready(&self, line: &Bound<'_, PyAny>, messages: bool) -> PyResult<Readiness> {
        let _ = messages;
        let wake = waiter::waker(line)?;
        Ok(Readiness::new(line.py().detach(|| {
            self.sender.core.readiness_callback(Interest::Change, wake)
        })?))
    }

    /// Sends a message of this kind, None for an ordinary one, for `chat`; gives the stamp that it
    /// went out with, if no other thread sends at the same time.
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
                let text = "only a publisher with a name says of what kind a message is";
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
                        let (payload, own) = item?;
                        if batch.has_topics() {
                            let own = own.as_ref().map(|own| own.to_str()).transpose()?;
                            pending.topic = own.map(Into::into);
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
