//! How an object reports events.

use crate::net::runtime::event_queue::{Event, EventKind};
use crate::net::runtime::process;
use crate::util::time::unix_ns;

/// The identity under which an object reports events.
#[derive(Debug)]
pub(crate) struct Reporter {
    /// The number of the object.
    pub(crate) number: u64,
    /// The side of a relay, "frontend" or "backend"; empty for other objects.
    pub(crate) side: &'static str,
    /// Whether the program has a handler for events. Otherwise only warnings are reported.
    pub(crate) has_handler: bool,
}

impl Reporter {
    /// Reports an event, to the handler or to the log.
    pub(crate) fn report(&self, kind: EventKind, address: &str) {
        process::events().push(Event {
            owner: self.number,
            side: self.side,
            kind,
            address: address.to_owned(),
            at_ns: unix_ns(),
        });
    }

    /// Reports an event only if there is a handler.
    pub(crate) fn report_to_handler(&self, kind: EventKind, address: &str) {
        if self.has_handler {
            self.report(kind, address);
        }
    }
}
