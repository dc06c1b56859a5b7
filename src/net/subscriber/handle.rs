//! The subscriber that a user holds.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::bound_endpoint;
use crate::net::connection::state::ConnectionInfo;
use crate::net::runtime::reactor::{Interest, ReadinessCallback};
use crate::net::socket::blocking::WaiterGuard;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard};
use crate::net::subscriber::queue::ReceiveQueue;
use crate::net::subscriber::timeout_cause::{TimeoutCause, WaitKind};
use crate::net::subscription::set::SubscriptionSet;
use crate::net::zmq::frame::RawMessage;
use crate::net::zmq::options::{self, ConnectionOptions, SocketOptions};
use crate::util::time::{Checkpoint, Deadline};
use crate::wire::message::Framing;
use crate::wire::stamp;
use crate::wire::subscription::Subscription;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a subscriber is created with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to connect to.
    pub connect: Vec<String>,
    /// Addresses to bind.
    pub bind: Vec<String>,
    /// Exact topics; `None` subscribes to everything unless there are prefixes.
    pub topics: Option<Vec<String>>,
    /// Prefixes of the first frame.
    pub prefixes: Vec<Vec<u8>>,
    /// How received frames are interpreted.
    pub framing: Framing,
    /// Whether frames without a stamp are split at their first `:`.
    pub split_topics: bool,
    /// Messages queued for each peer; 0 means no limit.
    pub high_water_mark: i32,
    /// A peer that sends a larger frame is disconnected. Stamps and the handshake always fit.
    pub max_message_bytes: usize,
    /// How connections are kept.
    pub connection: ConnectionOptions,
    /// The number under which all events are reported; `None` reports only those for the log.
    pub event_owner: Option<u64>,
}

/// What a subscriber has received so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages taken from ZeroMQ.
    pub received: u64,
    /// The bytes of all their frames.
    pub bytes: u64,
    /// Messages of named publishers that are missing, by their sequence numbers.
    pub lost: u64,
    /// Messages of named publishers that arrived again or late.
    pub duplicates: u64,
    /// Texts in which undecodable bytes were replaced.
    pub undecodable: u64,
    /// Messages taken from ZeroMQ and not handed out yet.
    pub backlog: usize,
}

/// The outcome of a receive that does not wait.
pub enum TryRead<'a, T> {
    /// What was read.
    Found(T),
    /// There is no message. A caller that waits next is registered as a waiter.
    Empty(Option<ReceiveWaiter<'a>>),
    /// Another thread uses the subscriber.
    Busy,
}

/// A thread that is registered as a waiter for messages. Dropping it ends the registration, which may
/// take a lock for a moment.
pub struct ReceiveWaiter<'a> {
    guard: WaiterGuard<'a, ReceiveQueue>,
    /// How many messages had been received when the wait began.
    received: u64,
}

/// The outcome of a receive that waits.
pub enum RecvOutcome {
    /// This message was received.
    Message(RawMessage),
    /// The deadline has passed.
    TimedOut {
        /// How many messages other consumers took during the wait.
        taken: u64,
    },
}

/// Below this size in bytes, copying is cheaper than sharing.
const MIN_SHARED_BYTES: usize = 64 * 1024;

/// A subscriber; threads may share it.
pub struct Subscriber {
    shared: Arc<SharedSocket<ReceiveQueue>>,
    endpoints: Vec<String>,
    framing: Framing,
    undecodable: Arc<AtomicU64>,
    owned_above: usize,
    timeout_cause: TimeoutCause,
}

impl Subscriber {
    /// Subscribes, binds and connects.
    pub fn new(config: Config, checkpoint: Checkpoint<'_>) -> Result<Self> {
        let wanted = Subscription::all(config.topics.as_deref(), config.prefixes)?;
        bind::check(&config.bind, &config.connect)?;
        let mut socket = OpenSocket::open(
            zmq::SUB,
            &SocketOptions {
                high_water_mark: config.high_water_mark,
                max_inbound_bytes: i64::try_from(config.max_message_bytes.max(stamp::MAX_BYTES))
                    .unwrap_or(i64::MAX),
                // A subscriber sends nothing but subscriptions.
                linger: Duration::ZERO,
                connection: config.connection.clone(),
                event_owner: config.event_owner,
            },
        )?;
        let mut subscriptions = SubscriptionSet::new(config.framing, config.split_topics);
        options::apply_subscriber(&mut socket.socket, &config.connection)
            .and_then(|()| subscriptions.add_initial(&mut socket.socket, wanted))
            .map_err(|errno| errno.during("cannot set up a subscriber"))?;
        let socket = socket.bind_all(&config.bind, checkpoint)?;
        let endpoints = socket.listeners.endpoints.clone();
        let shared = SharedSocket::new(socket, ReceiveQueue::new(subscriptions))?;
        shared.connect_all(&config.connect)?;
        Ok(Self {
            shared,
            endpoints,
            framing: config.framing,
            undecodable: Arc::default(),
            timeout_cause: TimeoutCause::default(),
            owned_above: usize::try_from(config.connection.batch_bytes)
                .unwrap_or(usize::MAX)
                .max(MIN_SHARED_BYTES),
        })
    }

