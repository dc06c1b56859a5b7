//! Which peers subscribe to an XPUB: its notices and its monitor, read in the order that keeps the
//! books right.
//!
//! Invariant: one call reads a bounded number of notices and reports, however fast peers send. What
//! is left is read by the next call, or by the housekeeping thread soon (`is_behind`). A peer that
//! sends too much, or subscribes to too much, is cut off.

use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::subscription::prefilter::TopicPrefilter;
use crate::net::subscription::table::SubscriptionTable;
use crate::net::zmq::ffi::uninterrupted;
use crate::net::zmq::frame::{Frame, Source};
use crate::net::zmq::monitor::MonitorEvent;
use crate::net::zmq::options::PEER_QUEUE;
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What `zmqchat doctor` subscribes to, to see whether it can; no topic begins so.
const DOCTOR: &[u8] = b"zmqchat doctor";

/// Notices read in one call at most.
pub(crate) const NOTICES: usize = 2_000;

/// A peer's subscriptions come a few at a time ([`PEER_QUEUE`]), with no mark after the last. The pauses between them are some 0.05 ms, and longer where the processors are busy.
const QUIET: Duration = Duration::from_millis(10);

/// The longest time that a wait for subscribers waits for the last of their subscriptions, while other
/// peers keep changing theirs.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// Frames that one connection may send within [`WINDOW`] without adding to its subscriptions:
/// toggles, repetitions, and what is not a subscription. Twice the subscriptions that it had are
/// allowed on top, so that all of them may be taken back and made anew.
const IDLE_FRAMES: u64 = 50_000;
const WINDOW: Duration = Duration::from_secs(10);

/// The books, and what is on its way into them.
pub(crate) struct SubscriptionTracker {
    pub(crate) ledger: SubscriptionTable,
    pub(crate) heard: TopicPrefilter,
    framing: Framing,
    /// The limit for the subscriptions of one peer, and for those of all peers together. 0: no limit.
    max_subscriptions: usize,
    /// See [`IDLE_FRAMES`].
    idle_frames: u64,
    /// Read, and not booked before the monitor has been read to its end.
    notices: Vec<Frame>,
    /// Whether each notice is shown to the caller before it is booked.
    shows: bool,
    /// Notices are left that the last call did not read.
    behind: bool,
    /// How many notices the last call read.
    read: usize,
    /// When a call last read at least `PEER_QUEUE` notices: a peer's queue may have been full then.
    last_burst: Option<Instant>,
    meters: HashMap<i32, Meter>,
}

/// What one connection sends.
struct Meter {
    token: usize,
    since: Instant,
    /// Frames since then that did not add to its subscriptions.
    idle: u64,
    /// The most subscriptions that it had.
    peak: usize,
}

impl Meter {
    fn new(token: usize, now: Instant) -> Self {
        Self {
            token,
            since: now,
            idle: 0,
            peak: 0,
        }
    }

    /// Counts one frame, after which the connection holds `held` subscriptions. Returns true if the
    /// connection has exceeded its limit.
    fn count(&mut self, now: Instant, held: usize, idle_frames: u64) -> bool {
        if held > self.peak {
            self.peak = held;
            return false;
        }
        if now.duration_since(self.since) > WINDOW {
            self.since = now;
            self.idle = 0;
        }
        self.idle += 1;
        self.idle > self.most(idle_frames)
    }

    fn most(&self, idle_frames: u64) -> u64 {
        idle_frames + 2 * self.peak as u64
    }

    /// Why its connection is cut off.
    fn reason(&self, now: Instant, idle_frames: u64) -> String {
        let seconds = now.duration_since(self.since).as_secs_f64().max(0.001);
        #[allow(clippy::cast_precision_loss)] // for people
        let rate = self.idle as f64 / seconds;
        format!(
            "it sent {} frames within {seconds:.1} s ({rate:.0} per second) that added no \
             subscription; the limit is {} within {} s",
            self.idle,
            self.most(idle_frames),
            WINDOW.as_secs()
        )
    }
}

impl SubscriptionTracker {
    /// No peer yet. The framing says how subscriptions are reported.
    pub(crate) fn new(
        framing: Framing,
        ledger: SubscriptionTable,
        heard: TopicPrefilter,
        shows: bool,
        max_subscriptions: usize,
    ) -> Self {
        Self {
            ledger,
            heard,
            framing,
            max_subscriptions,
            idle_frames: IDLE_FRAMES,
            notices: Vec::new(),
            shows,
            behind: false,
            read: 0,
            last_burst: None,
            meters: HashMap::new(),
        }
    }

    /// Whether notices are left that the last call did not read.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether no peer seems to have more subscriptions on the way. A queue that was never full held all.
    pub(crate) fn is_quiet(&self) -> bool {
        self.last_burst.is_none_or(|read| read.elapsed() >= QUIET)
    }

    /// How many notices the last call read.
    pub(crate) fn last_read(&self) -> usize {
        self.read
    }

    /// Whether all notices that were read are booked.
    pub(crate) fn is_booked(&self) -> bool {
        self.notices.is_empty()
    }

