//! A relay's backend: an XPUB, to which subscribers come.
//!
//! With a cache, libzmq lets us say who hears what (`ZMQ_XPUB_MANUAL`): a notice names a
//! subscriber, and what is set until the next notice concerns that one alone. So does one message
//! under `ZMQ_XPUB_MANUAL_LAST_VALUE`: the first one sent, and no second. Who subscribes to several
//! topics at once (a prefix) can therefore be given one message that others must not get again; but
//! all those that nobody else hears.

use super::super::audience::{Audience, Notice};
use super::super::events::Kind;
use super::super::frame::{Frame, Source};
use super::super::heard::Heard;
use super::super::ledger::Ledger;
use super::super::live::Live;
use super::super::socket::Room;
use super::super::sys;
use super::super::wake::Wake;
use super::super::witness;
use super::cache::{Cache, Frames};
use crate::wire::message::Framing;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Between two warnings of a subscriber that is too slow.
const QUIET: Duration = Duration::from_secs(5);

/// What a relay keeps beside its backend.
pub(super) struct Outlet {
    wake: Arc<Wake>,
    pub(super) audience: Audience,
    pub(super) late: Option<Late>,
    /// How often a full subscriber lost a message, at least.
    pub(super) overflows: u64,
    untold: u64,
    told: Option<Instant>,
}

impl Room for Outlet {
    const NAME: &'static str = "Relay";

    fn tidy(&mut self, live: &mut Live, run_commands: bool) -> bool {
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

    fn has_untold(&self) -> bool {
        self.untold > 0
    }

    fn attendant(&self) -> Option<&Wake> {
        Some(&self.wake)
    }

    fn last_words(&mut self, live: &mut Live) {
        self.warn(live, Duration::ZERO);
    }
}

impl Outlet {
    /// One that keeps the latest messages of so many topics.
    pub(super) fn new(wake: Arc<Wake>, cached_topics: usize, max_subscriptions: usize) -> Self {
        Self {
            wake,
            audience: Audience::new(
                Framing::Plain,
                Ledger::with_totals(),
                Heard::everything(),
                cached_topics > 0,
                max_subscriptions,
            ),
            late: (cached_topics > 0).then(|| Late {
                cache: Cache::new(cached_topics),
                fresh: HashSet::new(),
                skipped: 0,
            }),
            overflows: 0,
            untold: 0,
            told: None,
        }
    }

    /// Takes in who came and went, and gives those who come late what they missed.
    pub(super) fn read_notices(&mut self, live: &mut Live) -> bool {
        let Some(late) = &mut self.late else {
            return self.audience.read(live, |_, _, _| {});
        };
        let reported = self.audience.read(live, |live, ledger, notice| {
            late.admit(live, ledger, notice);
        });
        if self.audience.is_booked() {
            late.fresh.clear();
        }
        reported
    }

    /// A full subscriber is about to lose a message.
    pub(super) fn overflowed(&mut self, live: &Live) {
        self.overflows += 1;
        self.untold += 1;
        self.warn(live, QUIET);
    }

    fn warn(&mut self, live: &Live, quiet: Duration) {
        if self.untold > 0 && self.told.is_none_or(|told| told.elapsed() >= quiet) {
            live.tell(Kind::Overflow(self.untold), "");
            self.untold = 0;
            self.told = Some(Instant::now());
        }
    }
}

/// For those who come late.
pub(super) struct Late {
    pub(super) cache: Cache,
    /// Subscriptions that libzmq knows and the books do not yet.
    fresh: HashSet<Vec<u8>>,
    /// Messages that a newcomer did not get: others would have got them again, or its queue was full.
    pub(super) skipped: u64,
}

impl Late {
    /// Sets at libzmq what the notice asks for, and sends a newcomer the latest messages.
    fn admit(&mut self, live: &mut Live, ledger: &Ledger, notice: &Frame) {
        match Notice::of(notice) {
            Notice::Subscribed(prefix) => {
                // Fails for nothing but a socket that is closed, whose end follows.
                let _ = live.socket.set_subscribe(prefix);
                let source = notice.source();
                if !source.is_some_and(|peer| ledger.has(peer, prefix)) {
                    let missed = self.cache.matching(prefix);
                    self.replay(live, ledger, missed, source);
                }
                self.fresh.insert(prefix.to_vec());
            }
            Notice::Unsubscribed(prefix) => {
                let _ = live.socket.set_unsubscribe(prefix);
            }
            Notice::Other => {}
        }
    }

    fn replay(
        &mut self,
        live: &mut Live,
        ledger: &Ledger,
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
    fn is_heard(&self, ledger: &Ledger, first: &[u8]) -> bool {
        ledger.is_heard(first) || self.fresh.iter().any(|prefix| first.starts_with(prefix))
    }
}

/// Sends to whoever sent the last notice, and to nobody else. Where libzmq takes in the departure of
/// anybody just before, it has forgotten whom that is, and all who hear it get it again: a newcomer
/// without the latest message would be worse off than others with two of the same.
fn send_to_newcomer(live: &mut Live, frames: &Frames, source: Option<Source>) -> bool {
    if !source.is_none_or(|source| witness::is_connected(source.descriptor)) {
        // It has left already.
        return false;
    }
    let socket = &mut live.socket;
    let sent = sys::set_int(socket, sys::XPUB_MANUAL_LAST_VALUE, 1).is_ok() && send(live, frames);
    // The one option switches both off.
    let socket = &mut live.socket;
    let _ = sys::set_int(socket, sys::XPUB_MANUAL_LAST_VALUE, 0)
        .and_then(|()| sys::set_int(socket, sys::XPUB_MANUAL, 1));
    sent
}

/// Sends a whole message, or nothing of it where the queue is full.
fn send(live: &mut Live, frames: &Frames) -> bool {
    for (index, bytes) in frames.iter().enumerate() {
        let more = index + 1 < frames.len();
        let sent = Frame::concat(&[bytes])
            .and_then(|mut frame| super::pump::send_whole(live, &mut frame, more, index > 0));
        if !matches!(sent, Ok(true)) {
            return false;
        }
    }
    true
}
