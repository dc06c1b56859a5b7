//! A relay's frontend: an XSUB, to which publishers come.

use crate::net::relay::last_value_cache::Frames;
use crate::net::relay::subscription_changes::SubscriptionChanges;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SocketHandler;
use crate::net::zmq::frame::Frame;
use crate::util::wakeup::Wakeup;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// What a relay keeps beside its frontend.
pub(crate) struct Frontend {
    /// Wakes the thread that passes messages on.
    pub(crate) wake: Arc<Wakeup>,
    /// Messages stay where they are.
    pub(crate) paused: bool,
    /// The beginning of a message that a full subscriber holds up; the rest is unread.
    pub(crate) held: Option<Frame>,
    /// Where messages are received into.
    pub(crate) frame: Frame,
    /// What upstream was asked for.
    pub(crate) asked: HashSet<Arc<[u8]>>,
    /// What of that is to change.
    pub(crate) changes: SubscriptionChanges,
    /// Messages passed on, and the bytes of all their frames.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Copies of the frames of a message on its way, where somebody wants them.
    pub(crate) copies: Frames,
}

impl SocketHandler for Frontend {
    const NAME: &'static str = "Relay";

    fn process_monitor(&mut self, live: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            live.run_commands();
        }
        live.read_happenings(|_| {})
    }

    fn has_left(&self) -> bool {
        false
    }

    fn attendant(&self) -> Option<&Wakeup> {
        Some(&self.wake)
    }
}

impl Frontend {
    pub(crate) fn new(wake: Arc<Wakeup>) -> Self {
        Self {
            wake,
            paused: false,
            held: None,
            frame: Frame::empty(),
            asked: HashSet::new(),
            changes: SubscriptionChanges::default(),
            messages: 0,
            bytes: 0,
            copies: Vec::new(),
        }
    }

    /// Asks upstream for what `is_wanted`, and takes back what no longer is, as far as the rate allows.
    pub(crate) fn follow(&mut self, live: &mut OpenSocket, is_wanted: impl Fn(&[u8]) -> bool) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.pass_on(Instant::now(), self.asked.len(), |prefix| {
            self.ask(live, prefix, is_wanted(prefix))
        });
        self.changes = changes;
    }

    /// Asks upstream for this, or takes it back; false when nothing changes.
    pub(crate) fn ask(&mut self, live: &mut OpenSocket, prefix: &Arc<[u8]>, wanted: bool) -> bool {
        let changes = if wanted {
            self.asked.insert(Arc::clone(prefix))
        } else {
            self.asked.remove(prefix)
        };
        if changes {
            // An XSUB whose queue has no limit refuses none.
            let _ = Frame::send_parts(&mut live.socket, &[&[u8::from(wanted)], prefix]);
        }
        changes
    }
}
