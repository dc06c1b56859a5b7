//! Who listens to an XPUB: its notices and its monitor, read in the order that keeps the books right.

use super::events::Kind;
use super::filter::Subscription;
use super::frame::Frame;
use super::heard::Heard;
use super::ledger::Ledger;
use super::live::{uninterrupted, Live};
use super::monitor::Happening;
use crate::wire::message::Framing;

/// What `zmqchat doctor` subscribes to, to see whether it can; no topic begins so.
const DOCTOR: &[u8] = b"zmqchat doctor";

/// Notices taken in at a time.
const NOTICES: usize = 1_024;

/// The books, and what is on its way into them.
pub(crate) struct Audience {
    pub(crate) ledger: Ledger,
    pub(crate) heard: Heard,
    framing: Framing,
    notices: Vec<Frame>,
    /// Whether each notice is shown to somebody before it is booked.
    shows: bool,
}

impl Audience {
    /// Nobody yet. The framing says how subscriptions are told.
    pub(crate) fn new(framing: Framing, ledger: Ledger, heard: Heard, shows: bool) -> Self {
        Self {
            ledger,
            heard,
            framing,
            notices: Vec::new(),
            shows,
        }
    }

    /// Takes in who came and went; `seen` is shown each notice as soon as it is read, with the books
    /// as they were before, if that is wanted at all. Says whether anything was reported. See `ledger` for why this order.
    pub(crate) fn read(
        &mut self,
        live: &mut Live,
        mut seen: impl FnMut(&mut Live, &Ledger, &Frame),
    ) -> bool {
        let mut reported = false;
        loop {
            while self.notices.len() < NOTICES {
                let mut notice = Frame::empty();
                if self.shows {
                    // A departure that is taken in later would end what `seen` may do for somebody.
                    live.run_commands();
                }
                if uninterrupted(|| notice.receive(&mut live.socket)).is_err() {
                    break;
                }
                if self.shows {
                    if self.knows(&notice) {
                        // Or its descriptor is another's by now.
                        reported |= self.read_monitor(live);
                    }
                    seen(live, &self.ledger, &notice);
                }
                self.notices.push(notice);
            }
            reported |= self.read_monitor(live);
            let full = self.notices.len() == NOTICES;
            for notice in self.notices.drain(..) {
                let source = notice.source();
                if let [1, start @ ..] = notice.bytes() {
                    self.heard.add(start);
                }
                match Notice::of(&notice) {
                    Notice::Subscribed(prefix) => {
                        self.ledger.subscribed(source, prefix);
                        tell(live, self.framing, source, prefix, Kind::Subscribed);
                    }
                    Notice::Unsubscribed(prefix) => {
                        self.ledger.unsubscribed(source, prefix);
                        tell(live, self.framing, source, prefix, Kind::Unsubscribed);
                    }
                    Notice::Other => {}
                }
            }
            if !full {
                return reported;
            }
        }
    }

    /// Whether it subscribes to what its descriptor has subscribed to already.
    fn knows(&self, notice: &Frame) -> bool {
        match (Notice::of(notice), notice.source()) {
            (Notice::Subscribed(prefix), Some(source)) => self.ledger.has(source, prefix),
            _ => false,
        }
    }

    /// Takes in which connections came and went.
    pub(crate) fn read_monitor(&mut self, live: &mut Live) -> bool {
        let mut reported = false;
        while let Some(happening) = live.next_happening() {
            reported = true;
            match happening {
                Happening::Opened(peer) => self.ledger.opened(peer.descriptor),
                Happening::Gone(peer) => self.ledger.gone(peer.descriptor),
                _ => {}
            }
        }
        reported
    }
}

/// What a frame on an XPUB says.
pub(crate) enum Notice<'a> {
    /// Somebody subscribed to messages that begin with this.
    Subscribed(&'a [u8]),
    /// Somebody took that back, or departed.
    Unsubscribed(&'a [u8]),
    /// A message from downstream, which nobody asked for; or a doctor's visit, which is no audience.
    Other,
}

impl<'a> Notice<'a> {
    pub(crate) fn of(frame: &'a Frame) -> Self {
        match frame.bytes() {
            [_, prefix @ ..] if prefix == DOCTOR => Self::Other,
            [1, prefix @ ..] => Self::Subscribed(prefix),
            [0, prefix @ ..] => Self::Unsubscribed(prefix),
            _ => Self::Other,
        }
    }
}

/// Tells of a subscription that came or went, where it is known whose it is.
fn tell(
    live: &Live,
    framing: Framing,
    source: Option<i32>,
    prefix: &[u8],
    kind: fn(Subscription) -> Kind,
) {
    if let Some(address) = source.and_then(|descriptor| live.address_of(descriptor)) {
        live.tell_if_asked(kind(Subscription::from_wire(prefix, framing)), address);
    }
}