    /// Reads notices and the monitor, within limits; `seen` is shown each notice as soon as it is
    /// read, with the books as they were before, if that is wanted at all. Says whether anything was
    /// reported. See `ledger` for why this order.
    pub(crate) fn read(
        &mut self,
        live: &mut OpenSocket,
        mut seen: impl FnMut(&mut OpenSocket, &SubscriptionTable, &Frame),
    ) -> bool {
        let mut reported = false;
        let mut ended = false;
        let before = self.notices.len();
        while self.notices.len() < NOTICES {
            let mut notice = Frame::empty();
            if self.shows {
                // A departure that is taken in later would end what `seen` may do for its subscriber.
                live.run_commands();
            }
            if uninterrupted(|| notice.receive(&mut live.socket)).is_err() {
                ended = true;
                break;
            }
            if self.shows {
                if self.knows(&notice) {
                    // Or its descriptor is another connection's by now.
                    reported |= self.read_monitor(live);
                }
                seen(live, &self.ledger, &notice);
            }
            self.notices.push(notice);
        }
        self.read = self.notices.len() - before;
        if self.read >= PEER_QUEUE {
            self.last_burst = Some(Instant::now());
        }
        reported |= self.read_monitor(live);
        self.behind = !ended;
        if live.is_behind() {
            // Booked when it is known which connections they come from.
            self.behind = true;
            return reported;
        }
        let now = Instant::now();
        for notice in std::mem::take(&mut self.notices) {
            self.book(live, &notice, now);
        }
        if ended {
            self.ledger.read_to_the_end();
        }
        self.limit(live);
        self.heard.renew(&self.ledger);
        reported
    }

    /// Books one notice.
    fn book(&mut self, live: &mut OpenSocket, notice: &Frame, now: Instant) {
        let source = notice.source();
        if let [1, start @ ..] = notice.bytes() {
            self.heard.add(start);
        }
        let hold = || notice.share();
        match SubscriptionMessage::of(notice) {
            SubscriptionMessage::Subscribed(prefix) => {
                if self.ledger.subscribed(source, prefix, hold) {
                    tell(live, self.framing, source, prefix, EventKind::Subscribed);
                }
            }
            SubscriptionMessage::Unsubscribed(prefix) => {
                if self.ledger.unsubscribed(source, prefix, hold) {
                    tell(live, self.framing, source, prefix, EventKind::Unsubscribed);
                }
            }
            SubscriptionMessage::Other => {}
        }
        let Some(source) = source else { return };
        let new = || Meter::new(source.token, now);
        let meter = self.meters.entry(source.descriptor).or_insert_with(new);
        if meter.token != source.token {
            *meter = new();
        }
        if meter.count(now, self.ledger.held_by(source), self.idle_frames) {
            let reason = meter.reason(now, self.idle_frames);
            // Should it fail, the next frame tries again only after as many more.
            *meter = new();
            self.cut(live, source.descriptor, reason);
        }
    }

    /// Cuts a connection off.
    fn cut(&mut self, live: &mut OpenSocket, descriptor: i32, reason: String) -> bool {
        let cut = live.cut(descriptor, reason);
        if cut {
            // What else it sent is not counted as an open connection's any more.
            self.ledger.gone(descriptor);
        }
        cut
    }

    /// Cuts off the peer with most subscriptions while there are too many.
    fn limit(&mut self, live: &mut OpenSocket) {
        let most = self.max_subscriptions;
        while most > 0 && self.ledger.held() > most {
            let Some((descriptor, count)) = self.ledger.greatest() else {
                return;
            };
            let remedy =
                format!("raise max_subscriptions={most} if that is intended; 0 means no limit");
            let reason = if count > most {
                format!("it has {count} subscriptions: {remedy}")
            } else {
                format!(
                    "all peers together have {} subscriptions, and it has most, {count}: {remedy}",
                    self.ledger.held()
                )
            };
            if !self.cut(live, descriptor, reason) {
                return;
            }
        }
    }

    /// Whether it subscribes to what its connection has subscribed to already.
    fn knows(&self, notice: &Frame) -> bool {
        match (SubscriptionMessage::of(notice), notice.source()) {
            (SubscriptionMessage::Subscribed(prefix), Some(source)) => {
                self.ledger.has(source, prefix)
            }
            _ => false,
        }
    }

    /// Takes in which connections were opened and closed.
    pub(crate) fn read_monitor(&mut self, live: &mut OpenSocket) -> bool {
        let Self { ledger, meters, .. } = self;
        live.read_happenings(|happening| match happening {
            MonitorEvent::Opened(peer) => {
                meters.remove(&peer.descriptor);
                ledger.opened(peer.descriptor);
            }
            MonitorEvent::Gone(peer) => {
                meters.remove(&peer.descriptor);
                ledger.gone(peer.descriptor);
            }
            _ => {}
        })
    }
}

/// What a frame on an XPUB says.
pub(crate) enum SubscriptionMessage<'a> {
    /// A peer subscribed to messages that begin with this.
    Subscribed(&'a [u8]),
    /// A peer took that back, or departed.
    Unsubscribed(&'a [u8]),
    /// A message from downstream, which nobody asked for; or a doctor's visit, which is no audience.
    Other,
}

impl<'a> SubscriptionMessage<'a> {
    pub(crate) fn of(frame: &'a Frame) -> Self {
        match frame.bytes() {
            [_, prefix @ ..] if prefix == DOCTOR => Self::Other,
            [1, prefix @ ..] => Self::Subscribed(prefix),
            [0, prefix @ ..] => Self::Unsubscribed(prefix),
            _ => Self::Other,
        }
    }
}

/// Reports a subscription that was added or removed, where it is known whose it is.
fn tell(
    live: &OpenSocket,
    framing: Framing,
    source: Option<Source>,
    prefix: &[u8],
    kind: fn(Subscription) -> EventKind,
) {
    if let Some(address) = source.and_then(|source| live.address_of(source.descriptor)) {
        live.tell_if_asked(kind(Subscription::from_wire(prefix, framing)), address);
    }
}

#[cfg(test)]
mod tests;
