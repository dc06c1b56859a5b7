//! What those do who look and, where that was in vain, are told when to look again: event loops.
//! The waits of threads do the same in a loop.

use super::frame::Payload;
use super::inbox::Received;
use super::publisher::Publisher;
use super::socket;
use super::subscriber::Subscriber;
use super::watch::{Want, Watch};
use crate::error::{Error, Result};
use std::sync::Arc;

impl Subscriber {
    /// A watch that is not set yet.
    pub fn watch(&self, want: Want, tell: Box<dyn Fn() + Send + Sync>) -> Result<Arc<Watch>> {
        self.owner.watch(want, tell)
    }

    /// Takes up to `max_count` messages that are there; none where there are none: then the watch
    /// is set.
    pub fn take_or_watch(
        &self,
        max_count: usize,
        watch: Option<&Arc<Watch>>,
    ) -> Result<Vec<Received>> {
        let taken = self.owner.look(watch, false, |live, inbox| {
            let taken = inbox.take(live, max_count)?;
            Ok((!taken.is_empty()).then_some(taken))
        })?;
        Ok(taken.unwrap_or_default())
    }

    /// How many connections stand. Where they are fewer than `count`, the watch is set.
    pub fn connected_or_watch(
        &self,
        count: usize,
        watch: Option<&Arc<Watch>>,
        first: bool,
    ) -> Result<usize> {
        let mut seen = 0;
        self.owner.look(watch, first, |live, inbox| {
            seen = inbox.connected(live);
            Ok((seen >= count).then_some(()))
        })?;
        Ok(seen)
    }

    /// The error for connections that did not stand in time.
    #[must_use]
    pub fn too_few(seen: usize, count: usize) -> Error {
        socket::too_few_stood(seen, count)
    }
}

impl Publisher {
    /// A watch that is not set yet.
    pub fn watch(&self, want: Want, tell: Box<dyn Fn() + Send + Sync>) -> Result<Arc<Watch>> {
        self.owner.watch(want, tell)
    }

    /// Sends if no queue is full. Where one is, `false`, and the watch is set.
    pub fn send_or_watch(
        &self,
        payload: Payload<'_>,
        topic: Option<&str>,
        watch: Option<&Arc<Watch>>,
        first: bool,
    ) -> Result<bool> {
        let sent = self.owner.look(watch, first, |live, outbox| {
            // Takes in the acknowledgements that make room.
            live.run_commands();
            Ok(outbox.send(live, payload, topic)?.then_some(()))
        })?;
        Ok(sent.is_some())
    }

    /// How many peers hear `topic`. Where they are fewer than `count`, the watch is set.
    pub fn subscribers_or_watch(
        &self,
        count: usize,
        topic: Option<&str>,
        watch: Option<&Arc<Watch>>,
        first: bool,
    ) -> Result<usize> {
        let start = self.start_of(topic)?;
        let mut seen = 0;
        self.owner.look(watch, first, |live, outbox| {
            outbox.read_notices(live);
            seen = outbox.audience.ledger.count(start.as_deref());
            Ok((seen >= count).then_some(()))
        })?;
        Ok(seen)
    }

    /// The error for subscribers that did not come in time.
    #[must_use]
    pub fn too_few(&self, seen: usize, count: usize, topic: Option<&str>) -> Error {
        let what = topic.map_or(String::new(), |topic| format!(" of topic '{topic}'"));
        let hint = if self.endpoints().is_empty() {
            format!(
                "check that they listen (bind) at the address that this publisher connects to: {}",
                self.connections().join(", ")
            )
        } else {
            format!(
                "check that they use one of these addresses, and that no firewall is in the way: {}",
                self.addresses().join(", ")
            )
        };
        Error::Timeout(format!(
            "{seen} of {count} subscribers{what} came in time; {hint}"
        ))
    }
}
