//! Who subscribes to what; pure bookkeeping, fed by the publisher.
//!
//! libzmq tells it in two streams that are not ordered against each other: *notices* on the XPUB
//! (a subscription came or went), and the *monitor* (a connection opened or went). A notice that a
//! peer sent names its connection by descriptor; one that libzmq makes up when a peer departs, and
//! any from inproc, names none. Descriptors are used again at once.
//!
//! What keeps the books right: read notices first, then the monitor, then apply the monitor's
//! reports before those notices. A departure is reported before libzmq makes up its notices, so
//! that these always find their debt in `departed`.
//!
//! One doubt remains: a notice may come to light after its sender's departure, when its descriptor
//! has a new owner, and is then booked on that. A connection on a descriptor that was used before
//! therefore counts how often it was booked for a prefix, and a made-up notice that finds no debt
//! is taken off one of these, never off anybody else.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

type Prefix = Arc<[u8]>;

/// One open connection.
#[derive(Debug, Default)]
struct Peer {
    /// What it subscribes to, and how often it was booked for that.
    prefixes: HashMap<Prefix, usize>,
    /// Its descriptor had another owner before.
    doubtful: bool,
}

/// How many have each subscription, for whoever hands subscriptions on.
#[derive(Debug, Default)]
struct Totals {
    held: HashMap<Prefix, usize>,
    /// What had nobody and has somebody, or the other way round, since that was last asked.
    turned: Vec<Prefix>,
}

impl Totals {
    fn hold(&mut self, prefix: &Prefix) {
        let count = self.held.entry(Arc::clone(prefix)).or_default();
        *count += 1;
        if *count == 1 {
            self.turned.push(Arc::clone(prefix));
        }
    }

    fn release(&mut self, prefix: &[u8]) {
        if take(&mut self.held, prefix) && !self.held.contains_key(prefix) {
            self.turned.push(prefix.into());
        }
    }
}

/// The books of one publisher.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The open connections, by descriptor.
    peers: HashMap<i32, Peer>,
    /// Descriptors that had an owner before; as many as were ever open at once.
    used: HashSet<i32>,
    /// Subscriptions of departed connections whose made-up notices have yet to come.
    departed: HashMap<Prefix, usize>,
    /// Subscriptions that name no connection (inproc), counted.
    nameless: HashMap<Prefix, usize>,
    /// Kept only where somebody asks for them: a publisher may have a million subscriptions.
    totals: Option<Totals>,
}

/// Takes one off a counter; false when there is none.
fn take(counts: &mut HashMap<Prefix, usize>, prefix: &[u8]) -> bool {
    match counts.get_mut(prefix) {
        Some(1) => {
            counts.remove(prefix);
            true
        }
        Some(count) => {
            *count -= 1;
            true
        }
        None => false,
    }
}

/// Takes one off a counter; true when that was the last one.
fn take_last(counts: &mut HashMap<Prefix, usize>, prefix: &[u8]) -> bool {
    take(counts, prefix) && !counts.contains_key(prefix)
}

impl Ledger {
    /// Books that also know how many have each subscription.
    pub(crate) fn with_totals() -> Self {
        Self {
            totals: Some(Totals::default()),
            ..Self::default()
        }
    }

    /// The prefixes that somebody has since the last call and nobody had before, or the other way
    /// round; perhaps several times.
    pub(crate) fn turned(&mut self) -> Vec<Prefix> {
        let turned = self.totals.as_mut().map(|totals| &mut totals.turned);
        turned.map(std::mem::take).unwrap_or_default()
    }

    /// Whether somebody subscribes to exactly this.
    pub(crate) fn is_held(&self, prefix: &[u8]) -> bool {
        let totals = self.totals.as_ref();
        totals.is_some_and(|totals| totals.held.contains_key(prefix))
    }

    /// Whether somebody hears a message that begins with `start`.
    pub(crate) fn is_heard(&self, start: &[u8]) -> bool {
        let Some(Totals { held, .. }) = &self.totals else {
            return self.count(Some(start)) > 0;
        };
        if held.len() > start.len() {
            (0..=start.len()).any(|length| held.contains_key(&start[..length]))
        } else {
            held.keys().any(|prefix| start.starts_with(prefix))
        }
    }

