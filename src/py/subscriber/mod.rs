//! `Subscriber`.

mod display;
mod receive;

use crate::net::subscriber::{Config, Subscriber as Core};
use crate::net::{connectable, Interest, ReadinessCallback, Subscription, WaitKind};
use crate::py::asyncio::coroutine::coroutine_class;
use crate::py::asyncio::operation::{Commit, Count, Operation, Poll, WaitFor};
use crate::py::asyncio::waiter::{self, Readiness};
use crate::py::convert::args::{self, KeepAlive, Seconds, Whole};
use crate::py::convert::near_miss::{self, AddressText, KeywordAdvice, Topic};
use crate::py::convert::objects;
use crate::py::convert::pybytes;
use crate::py::error::{import, is, ClosedError};
use crate::py::message::Message;
use crate::py::runtime::detach::detached;
use crate::py::runtime::events::Callback;
use crate::py::runtime::notebook_cell;
use crate::py::stats::{Peer, SubscriberStats};
use crate::py::subscriber::display::Display;
use crate::py::subscriber::receive::{Receiver, RecvAs, TryRecv};
use crate::py::transcript::writer::Transcript;
use crate::render::line::Timestamps;
use crate::wire::message::Framing;
use pyo3::exceptions::{PyStopAsyncIteration, PyTypeError};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple, PyType};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// Receives messages from publishers.
///
/// On the wire it is a plain ZeroMQ subscriber: it receives from any PUB or XPUB socket in any
/// language. Addresses look like `192.168.1.12`, `lab-pc:6000`, `[::1]:5555`, `ipc:///tmp/chat` or
/// `inproc://chat`. The default port is 5555. The publisher may start later: the subscriber
/// connects and reconnects automatically.
///
/// Any thread may use it; each message is delivered to one of them. Iterating over it waits for
/// messages until it is closed. Leaving its `with` block closes it. A forked child must create its
/// own.
///
/// Args:
///     connect: Addresses of publishers, one or several.
///     bind: Addresses to bind for publishers that connect, one or several.
///     topics: Exact topics to receive, one or several (`room1` does not receive `room10`). A
///         message that starts with one of them and `:` has this topic. The subscriptions at the
///         moment of receipt decide. None receives everything until the first `subscribe`. `()`
///         receives nothing yet.
///     prefixes: Raw prefixes to receive, str or bytes, one or several: ZeroMQ's own filter.
///     framing: How to read messages. "plain" reads `topic:text`. "envelope" also subscribes to
///         topics that are a separate frame. "raw" splits nothing.
///     split_topics: Whether to split other messages without a stamp at their first `:`, if the
///         text before it is a valid topic. This is a guess: `12:30 lunch` then has the topic `12`.
///         With False, a message that starts with none of `topics` has no topic, and its text is
///         the whole frame.
///     high_water_mark: The maximum number of messages queued per publisher. 0 means no limit.
///         Further messages are lost or wait at the publisher, depending on its `on_full`.
///     max_message_bytes: A publisher that sends a larger frame is disconnected, then reconnected.
///         The minimum is 4096, which stamps and the handshake need.
///     keepalive: TCP keep-alive: seconds of silence before the first probe, seconds between
///         probes, and the number of unanswered probes after which the connection is lost. Whole
///         seconds, 1 or more. With None, the loss of a silent peer is not detected.
///     reconnect_max: The longest interval between two attempts to connect, in seconds. The first
///         interval is 0.1.
///     batch_bytes: The number of bytes that the network thread reads at a time. Large batches
///         speed up messages of 1 KiB and more. Each connection has a buffer of this size.
///     on_event: Called with an `Event` for each change of a connection, in a separate thread, one
///         event at a time. None calls nothing. Its exceptions, including SystemExit, are logged.
///         The subscriber refers to it until `close`.
///
/// Raises:
///     ValueError: If an argument is invalid, such as port 99999. The error says what to type.
///     ZmqChatError: If an address to bind is in use, or does not belong to this host.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(crate) struct Subscriber {
    receiver: Receiver,
    on_event: Callback,
    /// Counts the steps of iteration, to check for signals at intervals.
    steps: AtomicU32,
}

