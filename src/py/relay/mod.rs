//! `Relay`.

mod capture;

use crate::error::Error;
use crate::net::publisher::OnFull;
use crate::net::relay::{Capture, Config, Relay as Core};
use crate::net::runtime::event_queue;
use crate::net::{connectable, Subscription};
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, KeywordAdvice, Topic};
use crate::py::convert::objects;
use crate::py::relay::capture::TranscriptCapture;
use crate::py::runtime::at_exit::AtExit;
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::py::stats::{Peer, RelayStats};
use crate::transcript::Progress;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyType};
use std::sync::Arc;

/// The defaults of `frontend` and `backend`.
const FRONTEND: &str = "*:5556";
const BACKEND: &str = "*:5555";

/// The size of `last_value_cache=True`.
const USUAL_CACHE: usize = 10_000;

/// Forwards messages from the publishers at its frontend to the subscribers at its backend.
///
/// Publishers and subscribers need only the relay's addresses. It forwards every message unchanged,
/// including the stamp, in a thread that needs no Python. It subscribes at publishers only to
/// topics that a subscriber wants, and counts as one subscriber there. With `capture` or
/// `last_value_cache` it subscribes to everything. Any ZeroMQ PUB or SUB in any language may
/// connect.
///
/// Relays form a tree. `connect` takes another relay's backend, whose messages reach this relay's
/// subscribers. `publish_to` takes another relay's frontend, which receives this relay's messages.
/// Do not create a loop, for example by using both with the same relay: messages would circulate
/// forever.
///
/// Messages queued in it when it ends are lost. Publishers and subscribers reconnect automatically
/// when it is restarted. Any thread may use it. Leaving its `with` block closes it. A forked child
/// must create its own.
///
/// Args:
///     frontend: Addresses to bind for publishers, one or several. None binds none.
///     backend: Addresses to bind for subscribers, one or several. None binds none.
///     connect: Addresses of bound publishers, and of other relays' backends.
///     publish_to: Addresses of bound subscribers, and of other relays' frontends.
///     on_full: What to do when a subscriber's queue is full. "drop" drops the message for that
///         subscriber alone, with a warning in the log. "block" waits for the slowest one, so that
///         messages wait in the relay and then at their publishers.
///     high_water_mark: The maximum number of messages queued per subscriber and per publisher. 0
///         means no limit.
///     max_subscriptions: The maximum number of subscriptions per peer, and of all peers together.
///         0 means no limit. Above it, the peer with the most is disconnected, with a warning.
///     max_message_bytes: A publisher that sends a larger frame is disconnected.
///     linger: The longest time to send queued messages after the close, in seconds. 0 drops them.
///     capture: A `Transcript`, which stays open, or the path of one, to write all messages to. A
///         path that ends with .jsonl is written as JSON lines. None writes none. It never delays
///         the relay: messages that cannot be written are counted, and a warning is logged once.
///         Frames are not split: `read_transcript(path, topics=[…])` splits them.
///     last_value_cache: Keeps the latest message of this number of topics, those published most
///         recently. True means 10,000, 0 and False keep none. The limit is 64 MiB in all. A new
///         subscriber to a topic receives its latest message, unchanged; the topic is the text
///         before the first `:`. Other subscribers do not receive it again, unless one disconnects
///         in the same moment. A subscriber to several topics at once (everything, or a prefix)
///         receives all cached messages that no other subscriber receives, and the latest of the
///         rest.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and the number of unanswered probes after which the connection is lost. None
///         turns it off.
///     reconnect_max: The longest interval between two attempts to connect, in seconds. The first
///         interval is 0.1.
///     batch_bytes: The number of bytes that the network thread reads and writes at a time. Each
///         connection has a buffer of this size.
///     on_event: Called with an `Event` for each change of a connection, in a separate thread. Its
///         `side` is "frontend" or "backend". The relay refers to it until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999 or one of its own addresses in
///         `connect`. The error says what to type.
///     ZmqChatError: If an address is in use or does not belong to this host, or the capture file
///         cannot be opened.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Relay {
    pub(crate) core: Arc<Core>,
    linger: Seconds,
    capture: Option<Arc<TranscriptCapture>>,
    /// Closes a capturing relay at the end of the program.
    at_exit: Option<AtExit>,
    on_event: Callback,
}

impl Relay {
    /// What the capture has written.
    pub(crate) fn captured(&self) -> Progress {
        let capture = self.capture.as_ref();
        capture.map_or_else(Progress::default, |capture| capture.progress())
    }
}

