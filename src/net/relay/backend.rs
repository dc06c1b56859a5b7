//! A relay's backend: an XPUB socket, which sends to subscribers.
//!
//! With a cache, libzmq lets the relay set the subscriptions of each subscriber (`ZMQ_XPUB_MANUAL`). A
//! subscription message selects a subscriber, and the subscriptions that are set until the next message
//! are this subscriber's. With `ZMQ_XPUB_MANUAL_LAST_VALUE` the first message that is sent goes to this
//! subscriber alone, and no second one. A subscriber of several topics at once (a prefix) can therefore
//! be sent one message that other subscribers must not receive again, and all messages that no other
//! subscriber receives.

use crate::net::connection::disconnect_reason;
use crate::net::relay::last_value_cache::{Frames, LastValueCache};
use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::subscription::prefilter::TopicPrefilter;
use crate::net::subscription::table::SubscriptionTable;
use crate::net::subscription::tracker::{SubscriptionMessage, SubscriptionTracker};
use crate::net::zmq::ffi;
use crate::net::zmq::frame::{send_whole, Frame, Source};
use crate::util::wakeup::Wakeup;
use crate::wire::message::Framing;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The time between two warnings about full subscribers.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// What a relay keeps beside its backend.
pub(crate) struct Backend {
    wakeup: Arc<Wakeup>,
    pub(crate) subscribers: SubscriptionTracker,
    pub(crate) replay: Option<LastValueReplay>,
    /// How many messages were lost by at least one full subscriber.
    pub(crate) overflows: u64,
    unreported: u64,
    last_warning: Option<Instant>,
}

impl SocketHandler for Backend {
    const NAME: &'static str = "Relay";

    fn process_monitor(&mut self, socket: &mut OpenSocket, run_commands: bool) -> bool {
        self.warn(socket, WARNING_INTERVAL);
        if run_commands {
            self.read_subscriptions(socket)
        } else {
            self.subscribers.read_monitor(socket)
        }
    }

    fn has_left(&self) -> bool {
        false
    }

    fn is_behind(&self) -> bool {
        self.subscribers.is_behind()
    }

    fn has_pending_warning(&self) -> bool {
        self.unreported > 0
    }

    fn dedicated_wakeup(&self) -> Option<&Wakeup> {
        Some(&self.wakeup)
    }

    fn on_close(&mut self, socket: &mut OpenSocket) {
        self.warn(socket, Duration::ZERO);
    }
}

impl Backend {
    /// A backend that keeps the latest messages of `cached_topics` topics; 0 keeps none.
    pub(crate) fn new(wakeup: Arc<Wakeup>, cached_topics: usize, max_subscriptions: usize) -> Self {
        Self {
            wakeup,
            subscribers: SubscriptionTracker::new(
                Framing::Plain,
                SubscriptionTable::with_totals(),
                TopicPrefilter::everything(),
                cached_topics > 0,
                max_subscriptions,
            ),
            replay: (cached_topics > 0).then(|| LastValueReplay {
                cache: LastValueCache::new(cached_topics),
                unapplied: HashSet::new(),
                skipped: 0,
            }),
            overflows: 0,
            unreported: 0,
            last_warning: None,
        }
    }

    /// Reads the subscriptions and the connections of peers, and sends new subscribers the latest
    /// messages. Returns whether an event was reported.
    pub(crate) fn read_subscriptions(&mut self, socket: &mut OpenSocket) -> bool {
        let Some(replay) = &mut self.replay else {
            return self.subscribers.read(socket, |_, _, _| {});
        };
        let reported = self.subscribers.read(socket, |socket, table, message| {
            replay.admit(socket, table, message);
        });
        if self.subscribers.is_up_to_date() {
            replay.unapplied.clear();
        }
        reported
    }

    /// Counts a message that a full subscriber is about to lose.
    pub(crate) fn count_overflow(&mut self, socket: &OpenSocket) {
        self.overflows += 1;
        self.unreported += 1;
        self.warn(socket, WARNING_INTERVAL);
    }

    fn warn(&mut self, socket: &OpenSocket, interval: Duration) {
        let is_due = |last: Instant| last.elapsed() >= interval;
        if self.unreported > 0 && self.last_warning.is_none_or(is_due) {
            socket.report(EventKind::Overflow(self.unreported), "");
            self.unreported = 0;
            self.last_warning = Some(Instant::now());
        }
    }
}

