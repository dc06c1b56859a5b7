//! `Relay`.

mod capture;

use crate::error::Error;
use crate::net::publisher::OnFull;
use crate::net::relay::{Capture, Config, Relay as Core};
use crate::net::runtime::event_queue;
use crate::net::{connectable, Subscription};
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, Instead, Topic};
use crate::py::convert::objects;
use crate::py::relay::capture::{end, end_at_exit, TranscriptCapture};
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::py::stats::{Peer, RelayStats};
use crate::transcript::Progress;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyType};
use std::sync::Arc;

/// What is bound when nothing else is said.
const FRONTEND: &str = "*:5556";
const BACKEND: &str = "*:5555";

/// Topics in a last-value cache that is asked for without a number.
const USUAL_CACHE: usize = 10_000;

/// Forwards messages from the publishers at its frontend to the subscribers at its backend.
///
/// Publishers and subscribers need only the relay's addresses. It forwards every message unchanged,
/// stamps included, in a thread of its own that needs no Python. It subscribes at publishers only to
/// topics that some subscriber wants (to everything, with `capture` or `last_value_cache`), and they
/// count it as one subscriber. Any ZeroMQ PUB or SUB in any language may take part.
///
/// Relays make a tree: `connect` takes another relay's backend, whose messages then come down to this
/// one's subscribers; `publish_to` takes another's frontend, to which this one's messages go up. Do
/// not do both to the same relay, or go round in a circle otherwise: messages would, too, forever.
///
/// Whatever waits in it when it ends is gone; publishers and subscribers connect again by themselves
/// when it is back. Any threads may share it. Leaving its `with` block closes it. A forked child must
/// make its own.
///
/// Args:
///     frontend: Where publishers connect, one address or several; None for nowhere.
///     backend: Where subscribers connect, one address or several; None for nowhere.
///     connect: Publishers that listen themselves, and backends of other relays.
///     publish_to: Subscribers that listen themselves, and frontends of other relays.
///     on_full: What happens when a subscriber's queue is full: "drop" loses messages for that
///         subscriber alone, with a warning in the log; "block" waits for the slowest, so that messages
///         wait in the relay and then at their publishers.
///     high_water_mark: How many messages are queued for each subscriber, and from each publisher;
///         0 means no limit.
///     max_subscriptions: The limit of subscriptions for each peer, and for all peers together; 0 means
///         no limit. Above it, the peer with the most is cut off, with a warning in the log.
///     max_message_bytes: A publisher that sends a larger frame is cut off.
///     linger: Seconds that unsent messages may take after the close; 0 drops them at once.
///     capture: Where to keep all messages: a `Transcript`, which stays open, or the path of one
///         (JSON lines if it ends with .jsonl); None for nowhere. Publishers are then asked for
///         everything. It never delays the relay: messages that it cannot write are counted, and
///         logged once as a warning. Plain frames are recorded whole: `read_transcript(path,
///         topics=[…])` splits them.
///     last_value_cache: Keeps the latest message of so many topics, those published last (True:
///         10,000; at most 64 MiB in all), and sends it to whoever subscribes to that topic later.
///         The topic of a plain frame is the text before its first `:`; the frame is sent unchanged.
///         Others do not get it again, unless somebody leaves in the same moment. Who subscribes to more than one topic at once (to everything,
///         or by a prefix) gets all that nobody else hears, and of the rest the latest one. False or 0
///         keeps none. Publishers are asked for everything.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and how many may stay unanswered; None turns it off.
///     reconnect_max: Seconds between two attempts to connect at most; they begin at 0.1.
///     batch_bytes: How many bytes the network's thread reads and writes at a time; each connection
///         owns a buffer of that size.
///     on_event: Called with an `Event` whenever something happens to its connections, in a thread of
///         its own; its `side` tells which: "frontend" or "backend". It is kept until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999 or an address of its own to connect to;
///         the text says what to type instead.
///     ZmqChatError: If an address is in use or not this host's, or the capture's file cannot be opened.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Relay {
    pub(crate) core: Arc<Core>,
    linger: Seconds,
    capture: Option<Arc<TranscriptCapture>>,
    on_event: Callback,
}

impl Relay {
    /// How far the capture is.
    pub(crate) fn captured(&self) -> Progress {
        let capture = self.capture.as_ref();
        capture.map_or_else(Progress::default, |keeper| keeper.progress())
    }
}

