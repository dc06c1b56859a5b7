//! `Subscriber`.

use super::arguments::{self, Whole};
use super::message::{self, Message};
use super::waiting::detached;
use crate::error::Error;
use crate::net::subscriber::{Config, Subscriber as Core};
use crate::net::{Received, Subscription};
use crate::wire::message::Framing;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

/// Hears what publishers send.
///
/// On the wire it is a plain ZeroMQ subscriber: it hears any PUB or XPUB socket in any language.
/// Addresses are what a person types: `192.168.1.12`, `lab-pc:6000`, `[::1]:5555`,
/// `ipc:///tmp/chat`, `inproc://chat`; port 5555 where none is given. It need not be there yet:
/// connections come and come back by themselves.
///
/// Any threads may share it; each message goes to one of them. Iterating over it waits for
/// messages until somebody closes it. Leaving its `with` block closes it. A forked child must make
/// its own.
///
/// Args:
///     connect: Publishers to hear, one address or several.
///     bind: Where to listen for publishers that connect themselves, one address or several.
///     topics: Exact topics to hear, one or several (`room1` does not hear `room10`). None hears
///         everything until the first `subscribe` narrows it; `()` hears nothing yet.
///     prefixes: Raw prefixes to hear, str or bytes, one or several: ZeroMQ's own filter.
///     framing: How to read messages: "plain" splits `topic:text`; "envelope" also subscribes to
///         topics that are a frame of their own; "raw" splits nothing.
///     high_water_mark: How many messages are queued for each publisher; 0 means no limit. What
///         comes beyond that is lost, or waits at the publisher, as the publisher chose.
///     max_message_bytes: A publisher that sends a larger frame is cut off.
///
/// Raises:
///     ValueError: An argument cannot work, such as port 99999; the text says what to type instead.
///     ZmqChatError: An address to bind is in use or not this machine's.
#[pyclass(frozen, weakref, module = "zmqchat_rs")]
pub(super) struct Subscriber {
    core: Core,
}