impl Drop for Relay {
    /// Closing takes locks and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

/// What to type instead of the names that other libraries use.
const KEYWORD_ADVICE: &KeywordAdvice = &[
    (
        &["port", "host", "address", "bind"],
        "use frontend=\"*:5556\" for publishers and backend=\"*:5555\" for subscribers",
    ),
    (&["hwm", "sndhwm", "rcvhwm"], "use high_water_mark=10000"),
];

#[pymethods]
impl Relay {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (frontend = Addresses::from(FRONTEND), *, backend = Addresses::from(BACKEND), connect = Addresses(Vec::new()), publish_to = Addresses(Vec::new()),
                     on_full = "drop", high_water_mark = Whole(10_000), max_subscriptions = Whole(20_000), max_message_bytes = Whole(67_108_864), linger = Seconds(1.0), capture = None, last_value_cache = Topics(0),
                     keepalive = Some(KeepAlive::DEFAULT), reconnect_max = Seconds(2.0), batch_bytes = Whole(131_072), on_event = None, **unknown),
        text_signature = "(frontend='*:5556', *, backend='*:5555', connect=(), publish_to=(), on_full='drop', \
                          high_water_mark=10000, max_subscriptions=20000, max_message_bytes=67108864, linger=1.0, capture=None, last_value_cache=False, \
                          keepalive=(5.0, 4.0, 3), reconnect_max=2.0, batch_bytes=131072, on_event=None)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments, each with its default
    fn new(
        class: &Bound<'_, PyType>,
        frontend: Addresses,
        backend: Addresses,
        connect: Addresses,
        publish_to: Addresses,
        on_full: &str,
        high_water_mark: Whole,
        max_subscriptions: Whole,
        max_message_bytes: Whole,
        linger: Seconds,
        capture: Option<&Bound<'_, PyAny>>,
        last_value_cache: Topics,
        keepalive: Option<KeepAlive>,
        reconnect_max: Seconds,
        batch_bytes: Whole,
        on_event: Option<Py<PyAny>>,
        unknown: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Self> {
        let py = class.py();
        near_miss::unknown(class, unknown, KEYWORD_ADVICE)?;
        let connecting = args::connection_options(keepalive, reconnect_max, batch_bytes)?;
        for (bind, connect, text) in [
            (&frontend, &connect, "the relay has no publishers: bind a frontend, for example \"*:5556\", or connect to a publisher or relay"),
            (&backend, &publish_to, "the relay has no subscribers: bind a backend, for example \"*:5555\", or publish_to a subscriber or relay"),
        ] {
            if bind.0.is_empty() && connect.0.is_empty() {
                return Err(Error::Value(text.into()).into());
            }
        }
        let on_full = OnFull::parse(on_full)?;
        let high_water_mark = args::high_water_mark(high_water_mark)?;
        let max_subscriptions = args::count("max_subscriptions", max_subscriptions, 0)?;
        let max_message_bytes = args::count("max_message_bytes", max_message_bytes, 1)?;
        let wait = args::linger(linger)?;
        let on_event = Callback::new(args::callback(py, on_event)?);
        let capture = capture
            .map(|capture| {
                let owner = on_event
                    .number()
                    .unwrap_or_else(event_queue::next_object_number);
                TranscriptCapture::open(py, capture, owner).map(Arc::new)
            })
            .transpose()?;
        let config = Config {
            frontend: frontend.0,
            backend: backend.0,
            connect: connect.0,
            publish_to: publish_to.0,
            on_full,
            high_water_mark,
            max_subscriptions,
            max_message_bytes,
            linger: wait,
            connection: connecting,
            cached_topics: last_value_cache.0,
            capture: capture
                .as_ref()
                .map(|capture| Arc::clone(capture) as Arc<dyn Capture>),
            event_owner: on_event.number(),
        };
        // Resolving a host name may take a while.
        let bound = [&config.frontend[..], &config.backend[..]].concat();
        let _cell = notebook_cell::scope(py)?;
        let core = detached(py, |checkpoint| Core::new(&config, checkpoint))
            .map(Arc::new)
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        let at_exit = capture
            .as_ref()
            .map(|capture| capture::close_at_exit(py, &core, capture, wait))
            .transpose()?;
        Ok(Self {
            core,
            linger,
            capture,
            at_exit,
            on_event,
        })
    }

    /// Pauses forwarding. When this returns, no message is forwarded until `resume`.
    ///
    /// Messages wait in the relay, up to `high_water_mark` per publisher, then in the network, then
    /// at the publisher, whose `on_full` applies. The relay loses none, and subscriptions still
    /// work. Pausing twice has no effect.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn pause(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.pause())?)
    }

    /// Forwards the waiting messages and all later ones.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.resume())?)
    }