impl Drop for Relay {
    /// Closing takes locks, and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

/// What to type instead of names that other libraries use.
const INSTEAD: &Instead = &[
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
        near_miss::unknown(class, unknown, INSTEAD)?;
        let connecting = args::connection_options(keepalive, reconnect_max, batch_bytes)?;
        for (bind, connect, text) in [
            (&frontend, &connect, "nothing comes in: bind a frontend, for example \"*:5556\", or connect to a publisher or relay"),
            (&backend, &publish_to, "nothing goes out: bind a backend, for example \"*:5555\", or publish_to somebody"),
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
                .map(|keeper| Arc::clone(keeper) as Arc<dyn Capture>),
            event_owner: on_event.number(),
        };
        // Looking up a name to bind may take a while.
        let bound = [&config.frontend[..], &config.backend[..]].concat();
        let _cell = notebook_cell::making(py)?;
        let core = detached(py, |checkpoint| Core::new(&config, checkpoint))
            .map(Arc::new)
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        if let Some(capture) = &capture {
            end_at_exit(py, &core, capture, wait)?;
        }
        Ok(Self {
            core,
            linger,
            capture,
            on_event,
        })
    }

    /// Lets messages wait; when this returns, none is passed on any more until `resume`.
    ///
    /// They wait in the relay, up to `high_water_mark` from each publisher, then on the network, then
    /// at the publisher, whose own `on_full` decides about more. Nothing is lost in the relay, and
    /// subscriptions go on. Pausing twice changes nothing.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn pause(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.pause())?)
    }

    /// Passes on what waits, and all that follows.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn resume(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.resume())?)
    }

    /// Waits until so many publishers and upstream relays are connected.
    ///
    /// Args:
    ///     count: How many.
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     How many there are, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer connected within `timeout`.
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

    /// Waits until enough subscribers are there. A publisher's own `wait_for_subscribers` counts a
    /// relay as one.
    ///
    /// Args:
    ///     count: How many must be there, as peers, not as subscriptions.
    ///     topic: Count those who hear this topic whole; None counts all who hear anything.
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     How many there are, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer subscribed within `timeout`; the text says how many did.
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

    /// The first endpoint for publishers, to which this host can connect, such as
    /// `tcp://127.0.0.1:5556`; see `frontend_addresses` for other hosts. None without one.
    #[getter]
    fn frontend(&self) -> Option<String> {
        self.core.frontend().first().map(|bound| connectable(bound))
    }

    /// The first endpoint for subscribers, to which this host can connect, such as
    /// `tcp://127.0.0.1:5555`; see `backend_addresses` for other hosts. None without one.
    #[getter]
    fn backend(&self) -> Option<String> {
        self.core.backend().first().map(|bound| connectable(bound))
    }

    /// What a publisher on another laptop can type to connect, best first.
    #[getter]
    fn frontend_addresses(&self) -> Vec<String> {
        self.core.frontend_addresses()
    }

    /// What a subscriber on another laptop can type to connect, best first.
    #[getter]
    fn backend_addresses(&self) -> Vec<String> {
        self.core.backend_addresses()
    }

    /// How many connected peers subscribe to anything at this moment.
    #[getter]
    fn subscriber_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.core.subscriber_count())?)
    }

    /// What is subscribed to, and by how many: a dict of topic (str) or raw prefix (bytes; b"" is
    /// everything) to count.
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

    /// The connections that messages come from as they stand: those it asked for with `connect`, then
    /// those that publishers made.
    #[getter]
    fn publishers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.publishers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// The connections that messages go to as they stand: those it asked for with `publish_to`, then
    /// those that subscribers made.
    #[getter]
    fn subscribers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.subscribers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// Whether messages wait.
    #[getter]
    fn paused(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(py.detach(|| self.core.is_paused())?)
    }

    /// What it has done so far.
    ///
    /// Returns:
    ///     A snapshot: messages passed on, their bytes, overflows, who is connected, what the capture
    ///     wrote and skipped.
    ///
    /// Raises:
    ///     ClosedError: If the relay is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<RelayStats> {
        let stats = py.detach(|| self.core.stats())?;
        Ok(RelayStats::new(stats, self.captured()))
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    /// Closes it, and returns when its ports are free again. Closing twice changes nothing.
    ///
    /// What it has passed on goes on being sent in the background, for at most `linger` seconds, which
    /// the end of the program waits for. What still waits to be passed on is gone. What the capture
    /// has yet to write is written within the same time.
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
        Ok(py.detach(|| end(&self.core, self.capture.as_deref(), linger))?)
    }

    /// The relay itself; leaving the `with` block closes it.
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

/// One address or several; None is none.
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

/// How many topics a last-value cache is to hold.
pub(crate) struct Topics(pub(crate) usize);

impl<'a, 'py> FromPyObject<'a, 'py> for Topics {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(asked) = object.cast::<PyBool>() {
            return Ok(Self(if asked.is_true() { USUAL_CACHE } else { 0 }));
        }
        let most = args::count("last_value_cache", object.extract()?, 0)?;
        Ok(Self(most))
    }
}
