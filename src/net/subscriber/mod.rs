//! A subscriber: a SUB whose queue is drained in batches (`inbox`).

pub(crate) mod loss;
pub(crate) mod queue;
pub(crate) mod timeout_cause;

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::state::Peer;
use crate::net::socket::blocking::WaiterGuard;
use crate::net::socket::connections;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard};
use crate::net::subscriber::queue::ReceiveQueue;
use crate::net::subscriber::timeout_cause::{Known, Waiter};
use crate::net::subscription::set::SubscriptionSet;
use crate::net::zmq::frame::RawMessage;
use crate::net::zmq::options::{self, ConnectionOptions, SocketOptions};
use crate::util::time::{Checkpoint, Deadline};
use crate::wire::message::Framing;
use crate::wire::stamp;
use crate::wire::subscription::Subscription;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// What a subscriber is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to connect to.
    pub connect: Vec<String>,
    /// Addresses to bind.
    pub bind: Vec<String>,
    /// Exact topics; `None` hears everything unless there are prefixes.
    pub topics: Option<Vec<String>>,
    /// Raw prefixes.
    pub prefixes: Vec<Vec<u8>>,
    /// How received frames are read.
    pub framing: Framing,
    /// Whether frames without a stamp are split at their first `:`.
    pub split_topics: bool,
    /// Messages queued for each peer; 0 is no limit.
    pub high_water_mark: i32,
    /// A peer that sends a larger frame is cut off; stamps and the handshake always fit.
    pub max_message_bytes: usize,
    /// How connections are kept.
    pub connecting: ConnectionOptions,
    /// The number to tell all events under (see `events`); `None` tells only what the log wants.
    pub tell: Option<u64>,
}

/// What a subscriber has seen so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages taken from ZeroMQ.
    pub received: u64,
    /// The bytes of all their frames.
    pub bytes: u64,
    /// Messages of named publishers that are missing, by their numbers.
    pub lost: u64,
    /// Messages of named publishers that came again or late.
    pub duplicates: u64,
    /// Texts in which undecodable bytes were replaced.
    pub undecodable: u64,
    /// Messages taken from ZeroMQ and not handed out yet.
    pub backlog: usize,
}

/// How a quick look for a message ended.
pub enum Look<'a, T> {
    /// What was read from it.
    Found(T),
    /// There is none. Whoever said that it waits is in line.
    Nothing(Option<InLine<'a>>),
    /// Another thread is inside.
    Occupied,
}

/// A place among those that wait for a subscriber's messages; dropped, it is given up, which may
/// take a lock for a moment.
pub struct InLine<'a> {
    place: WaiterGuard<'a, ReceiveQueue>,
    /// How many messages had been received then.
    received: u64,
}

/// How a wait for a message ended.
pub enum Waited {
    /// With this one.
    Message(RawMessage),
    /// The deadline came first. Other consumers took this many messages meanwhile.
    TimedOut {
        /// How many.
        taken: u64,
    },
}

/// Below this, copying is cheaper than sharing.
const LEAST_SHARED: usize = 64 * 1024;

/// What a user holds; any threads may share it.
pub struct Subscriber {
    pub(crate) owner: Arc<SharedSocket<ReceiveQueue>>,
    endpoints: Vec<String>,
    framing: Framing,
    undecodable: Arc<AtomicU64>,
    owned_above: usize,
    /// Why its connections failed (see `timeout_cause`).
    pub(crate) reasons: Mutex<Known>,
}

impl Subscriber {
    /// Subscribes, binds and connects.
    pub fn new(config: Config, checkpoint: Checkpoint<'_>) -> Result<Self> {
        let wanted = Subscription::all(config.topics.as_deref(), config.prefixes)?;
        bind::check(&config.bind, &config.connect)?;
        let mut live = OpenSocket::open(
            zmq::SUB,
            &SocketOptions {
                high_water_mark: config.high_water_mark,
                max_inbound_bytes: i64::try_from(config.max_message_bytes.max(stamp::MAX_BYTES))
                    .unwrap_or(i64::MAX),
                // Nothing leaves a subscriber but subscriptions.
                linger: Duration::ZERO,
                connecting: config.connecting.clone(),
                tell: config.tell,
            },
        )?;
        let mut filter = SubscriptionSet::new(config.framing, config.split_topics);
        options::apply_subscriber(&mut live.socket, &config.connecting)
            .and_then(|()| filter.begin(&mut live.socket, wanted))
            .map_err(|errno| errno.during("cannot set up a subscriber"))?;
        let live = bind::bind_all(live, &config.bind, checkpoint)?;
        let endpoints = live.bound.clone();
        let owner = SharedSocket::new(live, ReceiveQueue::new(filter))?;
        connections::connect_all(&owner, &config.connect)?;
        Ok(Self {
            owner,
            endpoints,
            framing: config.framing,
            undecodable: Arc::default(),
            reasons: Mutex::default(),
            owned_above: usize::try_from(config.connecting.batch_bytes)
                .unwrap_or(usize::MAX)
                .max(LEAST_SHARED),
        })
    }

