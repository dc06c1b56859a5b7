//! A publisher: an XPUB, so that it knows who subscribes to what.

pub(crate) mod state;

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::state::Peer;
use crate::net::publisher::state::PublisherState;
use crate::net::socket::connections;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard};
use crate::net::subscription::table::counted;
use crate::net::subscription::tracker;
use crate::net::zmq::frame::Payload;
use crate::net::zmq::options::{self, ConnectionOptions, SocketOptions};
use crate::util::time::{Checkpoint, Deadline};
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use crate::wire::{stamp, topic};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a peer may send us: subscriptions, and nothing large.
pub(crate) const MAX_INBOUND_BYTES: i64 = 8 * 1024;

/// What becomes of a message when a subscriber's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// That subscriber loses it.
    Drop,
    /// The send waits for the slowest.
    Block,
    /// The send fails.
    Raise,
}

impl OnFull {
    /// From the name that Python uses.
    pub fn parse(text: &str) -> Result<Self> {
        match text {
            "drop" => Ok(Self::Drop),
            "block" => Ok(Self::Block),
            "raise" => Ok(Self::Raise),
            _ => Err(Error::Value(format!(
                "on_full is \"drop\", \"block\" or \"raise\", not {text:?}"
            ))),
        }
    }
}

/// What a publisher is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to bind.
    pub bind: Vec<String>,
    /// Addresses to connect to.
    pub connect: Vec<String>,
    /// Stamps messages with this name.
    pub name: Option<String>,
    /// `Plain` or `Envelope`.
    pub framing: Framing,
    /// What a full queue means.
    pub on_full: OnFull,
    /// Messages queued for each peer; 0 is no limit.
    pub high_water_mark: i32,
    /// Subscriptions of one peer, and of all together, above which a peer is cut off; 0 is no limit.
    pub max_subscriptions: usize,
    /// The largest message that may be sent.
    pub max_message_bytes: usize,
    /// How long unsent messages outlive the close.
    pub linger: Duration,
    /// How connections are kept.
    pub connecting: ConnectionOptions,
    /// The number to tell all events under (see `events`); `None` tells only what the log wants.
    pub tell: Option<u64>,
}

/// What a publisher has done so far.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stats {
    /// Messages sent, heard or not.
    pub sent: u64,
    /// Their payloads' bytes.
    pub bytes: u64,
    /// Sends that ended for want of room: `QueueFullError` or `TimeoutError`.
    pub refused: u64,
    /// How long sends have waited for room.
    pub blocked: Duration,
    /// Peers that subscribe to anything now.
    pub subscribers: usize,
}