impl Subscriber {
    /// The next message: what is there at once, without letting go of the interpreter.
    fn next(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Received> {
        match self.core.try_recv() {
            Some(Ok(Some(received))) => return Ok(received),
            Some(Ok(None)) if timeout == Some(0.0) => {
                return Err(Error::Timeout("no message is waiting".into()).into())
            }
            Some(Err(error)) => return Err(error.into()),
            // Nothing yet, or another thread is inside.
            Some(Ok(None)) | None => {}
        }
        let deadline = arguments::deadline(timeout)?;
        detached(py, |checkpoint| self.core.recv(deadline, checkpoint))
    }

    fn message(&self, py: Python<'_>, received: &Received) -> Message {
        Message::from_received(py, received, self.core.framing())
    }
}

#[pymethods]
impl Subscriber {
    #[new]
    #[pyo3(
        signature = (connect = None, *, bind = None, topics = None, prefixes = None,
                     framing = "plain", high_water_mark = Whole(10_000), max_message_bytes = Whole(67_108_864)),
        text_signature = "(connect=(), *, bind=(), topics=None, prefixes=(), framing='plain', \
                          high_water_mark=10000, max_message_bytes=67108864)"
    )]
    #[allow(clippy::too_many_arguments)] // keyword arguments, each with its default
    fn new(
        py: Python<'_>,
        connect: Option<&Bound<'_, PyAny>>,
        bind: Option<&Bound<'_, PyAny>>,
        topics: Option<&Bound<'_, PyAny>>,
        prefixes: Option<&Bound<'_, PyAny>>,
        framing: &str,
        high_water_mark: Whole,
        max_message_bytes: Whole,
    ) -> PyResult<Self> {
        let several = |what, object: Option<&Bound<'_, PyAny>>| {
            object.map_or_else(|| Ok(Vec::new()), |object| arguments::texts(what, object))
        };
        let config = Config {
            connect: several("connect", connect)?,
            bind: several("bind", bind)?,
            topics: topics
                .map(|topics| arguments::texts("topics", topics))
                .transpose()?,
            prefixes: prefixes.map_or_else(|| Ok(Vec::new()), arguments::prefixes)?,
            framing: Framing::parse(framing)?,
            high_water_mark: arguments::high_water_mark(high_water_mark)?,
            max_message_bytes: arguments::count("max_message_bytes", max_message_bytes, 1)?,
        };
        let core = py.detach(|| Core::new(config))?;
        Ok(Self { core })
    }

    /// Waits for the next message.
    ///
    /// Ctrl+C ends the wait with the signal handler's own exception, `close` in another thread with
    /// ClosedError; the message is then still queued.
    ///
    /// Args:
    ///     timeout: Seconds; None waits for ever, 0 looks once.
    ///
    /// Returns:
    ///     The message.
    ///
    /// Raises:
    ///     TimeoutError: None came in time.
    ///     ValueError: `timeout` is negative.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Message> {
        let received = self.next(py, timeout)?;
        Ok(self.message(py, &received))
    }

    /// Waits for the next message and gives the text of its first frame, topic included.
    ///
    /// That is what pyzmq's `recv_string` gives, except that undecodable bytes become U+FFFD.
    ///
    /// Args:
    ///     timeout: Seconds; None waits for ever, 0 looks once.
    ///
    /// Returns:
    ///     The text.
    ///
    /// Raises:
    ///     TimeoutError: No message came in time.
    ///     ValueError: `timeout` is negative.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv_text<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyString>> {
        let received = self.next(py, timeout)?;
        Ok(message::text(py, received.first.bytes()))
    }

    /// Waits for the next message and gives its first frame, topic included: pyzmq's `recv`.
    ///
    /// Args:
    ///     timeout: Seconds; None waits for ever, 0 looks once.
    ///
    /// Returns:
    ///     The bytes.
    ///
    /// Raises:
    ///     TimeoutError: No message came in time.
    ///     ValueError: `timeout` is negative.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(signature = (timeout = None))]
    fn recv_bytes<'py>(
        &self,
        py: Python<'py>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let received = self.next(py, timeout)?;
        Ok(PyBytes::new(py, received.first.bytes()))
    }

    /// Waits for one message, then takes along what is there already.
    ///
    /// Args:
    ///     max_count: How many at most, 1 or more.
    ///     timeout: Seconds to wait for the first; None waits for ever, 0 looks once.
    ///
    /// Returns:
    ///     1 to `max_count` messages, in order.
    ///
    /// Raises:
    ///     TimeoutError: None came in time.
    ///     ValueError: `max_count` is 0, or `timeout` is negative.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(
        signature = (max_count = Whole(256), *, timeout = None),
        text_signature = "($self, max_count=256, *, timeout=None)"
    )]
    fn recv_many(
        &self,
        py: Python<'_>,
        max_count: Whole,
        timeout: Option<f64>,
    ) -> PyResult<Vec<Message>> {
        let max_count = arguments::count("max_count", max_count, 1)?;
        let first = self.next(py, timeout)?;
        // Once the first is here nothing may lose it: an object closed meanwhile gives no more.
        let more = py
            .detach(|| self.core.take(max_count - 1))
            .unwrap_or_default();
        Ok(std::iter::once(&first)
            .chain(&more)
            .map(|received| self.message(py, received))
            .collect())
    }

    fn __iter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        if slf.get().core.is_closed() {
            // An empty loop would look like a quiet network.
            slf.get().core.subscriptions()?;
        }
        Ok(slf)
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Message>> {
        match self.next(py, None) {
            Ok(received) => Ok(Some(self.message(py, &received))),
            Err(error)
                if self.core.is_closed()
                    && error.is_instance_of::<super::error::ClosedError>(py) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Hears one more topic, from now on; nothing changes when it is heard already.
    ///
    /// The first call on a subscriber that hears everything by default (`topics=None`) narrows it
    /// to this. Messages that were queued and are no longer wanted are not handed out.
    ///
    /// Args:
    ///     topic: An exact topic; None if `prefix` is given.
    ///     prefix: A raw prefix of the first frame, str or bytes, instead of a topic; "" is everything.
    ///
    /// Raises:
    ///     ValueError: The topic breaks the grammar.
    ///     TypeError: Both or neither are given.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(signature = (topic = None, *, prefix = None))]
    fn subscribe(
        &self,
        py: Python<'_>,
        topic: Option<&str>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let subscription = arguments::subscription(topic, prefix)?;
        Ok(py.detach(|| self.core.subscribe(subscription))?)
    }

    /// Hears a topic no longer, from now on; nothing changes when it is not heard.
    ///
    /// Messages of it that were queued are not handed out any more. Taking away the last
    /// subscription leaves nothing to hear.
    ///
    /// Args:
    ///     topic: An exact topic; None if `prefix` is given.
    ///     prefix: A raw prefix, str or bytes, as it was given to `subscribe`.
    ///
    /// Raises:
    ///     ValueError: The topic breaks the grammar.
    ///     TypeError: Both or neither are given.
    ///     ClosedError: The subscriber is closed.
    #[pyo3(signature = (topic = None, *, prefix = None))]
    fn unsubscribe(
        &self,
        py: Python<'_>,
        topic: Option<&str>,
        prefix: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let subscription = arguments::subscription(topic, prefix)?;
        Ok(py.detach(|| self.core.unsubscribe(&subscription))?)
    }

    /// What it hears: exact topics as str, raw prefixes as bytes (b"" is everything).
    #[getter]
    fn subscriptions(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let all = py.detach(|| self.core.subscriptions())?;
        Ok(all
            .into_iter()
            .map(|subscription| match subscription {
                Subscription::Topic(topic) => PyString::new(py, &topic).into_any().unbind(),
                Subscription::Prefix(prefix) => PyBytes::new(py, &prefix).into_any().unbind(),
            })
            .collect())
    }

    /// Hears one more publisher; nothing changes when it is connected to this address already.
    ///
    /// Returns at once: the publisher need not be there yet.
    ///
    /// Args:
    ///     address: Where it listens, as in the constructor.
    ///
    /// Raises:
    ///     ValueError: The address cannot work; the text says what to type instead.
    ///     ClosedError: The subscriber is closed.
    fn connect(&self, py: Python<'_>, address: &str) -> PyResult<()> {
        Ok(py.detach(|| self.core.connect(address))?)
    }

    /// Hears a publisher no longer. What came from it before may still be handed out.
    ///
    /// Args:
    ///     address: The address as it was given to `connect` or the constructor.
    ///
    /// Raises:
    ///     ValueError: It is not connected to this address; the text lists those it is connected to.
    ///     ClosedError: The subscriber is closed.
    fn disconnect(&self, py: Python<'_>, address: &str) -> PyResult<()> {
        Ok(py.detach(|| self.core.disconnect(address))?)
    }

    /// The first bound endpoint as ZeroMQ writes it; None if it only connects.
    #[getter]
    fn endpoint(&self) -> Option<&str> {
        self.core.endpoints().first().map(String::as_str)
    }

    /// All bound endpoints as ZeroMQ writes them.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        self.core.endpoints().to_vec()
    }

    /// What a publisher on another laptop can type to connect; empty if it is not bound.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.core.addresses()
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
    ///
    /// Returns:
    ///     How many messages were printed.
    ///
    /// Raises:
    ///     ValueError: An argument is none of its choices.
    ///     ClosedError: The subscriber was closed before the call.
    ///     OSError: The stream failed, such as BrokenPipeError.
    #[pyo3(
        signature = (*, count = None, timeout = None, color = None, timestamps = "time"),
        text_signature = "($self, *, count=None, timeout=None, color='auto', timestamps='time')"
    )]
    fn listen<'py>(
        slf: &Bound<'py, Self>,
        count: Option<Whole>,
        timeout: Option<f64>,
        color: Option<Bound<'py, PyAny>>,
        timestamps: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let color = color.unwrap_or_else(|| intern!(py, "auto").clone().into_any());
        let count = count
            .map(|count| arguments::count("count", count, 0))
            .transpose()?;
        arguments::seconds("timeout", timeout)?;
        let how = PyDict::new(py);
        how.set_item(intern!(py, "count"), count)?;
        how.set_item(intern!(py, "timeout"), timeout)?;
        how.set_item(intern!(py, "color"), color)?;
        how.set_item(intern!(py, "timestamps"), timestamps)?;
        // Python prints: `sys.stdout` may be a notebook's cell.
        py.import(intern!(py, "zmqchat_rs._listening"))?
            .call_method(intern!(py, "listen"), (slf,), Some(&how))
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
        Ok(py.detach(|| self.core.close())?)
    }

    /// The subscriber itself; leaving the `with` block closes it.
    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
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
        let hears = pyo3::types::PyList::new(py, self.subscriptions(py)?)?.repr()?;
        Ok(format!("<Subscriber {at} subscriptions={hears}>"))
    }
}