    /// A larger frame owns its memory: it did not fit into a connection's read buffer.
    #[must_use]
    pub fn owned_above(&self) -> usize {
        self.owned_above
    }

    /// How received frames are read.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Reads the next message in place, if there is one and no other thread is inside. Takes it,
    /// unless `read` finds no memory. `read` must not come back to this subscriber. Whoever `waits`
    /// next gets in line where there is none. The topic is determined only if `read` `wants_topic`.
    #[inline]
    pub fn try_read<T>(
        &self,
        waits: bool,
        wants_topic: bool,
        read: impl FnOnce(&RawMessage) -> Option<T>,
    ) -> Result<Look<'_, T>> {
        let Some(entered) = self.owner.try_enter() else {
            return Ok(Look::Occupied);
        };
        let mut entered = entered?;
        entered.only_took();
        let (live, inbox) = entered.parts()?;
        match inbox.read_next(live, wants_topic, read)? {
            Some(found) => Ok(Look::Found(found)),
            None => self.nothing(&mut entered, waits),
        }
    }

    /// The same for up to `max_count` messages; how many were read. They are `taken`, so that they can
    /// be put back.
    pub fn try_read_many<T>(
        &self,
        max_count: usize,
        waits: bool,
        found: &mut Vec<T>,
        taken: &mut Vec<RawMessage>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> Result<Look<'_, usize>> {
        let Some(entered) = self.owner.try_enter() else {
            return Ok(Look::Occupied);
        };
        let mut entered = entered?;
        entered.only_took();
        let (live, inbox) = entered.parts()?;
        let mut count = 0;
        while count < max_count {
            match inbox.read_several(live, max_count - count, found, taken, &read) {
                Ok(0) if count == 0 => return self.nothing(&mut entered, waits),
                Err(error) if count == 0 => return Err(error),
                // What was read is handed out; an error will show again.
                Ok(0) | Err(_) => break,
                Ok(more) => count += more,
            }
        }
        Ok(Look::Found(count))
    }

    fn nothing<T>(
        &self,
        entered: &mut SocketGuard<'_, ReceiveQueue>,
        waits: bool,
    ) -> Result<Look<'_, T>> {
        if !waits {
            return Ok(Look::Nothing(None));
        }
        let inbox = entered.parts()?.1;
        let (one_by_one, received) = (inbox.came_one_by_one(), inbox.received);
        let mut place = entered.get_in_line(&self.owner)?;
        place.one_by_one = one_by_one;
        Ok(Look::Nothing(Some(InLine { place, received })))
    }

    /// Waits for a message.
    pub fn recv(
        &self,
        place: Option<InLine<'_>>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<Waited> {
        let mut before = place.as_ref().map(|place| place.received);
        let mut taken = 0;
        let place = place.map(|in_line| in_line.place);
        let received = self
            .owner
            .wait_in_line(place, deadline, checkpoint, |live, inbox| {
                let before = *before.get_or_insert(inbox.received);
                let found = inbox.next(live)?;
                taken = inbox.received - before;
                Ok(found)
            })?;
        Ok(match received {
            Some(received) => Waited::Message(received),
            None => Waited::TimedOut { taken },
        })
    }

    /// How many messages were received so far; 0 once it is closed.
    #[must_use]
    pub fn received(&self) -> u64 {
        let received = || Ok::<_, Error>(self.owner.enter()?.parts()?.1.received);
        received().unwrap_or_default()
    }

    /// Takes messages back that could not be handed out: the next ones to be taken, in their order.
    pub fn put_back(&self, messages: Vec<RawMessage>) {
        let put_back = || {
            let mut entered = self.owner.enter()?;
            let (_, inbox) = entered.parts()?;
            inbox.put_back(messages);
            Ok::<_, Error>(())
        };
        // What was closed meanwhile has dropped its other messages, too.
        let _ = put_back();
    }

    /// Takes up to `max_count` messages that are there; waits for none.
    pub fn take(&self, max_count: usize) -> Result<Vec<RawMessage>> {
        let mut entered = self.owner.enter()?;
        entered.only_took();
        let (live, inbox) = entered.parts()?;
        inbox.take(live, max_count)
    }

    /// Takes what is at hand, at most so many messages and about as much as is taken from libzmq in
    /// one go; waits for none.
    pub fn take_some(&self, max_count: usize) -> Result<Vec<RawMessage>> {
        let mut entered = self.owner.enter()?;
        entered.only_took();
        let (live, inbox) = entered.parts()?;
        if inbox.queue.is_empty() {
            inbox.drain(live)?;
        }
        Ok(inbox.take_queued(max_count).collect())
    }

    /// Adds a subscription; nothing changes when it is there already.
    pub fn subscribe(&self, subscription: Subscription) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, inbox) = entered.parts()?;
        inbox.change(live, |filter, socket| filter.add(socket, subscription))
    }

    /// Takes a subscription away; nothing changes when it is not there.
    pub fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, inbox) = entered.parts()?;
        inbox.change(live, |filter, socket| filter.remove(socket, subscription))
    }

    /// What it subscribes to.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let mut entered = self.owner.enter()?;
        let (_, inbox) = entered.parts()?;
        Ok(inbox.filter.subscriptions())
    }

    /// Connects to one more address, at any time.
    pub fn connect(&self, text: &str) -> Result<()> {
        connections::connect(&self.owner, text)
    }

    /// Takes a connection back.
    pub fn disconnect(&self, text: &str) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, _) = entered.parts()?;
        connections::disconnect(live, text)
    }

    /// The counter of texts in which bytes had to be replaced; whoever decodes counts.
    #[must_use]
    pub fn undecodable(&self) -> &Arc<AtomicU64> {
        &self.undecodable
    }

    /// What it has seen so far.
    pub fn stats(&self) -> Result<Stats> {
        self.owner.look_at(|_, inbox| Stats {
            received: inbox.received,
            bytes: inbox.bytes,
            lost: inbox.sequences.lost,
            duplicates: inbox.sequences.duplicates,
            undecodable: self.undecodable.load(Ordering::Relaxed),
            backlog: inbox.queue.len(),
        })
    }

    /// That it is connected to nobody is no news: a chat's, which is heard before it hears.
    pub fn suppress_idle_warning(&self) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, _) = entered.parts()?;
        live.suppress_idle_warning();
        Ok(())
    }

    /// Counts no loss of this instance: it is our own, which a relay sends back.
    pub fn ignore_sender(&self, id: String) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (_, inbox) = entered.parts()?;
        inbox.sequences.ignore_sender(id);
        Ok(())
    }

    /// All connections and how they stand.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        self.owner.look_at(|live, _| live.all_peers())
    }

    /// Waits until so many connections stand; how many there are then.
    pub fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let begin = Instant::now();
        let seen = self.owner.wait_connected(count, deadline, checkpoint)?;
        if seen < count {
            return Err(self.too_few(seen, count, Waiter::Thread(begin.elapsed())));
        }
        Ok(seen)
    }

    /// The addresses it connects to; none once it is closed.
    #[must_use]
    pub fn connections(&self) -> Vec<String> {
        let connections = || {
            let mut entered = self.owner.enter()?;
            let (live, _) = entered.parts()?;
            Ok::<_, Error>(connections::typed(live))
        };
        connections().unwrap_or_default()
    }

    /// The addresses it is bound to, as libzmq writes them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// What another laptop can type to connect to it.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| bind::reachable(endpoint))
            .collect()
    }

    /// Whether it can be used: it is open, and not another process's.
    pub fn check_open(&self) -> Result<()> {
        self.owner.check_open()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.owner.is_closed()
    }

    /// Closes without waiting for anything, as its user lets go of it.
    pub fn close_nowait(&self) {
        self.owner.close_nowait();
    }

    /// Whether a forked child inherited it from its parent: then there is nothing to close.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.owner.is_inherited()
    }

    /// Closes.
    pub fn close(&self) -> Result<()> {
        self.owner.close(None)
    }
}
