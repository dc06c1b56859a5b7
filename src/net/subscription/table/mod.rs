//! Which connection subscribes to what; pure bookkeeping, fed by the publisher.
//!
//! libzmq reports in two streams that are not ordered against each other: *notices* on the XPUB
//! (a subscription was added or removed), and the *monitor* (a connection was opened or closed). A
//! notice that a peer sent names its connection by a descriptor, which may be used again at once,
//! and by a [`Source::token`], which is not. A notice that libzmq makes up when a connection ends
//! names neither, nor does any notice from inproc. libzmq keeps a set of subscriptions for each
//! connection: to subscribe twice changes nothing, and one made-up notice follows for each entry.
//!
//! The order that the publisher keeps: read notices, read the monitor to its end, apply the
//! monitor's reports, then the notices. A connection is reported as opened before its first notice,
//! and as closed before the made-up notices, which follow in the order of the closed connections.
//!
//! A connection's token is learned from its first notice. Where the descriptor was used before by a
//! connection whose token was never seen, that notice may still be the earlier connection's: it is
//! booked on the present one, in *doubt*. A second token on the same descriptor settles the doubt,
//! as does a made-up notice that nothing else explains. All notices of earlier connections have been
//! read once the queue of notices was read to its end after the descriptor's new connection was
//! reported ([`SubscriptionTable::read_to_the_end`]); later tokens are beyond doubt.

use crate::net::zmq::frame::{SharedFrame, Source};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

type Prefix = Arc<[u8]>;

/// Earlier tokens that are kept of one descriptor, until no notice of theirs can follow.
const FORMER: usize = 64;

/// Keeps a connection's number from being used again; `None` in tests.
type Held = Option<SharedFrame>;

/// A connection as its notices name it.
struct Token {
    number: usize,
    _held: Held,
}

/// One open connection.
#[derive(Default)]
struct Peer {
    prefixes: HashSet<Prefix>,
    token: Option<Token>,
    /// Notices of earlier connections with this descriptor may still follow.
    fresh: bool,
    /// The token may be that of an earlier connection.
    doubtful: bool,
    /// What made-up notices took off while that was in doubt. Another notice of the same token shows
    /// that they were not its own.
    withdrawn: Vec<Prefix>,
}

/// A closed connection whose made-up notices have yet to be read.
struct Departed {
    token: Option<usize>,
    prefixes: HashSet<Prefix>,
    /// What made-up notices took off while notices of its own could follow.
    withdrawn: Vec<Prefix>,
    /// It was closed before the last notices were read.
    settled: bool,
}

impl Departed {
    fn new(token: Option<usize>, prefixes: HashSet<Prefix>, withdrawn: Vec<Prefix>) -> Self {
        Self {
            token,
            prefixes,
            withdrawn,
            settled: false,
        }
    }
}

/// How many have each subscription, for a relay that hands subscriptions on.
#[derive(Debug, Default)]
struct Totals {
    held: HashMap<Prefix, usize>,
    /// What was taken by its first subscriber or left by its last, since that was last asked.
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
#[derive(Default)]
pub(crate) struct SubscriptionTable {
    /// The open connections, by descriptor.
    peers: HashMap<i32, Peer>,
    /// The closed ones, in the order in which they were closed.
    departed: VecDeque<Departed>,
    /// Tokens of closed connections, by the descriptor that they had.
    former: HashMap<i32, VecDeque<Token>>,
    /// Descriptors of closed connections whose token was never seen.
    unknown: HashSet<i32>,
    /// Descriptors of connections that were reported before the last notices were read, and since.
    fresh: HashSet<i32>,
    opening: HashSet<i32>,
    /// Subscriptions that name no connection (inproc), counted.
    nameless: HashMap<Prefix, usize>,
    /// The subscriptions of all open connections together.
    held: usize,
    /// Kept only for a relay: a publisher may have a million subscriptions.
    totals: Option<Totals>,
}

/// Where a notice is booked.
enum Place {
    Open,
    /// The place in `departed`.
    Departed(usize),
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

impl SubscriptionTable {
    /// Books that also know how many have each subscription.
    pub(crate) fn with_totals() -> Self {
        Self {
            totals: Some(Totals::default()),
            ..Self::default()
        }
    }

