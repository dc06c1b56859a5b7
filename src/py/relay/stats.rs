//! `Relay`: what it knows of both sides; and `RelayStats`.

use crate::local_time;
use crate::net::{connectable, relay, Subscription};
use crate::py::convert::objects;
use crate::py::relay::Relay;
use crate::py::stats::Peer;
use crate::transcript::background_writer::Progress;
use chrono::{DateTime, FixedOffset};
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// What a relay has done so far; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct RelayStats {
    /// Messages passed on, whether or not somebody subscribed to them.
    messages: u64,
    /// The bytes of all their frames.
    bytes: u64,
    /// How often a subscriber's queue ran full under `on_full="drop"`: each time it lost at least one
    /// message. How many it lost, only the subscriber can tell, from stamps. Always 0 under "block".
    overflows: u64,
    /// Connections that messages come from, upstream ones included.
    publishers: usize,
    /// Peers that subscribe to anything now.
    subscribers: usize,
    /// Topics whose latest message the last-value cache holds.
    cached: usize,
    /// Latest messages that newcomers did not get: others would have got them twice (see
    /// `last_value_cache`), or the newcomer had no room for so many.
    replays_skipped: u64,
    /// Messages that the capture has written.
    captured: u64,
    /// Messages that the capture has not written and never will.
    capture_skipped: u64,
    /// Whether it is paused.
    paused: bool,
    /// Since when it runs: an aware datetime in local time.
    since: DateTime<FixedOffset>,
}

impl RelayStats {
    pub(crate) fn new(stats: relay::Stats, capture: Progress) -> Self {
        Self {
            messages: stats.messages,
            bytes: stats.bytes,
            overflows: stats.overflows,
            publishers: stats.publishers,
            subscribers: stats.subscribers,
            cached: stats.cached,
            replays_skipped: stats.replays_skipped,
            captured: capture.written,
            capture_skipped: capture.skipped,
            paused: stats.paused,
            since: local_time::at(stats.since_ns),
        }
    }
}

#[pymethods]
impl RelayStats {
    fn __repr__(&self) -> String {
        format!(
            "<RelayStats messages={} bytes={} overflows={} publishers={} subscribers={} cached={} \
             replays_skipped={} captured={} capture_skipped={} paused={} since={}>",
            self.messages,
            self.bytes,
            self.overflows,
            self.publishers,
            self.subscribers,
            self.cached,
            self.replays_skipped,
            self.captured,
            self.capture_skipped,
            if self.paused { "True" } else { "False" },
            self.since.format("%H:%M:%S"),
        )
    }
}

#[pymethods]
impl Relay {
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
}
