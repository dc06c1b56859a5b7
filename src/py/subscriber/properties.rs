//! `Subscriber`: what it hears, from whom, and what it has seen.

use crate::net::{connectable, Subscription};
use crate::py::convert::args::{self, Seconds, Whole};
use crate::py::convert::near_miss::{AddressText, Topic};
use crate::py::convert::objects;
use crate::py::runtime::detach::detached;
use crate::py::stats::{Peer, SubscriberStats};
use crate::py::subscriber::Subscriber;
use pyo3::prelude::*;

#[pymethods]
impl Subscriber {
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
        Ok(py.detach(|| self.core.unsubscribe(&subscription))?)
    }

    /// What it hears: exact topics as str, raw prefixes as bytes (b"" is everything).
    #[getter]
    pub(crate) fn subscriptions(&self, py: Python<'_>) -> PyResult<Vec<Py<PyAny>>> {
        let all = py.detach(|| self.core.subscriptions())?;
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

    /// Hears one more publisher; nothing changes when it is connected to this address already.
    ///
    /// Returns at once: the publisher need not be there yet. A name is looked up in the background,
    /// and again when its connection stays away for 5 seconds; one that leads to an address which
    /// is connected already shares that connection, so that no message comes twice.
    ///
    /// Args:
    ///     address: Where it listens, as in the constructor.
    ///
    /// Raises:
    ///     ValueError: If the address is invalid; the text says what to type instead.
    ///     ClosedError: If the subscriber is closed.
    fn connect(&self, py: Python<'_>, address: AddressText<'_>) -> PyResult<()> {
        let AddressText(address) = address;
        Ok(py.detach(|| self.core.connect(address))?)
    }

    /// Hears a publisher no longer. What came from it before may still be handed out. A connection
    /// that another name shares stays.
    ///
    /// Args:
    ///     address: The address as it was given to `connect` or the constructor.
    ///
    /// Raises:
    ///     ValueError: If it is not connected to this address; the text lists its addresses.
    ///     ClosedError: If the subscriber is closed.
    fn disconnect(&self, py: Python<'_>, address: AddressText<'_>) -> PyResult<()> {
        let AddressText(address) = address;
        Ok(py.detach(|| self.core.disconnect(address))?)
    }

    /// That it is connected to nobody is no news, for `chat`.
    fn _may_be_alone(&self, py: Python<'_>) -> PyResult<()> {
        Ok(py.detach(|| self.core.suppress_idle_warning())?)
    }

    /// Counts no loss of this instance, for `chat`: its own, which a relay sends back.
    fn _pass_over(&self, py: Python<'_>, instance: String) -> PyResult<()> {
        Ok(py.detach(|| self.core.ignore_sender(instance))?)
    }

    /// The first bound endpoint, to which this host can connect, such as `tcp://127.0.0.1:5555`; see
    /// `addresses` for other hosts. None if it only connects.
    #[getter]
    fn endpoint(&self) -> Option<String> {
        self.core
            .endpoints()
            .first()
            .map(|bound| connectable(bound))
    }

    /// All bound endpoints, to which this host can connect.
    #[getter]
    fn endpoints(&self) -> Vec<String> {
        let bound = self.core.endpoints().iter();
        bound.map(|bound| connectable(bound)).collect()
    }

    /// What a publisher on another laptop can type to connect; empty if it is not bound.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.core.addresses()
    }

    /// The state of its connections: those that it makes, then those that publishers made.
    #[getter]
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.peers())?;
        Ok(peers.into_iter().map(Peer::from).collect())
    }

    /// Waits until connections are established, ZeroMQ's handshake included.
    ///
    /// The publisher may not know the subscriptions yet: only `Publisher.wait_for_subscribers` waits
    /// for that. Two names of one address share a connection, which counts once.
    ///
    /// Args:
    ///     count: The number of connections to wait for.
    ///     timeout: Seconds; None waits forever, 0 checks once.
    ///
    /// Returns:
    ///     The number of connections, `count` or more.
    ///
    /// Raises:
    ///     TimeoutError: If fewer connected within `timeout`; the text names the reasons.
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
            self.core.wait_connected(count, deadline, checkpoint)
        })
    }

    /// What it has seen so far.
    ///
    /// Returns:
    ///     A snapshot: messages received, bytes, lost, duplicates, undecodable, backlog.
    ///
    /// Raises:
    ///     ClosedError: If the subscriber is closed.
    fn stats(&self, py: Python<'_>) -> PyResult<SubscriberStats> {
        Ok(py.detach(|| self.core.stats())?.into())
    }
}