    /// Whether this connection subscribes to exactly this.
    pub(crate) fn has(&self, descriptor: i32, prefix: &[u8]) -> bool {
        let peer = self.peers.get(&descriptor);
        peer.is_some_and(|peer| peer.prefixes.contains_key(prefix))
    }

    fn hold(&mut self, prefix: &Prefix) {
        if let Some(totals) = &mut self.totals {
            totals.hold(prefix);
        }
    }

    fn release(&mut self, prefix: &[u8]) {
        if let Some(totals) = &mut self.totals {
            totals.release(prefix);
        }
    }

    /// A connection stands. It is reported before its first notice.
    pub(crate) fn opened(&mut self, descriptor: i32) {
        self.gone(descriptor);
        let peer = Peer {
            doubtful: !self.used.insert(descriptor),
            ..Peer::default()
        };
        self.peers.insert(descriptor, peer);
    }

    /// The connection with this descriptor is gone.
    pub(crate) fn gone(&mut self, descriptor: i32) {
        let peer = self.peers.remove(&descriptor).unwrap_or_default();
        for (prefix, times) in peer.prefixes {
            self.release(&prefix);
            *self.departed.entry(prefix).or_default() += times;
        }
    }

    /// Somebody subscribed to messages that begin with `prefix`.
    pub(crate) fn subscribed(&mut self, descriptor: Option<i32>, prefix: &[u8]) {
        let prefix: Prefix = prefix.into();
        let Some(descriptor) = descriptor else {
            self.hold(&prefix);
            *self.nameless.entry(prefix).or_default() += 1;
            return;
        };
        match self.peers.get_mut(&descriptor) {
            Some(peer) => {
                let times = peer.prefixes.entry(Arc::clone(&prefix)).or_default();
                let new = *times == 0;
                // To subscribe twice changes nothing, where it is sure to be the same peer.
                if new || peer.doubtful {
                    *times += 1;
                }
                if new {
                    self.hold(&prefix);
                }
            }
            // The notice came to light after its sender's departure.
            None => *self.departed.entry(prefix).or_default() += 1,
        }
    }

    /// Somebody took a subscription back, or departed.
    pub(crate) fn unsubscribed(&mut self, descriptor: Option<i32>, prefix: &[u8]) {
        if let Some(descriptor) = descriptor {
            match self.peers.get_mut(&descriptor) {
                Some(peer) => {
                    if take_last(&mut peer.prefixes, prefix) {
                        self.release(prefix);
                    }
                }
                None => {
                    take(&mut self.departed, prefix);
                }
            }
        } else if take(&mut self.departed, prefix) {
            // Its connection was taken off the books before.
        } else if take(&mut self.nameless, prefix) {
            self.release(prefix);
        } else {
            // A notice of the departed that was booked on the descriptor's next owner, on whom it
            // counts once too often.
            let holder = self
                .peers
                .values_mut()
                .filter(|peer| peer.doubtful)
                .max_by_key(|peer| peer.prefixes.get(prefix).copied());
            if holder.is_some_and(|holder| take_last(&mut holder.prefixes, prefix)) {
                self.release(prefix);
            }
        }
    }

    /// How many peers hear a message that begins with `start`; `None`: how many hear anything.
    pub(crate) fn count(&self, start: Option<&[u8]>) -> usize {
        let Some(start) = start else {
            let peers = self.peers.values().filter(|peer| !peer.prefixes.is_empty());
            return peers.count() + self.nameless.values().sum::<usize>();
        };
        let peers = self
            .peers
            .values()
            .filter(|peer| {
                let prefixes = &peer.prefixes;
                if prefixes.len() > start.len() {
                    (0..=start.len()).any(|length| prefixes.contains_key(&start[..length]))
                } else {
                    prefixes.keys().any(|prefix| start.starts_with(prefix))
                }
            })
            .count();
        let nameless: usize = self
            .nameless
            .iter()
            .filter(|(prefix, _)| start.starts_with(prefix))
            .map(|(_, count)| count)
            .sum();
        peers + nameless
    }

    /// Each subscription, and how many have it.
    pub(crate) fn prefixes(&self) -> HashMap<Prefix, usize> {
        let mut counts = self.nameless.clone();
        for prefix in self.peers.values().flat_map(|peer| peer.prefixes.keys()) {
            *counts.entry(Arc::clone(prefix)).or_default() += 1;
        }
        counts
    }
}

#[cfg(test)]
mod tests;
