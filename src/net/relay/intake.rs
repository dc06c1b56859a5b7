//! A relay's frontend: an XSUB, to which publishers come.

use super::super::frame::Frame;
use super::super::live::Live;
use super::super::socket::Room;
use super::super::wake::Wake;
use super::cache::Frames;
use super::changes::Changes;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// What a relay keeps beside its frontend.
pub(super) struct Intake {
    /// Wakes the thread that passes messages on.
    pub(super) wake: Arc<Wake>,
    /// Messages stay where they are.
    pub(super) paused: bool,
    /// The beginning of a message that a full subscriber holds up; the rest is unread.
    pub(super) held: Option<Frame>,
    /// Where messages are received into.
    pub(super) frame: Frame,
    /// What upstream was asked for.
    pub(super) asked: HashSet<Arc<[u8]>>,
    /// What of that is to change.
    pub(super) changes: Changes,
    /// Messages passed on, and the bytes of all their frames.
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Copies of the frames of a message on its way, where somebody wants them.
    pub(super) copies: Frames,
}

impl Room for Intake {
    const NAME: &'static str = "Relay";

    fn tidy(&mut self, live: &mut Live, run_commands: bool) -> bool {
        if run_commands {
            live.run_commands();
        }
        live.read_happenings(|_| {})
    }

    fn has_left(&self) -> bool {
        false
    }

    fn attendant(&self) -> Option<&Wake> {
        Some(&self.wake)
    }
}

impl Intake {
    pub(super) fn new(wake: Arc<Wake>) -> Self {
        Self {
            wake,
            paused: false,
            held: None,
            frame: Frame::empty(),
            asked: HashSet::new(),
            changes: Changes::default(),
            messages: 0,
            bytes: 0,
            copies: Vec::new(),
        }
    }

    /// Asks upstream for what `is_wanted`, and takes back what no longer is, as far as the rate allows.
    pub(super) fn follow(&mut self, live: &mut Live, is_wanted: impl Fn(&[u8]) -> bool) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.pass_on(Instant::now(), self.asked.len(), |prefix| {
            self.ask(live, prefix, is_wanted(prefix))
        });
        self.changes = changes;
    }

    /// Asks upstream for this, or takes it back; false when nothing changes.
    pub(super) fn ask(&mut self, live: &mut Live, prefix: &Arc<[u8]>, wanted: bool) -> bool {
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
