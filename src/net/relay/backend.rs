//! A relay's backend: an XPUB, to which subscribers come.
//!
//! With a cache, libzmq lets us say who hears what (`ZMQ_XPUB_MANUAL`): a notice names a
//! subscriber, and what is set until the next notice concerns that one alone. So does one message
//! under `ZMQ_XPUB_MANUAL_LAST_VALUE`: the first one sent, and no second. Who subscribes to several
//! topics at once (a prefix) can therefore be given one message that others must not get again; but
//! all those that nobody else hears.

use crate::net::connection::disconnect_reason;
use crate::net::relay::last_value_cache::{Frames, LastValueCache};
use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SocketHandler;
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

/// Between two warnings of a subscriber that is too slow.
const QUIET: Duration = Duration::from_secs(5);

/// What a relay keeps beside its backend.
pub(crate) struct Backend {
    wake: Arc<Wakeup>,
    pub(crate) audience: SubscriptionTracker,
    pub(crate) late: Option<LastValueReplay>,
    /// How often a full subscriber lost a message, at least.
    pub(crate) overflows: u64,
    untold: u64,
    told: Option<Instant>,
}

impl SocketHandler for Backend {
    const NAME: &'static str = "Relay";

    fn process_monitor(&mut self, live: &mut OpenSocket, run_commands: bool) -> bool {
        self.warn(live, QUIET);
        if run_commands {
            self.read_notices(live)
        } else {
            self.audience.read_monitor(live)
        }
    }

    fn has_left(&self) -> bool {
        false
    }

    fn is_behind(&self) -> bool {
        self.audience.is_behind()
    }

    fn has_pending_warning(&self) -> bool {
        self.untold > 0
    }

    fn attendant(&self) -> Option<&Wakeup> {
        Some(&self.wake)
    }

    fn on_close(&mut self, live: &mut OpenSocket) {
        self.warn(live, Duration::ZERO);
    }
}

impl Backend {
    /// One that keeps the latest messages of so many topics.
    pub(crate) fn new(wake: Arc<Wakeup>, cached_topics: usize, max_subscriptions: usize) -> Self {
        Self {
            wake,
            audience: SubscriptionTracker::new(
                Framing::Plain,
                SubscriptionTable::with_totals(),
                TopicPrefilter::everything(),
                cached_topics > 0,
                max_subscriptions,
            ),
            late: (cached_topics > 0).then(|| LastValueReplay {
                cache: LastValueCache::new(cached_topics),
                fresh: HashSet::new(),
                skipped: 0,
            }),
            overflows: 0,
            untold: 0,
            told: None,
        }
    }

    /// Takes in who came and went, and gives those who come late what they missed.
    pub(crate) fn read_notices(&mut self, live: &mut OpenSocket) -> bool {
        let Some(late) = &mut self.late else {
            return self.audience.read(live, |_, _, _| {});
        };
        let reported = self.audience.read(live, |live, ledger, notice| {
            late.admit(live, ledger, notice);
        });
        if self.audience.is_up_to_date() {
            late.fresh.clear();
        }
        reported
    }

    /// A full subscriber is about to lose a message.
    pub(crate) fn overflowed(&mut self, live: &OpenSocket) {
        self.overflows += 1;
        self.untold += 1;
        self.warn(live, QUIET);
    }

    fn warn(&mut self, live: &OpenSocket, quiet: Duration) {
        if self.untold > 0 && self.told.is_none_or(|told| told.elapsed() >= quiet) {
            live.tell(EventKind::Overflow(self.untold), "");
            self.untold = 0;
            self.told = Some(Instant::now());
        }
    }
}

/// For those who come late.
pub(crate) struct LastValueReplay {
    pub(crate) cache: LastValueCache,
    /// Subscriptions that libzmq knows and the books do not yet.
    fresh: HashSet<Vec<u8>>,
    /// Messages that a newcomer did not get: others would have got them again, or its queue was full.
    pub(crate) skipped: u64,
}

impl LastValueReplay {
    /// Sets at libzmq what the notice asks for, and sends a newcomer the latest messages.
    fn admit(&mut self, live: &mut OpenSocket, ledger: &SubscriptionTable, notice: &Frame) {
        match SubscriptionMessage::of(notice) {
            SubscriptionMessage::Subscribe(prefix) => {
                // Fails for nothing but a socket that is closed, whose end follows.
                let _ = live.socket.set_subscribe(prefix);
                let source = notice.source();
                if !source.is_some_and(|peer| ledger.contains(peer, prefix)) {
                    let missed = self.cache.matching(prefix);
                    self.replay(live, ledger, missed, source);
                }
                self.fresh.insert(prefix.to_vec());
            }
            SubscriptionMessage::Unsubscribe(prefix) => {
                let _ = live.socket.set_unsubscribe(prefix);
            }
            SubscriptionMessage::Other => {}
        }
    }

    fn replay(
        &mut self,
        live: &mut OpenSocket,
        ledger: &SubscriptionTable,
        mut missed: Vec<Frames>,
        source: Option<Source>,
    ) {
        let is_heard = |frames: &Frames| self.is_heard(ledger, &frames[0]);
        let shared = missed.iter().filter(|frames| is_heard(frames)).count();
        // Of those that others hear, the latest.
        let mut superfluous = shared.saturating_sub(1);
        self.skipped += superfluous as u64;
        if superfluous > 0 {
            missed.retain(|frames| {
                let heard = superfluous > 0 && self.is_heard(ledger, &frames[0]);
                superfluous -= usize::from(heard);
                !heard
            });
        }
        for frames in missed {
            let sent = if self.is_heard(ledger, &frames[0]) {
                send_to_newcomer(live, &frames, source)
            } else {
                send(live, &frames)
            };
            self.skipped += u64::from(!sent);
        }
    }

    /// Whether somebody else hears a message that begins so.
    fn is_heard(&self, ledger: &SubscriptionTable, first: &[u8]) -> bool {
        ledger.has_receiver(first) || self.fresh.iter().any(|prefix| first.starts_with(prefix))
    }
}

/// Sends to whoever sent the last notice, and to nobody else. Where libzmq takes in the departure of
/// anybody just before, it has forgotten whom that is, and all who hear it get it again: a newcomer
/// without the latest message would be worse off than others with two of the same.
fn send_to_newcomer(live: &mut OpenSocket, frames: &Frames, source: Option<Source>) -> bool {
    if !source.is_none_or(|source| disconnect_reason::is_connected(source.descriptor)) {
        // It has left already.
        return false;
    }
    let socket = &mut live.socket;
    let sent = ffi::set_int(socket, ffi::XPUB_MANUAL_LAST_VALUE, 1).is_ok() && send(live, frames);
    // The one option switches both off.
    let socket = &mut live.socket;
    let _ = ffi::set_int(socket, ffi::XPUB_MANUAL_LAST_VALUE, 0)
        .and_then(|()| ffi::set_int(socket, ffi::XPUB_MANUAL, 1));
    sent
}

/// Sends a whole message, or nothing of it where the queue is full.
fn send(live: &mut OpenSocket, frames: &Frames) -> bool {
    for (index, bytes) in frames.iter().enumerate() {
        let more = index + 1 < frames.len();
        let sent = Frame::concat(&[bytes])
            .and_then(|mut frame| send_whole(&mut live.socket, &mut frame, more, index > 0));
        if !matches!(sent, Ok(true)) {
            return false;
        }
    }
    true
}
