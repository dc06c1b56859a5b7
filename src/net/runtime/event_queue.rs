//! What the program may want to hear of its connections, queued for whoever tells it.
//!
//! Invariant: pushing never blocks and the queue has an end, whatever becomes of the reader: the
//! oldest events make room, which is told once.

use crate::net::runtime::process;
use crate::util::sync::lock;
use crate::util::thread;
use crate::util::time::unix_ns;
use crate::wire::subscription::Subscription;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock};
use std::time::Duration;

/// How many events wait for a reader that is slow.
const MOST: usize = 10_000;

/// Whom somebody waits for in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceCause {
    /// Whoever is at the address that a connection was asked for.
    Link,
    /// Whoever may connect to the addresses that it listens at.
    Anybody,
    /// It neither connects nor listens.
    Nobody,
    /// Any peer that connects; the connection of the named one ended during its handshake.
    Refused,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// Messages can flow to or from this address.
    Connected,
    /// They no longer can; connections asked for are tried again.
    Disconnected,
    /// Somebody waited for 3 s and nobody was at this address.
    Silent {
        /// Whether it is a publisher that waits for subscribers.
        publishes: bool,
        /// For whom it waits.
        awaited: SilenceCause,
    },
    /// Peers are turned away, or soon will be: this process has hardly any descriptor left.
    NoRoom,
    /// A peer connected, and its handshake failed.
    HandshakeFailed {
        /// Whether this side is a publisher's.
        publishes: bool,
        /// "version" (an old one, or another socket type), "mechanism" or "protocol".
        why: &'static str,
    },
    /// It is bound to the loopback address that this name leads to: only this host connects.
    Loopback(String),
    /// The connection was ended; the text says why, and is empty where libzmq did so for a breach of
    /// the protocol.
    CutOff(String),
    /// A peer subscribed to messages that begin with this.
    Subscribed(Subscription),
    /// A peer's subscription ended.
    Unsubscribed(Subscription),
    /// Messages are missing, by their sequence numbers.
    Lost {
        /// How many.
        count: u64,
        /// Whether a connection of the subscriber ended in between.
        interrupted: bool,
    },
    /// A relay's subscriber is too slow: its queue ran full so many times, each time with loss.
    Overflow(u64),
    /// What a relay passes on cannot be logged; the text says why.
    NotLogged(String),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The number of the object that it happened to.
    pub owner: u64,
    /// Which side of a relay: "frontend" or "backend"; empty for all else.
    pub side: &'static str,
    /// What happened.
    pub kind: Kind,
    /// The peer, as a person would type it; empty where none is known.
    pub address: String,
    /// When, in Unix nanoseconds.
    pub at_ns: i64,
}

/// The queue of one process.
#[derive(Default)]
pub(crate) struct Events {
    queue: Mutex<VecDeque<Event>>,
    arrived: Condvar,
    read: AtomicBool,
    /// Some were dropped; that was told.
    dropped: AtomicBool,
    told: AtomicBool,
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

/// A number for an object, which no other one of the process has.
#[must_use]
pub fn number() -> u64 {
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

/// Called, in a thread of its own, when there is an event and no reader yet.
static STARTER: OnceLock<fn()> = OnceLock::new();

/// Registers how a reader is started.
pub fn on_first_event(starter: fn()) {
    let _ = STARTER.set(starter);
}

impl Events {
    pub(crate) fn push(&self, event: Event) {
        let mut queue = lock(&self.queue);
        if queue.len() >= MOST {
            queue.pop_front();
            self.dropped.store(true, Ordering::Relaxed);
        }
        queue.push_back(event);
        drop(queue);
        self.arrived.notify_one();
        if let Some(starter) = STARTER.get() {
            if !self.read.swap(true, Ordering::AcqRel) {
                let started = thread::spawn("zmqchat-events", starter);
                if started.is_err() {
                    self.read.store(false, Ordering::Release);
                }
            }
        }
    }

    pub(crate) fn end(&self) {
        // Not between a reader's look and its wait.
        drop(lock(&self.queue));
        self.arrived.notify_all();
    }
}

/// Tells what became of the log of what a relay passes on.
pub fn tell_not_logged(owner: u64, why: String) {
    process::process().events().push(Event {
        owner,
        side: "",
        kind: Kind::NotLogged(why),
        address: String::new(),
        at_ns: unix_ns(),
    });
}

/// The next event, waiting for one; `None` when the process ends.
#[must_use]
pub fn next() -> Option<Event> {
    let process = process::process();
    let events = process.events();
    events.read.store(true, Ordering::Release);
    let mut queue = lock(&events.queue);
    while !process.ended() {
        if let Some(event) = queue.pop_front() {
            return Some(event);
        }
        let (back, _) = events
            .arrived
            .wait_timeout(queue, Duration::from_millis(500))
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        queue = back;
    }
    None
}

/// The reader is gone: the next event starts another one.
pub fn unread() {
    let events = process::process().events();
    events.read.store(false, Ordering::Release);
}

/// Whether events were dropped because nobody read them in time; true once.
#[must_use]
pub fn dropped() -> bool {
    let events = process::process().events();
    events.dropped.load(Ordering::Relaxed) && !events.told.swap(true, Ordering::Relaxed)
}