    /// A frame of more bytes owns its memory: it did not fit into a connection's read buffer.
    #[must_use]
    pub fn owned_above(&self) -> usize {
        self.owned_above
    }

    /// How received frames are interpreted.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Reads the next message in place and removes it, if there is one and no other thread uses the
    /// subscriber. The message stays if `read` returns `None`, for want of memory. `read` must not call
    /// this subscriber. The topic is determined only if `read` `wants_topic`. If there is no message, a
    /// caller that `waits` next is registered as a waiter.
    #[inline]
    pub fn try_read<T>(
        &self,
        waits: bool,
        wants_topic: bool,
        read: impl FnOnce(&RawMessage) -> Option<T>,
    ) -> Result<TryRead<'_, T>> {
        let Some(entered) = self.shared.try_enter() else {
            return Ok(TryRead::Busy);
        };
        let mut entered = entered?;
        entered.takes_messages_only();
        let (socket, queue) = entered.parts()?;
        match queue.read_next(socket, wants_topic, read)? {
            Some(found) => Ok(TryRead::Found(found)),
            None => self.register_waiter(&mut entered, waits),
        }
    }

    /// As `try_read`, for up to `max_count` messages; returns how many were read. The messages are
    /// moved to `taken`, so that they can be put back.
    pub fn try_read_many<T>(
        &self,
        max_count: usize,
        waits: bool,
        found: &mut Vec<T>,
        taken: &mut Vec<RawMessage>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> Result<TryRead<'_, usize>> {
        let Some(entered) = self.shared.try_enter() else {
            return Ok(TryRead::Busy);
        };
        let mut entered = entered?;
        entered.takes_messages_only();
        let (socket, queue) = entered.parts()?;
        let mut count = 0;
        while count < max_count {
            match queue.read_several(socket, max_count - count, found, taken, &read) {
                Ok(0) if count == 0 => return self.register_waiter(&mut entered, waits),
                Err(error) if count == 0 => return Err(error),
                // The messages that were read are handed out; the next call reports the error.
                Ok(0) | Err(_) => break,
                Ok(more) => count += more,
            }
        }
        Ok(TryRead::Found(count))
    }

    fn register_waiter<T>(
        &self,
        entered: &mut SocketGuard<'_, ReceiveQueue>,
        waits: bool,
    ) -> Result<TryRead<'_, T>> {
        if !waits {
            return Ok(TryRead::Empty(None));
        }
        let queue = entered.parts()?.1;
        let (one_by_one, received) = (queue.begin_wait(), queue.received);
        let mut guard = entered.add_waiter(&self.shared)?;
        guard.one_by_one = one_by_one;
        Ok(TryRead::Empty(Some(ReceiveWaiter { guard, received })))
    }

    /// Waits for a message.
    pub fn recv(
        &self,
        waiter: Option<ReceiveWaiter<'_>>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<RecvOutcome> {
        let mut received_before = waiter.as_ref().map(|waiter| waiter.received);
        let mut taken = 0;
        let guard = waiter.map(|waiter| waiter.guard);
        let message = self
            .shared
            .wait_as(guard, deadline, checkpoint, |socket, queue| {
                let before = *received_before.get_or_insert(queue.received);
                let found = queue.next(socket)?;
                taken = queue.received - before;
                Ok(found)
            })?;
        Ok(match message {
            Some(message) => RecvOutcome::Message(message),
            None => RecvOutcome::TimedOut { taken },
        })
    }

    /// How many messages were received so far; 0 once the subscriber is closed.
    #[must_use]
    pub fn received(&self) -> u64 {
        let received = || Ok::<_, Error>(self.shared.enter()?.parts()?.1.received);
        received().unwrap_or_default()
    }

    /// Puts messages back that could not be handed out, in their order, before all others.
    pub fn put_back(&self, messages: Vec<RawMessage>) {
        let put_back = || {
            let mut entered = self.shared.enter()?;
            let (_, queue) = entered.parts()?;
            queue.put_back(messages);
            Ok::<_, Error>(())
        };
        // A subscriber that was closed meanwhile has dropped its other messages, too.
        let _ = put_back();
    }

    /// Takes up to `max_count` queued messages, without waiting.
    pub fn take(&self, max_count: usize) -> Result<Vec<RawMessage>> {
        let mut entered = self.shared.enter()?;
        entered.takes_messages_only();
        let (socket, queue) = entered.parts()?;
        queue.take(socket, max_count)
    }

    /// Takes up to `max_count` messages of one batch of libzmq's, without waiting.
    pub fn take_batch(&self, max_count: usize) -> Result<Vec<RawMessage>> {
        let mut entered = self.shared.enter()?;
        entered.takes_messages_only();
        let (socket, queue) = entered.parts()?;
        if queue.messages.is_empty() {
            queue.drain(socket)?;
        }
        Ok(queue.take_queued(max_count).collect())
    }

    /// A readiness callback, not armed yet.
    pub fn readiness_callback(
        &self,
        interest: Interest,
        callback: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.shared.new_callback(interest, callback)
    }

    /// Takes up to `max_count` queued messages. If there are none, arms the callback.
    pub fn take_or_arm(
        &self,
        max_count: usize,
        callback: Option<&Arc<ReadinessCallback>>,
    ) -> Result<Vec<RawMessage>> {
        let taken = self.shared.try_or_watch(callback, false, |socket, queue| {
            let taken = queue.take(socket, max_count)?;
            Ok((!taken.is_empty()).then_some(taken))
        })?;
        Ok(taken.unwrap_or_default())
    }

    /// The number of established connections. If it is less than `count`, arms the callback. `first`:
    /// whether this is the first attempt of a wait.
    pub fn count_connections_or_arm(
        &self,
        count: usize,
        callback: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> Result<usize> {
        let mut seen = 0;
        self.shared.try_or_watch(callback, first, |socket, queue| {
            seen = queue.connected(socket);
            Ok((seen >= count).then_some(()))
        })?;
        Ok(seen)
    }

    /// Adds a subscription; has no effect if there is the same one.
    pub fn subscribe(&self, subscription: Subscription) -> Result<()> {
        let mut entered = self.shared.enter()?;
        let (socket, queue) = entered.parts()?;
        queue.change(socket, |subscriptions, socket| {
            subscriptions.add(socket, subscription)
        })
    }

    /// Removes a subscription; has no effect if there is none like it.
    pub fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        let mut entered = self.shared.enter()?;
        let (socket, queue) = entered.parts()?;
        queue.change(socket, |subscriptions, socket| {
            subscriptions.remove(socket, subscription)
        })
    }

    /// All subscriptions.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let mut entered = self.shared.enter()?;
        let (_, queue) = entered.parts()?;
        Ok(queue.subscriptions.list())
    }

    /// Connects to one more address.
    pub fn connect(&self, address: &str) -> Result<()> {
        self.shared.connect(address)
    }

    /// Ends the connection to an address, and does not reconnect.
    pub fn disconnect(&self, address: &str) -> Result<()> {
        let mut entered = self.shared.enter()?;
        let (socket, _) = entered.parts()?;
        socket.disconnect(address)
    }

    /// The counter of texts in which bytes had to be replaced. The code that decodes increments it.
    #[must_use]
    pub fn undecodable(&self) -> &Arc<AtomicU64> {
        &self.undecodable
    }

    /// What was received so far.
    pub fn stats(&self) -> Result<Stats> {
        self.shared.inspect(|_, queue| Stats {
            received: queue.received,
            bytes: queue.bytes,
            lost: queue.losses.lost,
            duplicates: queue.losses.duplicates,
            undecodable: self.undecodable.load(Ordering::Relaxed),
            backlog: queue.messages.len(),
        })
    }

    /// Does not warn while this subscriber is connected to no peer: a chat binds before others connect.
    pub fn suppress_idle_warning(&self) -> Result<()> {
        let mut entered = self.shared.enter()?;
        let (socket, _) = entered.parts()?;
        socket.connections.suppress_idle_warning();
        Ok(())
    }

    /// Counts no lost messages of this sender: our own instance, whose messages a relay sends back.
    pub fn ignore_sender(&self, id: String) -> Result<()> {
        let mut entered = self.shared.enter()?;
        let (_, queue) = entered.parts()?;
        queue.losses.ignore_sender(id);
        Ok(())
    }

    /// All connections and their state.
    pub fn peers(&self) -> Result<Vec<ConnectionInfo>> {
        self.shared.inspect(|socket, _| socket.connections.infos())
    }

    /// Waits until `count` connections are established; returns how many are.
    pub fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let begin = Instant::now();
        let seen = self.shared.wait_connected(count, deadline, checkpoint)?;
        if seen < count {
            let wait = WaitKind::Thread(begin.elapsed());
            return Err(self.too_few_connections(seen, count, wait));
        }
        Ok(seen)
    }

    /// The error for connections that were not established in time: `seen` of `count` were.
    #[must_use]
    pub fn too_few_connections(&self, seen: usize, count: usize, wait: WaitKind) -> Error {
        self.timeout_cause
            .too_few_connections(&self.shared, &self.endpoints, seen, count, wait)
    }

    /// The error of a receive that timed out. `taken` counts the messages that other consumers took
    /// during the wait.
    #[must_use]
    pub fn no_message(&self, taken: u64, wait: WaitKind) -> Error {
        // A task is still registered as a waiter itself.
        let names_waiters = matches!(wait, WaitKind::Thread(_));
        let cause = self.timeout_cause(taken, names_waiters, wait);
        Error::Timeout(format!("no message arrived within the timeout: {cause}"))
    }

    /// Why no message arrived, and what to do. `taken` is as in `no_message`. `names_waiters`: whether
    /// consumers that wait are a possible cause; false for a caller that is registered as one itself.
    #[must_use]
    pub fn timeout_cause(&self, taken: u64, names_waiters: bool, wait: WaitKind) -> String {
        let bound = &self.endpoints;
        self.timeout_cause
            .no_message(&self.shared, bound, taken, names_waiters, wait)
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

    /// Closes.
    pub fn close(&self) -> Result<()> {
        self.shared.close(None)
    }
}
