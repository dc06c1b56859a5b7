//! What those do who look and, where that was in vain, are told when to look again: event loops.
//! The waits of threads do the same in a loop.

use crate::error::{Error, Result};
use crate::net::publisher::Publisher;
use crate::net::runtime::reactor::{Interest, ReadinessCallback};
use crate::net::subscriber::timeout_cause::some;
use crate::net::subscriber::Subscriber;
use crate::net::zmq::frame::{Payload, RawMessage};
use crate::wire::quote;
use crate::wire::subscription::Subscription;
use std::sync::Arc;
use std::time::Duration;

/// How many subscriptions are looked at for the text of an error; a publisher may have a million.
const EXAMPLES: usize = 1_000;

/// How long an event loop waits at most for the last subscriptions of a new peer.
const BRIEF: Duration = Duration::from_millis(50);

impl Subscriber {
    /// A watch that is not set yet.
    pub fn watch(
        &self,
        want: Interest,
        tell: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.owner.watch(want, tell)
    }

    /// Takes up to `max_count` messages that are there; none where there are none: then the watch
    /// is set.
    pub fn take_or_watch(
        &self,
        max_count: usize,
        watch: Option<&Arc<ReadinessCallback>>,
    ) -> Result<Vec<RawMessage>> {
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
        watch: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> Result<usize> {
        let mut seen = 0;
        self.owner.look(watch, first, |live, inbox| {
            seen = inbox.connected(live);
            Ok((seen >= count).then_some(()))
        })?;
        Ok(seen)
    }
}

impl Publisher {
    /// A watch that is not set yet.
    pub fn watch(
        &self,
        want: Interest,
        tell: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.owner.watch(want, tell)
    }

    /// Sends if no queue is full. Where one is, `false`, and the watch is set.
    pub fn send_or_watch(
        &self,
        payload: Payload<'_>,
        topic: Option<&str>,
        watch: Option<&Arc<ReadinessCallback>>,
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
        watch: Option<&Arc<ReadinessCallback>>,
        first: bool,
    ) -> Result<usize> {
        let start = self.start_of(topic)?;
        let mut seen = 0;
        self.owner.look(watch, first, |live, outbox| {
            outbox.read_notices(live);
            seen = outbox.audience.ledger.count(start.as_deref());
            Ok((seen >= count).then_some(()))
        })?;
        if seen >= count {
            self.settle(BRIEF)?;
        }
        Ok(seen)
    }

    /// The error for subscribers that did not come in time.
    #[must_use]
    pub fn too_few(&self, seen: usize, count: usize, topic: Option<&str>) -> Error {
        let what = topic.map_or(String::new(), |topic| format!(" of topic '{topic}'"));
        let plural = if count == 1 { "" } else { "s" };
        let others = match topic {
            Some(_) if seen == 0 => self.subscribed(),
            _ => String::new(),
        };
        let hint = if !others.is_empty() {
            format!("connected subscribers take other topics: {others}")
        } else if self.endpoints().is_empty() {
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
            "{seen} of {count} subscriber{plural}{what} connected within the timeout; {hint}"
        ))
    }

    /// Some of what peers subscribe to, for an error.
    fn subscribed(&self) -> String {
        let prefixes = || {
            let mut entered = self.owner.enter()?;
            let (_, outbox) = entered.parts()?;
            Ok::<_, Error>(outbox.audience.ledger.some_prefixes(EXAMPLES))
        };
        let prefixes = prefixes().unwrap_or_default();
        let mut named: Vec<String> = prefixes
            .iter()
            .map(
                |prefix| match Subscription::from_wire(prefix, self.framing()) {
                    Subscription::Topic(topic) => quote(&topic),
                    Subscription::Prefix(prefix) => {
                        format!("the prefix {}", quote(&String::from_utf8_lossy(&prefix)))
                    }
                },
            )
            .collect();
        named.sort();
        some(&named)
    }
}