    /// The prefixes that got their first subscriber since the last call, or lost their last one;
    /// perhaps several times.
    pub(crate) fn turned(&mut self) -> Vec<Prefix> {
        let turned = self.totals.as_mut().map(|totals| &mut totals.turned);
        turned.map(std::mem::take).unwrap_or_default()
    }

    /// Whether any peer subscribes to exactly this.
    pub(crate) fn is_held(&self, prefix: &[u8]) -> bool {
        let totals = self.totals.as_ref();
        totals.is_some_and(|totals| totals.held.contains_key(prefix))
    }

    /// Whether any peer receives a message that begins with `start`.
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
    pub(crate) fn has(&self, source: Source, prefix: &[u8]) -> bool {
        let peer = self.peers.get(&source.descriptor);
        peer.is_some_and(|peer| peer.is(source.token) && peer.prefixes.contains(prefix))
    }

    /// How many subscriptions this connection has.
    pub(crate) fn held_by(&self, source: Source) -> usize {
        let peer = self.peers.get(&source.descriptor);
        peer.filter(|peer| peer.is(source.token))
            .map_or(0, |peer| peer.prefixes.len())
    }

    /// How many all connections have together; those of inproc peers are not counted.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// The connection that has most of them.
    pub(crate) fn greatest(&self) -> Option<(i32, usize)> {
        let sizes = self
            .peers
            .iter()
            .map(|(at, peer)| (*at, peer.prefixes.len()));
        sizes.max_by_key(|(_, count)| *count)
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

    /// A connection was opened. It is reported before its first notice.
    pub(crate) fn opened(&mut self, descriptor: i32) {
        self.gone(descriptor);
        let peer = Peer {
            fresh: true,
            ..Peer::default()
        };
        self.peers.insert(descriptor, peer);
        self.opening.insert(descriptor);
    }

    /// The connection with this descriptor was closed.
    pub(crate) fn gone(&mut self, descriptor: i32) {
        let Some(peer) = self.peers.remove(&descriptor) else {
            return;
        };
        if peer.token.is_none() || peer.doubtful {
            self.unknown.insert(descriptor);
        }
        let token = peer.token.as_ref().map(|token| token.number);
        if let Some(token) = peer.token {
            self.remember(descriptor, token);
        }
        self.depart(token, peer.prefixes, peer.withdrawn, false);
    }

    /// Takes the subscriptions of a closed connection off the books.
    fn depart(
        &mut self,
        token: Option<usize>,
        prefixes: HashSet<Prefix>,
        withdrawn: Vec<Prefix>,
        first: bool,
    ) {
        self.held -= prefixes.len();
        if self.totals.is_some() {
            for prefix in &prefixes {
                self.release(prefix);
            }
        }
        if !prefixes.is_empty() || !withdrawn.is_empty() {
            let mut departed = Departed::new(token, prefixes, withdrawn);
            self.return_withdrawn(&mut departed);
            if first {
                self.departed.push_front(departed);
            } else {
                self.departed.push_back(departed);
            }
        }
    }

    fn remember(&mut self, descriptor: i32, token: Token) {
        let former = self.former.entry(descriptor).or_default();
        if former.len() == FORMER {
            former.pop_front();
        }
        former.push_back(token);
    }

    /// All notices that were there have been read and applied.
    pub(crate) fn read_to_the_end(&mut self) {
        self.departed.retain_mut(|departed| {
            // Its own notices are among those that were read.
            departed.withdrawn = Vec::new();
            let ended = departed.settled && departed.prefixes.is_empty();
            departed.settled = true;
            !ended
        });
        for descriptor in std::mem::replace(&mut self.fresh, std::mem::take(&mut self.opening)) {
            if self.fresh.contains(&descriptor) {
                continue;
            }
            self.former.remove(&descriptor);
            self.unknown.remove(&descriptor);
            if let Some(peer) = self.peers.get_mut(&descriptor) {
                peer.fresh = false;
            }
        }
    }

    /// Whose notice it is. `hold` is called for a token that was not seen before.
    fn place(&mut self, source: Source, hold: impl FnOnce() -> Held) -> Place {
        let Source { descriptor, token } = source;
        let new = || Token {
            number: token,
            _held: hold(),
        };
        let former = self.former.get(&descriptor);
        if former.is_some_and(|former| former.iter().any(|one| one.number == token)) {
            return Place::Departed(self.departed_of(token));
        }
        let Some(peer) = self.peers.get_mut(&descriptor) else {
            // It was read after its sender's departure, or the connection was refused.
            self.remember(descriptor, new());
            return Place::Departed(self.departed_of(token));
        };
        if peer.is(token) {
            let withdrawn = std::mem::take(&mut peer.withdrawn);
            self.restore(source, withdrawn);
            return Place::Open;
        }
        peer.doubtful = peer.fresh && self.unknown.contains(&descriptor);
        if let Some(earlier) = peer.token.replace(new()) {
            // What was booked here is an earlier connection's.
            let prefixes = std::mem::take(&mut peer.prefixes);
            let withdrawn = std::mem::take(&mut peer.withdrawn);
            self.depart(Some(earlier.number), prefixes, withdrawn, true);
            self.remember(descriptor, earlier);
        }
        Place::Open
    }

    /// Made-up notices that were taken for those of connections in doubt may be this one's. Should they
    /// not be, its own follow and are taken for theirs.
    fn return_withdrawn(&mut self, departed: &mut Departed) {
        let mut returned = Vec::new();
        for peer in self.peers.values_mut() {
            peer.withdrawn.retain(|prefix| {
                let Some(prefix) = departed.prefixes.take(prefix) else {
                    return true;
                };
                departed.withdrawn.push(Arc::clone(&prefix));
                peer.prefixes.insert(Arc::clone(&prefix));
                returned.push(prefix);
                false
            });
        }
        self.held += returned.len();
        for prefix in returned {
            self.hold(&prefix);
        }
    }

    /// Gives a connection back what made-up notices took off, which were those of inproc peers.
    fn restore(&mut self, Source { descriptor, token }: Source, withdrawn: Vec<Prefix>) {
        for prefix in withdrawn {
            if let Some(peer) = self.peers.get_mut(&descriptor) {
                peer.prefixes.insert(Arc::clone(&prefix));
                self.held += 1;
                self.hold(&prefix);
            }
            self.made_up(&prefix, Some(token));
        }
    }

    /// The place of a closed connection, which may have had no subscription so far.
    fn departed_of(&mut self, token: usize) -> usize {
        let of_token = |departed: &Departed| departed.token == Some(token);
        if let Some(departed) = self.departed.iter_mut().find(|one| of_token(one)) {
            let withdrawn = std::mem::take(&mut departed.withdrawn);
            departed.prefixes.extend(withdrawn.iter().map(Arc::clone));
            for prefix in withdrawn {
                self.made_up(&prefix, Some(token));
            }
            if let Some(place) = self.departed.iter().position(of_token) {
                return place;
            }
        }
        self.departed
            .push_back(Departed::new(Some(token), HashSet::new(), Vec::new()));
        self.departed.len() - 1
    }

    /// A peer subscribed to messages that begin with `prefix`; false when it did already. `hold`
    /// keeps the token of a connection that was not seen before.
    pub(crate) fn subscribed(
        &mut self,
        source: Option<Source>,
        prefix: &[u8],
        hold: impl FnOnce() -> Held,
    ) -> bool {
        let Some(source) = source else {
            let prefix: Prefix = prefix.into();
            self.hold(&prefix);
            *self.nameless.entry(prefix).or_default() += 1;
            return true;
        };
        match self.place(source, hold) {
            Place::Open => {
                let Some(peer) = self.peers.get_mut(&source.descriptor) else {
                    return false;
                };
                if peer.prefixes.contains(prefix) {
                    return false;
                }
                let prefix: Prefix = prefix.into();
                peer.prefixes.insert(Arc::clone(&prefix));
                self.held += 1;
                self.hold(&prefix);
                true
            }
            Place::Departed(place) => {
                self.departed[place].prefixes.insert(prefix.into());
                false
            }
        }
    }

    /// A peer took a subscription back, or libzmq did for a closed connection; false when nothing
    /// changes.
    pub(crate) fn unsubscribed(
        &mut self,
        source: Option<Source>,
        prefix: &[u8],
        hold: impl FnOnce() -> Held,
    ) -> bool {
        let Some(source) = source else {
            return self.made_up(prefix, None);
        };
        match self.place(source, hold) {
            Place::Open => self.take_from(source.descriptor, prefix),
            Place::Departed(place) => {
                self.take_from_departed(place, prefix);
                false
            }
        }
    }

    fn take_from(&mut self, descriptor: i32, prefix: &[u8]) -> bool {
        let peer = self.peers.get_mut(&descriptor);
        let taken = peer.is_some_and(|peer| peer.prefixes.remove(prefix));
        if taken {
            self.held -= 1;
            self.release(prefix);
        }
        taken
    }

    fn take_from_departed(&mut self, place: usize, prefix: &[u8]) {
        self.departed[place].prefixes.remove(prefix);
    }

    /// A notice that names no connection, and is not that of the connection `other`.
    fn made_up(&mut self, prefix: &[u8], other: Option<usize>) -> bool {
        let mut departed = self.departed.iter_mut();
        let has = |one: &&mut Departed| {
            (other.is_none() || one.token != other) && one.prefixes.contains(prefix)
        };
        if let Some(departed) = departed.find(has) {
            if let Some(prefix) = departed.prefixes.take(prefix) {
                if !departed.settled {
                    departed.withdrawn.push(prefix);
                } else if departed.prefixes.is_empty() {
                    self.departed
                        .retain(|one| !one.settled || !one.prefixes.is_empty());
                }
            }
            return false;
        }
        // Of a closed connection whose notice was booked on the descriptor's next owner.
        let doubtful = |peer: &Peer| peer.doubtful && peer.prefixes.contains(prefix);
        let is_other = |peer: &Peer| other.is_some_and(|other| peer.is(other));
        let mut peers = self.peers.iter().filter(|(_, peer)| !is_other(peer));
        let holder = peers.find_map(|(at, peer)| doubtful(peer).then_some(*at));
        if let Some(descriptor) = holder {
            let taken = self.take_from(descriptor, prefix);
            if let Some(peer) = self.peers.get_mut(&descriptor) {
                peer.withdrawn.push(prefix.into());
            }
            return taken;
        }
        let taken = take(&mut self.nameless, prefix);
        if taken {
            self.release(prefix);
        }
        taken
    }

    /// How many peers receive a message that begins with `start`; `None`: how many receive anything.
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
                    (0..=start.len()).any(|length| prefixes.contains(&start[..length]))
                } else {
                    prefixes.iter().any(|prefix| start.starts_with(prefix))
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

    /// Different subscriptions among the first `most` of all peers'.
    pub(crate) fn some_prefixes(&self, most: usize) -> HashSet<Prefix> {
        let held = self.peers.values().flat_map(|peer| &peer.prefixes);
        let all = self.nameless.keys().chain(held);
        all.take(most).map(Arc::clone).collect()
    }

    /// Each subscription, once for each that has it: cheap to copy under a lock, and to be counted
    /// without it.
    pub(crate) fn prefixes(&self) -> Vec<(Prefix, usize)> {
        let mut all = Vec::with_capacity(self.held + self.nameless.len());
        all.extend(
            self.nameless
                .iter()
                .map(|(prefix, count)| (Arc::clone(prefix), *count)),
        );
        let peers = self.peers.values();
        all.extend(
            peers
                .flat_map(|peer| &peer.prefixes)
                .map(|prefix| (Arc::clone(prefix), 1)),
        );
        all
    }

    /// At most this number of different subscriptions.
    pub(crate) fn bound(&self) -> usize {
        self.held + self.nameless.len()
    }

    /// Calls `each` with every subscription, once for each that has it.
    pub(crate) fn each(&self, mut each: impl FnMut(&[u8])) {
        for prefix in self.nameless.keys() {
            each(prefix);
        }
        for prefix in self.peers.values().flat_map(|peer| &peer.prefixes) {
            each(prefix);
        }
    }
}

impl Peer {
    fn is(&self, token: usize) -> bool {
        self.token.as_ref().is_some_and(|one| one.number == token)
    }
}

/// How many have each of these.
pub(crate) fn counted(prefixes: Vec<(Prefix, usize)>) -> HashMap<Prefix, usize> {
    let mut counts = HashMap::with_capacity(prefixes.len());
    for (prefix, count) in prefixes {
        *counts.entry(prefix).or_default() += count;
    }
    counts
}

#[cfg(test)]
mod tests;