/// What to type instead of the names that other libraries use.
const KEYWORD_ADVICE: &KeywordAdvice = &[
    (
        &["port", "host", "address", "addr", "ip", "url", "endpoint"],
        "the address is the first argument, as in Subscriber(\"192.168.1.12:5555\")",
    ),
    (&["topic"], "use topics=[\"room1\"]"),
    (&["prefix"], "use prefixes=[b\"room\"]"),
    (
        &["timeout"],
        "each call that waits has its own timeout, as in sub.recv(timeout=5)",
    ),
    (&["hwm", "sndhwm", "rcvhwm"], "use high_water_mark=10000"),
];

impl Drop for Subscriber {
    /// Closing takes locks and may wait for a moment.
    fn drop(&mut self) {
        let core = &self.receiver.core;
        let _ = Python::try_attach(|py| py.detach(|| core.close_nowait()));
    }
}

#[pymethods]
impl Subscriber {
    #[new]
    #[classmethod]
    #[pyo3(
        signature = (connect = None, *positional, bind = None, topics = None, prefixes = None,
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
        positional: &Bound<'_, PyTuple>,
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
        near_miss::unknown(class, unknown, KEYWORD_ADVICE)?;
        if !positional.is_empty() {
            return Err(PyTypeError::new_err(
                "only the address is positional (several addresses as a list): pass the other \
                 arguments by name, as in Subscriber(\"192.168.1.12\", topics=[\"room1\"])",
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
            connection: args::connection_options(keepalive, reconnect_max, batch_bytes)?,
            event_owner: on_event.number(),
        };
        let bound = config.bind.clone();
        let _cell = notebook_cell::scope(py)?;
        let core = detached(py, |checkpoint| Core::new(config, checkpoint))
            .map_err(|error| notebook_cell::explained(py, error, &bound))?;
        Ok(Self {
            receiver: Receiver { core },
            on_event,
            steps: AtomicU32::new(0),
        })
    }

    /// Waits for the next message.
    ///
    /// Ctrl+C interrupts the wait with the exception of the signal handler. A message that arrives
    /// meanwhile is returned by the next call. `close` in another thread ends the wait with
    /// ClosedError.
    ///
    /// Args:
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The message.
    ///
    /// Raises:
    ///     TimeoutError: If no message arrived within `timeout`.
    ///     ValueError: If `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Py<Message>> {
        self.receiver.expect(timeout, true, py, |received| {
            self.receiver.create(py, received)
        })
    }

    /// Waits for the next message and returns the text of its first frame, including the topic.
    ///
    /// This is what pyzmq's `recv_string` returns, except that undecodable bytes become U+FFFD.
    ///
    /// Args:
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
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
        let (text, is_valid) = self.receiver.expect(timeout, false, py, |received| {
            pybytes::decode(py, received.first.bytes())
        })?;
        if !is_valid {
            self.receiver
                .core
                .undecodable()
                .fetch_add(1, Ordering::Relaxed);
        }
        Ok(text)
    }

