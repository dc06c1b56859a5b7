//! `Peer`, `PublisherStats`, `SubscriberStats`, `RelayStats`: snapshots.

use crate::net::connection::state;
use crate::net::{publisher, relay, subscriber};
use crate::py::convert::objects;
use crate::transcript::Progress;
use crate::util::local_time;
use chrono::{DateTime, FixedOffset};
use pyo3::prelude::*;

/// The state of one connection; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct Peer {
    /// The address of the peer, as a user would type it.
    address: String,
    /// "resolving" (the host name is being resolved), "connecting" (not connected yet; over
    /// `inproc://`, the name is not bound), "connected", or "reconnecting" (the connection was
    /// lost).
    state: &'static str,
    /// Since when: an aware datetime in local time.
    since: DateTime<FixedOffset>,
    /// The number of attempts since the last connection. 0 for a connection that the peer made.
    attempts: u64,
}

impl From<state::ConnectionInfo> for Peer {
    fn from(peer: state::ConnectionInfo) -> Self {
        Self {
            address: peer.address,
            state: peer.state.as_str(),
            since: local_time::at(peer.since_ns),
            attempts: peer.attempts,
        }
    }
}

#[pymethods]
impl Peer {
    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let address = objects::text(py, &self.address)?.repr()?.to_string();
        let since = self.since.format("%H:%M:%S");
        Ok(format!("<Peer {address} {} since {since}>", self.state))
    }
}

/// What a publisher has done so far; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct PublisherStats {
    /// Messages sent, including those without a subscriber. With `on_full="drop"`, a slow
    /// subscriber may have lost some of them.
    sent: u64,
    /// The bytes of their payloads.
    bytes: u64,
    /// Sends that failed because a queue was full, with QueueFullError or TimeoutError.
    refused: u64,
    /// Seconds that sends have waited for queue space, summed over threads.
    blocked_seconds: f64,
    /// Connected peers with any subscription.
    subscribers: usize,
}

impl From<publisher::Stats> for PublisherStats {
    fn from(stats: publisher::Stats) -> Self {
        Self {
            sent: stats.sent,
            bytes: stats.bytes,
            refused: stats.refused,
            blocked_seconds: stats.blocked.as_secs_f64(),
            subscribers: stats.subscribers,
        }
    }
}

#[pymethods]
impl PublisherStats {
    fn __repr__(&self) -> String {
        format!(
            "<PublisherStats sent={} bytes={} refused={} blocked_seconds={:.3} subscribers={}>",
            self.sent, self.bytes, self.refused, self.blocked_seconds, self.subscribers
        )
    }
}

/// What a subscriber has received so far; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct SubscriberStats {
    /// Messages taken from ZeroMQ.
    received: u64,
    /// The bytes of all their frames.
    bytes: u64,
    /// Missing messages of named publishers, by their sequence numbers. They are counted when a
    /// later message of the same instance and topic arrives. Unnamed publishers send no sequence
    /// numbers.
    lost: u64,
    /// Messages of named publishers that arrived again or late.
    duplicates: u64,
    /// Messages whose text was read and had undecodable bytes replaced.
    undecodable: u64,
    /// Messages taken from ZeroMQ and not delivered yet. More may be queued inside ZeroMQ.
    backlog: usize,
}

impl From<subscriber::Stats> for SubscriberStats {
    fn from(stats: subscriber::Stats) -> Self {
        Self {
            received: stats.received,
            bytes: stats.bytes,
            lost: stats.lost,
            duplicates: stats.duplicates,
            undecodable: stats.undecodable,
            backlog: stats.backlog,
        }
    }
}

#[pymethods]
impl SubscriberStats {
    fn __repr__(&self) -> String {
        format!(
            "<SubscriberStats received={} bytes={} lost={} duplicates={} undecodable={} backlog={}>",
            self.received, self.bytes, self.lost, self.duplicates, self.undecodable, self.backlog
        )
    }
}

/// What a relay has done so far; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct RelayStats {
    /// Messages forwarded, including those without a subscriber.
    messages: u64,
    /// The bytes of all their frames.
    bytes: u64,
    /// How often a subscriber's queue was full with `on_full="drop"`. Each time it lost at least
    /// one message. The subscriber counts its losses from the stamps. Always 0 with "block".
    overflows: u64,
    /// Connections that messages arrive on, including upstream relays.
    publishers: usize,
    /// Connected peers with any subscription.
    subscribers: usize,
    /// Topics whose latest message the last-value cache holds.
    cached: usize,
    /// Latest messages that a new subscriber did not receive. Another subscriber would have
    /// received them twice (see `last_value_cache`), or the new one had too little queue space.
    replays_skipped: u64,
    /// Messages that the capture has written.
    captured: u64,
    /// Messages that the capture could not write.
    capture_skipped: u64,
    /// Whether forwarding is paused.
    paused: bool,
    /// Since when the relay has been running: an aware datetime in local time.
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
