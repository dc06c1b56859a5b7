//! The publisher that a user holds.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::bound_endpoint;
use crate::net::connection::state::ConnectionInfo;
use crate::net::publisher::state::PublisherState;
use crate::net::runtime::reactor::{Interest, ReadinessCallback};
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard};
use crate::net::subscription::table::sum_by_prefix;
use crate::net::subscription::tracker;
use crate::net::zmq::frame::Payload;
use crate::net::zmq::options::{self, ConnectionOptions, OnFull, SocketOptions, MAX_INBOUND_BYTES};
use crate::util::text::list_first;
use crate::util::time::{Checkpoint, Deadline};
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use crate::wire::{stamp, topic};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How many subscriptions are inspected for the text of an error; a publisher may have a million.
const INSPECTED_SUBSCRIPTIONS: usize = 1_000;

/// How long an event loop waits at most for the remaining subscriptions of a new peer.
const MAX_TASK_SETTLE: Duration = Duration::from_millis(50);

/// What a publisher is created with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to bind.
    pub bind: Vec<String>,
    /// Addresses to connect to.
    pub connect: Vec<String>,
    /// The name in the stamps of messages; `None` sends no stamps.
    pub name: Option<String>,
    /// `Plain` or `Envelope`.
    pub framing: Framing,
    /// What a send does if a queue is full.
    pub on_full: OnFull,
    /// Messages queued for each peer; 0 means no limit.
    pub high_water_mark: i32,
    /// Subscriptions of one peer, and of all together, above which a peer is disconnected; 0 means no limit.
    pub max_subscriptions: usize,
    /// The largest message that may be sent.
    pub max_message_bytes: usize,
    /// How long unsent messages outlive the close.
    pub linger: Duration,
    /// How connections are kept.
    pub connection: ConnectionOptions,
    /// The number under which all events are reported; `None` reports only those for the log.
    pub event_owner: Option<u64>,
}

/// What a publisher has sent so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// Messages sent, with or without a subscriber.
    pub sent: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// Sends that failed because a queue was full: `QueueFullError` or `TimeoutError`.
    pub refused: u64,
    /// How long sends have waited for a full queue.
    pub blocked: Duration,
    /// Peers that have a subscription now.
    pub subscribers: usize,
}

/// A publisher; threads may share it.
pub struct Publisher {
    shared: Arc<SharedSocket<PublisherState>>,
    on_full: OnFull,
    framing: Framing,
    max_message_bytes: usize,
    high_water_mark: i32,
    endpoints: Vec<String>,
    refused: AtomicU64,
    blocked_ns: AtomicU64,
}

impl Publisher {
    /// Binds and connects.
    pub fn new(config: Config, checkpoint: Checkpoint<'_>) -> Result<Self> {
        if let Some(name) = &config.name {
            stamp::check_name(name)?;
        }
        if config.framing == Framing::Raw {
            return Err(Error::Value(
                "invalid framing=\"raw\": a publisher's framing is \"plain\" or \"envelope\""
                    .into(),
            ));
        }
        bind::check(&config.bind, &config.connect)?;
        let mut socket = OpenSocket::open(
            zmq::XPUB,
            &SocketOptions {
                high_water_mark: config.high_water_mark,
                max_inbound_bytes: MAX_INBOUND_BYTES,
                linger: config.linger,
                connection: config.connection.clone(),
                event_owner: config.event_owner,
            },
        )?;
        options::apply_publisher(
            &mut socket.socket,
            config.on_full != OnFull::Drop,
            !config.connect.is_empty(),
            &config.connection,
        )
        .map_err(|errno| errno.during("cannot set up a publisher"))?;
        let socket = socket.bind_all(&config.bind, checkpoint)?;
        let endpoints = socket.listeners.endpoints.clone();
        let shared = SharedSocket::new(
            socket,
            PublisherState::new(
                config.framing,
                config.name,
                config.high_water_mark,
                config.max_subscriptions,
            ),
        )?;
        shared.connect_all(&config.connect)?;
        Ok(Self {
            shared,
            on_full: config.on_full,
            framing: config.framing,
            max_message_bytes: config.max_message_bytes,
            high_water_mark: config.high_water_mark,
            endpoints,
            refused: AtomicU64::new(0),
            blocked_ns: AtomicU64::new(0),
        })
    }

