//! `Publisher`: what it knows of its audience and of itself.

use crate::net::{connectable, Subscription};
use crate::py::convert::objects;
use crate::py::publisher::Publisher;
use crate::py::stats::{Peer, PublisherStats};
use pyo3::prelude::*;
use pyo3::types::PyDict;

#[pymethods]
impl Publisher {
    /// How many connected peers subscribe to anything at this moment.
    #[getter]
    fn subscriber_count(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(py.detach(|| self.core.subscriber_count())?)
    }

    /// How many peers receive a message with this first frame, for `zmqchat pub`.
    fn _receivers(&self, py: Python<'_>, first_frame: &[u8]) -> PyResult<usize> {
        Ok(py.detach(|| self.core.receivers(first_frame))?)
    }

    /// What is subscribed to, and by how many: a dict of topic (str) or raw prefix (bytes; b"" is
    /// everything) to count.
    #[getter]
    fn topics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let topics = objects::dict(py)?;
        for (subscription, count) in py.detach(|| self.core.topics())? {
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

    /// What another laptop can type to subscribe, best first, such as `192.168.1.12:5555`.
    #[getter]
    fn addresses(&self) -> Vec<String> {
        self.core.addresses()
    }

    /// Its connections as they stand: those it asked for, then those that came from subscribers.
    #[getter]
    fn peers(&self, py: Python<'_>) -> PyResult<Vec<Peer>> {
        let peers = py.detach(|| self.core.peers())?;
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
        Ok(py.detach(|| self.core.stats())?.into())
    }
}