/// What a user holds; any threads may share it.
pub struct Publisher {
    pub(crate) owner: Arc<SharedSocket<PublisherState>>,
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
                "a publisher's framing is \"plain\" or \"envelope\"".into(),
            ));
        }
        bind::check(&config.bind, &config.connect)?;
        let mut live = OpenSocket::open(
            zmq::XPUB,
            &SocketOptions {
                high_water_mark: config.high_water_mark,
                max_inbound_bytes: MAX_INBOUND_BYTES,
                linger: config.linger,
                connecting: config.connecting.clone(),
                tell: config.tell,
            },
        )?;
        options::apply_publisher(
            &mut live.socket,
            config.on_full != OnFull::Drop,
            !config.connect.is_empty(),
            &config.connecting,
        )
        .map_err(|errno| errno.during("cannot set up a publisher"))?;
        let live = bind::bind_all(live, &config.bind, checkpoint)?;
        let endpoints = live.bound.clone();
        let owner = SharedSocket::new(
            live,
            PublisherState::new(
                config.framing,
                config.name,
                config.high_water_mark,
                config.max_subscriptions,
            ),
        )?;
        connections::connect_all(&owner, &config.connect)?;
        Ok(Self {
            owner,
            on_full: config.on_full,
            framing: config.framing,
            max_message_bytes: config.max_message_bytes,
            high_water_mark: config.high_water_mark,
            endpoints,
            refused: AtomicU64::new(0),
            blocked_ns: AtomicU64::new(0),
        })
    }

    /// What holds for every message, before any lock is taken.
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
            "a message of {size} bytes is more than max_message_bytes={}: send it in parts, or \
             raise that limit here and at every subscriber",
            self.max_message_bytes
        ))
    }

    /// Sends without waiting, if no other thread is inside: `None` when one is. `false` when a
    /// queue is full.
    #[must_use]
    pub fn try_send(&self, payload: Payload<'_>, topic: Option<&str>) -> Option<Result<bool>> {
        match self.owner.try_enter() {
            Some(Ok(entered)) => Some(send_inside(entered, payload, topic)),
            Some(Err(error)) => Some(Err(error)),
            None => None,
        }
    }

    /// Sends, and does what was chosen for a full queue.
    pub fn send(
        &self,
        payload: Payload<'_>,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<()> {
        if self.on_full != OnFull::Block {
            return if send_inside(self.owner.enter()?, payload, topic)? {
                Ok(())
            } else {
                self.refuse();
                Err(self.full(0))
            };
        }
        // To wait for another thread to leave is not to wait for room.
        let mut full_since = None;
        let outcome = self.owner.wait(deadline, checkpoint, |live, outbox| {
            // Takes in the acknowledgements that make room.
            if live.run_commands() {
                // Notices, which would otherwise pile up.
                outbox.read_notices(live);
            }
            let sent = outbox.send(live, payload, topic)?;
            if !sent {
                full_since.get_or_insert_with(Instant::now);
            }
            Ok(sent.then_some(()))
        });
        if let Some(since) = full_since {
            self.has_blocked(since.elapsed());
        }
        outcome?.ok_or_else(|| self.stayed_full())
    }

    /// The error for a queue that stayed full; counts it.
    #[must_use]
    pub fn stayed_full(&self) -> Error {
        self.refuse();
        Error::Timeout(format!(
            "not sent: a subscriber's queue of {} messages stayed full; give it more time, or \
             choose on_full=\"drop\"",
            self.high_water_mark
        ))
    }

    /// Remembers how long a send has waited for room.
    pub fn has_blocked(&self, time: Duration) {
        let blocked = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.blocked_ns.fetch_add(blocked, Ordering::Relaxed);
    }

    /// Whether the payload of such a message is a frame of its own, which may be lent: one that
    /// shares its frame with a topic must be copied.
    #[must_use]
    pub fn can_borrow(&self, topic: Option<&str>) -> bool {
        topic.is_none() || self.framing == Framing::Envelope
    }

    /// The error for a full queue under `on_full="raise"`, after `sent` messages of the same call.
    #[must_use]
    pub fn full(&self, sent: usize) -> Error {
        Error::Full {
            sent,
            message: format!(
                "not sent: a subscriber's queue of {} messages is full; send it again later, raise \
                 high_water_mark, or choose on_full=\"block\" or \"drop\"",
                self.high_water_mark
            ),
        }
    }

    /// What a full queue means here.
    #[must_use]
    pub fn on_full(&self) -> OnFull {
        self.on_full
    }

    /// Waits until `count` peers hear `topic` (`None`: anything at all); how many there are then.
    pub fn wait_for_subscribers(
        &self,
        count: usize,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let start = self.start_of(topic)?;
        let mut seen = 0;
        let found = self.owner.wait(deadline, checkpoint, |live, outbox| {
            outbox.read_notices(live);
            seen = outbox.audience.ledger.count(start.as_deref());
            Ok((seen >= count).then_some(seen))
        })?;
        let found = found.ok_or_else(|| self.too_few(seen, count, topic))?;
        self.settle(tracker::SETTLE)?;
        Ok(found)
    }

    /// Waits for the other subscriptions of the peers whose first one was just read: a message to any of
    /// their topics is delivered then.
    pub(crate) fn settle(&self, most: Duration) -> Result<()> {
        self.owner.settle(most, |live, outbox| {
            outbox.read_notices(live);
            outbox.audience.is_quiet()
        })
    }

    /// The stamp of the last message that was sent; empty where there is none.
    pub fn last_stamp(&self) -> Result<Vec<u8>> {
        let mut entered = self.owner.enter()?;
        let (_, outbox) = entered.parts()?;
        Ok(outbox.last_stamp().to_vec())
    }

    /// Remembers that a send was refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// What it has done so far.
    pub fn stats(&self) -> Result<Stats> {
        self.owner.look_at(|_, outbox| Stats {
            sent: outbox.sent,
            bytes: outbox.sent_bytes,
            refused: self.refused.load(Ordering::Relaxed),
            blocked: Duration::from_nanos(self.blocked_ns.load(Ordering::Relaxed)),
            subscribers: outbox.audience.ledger.count(None),
        })
    }

    /// All connections and how they stand.
    pub fn peers(&self) -> Result<Vec<Peer>> {
        self.owner.look_at(|live, _| live.all_peers())
    }

    /// How many peers subscribe to anything.
    pub fn subscriber_count(&self) -> Result<usize> {
        let mut entered = self.owner.enter()?;
        let (live, outbox) = entered.parts()?;
        outbox.read_notices(live);
        Ok(outbox.audience.ledger.count(None))
    }

    /// How many peers receive a message whose first frame is `first`.
    pub fn receivers(&self, first: &[u8]) -> Result<usize> {
        let mut entered = self.owner.enter()?;
        let (live, outbox) = entered.parts()?;
        outbox.read_notices(live);
        Ok(outbox.audience.ledger.count(Some(first)))
    }

    /// Each subscription that peers have: a topic where it is exactly one, the bare prefix where
    /// it is not; and how many have it.
    pub fn topics(&self) -> Result<Vec<(Subscription, usize)>> {
        let mut entered = self.owner.enter()?;
        let (live, outbox) = entered.parts()?;
        outbox.read_notices(live);
        let prefixes = outbox.audience.ledger.prefixes();
        drop(entered);
        Ok(counted(prefixes)
            .into_iter()
            .map(|(prefix, count)| (Subscription::from_wire(&prefix, self.framing), count))
            .collect())
    }

    /// The addresses it is bound to, as libzmq writes them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// What another laptop can type.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| bind::reachable(endpoint))
            .collect()
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

    /// Closes; `None` lingers as the constructor was told.
    pub fn close(&self, linger: Option<Duration>) -> Result<()> {
        self.owner.close(linger)
    }

    pub(crate) fn framing(&self) -> Framing {
        self.framing
    }

    pub(crate) fn start_of(&self, topic: Option<&str>) -> Result<Option<Vec<u8>>> {
        let Some(topic) = topic else { return Ok(None) };
        topic::validate(topic)?;
        Ok(Some(match self.framing {
            Framing::Envelope => topic.as_bytes().to_vec(),
            _ => topic::prefix(topic),
        }))
    }
}

#[inline]
fn send_inside(
    mut entered: SocketGuard<'_, PublisherState>,
    payload: Payload<'_>,
    topic: Option<&str>,
) -> Result<bool> {
    let (live, outbox) = entered.parts()?;
    if outbox.send(live, payload, topic)? {
        return Ok(true);
    }
    // A send looks for acknowledgements only now and then; there may be room already.
    live.run_commands();
    outbox.send(live, payload, topic)
}
