//! `Peer`, `PublisherStats`, `SubscriberStats`, `RelayStats`: what is known at one moment.

use crate::net::connection::state;
use crate::net::{publisher, relay, subscriber};
use crate::py::convert::objects;
use crate::transcript::Progress;
use crate::util::local_time;
use chrono::{DateTime, FixedOffset};
use pyo3::prelude::*;

/// One connection as it stands; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct Peer {
    /// The other side as a person would type it.
    address: String,
    /// "resolving" (its name is being looked up), "connecting" (never stood yet; over
    /// `inproc://`, nobody is bound to the name), "connected", or
    /// "reconnecting" (stood, was lost, and is tried again).
    state: &'static str,
    /// Since when: an aware datetime in local time.
    since: DateTime<FixedOffset>,
    /// How often it was tried since it last stood; 0 for one that the other side made.
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
    /// Messages sent, also those that nobody subscribed to. Under `on_full="drop"` some may not reach
    /// everybody.
    sent: u64,
    /// The bytes of their payloads.
    bytes: u64,
    /// Sends that ended for want of room, with QueueFullError or TimeoutError.
    refused: u64,
    /// Seconds that sends have waited for room, summed over threads.
    blocked_seconds: f64,
    /// Peers that subscribe to anything now.
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

/// What a subscriber has seen so far; a snapshot.
#[pyclass(frozen, get_all, module = "zmqchat_rs", skip_from_py_object)]
pub(crate) struct SubscriberStats {
    /// Messages taken from ZeroMQ.
    received: u64,
    /// The bytes of all their frames.
    bytes: u64,
    /// Messages of named publishers that are missing, by their sequence numbers: counted when a
    /// later one of the same instance and topic arrives. Unnamed publishers number nothing.
    lost: u64,
    /// Messages of named publishers that came again, or late.
    duplicates: u64,
    /// Messages whose text was asked for and had undecodable bytes replaced.
    undecodable: u64,
    /// Messages taken from ZeroMQ and not handed out yet. More may wait inside ZeroMQ.
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
