//! Captures the messages that a relay forwards, e.g. for a transcript.

use crate::net::runtime::event_queue::{Event, EventKind};
use crate::net::runtime::process;
use crate::util::time::unix_ns;

/// A message that was forwarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Captured {
    /// All its frames.
    pub frames: Vec<Vec<u8>>,
    /// When it was taken from libzmq, in Unix nanoseconds.
    pub at_ns: i64,
}

/// Receives the messages that a relay forwards.
pub trait Capture: Send + Sync {
    /// Takes messages, in order. Must not wait: messages are not forwarded meanwhile.
    fn take(&self, messages: Vec<Captured>);
}

/// Reports that the messages of a relay cannot be logged.
pub fn report_not_logged(owner: u64, why: String) {
    process::events().push(Event {
        owner,
        side: "",
        kind: EventKind::NotLogged(why),
        address: String::new(),
        at_ns: unix_ns(),
    });
}
