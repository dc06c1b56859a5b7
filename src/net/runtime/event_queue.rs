//! Events of connections and messages, queued for the program that handles them.
//!
//! Invariant: a push never blocks, and the queue is bounded even without a reader. When it is full,
//! the oldest event is dropped, which is reported once.

use crate::util::sync::lock;
use crate::util::thread;
use crate::wire::subscription::Subscription;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// How many events are queued at most.
const CAPACITY: usize = 10_000;

/// How often a reader checks whether the process is ending.
const READER_SLICE: Duration = Duration::from_millis(500);

/// Why no peer is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SilenceCause {
    /// The connection to the requested address is not established.
    NotConnected,
    /// No peer has connected to the bound addresses.
    NoPeer,
    /// The object is neither bound nor connected to an address.
    NoAddress,
    /// No peer is connected. The named peer disconnected during its handshake.
    HandshakeEnded,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// A connection to or from this address was established.
    Connected,
    /// A connection ended. Requested connections are retried.
    Disconnected,
    /// No peer has been connected for 3 s although the object needs one.
    Silent {
        /// Whether the object is a publisher that waits for subscribers.
        publishes: bool,
        /// Why no peer is connected.
        cause: SilenceCause,
    },
    /// Peers are rejected, or will be soon: the process has almost no file descriptors left.
    OutOfDescriptors,
    /// A peer connected, and its handshake failed.
    HandshakeFailed {
        /// Whether the object is a publisher.
        publishes: bool,
        /// "version" (ZMTP 2 or older, or an unsuitable socket type), "mechanism" or "protocol".
        why: &'static str,
    },
    /// This host name resolved to a loopback address, which was bound: only this host can connect.
    Loopback(String),
    /// The connection was cut off, for the reason in the text. The text is empty if libzmq cut the
    /// connection off because the peer violated the protocol.
    CutOff(String),
    /// A peer subscribed.
    Subscribed(Subscription),
    /// A peer's subscription ended.
    Unsubscribed(Subscription),
    /// Messages are missing, according to their sequence numbers.
    Lost {
        /// How many.
        count: u64,
        /// Whether a connection of the subscriber ended in between.
        interrupted: bool,
    },
    /// A relay's subscriber is too slow: its queue was full this many times, each time with loss.
    Overflow(u64),
    /// A relay cannot log its messages, for the reason in the text.
    NotLogged(String),
}

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The number of the object that reports the event.
    pub owner: u64,
    /// The side of a relay, "frontend" or "backend"; empty for other objects.
    pub side: &'static str,
    /// What happened.
    pub kind: EventKind,
    /// The peer, as a person would type it; empty if it is unknown.
    pub address: String,
    /// When, in Unix nanoseconds.
    pub at_ns: i64,
}

/// The events of one process.
#[derive(Default)]
pub struct EventQueue {
    queue: Mutex<VecDeque<Event>>,
    arrived: Condvar,
    has_reader: AtomicBool,
    /// Events were dropped.
    dropped: AtomicBool,
    /// The drop was reported.
    drop_reported: AtomicBool,
    ended: AtomicBool,
}

/// Starts a reader.
static STARTER: OnceLock<fn()> = OnceLock::new();

/// Sets the function that starts a reader. It runs in a new thread when an event is pushed while
/// no reader runs.
pub fn set_reader_starter(starter: fn()) {
    let _ = STARTER.set(starter);
}

/// A number that no other object of this process has.
#[must_use]
pub fn next_object_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(1);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl EventQueue {
    /// Adds an event, and starts a reader if there is none.
    pub fn push(&self, event: Event) {
        let mut queue = lock(&self.queue);
        if queue.len() >= CAPACITY {
            queue.pop_front();
            self.dropped.store(true, Ordering::Relaxed);
        }
        queue.push_back(event);
        drop(queue);
        self.arrived.notify_one();
        if let Some(starter) = STARTER.get() {
            if !self.has_reader.swap(true, Ordering::AcqRel)
                && thread::spawn("zmqchat-events", starter).is_err()
            {
                self.has_reader.store(false, Ordering::Release);
            }
        }
    }

    /// Waits for the next event; `None` when the process ends.
    #[must_use]
    pub fn next(&self) -> Option<Event> {
        self.has_reader.store(true, Ordering::Release);
        let mut queue = lock(&self.queue);
        while !self.ended.load(Ordering::Acquire) {
            if let Some(event) = queue.pop_front() {
                return Some(event);
            }
            let (returned, _) = self
                .arrived
                .wait_timeout(queue, READER_SLICE)
                .unwrap_or_else(PoisonError::into_inner);
            queue = returned;
        }
        None
    }

    /// Records that the reader has ended: the next event starts another one.
    pub fn reader_ended(&self) {
        self.has_reader.store(false, Ordering::Release);
    }

    /// Whether events were dropped because the reader was too slow; true only once.
    #[must_use]
    pub fn take_dropped(&self) -> bool {
        self.dropped.load(Ordering::Relaxed) && !self.drop_reported.swap(true, Ordering::Relaxed)
    }

    /// Ends the readers.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        // Not between a reader's check and its wait.
        drop(lock(&self.queue));
        self.arrived.notify_all();
    }
}