    /// Checks a message before any lock is taken: its topic, and its size.
    #[inline]
    pub fn check(&self, payload: &[u8], topic: Option<&str>) -> Result<()> {
        if let Some(topic) = topic {
            topic::validate(topic)?;
        }
        let size = payload.len() + topic.map_or(0, |topic| topic.len() + 1);
        if size > self.max_message_bytes {
            return Err(self.too_large(size));
        }
        Ok(())
    }

    #[cold]
    fn too_large(&self, size: usize) -> Error {
        Error::Value(format!(
            "the message has {size} bytes: expected at most max_message_bytes={}; send it in parts, \
             or raise that limit here and at every subscriber",
            self.max_message_bytes
        ))
    }

    /// Sends without waiting. Returns `None` while another thread uses the publisher, and `false` if a
    /// queue is full.
    #[must_use]
    pub fn try_send(&self, payload: Payload<'_>, topic: Option<&str>) -> Option<Result<bool>> {
        match self.shared.try_enter() {
            Some(Ok(entered)) => Some(send_entered(entered, payload, topic)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        }
    }

    /// Sends; if a queue is full, drops the message, waits or fails, as configured.
    pub fn send(
        &self,
        payload: Payload<'_>,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        if self.on_full != OnFull::Block {
            return if send_entered(self.shared.enter()?, payload, topic)? {
                Ok(())
            } else {
                self.count_refusal();
                Err(self.queue_full(0))
            };
        }
        // The time that another thread uses the publisher does not count as blocked.
        let mut full_since = None;
        let outcome = self.shared.wait(deadline, checkpoint, |socket, state| {
            // Processes acknowledgements, by which queues become free.
            if socket.run_commands() {
                // Subscription messages would otherwise accumulate.
                state.read_subscriptions(socket);
            }
            let sent = state.send(socket, payload, topic)?;
            if !sent {
                full_since.get_or_insert_with(Instant::now);
            }
            Ok(sent.then_some(()))
        });
        if let Some(since) = full_since {
            self.add_blocked_time(since.elapsed());
        }
        outcome?.ok_or_else(|| self.queue_stayed_full())
    }

    /// The error for a queue that stayed full until the timeout; counts the refused send.
    #[must_use]
    pub fn queue_stayed_full(&self) -> Error {
        self.count_refusal();
        Error::Timeout(format!(
            "the message was not sent: a subscriber's queue of {} messages stayed full until the \
             timeout; choose a longer timeout, or on_full=\"drop\"",
            self.high_water_mark
        ))
    }

    /// Adds the time that a send has waited for a full queue.
    pub fn add_blocked_time(&self, time: Duration) {
        let blocked = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.blocked_ns.fetch_add(blocked, Ordering::Relaxed);
    }

    /// Whether the payload of such a message is a frame of its own, which is sent without a copy. A
    /// payload that shares its frame with a topic must be copied.
    #[must_use]
    pub fn can_borrow(&self, topic: Option<&str>) -> bool {
        topic.is_none() || self.framing == Framing::Envelope
    }

    /// The error for a full queue under `on_full="raise"`, after `sent` messages of the same call.
    #[must_use]
    pub fn queue_full(&self, sent: usize) -> Error {
        Error::Full {
            sent,
            message: format!(
                "the message was not sent: a subscriber's queue of {} messages is full; send it again \
                 later, raise high_water_mark, or choose on_full=\"block\" or \"drop\"",
                self.high_water_mark
            ),
        }
    }