    /// Waits for the next message and returns its first frame, including the topic, like pyzmq's
    /// `recv`.
    ///
    /// Args:
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
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
        self.receiver.expect(timeout, false, py, |received| {
            pybytes::copy(py, received.first.bytes())
        })
    }

    /// Waits for one message, then returns it with the messages that are queued already.
    ///
    /// Args:
    ///     max_count: The maximum number of messages, 1 or more.
    ///     timeout: Seconds to wait for the first message. None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     A list of 1 to `max_count` messages, in order.
    ///
    /// Raises:
    ///     TimeoutError: If no message arrived within `timeout`.
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
        self.receiver.many(py, max_count, timeout)
    }

    /// `recv` for asyncio: waits for the next message while other tasks run.
    ///
    /// Tasks of several event loops may wait; each message is delivered to one of them. If a call
    /// is cancelled, you have the message, or it is still queued: no message is lost. While
    /// messages are queued, other tasks run only every 5 ms.
    #[pyo3(signature = (timeout = None))]
    fn arecv(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<SubscriberCoroutine> {
        Self::receive(slf, RecvAs::Message, timeout)
    }

    /// `recv_text` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_text(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<SubscriberCoroutine> {
        Self::receive(slf, RecvAs::Text, timeout)
    }

    /// `recv_bytes` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_bytes(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<SubscriberCoroutine> {
        Self::receive(slf, RecvAs::Bytes, timeout)
    }

    /// `recv_many` for asyncio; see `arecv`. A cancelled call has taken no message.
    #[pyo3(
        signature = (max_count = Whole(256), *, timeout = None),
        text_signature = "($self, max_count=256, *, timeout=None)"
    )]
    fn arecv_many(
        slf: Py<Self>,
        max_count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<SubscriberCoroutine> {
        let max_count = args::count("max_count", max_count, 1)?;
        let timeout = args::timeout("timeout", timeout)?;
        Ok(SubscriberCoroutine::new(
            SubscriberOperation::ReceiveMany(slf, max_count),
            timeout,
        ))
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<Message>>> {
        // A loop in C, such as `list(sub)`, checks for signals only here. Two threads may count one
        // step together, which is harmless.
        let step = self.steps.load(Ordering::Relaxed).wrapping_add(1);
        self.steps.store(step, Ordering::Relaxed);
        if step % 256 == 0 {
            py.check_signals()?;
        }
        match self
            .receiver
            .next(None, py, |received| self.receiver.create(py, received))
        {
            Err(error) if self.receiver.core.is_closed() && is::<ClosedError>(py, &error) => {
                Ok(None)
            }
            outcome => outcome,
        }
    }

    /// Prints messages as they arrive, until Ctrl+C.
    ///
    /// Ctrl+C and a `close` in another thread end the call normally. Exceptions of other signal
    /// handlers are raised. It prints through `sys.stdout` as it is at that moment.
    ///
    /// Args:
    ///     count: The maximum number of messages to print. None means no limit, 0 prints none.
    ///     timeout: Seconds for the whole call. None means no limit, 0 prints the queued messages.
    ///     color: "auto" (NO_COLOR, FORCE_COLOR, TERM and the stream decide), "always" or "never".
    ///         True and False mean the last two.
    ///     timestamps: "time", "iso", "delta" or "none"; see `Message.render`.
    ///     log: A `Transcript`, which stays open, or the path of one, to write the messages to.
    ///         None writes none. If writing fails, a warning is logged, and printing continues.
    ///
    /// Returns:
    ///     The number of messages printed.
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
        let kwargs = objects::dict(py)?;
        kwargs.set_item(intern!(py, "count"), count)?;
        kwargs.set_item(
            intern!(py, "timeout"),
            timeout.map(|Seconds(seconds)| seconds),
        )?;
        kwargs.set_item(intern!(py, "color"), color)?;
        kwargs.set_item(intern!(py, "timestamps"), timestamps)?;
        kwargs.set_item(intern!(py, "log"), log)?;
        // Python prints, because `sys.stdout` may be a notebook's cell.
        import(py, intern!(py, "zmqchat_rs.display.sinks"))?.call_method(
            intern!(py, "listen"),
            (slf,),
            Some(&kwargs),
        )
    }

    /// Shows messages as they arrive, in the background, and returns at once.
    ///
    /// In a notebook they appear below the calling cell, with the newest in view, and they stay
    /// there when other cells run. The display is updated at most 10 times a second. In a terminal
    /// they are printed, above the prompt if there is one.
    ///
    /// It ends with `Watch.stop`, when the subscriber is closed, when the same cell runs again, or
    /// with another `watch` of the same subscriber. The stop button interrupts the running cell and
    /// does not end the watch. Messages that it receives are not delivered to `recv` and other
    /// readers.
    ///
    /// Args:
    ///     max_rows: The number of messages that a notebook shows, the newest ones.
    ///     keep: The number of messages in `Watch.messages`, the newest ones. 0 keeps none, None
    ///         all.
    ///     color: "auto" (NO_COLOR, FORCE_COLOR, TERM and a terminal decide), "always" or "never".
    ///         True and False mean the last two.
    ///     timestamps: "time", "iso", "delta" or "none"; see `Message.render`.
    ///     log: A `Transcript`, which stays open, or the path of one, to write the messages to.
    ///         None writes none. If writing fails, a warning is logged, and the display continues.
    ///
    /// Returns:
    ///     The `Watch`, which has the messages. Leaving its `with` block stops it.
    ///
    /// Raises:
    ///     ValueError: If an argument is none of its choices.
    ///     ClosedError: If the subscriber is closed.
    ///     OSError: If the log cannot be opened.
    #[pyo3(
        signature = (*, max_rows = Whole(200), keep = Some(Whole(10_000)), color = None, timestamps = "time", log = None),
        text_signature = "($self, *, max_rows=200, keep=10000, color='auto', timestamps='time', log=None)"
    )]
    fn watch<'py>(
        slf: &Bound<'py, Self>,
        max_rows: Whole,
        keep: Option<Whole>,
        color: Option<Bound<'py, PyAny>>,
        timestamps: &str,
        log: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().receiver.core.check_open()?;
        let keep = keep.map(|keep| args::count("keep", keep, 0)).transpose()?;
        let color = color.unwrap_or_else(|| intern!(py, "auto").clone().into_any());
        let kwargs = objects::dict(py)?;
        let max_rows = args::count("max_rows", max_rows, 1)?;
        kwargs.set_item(intern!(py, "max_rows"), max_rows)?;
        kwargs.set_item(intern!(py, "keep"), keep)?;
        kwargs.set_item(intern!(py, "color"), color)?;
        kwargs.set_item(intern!(py, "timestamps"), timestamps)?;
        kwargs.set_item(intern!(py, "log"), log)?;
        import(py, intern!(py, "zmqchat_rs.display.watch"))?.call_method(
            intern!(py, "watch"),
            (slf,),
            Some(&kwargs),
        )
    }

    /// Adds a subscription, from now on. An existing one changes nothing.
    ///
    /// The first call on a subscriber that receives everything by default (`topics=None`) replaces
    /// that default. Queued messages that no longer match are not delivered.
    ///
    /// Args:
    ///     topic: An exact topic. None if `prefix` is given.
    ///     prefix: A raw prefix of the first frame, str or bytes, instead of a topic. "" receives
    ///         everything.
    ///
    /// Raises:
    ///     ValueError: If the topic is invalid.
    ///     TypeError: If both or neither are given.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (topic = None, *, prefix = None))]
    fn subscribe(
        &self,
        py: Python<'_>,
        topic: Option<Topic<'_>>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let topic = topic.map(|Topic(topic)| topic);
        let subscription = args::subscription(topic, prefix)?;
        Ok(py.detach(|| self.receiver.core.subscribe(subscription))?)
    }

    /// Removes a subscription, from now on. A missing one changes nothing.
    ///
    /// Queued messages that no longer match are not delivered. Without any subscription, nothing is
    /// received.
    ///
    /// Args:
    ///     topic: An exact topic. None if `prefix` is given.
    ///     prefix: A raw prefix, str or bytes, as it was passed to `subscribe`.
    ///
    /// Raises:
    ///     ValueError: If the topic is invalid.
    ///     TypeError: If both or neither are given.
    ///     ClosedError: If the subscriber is closed.
    #[pyo3(signature = (topic = None, *, prefix = None))]
    fn unsubscribe(
        &self,
        py: Python<'_>,
        topic: Option<Topic<'_>>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let topic = topic.map(|Topic(topic)| topic);
        let subscription = args::subscription(topic, prefix)?;
        Ok(py.detach(|| self.receiver.core.unsubscribe(&subscription))?)
    }

    /// The subscriptions: exact topics as str, raw prefixes as bytes (b"" receives everything).
    #[getter]
    pub(crate) fn subscriptions(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let all = py.detach(|| self.receiver.core.subscriptions())?;
        all.into_iter()
            .map(|subscription| {
                Ok(match subscription {
                    Subscription::Topic(topic) => objects::text(py, &topic)?.into_any().unbind(),
                    Subscription::Prefix(prefix) => {
                        objects::bytes(py, &prefix)?.into_any().unbind()
                    }
                })
            })
            .collect()
    }

    /// Connects to one more publisher. An existing connection to this address changes nothing.
    ///
    /// It returns at once: the publisher need not be running yet. A host name is resolved in the
    /// background, and again after each 5 seconds without a connection. Two names of one address
    /// share a connection, so that no message is delivered twice.
    ///
    /// Args:
    ///     address: The publisher's address, as in the constructor.
    ///
    /// Raises:
    ///     ValueError: If the address is invalid. The error says what to type.
    ///     ClosedError: If the subscriber is closed.
    fn connect(&self, py: Python<'_>, address: AddressText<'_>) -> PyResult<()> {
        let AddressText(address) = address;
        Ok(py.detach(|| self.receiver.core.connect(address))?)
    }

    /// Disconnects from a publisher.
    ///
    /// Messages that arrived before may still be delivered. A connection that another name shares
    /// stays.
    ///
    /// Args:
    ///     address: The address as it was passed to `connect` or the constructor.
    ///
    /// Raises:
    ///     ValueError: If the subscriber has no connection to this address. The error lists its
    ///         addresses.
    ///     ClosedError: If the subscriber is closed.
    fn disconnect(&self, py: Python<'_>, address: AddressText<'_>) -> PyResult<()> {
        let AddressText(address) = address;
        Ok(py.detach(|| self.receiver.core.disconnect(address))?)
    }

    /// The first bound endpoint, for connections from this host, such as `tcp://127.0.0.1:5555`.
    /// None if nothing is bound. See `addresses` for other hosts.
    #[getter]
    fn endpoint(&self) -> Option<String> {
        self.receiver
            .core
            .endpoints()
            .first()
            .map(|bound| connectable(bound))
    }

    /// All bound endpoints, for connections from this host.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        let bound = self.receiver.core.endpoints().iter();
        bound.map(|bound| connectable(bound)).collect()
    }

    /// The addresses to type for a publisher on another host, best first; empty if nothing is
    /// bound.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.receiver.core.addresses()
    }

    /// The state of each connection: first those that it makes, then those that publishers made.
    #[getter]
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.receiver.core.peers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// Waits until connections are established, including ZeroMQ's handshake.
    ///
    /// The publisher may not have the subscriptions yet: `Publisher.wait_for_subscribers` waits for
    /// them. Two names of one address share a connection, which counts once.
    ///
    /// Args:
    ///     count: The number of connections to wait for.
    ///     timeout: Seconds to wait. None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The number of connections, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer were established within `timeout`. The error names the reasons.
    ///     ValueError: If `count` or `timeout` is negative.
    ///     ClosedError: If the subscriber is closed.
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
            self.receiver
                .core
                .wait_connected(count, deadline, checkpoint)
        })
    }

    /// What the subscriber has received so far.
    ///
    /// Returns:
    ///     A snapshot: messages received, their bytes, lost, duplicates, undecodable, backlog.
    ///
    /// Raises:
    ///     ClosedError: If the subscriber is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<SubscriberStats> {
        Ok(py.detach(|| self.receiver.core.stats())?.into())
    }

    /// `wait_connected` for asyncio: waits while other tasks run.
    #[pyo3(
        signature = (count = Whole(1), *, timeout = None),
        text_signature = "($self, count=1, *, timeout=None)"
    )]
    fn await_connected(
        slf: Py<Self>,
        count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<SubscriberCoroutine> {
        let wanted = args::count("count", count, 0)?;
        let timeout = args::timeout("timeout", timeout)?;
        let count = Count::of(wanted);
        Ok(SubscriberCoroutine::new(
            SubscriberOperation::WaitConnected(slf, count),
            timeout,
        ))
    }

    /// `close` for asyncio: runs it in a thread, because closing may take a moment.
    fn aclose<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "close"), (slf,))
    }

    /// Whether the subscriber is closed.
    #[getter]
    fn closed(&self) -> bool {
        self.receiver.core.is_closed()
    }

    /// Closes the subscriber and drops queued messages.
    ///
    /// A call that waits in another thread raises ClosedError, and a loop over the subscriber ends.
    /// Closing twice has no effect.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.on_event.forget();
        Ok(py.detach(|| self.receiver.core.close())?)
    }

    /// Returns the subscriber; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> PyResult<Py<Self>> {
        slf.get().receiver.core.check_open()?;
        Ok(slf)
    }

    /// Closes the subscriber.
    fn __exit__(
        &self,
        py: Python<'_>,
        exc_type: &Bound<'_, PyAny>,
        exc: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (exc_type, exc, traceback);
        // In a forked child, the exception that ends the block must not be replaced.
        if self.receiver.core.is_inherited() {
            return Ok(());
        }
        self.close(py)
    }

    /// Returns the subscriber: `async for` yields its messages until it is closed.
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__(slf: Py<Self>) -> SubscriberCoroutine {
        SubscriberCoroutine::new(SubscriberOperation::Receive(slf, RecvAs::Next), None)
    }

    /// Returns the subscriber; leaving the `async with` block closes it.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "enter"), (slf,))
    }

    /// Closes the subscriber.
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (exc_type, exc, traceback);
        Self::aclose(slf)
    }

    /// Registers a queue of `_asyncio.py`, which is woken when another attempt may succeed.
    #[pyo3(signature = (queue, *, messages))]
    fn _on_ready(&self, queue: &Bound<'_, PyAny>, messages: bool) -> PyResult<Readiness> {
        let interest = if messages {
            Interest::Message
        } else {
            Interest::Change
        };
        let wake = waiter::waker(queue)?;
        Ok(Readiness::new(queue.py().detach(|| {
            self.receiver.core.readiness_callback(interest, wake)
        })?))
    }

    /// Logs no warning while no publisher is connected, for `chat`.
    fn _suppress_idle_warning(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.receiver.core.suppress_idle_warning())?)
    }

    /// Counts no loss of messages of this instance, for `chat`: its own, which a relay sends back.
    fn _ignore_sender(&self, py: Python<'_>, instance: String) -> PyResult<()> {
        Ok(py.detach(|| self.receiver.core.ignore_sender(instance))?)
    }

    /// Why no message arrived within this number of seconds, and what to do. For `zmqchat sub` and
    /// `Watch.wait`, which know that they are the only consumers.
    fn _timeout_cause(&self, py: Python<'_>, waited: f64) -> String {
        let waited = Duration::try_from_secs_f64(waited).unwrap_or(Duration::ZERO);
        py.detach(|| {
            self.receiver
                .core
                .timeout_cause(0, false, WaitKind::Thread(waited))
        })
    }

    /// `recv` for `display/sinks.py`: returns None on a timeout, so that it cannot be confused with
    /// a TimeoutError of a signal handler.
    #[pyo3(signature = (timeout))]
    fn _next(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Py<Message>>> {
        self.receiver
            .next(timeout, py, |received| self.receiver.create(py, received))
    }

    /// `_next` for `chat`: the message also has the address of its sender.
    #[pyo3(signature = (timeout))]
    fn _next_from(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Option<Message>> {
        self.receiver.next(timeout, py, |received| {
            let message = self.receiver.message(py, received)?;
            Some(message.with_address(received.first.peer_address()))
        })
    }

    /// Writes the lines of at most `most` queued messages to a stream, in one call, and appends
    /// them to a log first. Returns the number of messages, the last one, and why the log failed.
    ///
    /// If the stream fails, its exception is raised, and the messages are queued again, unless they
    /// are in the log. No Python code runs between the stream's return and this method's, so that a
    /// signal handler finds each message either queued or shown. A chat's presence is skipped.
    #[pyo3(signature = (stream, *, most, color, timestamps, width, previous, log))]
    #[allow(clippy::too_many_arguments)] // keyword arguments
    fn _write_lines(
        &self,
        stream: &Bound<'_, PyAny>,
        most: usize,
        color: bool,
        timestamps: &str,
        width: Option<usize>,
        previous: Option<&Bound<'_, Message>>,
        log: Option<&Bound<'_, Transcript>>,
    ) -> PyResult<(usize, Option<Message>, Option<PyErr>)> {
        let display = Display {
            receiver: &self.receiver,
            color,
            timestamps: Timestamps::parse(timestamps)?,
            width,
            log: log.map(Bound::get),
        };
        display.show(stream, most, previous.map(|message| message.get().at_ns()))
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        if self.receiver.core.is_closed() {
            return Ok("<Subscriber closed>".into());
        }
        let at = py.detach(|| {
            let mut at = self.receiver.core.endpoints().to_vec();
            at.extend(self.receiver.core.connections());
            at.join(" ")
        });
        let subscriptions =
            objects::list(py, self.subscriptions(py).unwrap_or_default())?.repr()?;
        Ok(format!("<Subscriber {at} subscriptions={subscriptions}>"))
    }
}

impl Subscriber {
    fn receive(
        slf: Py<Self>,
        form: RecvAs,
        timeout: Option<Seconds>,
    ) -> PyResult<SubscriberCoroutine> {
        let timeout = args::timeout("timeout", timeout)?;
        Ok(SubscriberCoroutine::new(
            SubscriberOperation::Receive(slf, form),
            timeout,
        ))
    }
}

/// The calls for asyncio.
enum SubscriberOperation {
    Receive(Py<Subscriber>, RecvAs),
    ReceiveMany(Py<Subscriber>, usize),
    WaitConnected(Py<Subscriber>, Count),
}

coroutine_class!(SubscriberCoroutine, SubscriberOperation);

impl SubscriberOperation {
    fn subscriber(&self) -> &Py<Subscriber> {
        match self {
            Self::Receive(subscriber, _)
            | Self::ReceiveMany(subscriber, _)
            | Self::WaitConnected(subscriber, _) => subscriber,
        }
    }
}

impl Operation for SubscriberOperation {
    fn name(&self) -> &'static str {
        match self {
            Self::Receive(_, RecvAs::Message) => "Subscriber.arecv",
            Self::Receive(_, RecvAs::Next) => "Subscriber.__anext__",
            Self::Receive(_, RecvAs::Text) => "Subscriber.arecv_text",
            Self::Receive(_, RecvAs::Bytes) => "Subscriber.arecv_bytes",
            Self::ReceiveMany(..) => "Subscriber.arecv_many",
            Self::WaitConnected(..) => "Subscriber.await_connected",
        }
    }

    fn wait_for(&self) -> WaitFor {
        match self {
            Self::Receive(..) | Self::ReceiveMany(..) => WaitFor::Message,
            Self::WaitConnected(..) => WaitFor::Change,
        }
    }

    fn socket(&self, py: Python<'_>) -> Py<PyAny> {
        self.subscriber().clone_ref(py).into_any()
    }

    /// Usually without detaching from the interpreter.
    #[inline]
    fn try_now(&mut self, py: Python<'_>) -> PyResult<Option<Poll>> {
        if let Self::Receive(subscriber, form) = self {
            match subscriber.get().receiver.try_recv(py, *form)? {
                TryRecv::Received(object) => return Ok(Some(Poll::Done(object))),
                TryRecv::Empty => return Ok(None),
                TryRecv::Busy => {}
            }
        }
        self.attempt(py, None, true, &mut || Ok(()))
    }

    fn attempt(
        &mut self,
        py: Python<'_>,
        readiness: Option<&Arc<ReadinessCallback>>,
        first: bool,
        commit: Commit<'_>,
    ) -> PyResult<Option<Poll>> {
        let result = match self {
            Self::Receive(subscriber, form) => {
                let receiver = &subscriber.get().receiver;
                let taken = py.detach(|| receiver.core.take_or_arm(1, readiness))?;
                receiver.hand_to_task(py, taken, *form, commit)?.pop()
            }
            Self::ReceiveMany(subscriber, max_count) => {
                let receiver = &subscriber.get().receiver;
                let taken = py.detach(|| receiver.core.take_or_arm(*max_count, readiness))?;
                let messages = receiver.hand_to_task(py, taken, RecvAs::Message, commit)?;
                if messages.is_empty() {
                    None
                } else {
                    Some(messages.into_pyobject(py)?.into_any().unbind())
                }
            }
            Self::WaitConnected(subscriber, count) => {
                let core = &subscriber.get().receiver.core;
                let wanted = count.wanted;
                count.seen =
                    py.detach(|| core.count_connections_or_arm(wanted, readiness, first))?;
                count.reached(py, commit)?
            }
        };
        Ok(result.map(Poll::Done))
    }

    fn received(&self, py: Python<'_>) -> u64 {
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => {
                let core = &subscriber.get().receiver.core;
                py.detach(|| core.received())
            }
            Self::WaitConnected(..) => 0,
        }
    }

    fn timed_out(&mut self, py: Python<'_>, timeout: Option<f64>, before: Option<u64>) -> PyErr {
        let taken = before.map_or(0, |before| self.received(py).saturating_sub(before));
        match self {
            Self::Receive(subscriber, _) | Self::ReceiveMany(subscriber, _) => subscriber
                .get()
                .receiver
                .timed_out(timeout.map(Seconds), taken, true, py),
            Self::WaitConnected(subscriber, count) => {
                let (seen, wanted) = (count.seen, count.wanted);
                let core = &subscriber.get().receiver.core;
                py.detach(|| core.too_few_connections(seen, wanted, WaitKind::Task))
                    .into()
            }
        }
    }

    fn raised(&self, py: Python<'_>, error: PyErr) -> PyErr {
        match self {
            Self::Receive(subscriber, RecvAs::Next)
                if subscriber.get().receiver.core.is_closed() && is::<ClosedError>(py, &error) =>
            {
                PyStopAsyncIteration::new_err(())
            }
            _ => error,
        }
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(self.subscriber())
    }
}
