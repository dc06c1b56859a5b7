//! What a relay is created with.

use crate::net::relay::capture::Capture;
use crate::net::zmq::options::{ConnectionOptions, OnFull};
use std::sync::Arc;
use std::time::Duration;

/// What a relay is created with.
pub struct Config {
    /// Addresses to bind for publishers.
    pub frontend: Vec<String>,
    /// Addresses to bind for subscribers.
    pub backend: Vec<String>,
    /// Publishers, or backends of other relays, to connect to.
    pub connect: Vec<String>,
    /// Subscribers, or frontends of other relays, to connect to.
    pub publish_to: Vec<String>,
    /// `Drop` or `Block`.
    pub on_full: OnFull,
    /// Messages queued for each peer; 0 means no limit.
    pub high_water_mark: i32,
    /// Subscriptions of one peer, and of all together, above which a peer is disconnected; 0 means no limit.
    pub max_subscriptions: usize,
    /// A publisher that sends a larger frame is disconnected.
    pub max_message_bytes: usize,
    /// How long unsent messages outlive the close.
    pub linger: Duration,
    /// How connections are kept.
    pub connection: ConnectionOptions,
    /// The number of topics whose latest message is kept; 0 keeps none.
    pub cached_topics: usize,
    /// Receives the messages that are forwarded.
    pub capture: Option<Arc<dyn Capture>>,
    /// The number under which all events are reported; `None` reports only those for the log.
    pub event_owner: Option<u64>,
}