    /// What a send does if a queue is full.
    #[must_use]
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// Waits until `count` peers subscribe to `topic` (`None`: to anything); returns how many do.
    pub fn wait_for_subscribers(
        &self,
        count: usize,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let first_bytes = self.first_bytes(topic)?;
        let mut seen = 0;
        let found = self.shared.wait(deadline, checkpoint, |socket, state| {
            state.read_subscriptions(socket);
            seen = state.subscribers.table.count(first_bytes.as_deref());
            Ok((seen >= count).then_some(seen))
        })?;
        let found = found.ok_or_else(|| self.too_few_subscribers(seen, count, topic))?;
        self.settle(tracker::MAX_SETTLE)?;
        Ok(found)
    }

    /// Waits for the remaining subscriptions of the peers whose first one was just read. Afterwards a
    /// message to any of their topics is delivered.
    fn settle(&self, max_time: Duration) -> Result<()> {
        self.shared.wait_until_quiet(max_time, |socket, state| {
            state.read_subscriptions(socket);
            state.subscribers.is_quiet()
        })
    }

    /// A readiness callback, not armed yet.
    pub fn readiness_callback(
        &self,
        interest: Interest,
        callback: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.shared.new_callback(interest, callback)
    }

    /// Sends if no queue is full. If one is, arms the callback and returns `false`. `first`: whether this is
    /// the first attempt of a wait.
    pub fn send_or_arm(
        &self,
        payload: Payload<'_>,
        topic: Option<&str>,
        callback: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> Result<bool> {
        let sent = self.shared.try_or_watch(callback, first, |socket, state| {
            // Processes acknowledgements, by which queues become free.
            socket.run_commands();
            Ok(state.send(socket, payload, topic)?.then_some(()))
        })?;
        Ok(sent.is_some())
    }

    /// How many peers subscribe to `topic`. If there are fewer than `count`, arms the callback. `first`: as
    /// in `send_or_arm`.
    pub fn count_subscribers_or_arm(
        &self,
        count: usize,
        topic: Option<&str>,
        callback: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> Result<usize> {
        let first_bytes = self.first_bytes(topic)?;
        let mut seen = 0;
        self.shared.try_or_watch(callback, first, |socket, state| {
            state.read_subscriptions(socket);
            seen = state.subscribers.table.count(first_bytes.as_deref());
            Ok((seen >= count).then_some(()))
        })?;
        if seen >= count {
            self.settle(MAX_TASK_SETTLE)?;
        }
        Ok(seen)
    }

    /// The error for subscribers that did not connect in time: `seen` of `count` did.
    #[must_use]
    pub fn too_few_subscribers(&self, seen: usize, count: usize, topic: Option<&str>) -> Error {
        let subscribed = match topic {
            Some(_) if seen == 0 => self.describe_subscriptions(),
            _ => String::new(),
        };
        let hint = if !subscribed.is_empty() {
            format!("connected peers subscribe to other topics: {subscribed}")
        } else if self.endpoints().is_empty() {
            format!(
                "check that a subscriber is bound to the address that this publisher connects to: {}",
                self.connections().join(", ")
            )
        } else {
            tracker::address_hint(&self.addresses())
        };
        tracker::too_few_subscribers(seen, count, topic, &hint)
    }

    /// Some of the subscriptions of all peers, for an error.
    fn describe_subscriptions(&self) -> String {
        let prefixes = || {
            let mut entered = self.shared.enter()?;
            let (_, state) = entered.parts()?;
            Ok::<_, Error>(state.subscribers.table.sample(INSPECTED_SUBSCRIPTIONS))
        };
        let prefixes = prefixes().unwrap_or_default();
        let mut named: Vec<String> = prefixes
            .iter()
            .map(|prefix| Subscription::from_wire(prefix, self.framing).describe())
            .collect();
        named.sort();
        list_first(&named)
    }

    /// The stamp of the last message that was sent; empty if there is none.
    pub fn last_stamp(&self) -> Result<Vec<u8>> {
        let mut entered = self.shared.enter()?;
        let (_, state) = entered.parts()?;
        Ok(state.last_stamp().to_vec())
    }

    /// Counts a send that failed because a queue was full.
    pub fn count_refusal(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What was sent so far.
    pub fn stats(&self) -> Result<Stats> {
        self.shared.inspect(|_, state| Stats {
            sent: state.sent,
            bytes: state.sent_bytes,
            refused: self.refused.load(Ordering::Relaxed),
            blocked: Duration::from_nanos(self.blocked_ns.load(Ordering::Relaxed)),
            subscribers: state.subscribers.table.count(None),
        })
    }

    /// All connections and their state.
    pub fn peers(&self) -> Result<Vec<ConnectionInfo>> {
        self.shared.inspect(|socket, _| socket.connections.infos())
    }

    /// How many peers have a subscription.
    pub fn subscriber_count(&self) -> Result<usize> {
        let mut entered = self.shared.enter()?;
        let (socket, state) = entered.parts()?;
        state.read_subscriptions(socket);
        Ok(state.subscribers.table.count(None))
    }

    /// How many peers receive a message whose first frame is `first`.
    pub fn receivers(&self, first: &[u8]) -> Result<usize> {
        let mut entered = self.shared.enter()?;
        let (socket, state) = entered.parts()?;
        state.read_subscriptions(socket);
        Ok(state.subscribers.table.count(Some(first)))
    }

    /// Each subscription of the peers, and how many peers have it. A prefix that asks for exactly one
    /// topic is given as that topic.
    pub fn topics(&self) -> Result<Vec<(Subscription, usize)>> {
        let mut entered = self.shared.enter()?;
        let (socket, state) = entered.parts()?;
        state.read_subscriptions(socket);
        let prefixes = state.subscribers.table.prefixes();
        drop(entered);
        Ok(sum_by_prefix(prefixes)
            .into_iter()
            .map(|(prefix, count)| (Subscription::from_wire(&prefix, self.framing), count))
            .collect())
    }

    /// The addresses it is bound to, as libzmq writes them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// The addresses at which other hosts can connect.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| bound_endpoint::reachable(endpoint))
            .collect()
    }

    /// The addresses that it connects to; none once it is closed.
    #[must_use]
    pub fn connections(&self) -> Vec<String> {
        let connections = || {
            let mut entered = self.shared.enter()?;
            let (socket, _) = entered.parts()?;
            Ok::<_, Error>(socket.connections.typed())
        };
        connections().unwrap_or_default()
    }

    /// Returns an error unless it is open, in the process that created it.
    pub fn check_open(&self) -> Result<()> {
        self.shared.check_open()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared.is_closed()
    }

    /// Closes without waiting.
    pub fn close_nowait(&self) {
        self.shared.close_nowait();
    }

    /// Whether a forked child inherited it from its parent: then there is nothing to close.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.shared.is_inherited()
    }

    /// Closes; `linger` replaces the configured time.
    pub fn close(&self, linger: Option<Duration>) -> Result<()> {
        self.shared.close(linger)
    }

    /// The first bytes of every message of a topic.
    fn first_bytes(&self, topic: Option<&str>) -> Result<Option<Vec<u8>>> {
        topic
            .map(|topic| Ok(Subscription::topic(topic)?.wire_prefix(self.framing)))
            .transpose()
    }
}

#[inline]
fn send_entered(
    mut entered: SocketGuard<'_, PublisherState>,
    payload: Payload<'_>,
    topic: Option<&str>,
) -> Result<bool> {
    let (socket, state) = entered.parts()?;
    if state.send(socket, payload, topic)? {
        return Ok(true);
    }
    // A send processes acknowledgements only now and then; a queue may be free already.
    socket.run_commands();
    state.send(socket, payload, topic)
}