    /// Waits until publishers and upstream relays are connected.
    ///
    /// Args:
    ///     count: The number of connections to wait for.
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The number of connections, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer were established within `timeout`.
    ///     ValueError: If `count` or `timeout` is negative.
    ///     ClosedError: If the relay is closed.
    #[pyo3(
        signature = (count = Whole(1), *, timeout = None),
        text_signature = "($self, count=1, *, timeout=None)"
    )]
    fn wait_connected(
        &self,
        py: Python<'_>,
        count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<usize> {
        let count = args::count("count", count, 0)?;
        let deadline = args::deadline(timeout)?;
        detached(py, |checkpoint| {
            self.core.wait_connected(count, deadline, checkpoint)
        })
    }

    /// Waits until enough subscribers are connected to the relay.
    ///
    /// It counts connected peers, not subscriptions. A publisher's own `wait_for_subscribers`
    /// counts a relay as one subscriber.
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
    ///     ClosedError: If the relay is closed.
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

    /// The first endpoint for publishers, for connections from this host, such as
    /// `tcp://127.0.0.1:5556`. None without a frontend. See `frontend_addresses` for other hosts.
    #[getter]
    fn frontend(&self) -> Option<String> {
        self.core.frontend().first().map(|bound| connectable(bound))
    }

    /// The first endpoint for subscribers, for connections from this host, such as
    /// `tcp://127.0.0.1:5555`. None without a backend. See `backend_addresses` for other hosts.
    #[getter]
    fn backend(&self) -> Option<String> {
        self.core.backend().first().map(|bound| connectable(bound))
    }

    /// The addresses to type for a publisher on another host, best first.
    #[getter]
    fn frontend_addresses(&self) -> Vec<String> {
        self.core.frontend_addresses()
    }

    /// The addresses to type for a subscriber on another host, best first.
    #[getter]
    fn backend_addresses(&self) -> Vec<String> {
        self.core.backend_addresses()
    }

    /// The number of connected peers with any subscription.
    #[getter]
    fn subscriber_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.core.subscriber_count())?)
    }

    /// The number of subscribers of each subscription, as a dict. A key is a topic (str) or a raw
    /// prefix (bytes; b"" receives everything).
    #[getter]
    fn topics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let topics = objects::dict(py)?;
        for (subscription, count) in py.detach(|| self.core.topics())? {
            match subscription {
                Subscription::Topic(topic) => topics.set_item(objects::text(py, &topic)?, count)?,
                Subscription::Prefix(prefix) => {
                    topics.set_item(objects::bytes(py, &prefix)?, count)?;
                }
            }
        }
        Ok(topics)
    }

    /// The state of each connection to a publisher: first those made with `connect`, then those
    /// that publishers made.
    #[getter]
    fn publishers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.publishers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// The state of each connection to a subscriber: first those made with `publish_to`, then those
    /// that subscribers made.
    #[getter]
    fn subscribers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.subscribers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// Whether forwarding is paused.
    #[getter]
    fn paused(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(py.detach(|| self.core.is_paused())?)
    }

    /// What the relay has done so far.
    ///
    /// Returns:
    ///     A snapshot: messages forwarded, their bytes, overflows, connections, and what the
    ///     capture wrote and skipped.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<RelayStats> {
        let stats = py.detach(|| self.core.stats())?;
        Ok(RelayStats::new(stats, self.captured()))
    }

    /// Whether the relay is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Closes the relay. Its ports are free again when this returns.
    ///
    /// Forwarded messages are sent in the background for at most `linger` seconds. The program does
    /// not end before that. Messages that wait to be forwarded are lost. The capture writes its
    /// remaining messages within the same time. Closing twice has no effect.
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
        py.detach(|| capture::close(&self.core, self.capture.as_deref(), linger))?;
        if let Some(at_exit) = &self.at_exit {
            at_exit.unregister(py)?;
        }
        Ok(())
    }

    /// Returns the relay; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().core.check_open()?;
        Ok(slf)
    }

    /// Closes the relay.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, traceback);
        // In a forked child, the exception that ends the block must not be replaced.
        if self.core.is_inherited() {
            return Ok(());
        }
        self.close(py, None)
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        if self.core.is_closed() {
            return "<Relay closed>".into();
        }
        let Ok(stats) = py.detach(|| self.core.stats()) else {
            return "<Relay>".into();
        };
        let paused = if stats.paused { " paused" } else { "" };
        format!(
            "<Relay {} to {} publishers={} subscribers={}{paused}>",
            self.core.frontend().join(" "),
            self.core.backend().join(" "),
            stats.publishers,
            stats.subscribers
        )
    }
}

/// One address or several; None means none.
pub(crate) struct Addresses(pub(crate) Vec<String>);

impl<'a, 'py> FromPyObject<'a, 'py> for Addresses {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_none() {
            return Ok(Self(Vec::new()));
        }
        Ok(Self(args::texts("an address", &object)?))
    }
}

impl From<&str> for Addresses {
    fn from(address: &str) -> Self {
        Self(vec![address.to_owned()])
    }
}

/// The size of a last-value cache.
pub(crate) struct Topics(pub(crate) usize);

impl<'a, 'py> FromPyObject<'a, 'py> for Topics {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(asked) = object.cast::<PyBool>() {
            return Ok(Self(if asked.is_true() { USUAL_CACHE } else { 0 }));
        }
        let count = args::count("last_value_cache", object.extract()?, 0)?;
        Ok(Self(count))
    }
}