/// Sends new subscribers the latest message of each of their topics.
pub(crate) struct LastValueReplay {
    pub(crate) cache: LastValueCache,
    /// Subscriptions that are set at libzmq, and not in the subscription table yet.
    unapplied: HashSet<Vec<u8>>,
    /// Messages that a new subscriber was not sent: others would have received them again, or its queue
    /// was full.
    pub(crate) skipped: u64,
}

impl LastValueReplay {
    /// Sets the subscription of a message at libzmq, and sends a new subscriber the latest messages.
    fn admit(&mut self, socket: &mut OpenSocket, table: &SubscriptionTable, message: &Frame) {
        match SubscriptionMessage::of(message) {
            SubscriptionMessage::Subscribe(prefix) => {
                // Fails only if the socket is closed, which the next call reports.
                let _ = socket.socket.set_subscribe(prefix);
                let source = message.source();
                if !source.is_some_and(|peer| table.contains(peer, prefix)) {
                    let latest = self.cache.matching(prefix);
                    self.replay(socket, table, latest, source);
                }
                self.unapplied.insert(prefix.to_vec());
            }
            SubscriptionMessage::Unsubscribe(prefix) => {
                let _ = socket.socket.set_unsubscribe(prefix);
            }
            SubscriptionMessage::Other => {}
        }
    }

    fn replay(
        &mut self,
        socket: &mut OpenSocket,
        table: &SubscriptionTable,
        mut latest: Vec<Frames>,
        source: Option<Source>,
    ) {
        let is_shared = |frames: &Frames| self.has_other_receiver(table, &frames[0]);
        let shared = latest.iter().filter(|frames| is_shared(frames)).count();
        // Of the messages that others receive, too, only the newest can be sent.
        let mut excess = shared.saturating_sub(1);
        self.skipped += excess as u64;
        if excess > 0 {
            latest.retain(|frames| {
                let is_excess = excess > 0 && self.has_other_receiver(table, &frames[0]);
                excess -= usize::from(is_excess);
                !is_excess
            });
        }
        for frames in latest {
            let sent = if self.has_other_receiver(table, &frames[0]) {
                send_to_new_subscriber(socket, &frames, source)
            } else {
                send(socket, &frames)
            };
            self.skipped += u64::from(!sent);
        }
    }

    /// Whether another subscriber receives messages that begin with `first_frame`.
    fn has_other_receiver(&self, table: &SubscriptionTable, first_frame: &[u8]) -> bool {
        let mut unapplied = self.unapplied.iter();
        table.has_receiver(first_frame) || unapplied.any(|prefix| first_frame.starts_with(prefix))
    }
}

/// Sends a message to the peer of the last subscription message alone. If libzmq processes a
/// disconnection just before, it forgets that peer, and all subscribers of the topic receive the message
/// again. That is better than a new subscriber without the latest message.
fn send_to_new_subscriber(
    socket: &mut OpenSocket,
    frames: &Frames,
    source: Option<Source>,
) -> bool {
    if !source.is_none_or(|source| disconnect_reason::is_connected(source.descriptor)) {
        return false;
    }
    let raw = &mut socket.socket;
    let sent = ffi::set_int(raw, ffi::XPUB_MANUAL_LAST_VALUE, 1).is_ok() && send(socket, frames);
    // Clearing this option clears `XPUB_MANUAL`, too.
    let raw = &mut socket.socket;
    let _ = ffi::set_int(raw, ffi::XPUB_MANUAL_LAST_VALUE, 0)
        .and_then(|()| ffi::set_int(raw, ffi::XPUB_MANUAL, 1));
    sent
}

/// Sends a message; returns `false`, with nothing sent, if the queue is full.
fn send(socket: &mut OpenSocket, frames: &Frames) -> bool {
    for (index, bytes) in frames.iter().enumerate() {
        let more = index + 1 < frames.len();
        let sent = Frame::concat(&[bytes])
            .and_then(|mut frame| send_whole(&mut socket.socket, &mut frame, more, index > 0));
        if !matches!(sent, Ok(true)) {
            return false;
        }
    }
    true
}
