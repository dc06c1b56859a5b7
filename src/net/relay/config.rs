//! What a relay is created with.

use crate::net::publisher::OnFull;
use crate::net::zmq::options::ConnectionOptions;
use std::sync::Arc;
use std::time::Duration;

/// A message that was passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// All its frames.
    pub frames: Vec<Vec<u8>>,
    /// When it was taken from libzmq, in Unix nanoseconds.
    pub at_ns: i64,
}

/// Whoever keeps what is passed on.
pub trait Capture: Send + Sync {
    /// Takes messages, in order. Must not wait: messages do meanwhile.
    fn take(&self, messages: Vec<Captured>);
}

/// What a relay is made with.
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
    /// Messages queued for each peer; 0 is no limit.
    pub high_water_mark: i32,
    /// Subscriptions of one peer, and of all together, above which a peer is cut off; 0 is no limit.
    pub max_subscriptions: usize,
    /// A publisher that sends a larger frame is cut off.
    pub max_message_bytes: usize,
    /// How long unsent messages outlive the close.
    pub linger: Duration,
    /// How connections are kept.
    pub connection: ConnectionOptions,
    /// Of how many topics the latest message is kept; 0 keeps none.
    pub cached_topics: usize,
    /// Whoever keeps what is passed on.
    pub capture: Option<Arc<dyn Capture>>,
    /// The number under which all events are reported; `None` reports only those for the log.
    pub event_owner: Option<u64>,
}
