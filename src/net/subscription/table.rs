//! Which connection has which subscriptions. Pure: the subscription tracker reads libzmq and calls this.
//!
//! libzmq reports in two streams, which are not ordered against each other: *subscription messages* on
//! the XPUB (a subscription was added or removed), and *monitor events* (a connection was opened or
//! closed). A subscription message of a peer names its connection by a descriptor, which may be reused
//! at once, and by a [`Source::token`], which is not. When a connection closes, libzmq itself adds one
//! unsubscription for each of its subscriptions. These *synthetic* unsubscriptions name no connection;
//! nor does any subscription message over inproc. libzmq keeps a set of subscriptions for each
//! connection: subscribing twice has no effect, and one synthetic unsubscription follows for each entry.
//!
//! The tracker keeps this order: read subscription messages, read all monitor events, apply the events,
//! then apply the messages. A connection is reported as opened before its first message, and as closed
//! before the synthetic unsubscriptions, which follow in the order of the closed connections.
//!
//! A connection's token is known from its first message. If the descriptor was used before by a
//! connection whose token was never seen, that message may still be the earlier connection's. It is
//! recorded for the present connection, whose token is then *uncertain*. A second token on the same
//! descriptor resolves this, as does a synthetic unsubscription that no other connection explains. All
//! messages of earlier connections have been read once all messages were read after the event that the
//! descriptor's new connection was opened ([`SubscriptionTable::all_read`]). Tokens that follow are
//! certain.

use crate::net::zmq::frame::{SharedFrame, Source};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

type Prefix = Arc<[u8]>;

/// The most tokens of closed connections that are kept for one descriptor.
const MAX_CLOSED_TOKENS: usize = 64;

/// A frame that keeps its connection's token from being reused; `None` in tests.
type Pin = Option<SharedFrame>;

/// The token of a connection, which is not reused while this exists.
struct PinnedToken {
    token: usize,
    _pin: Pin,
}

/// An open connection.
#[derive(Default)]
struct OpenConnection {
    prefixes: HashSet<Prefix>,
    token: Option<PinnedToken>,
    /// Messages of earlier connections with this descriptor may still follow.
    is_recent: bool,
    /// The token may be an earlier connection's.
    is_uncertain: bool,
    /// What synthetic unsubscriptions removed while the token was uncertain. Another message with the
    /// token shows that they were for another connection.
    withdrawn: Vec<Prefix>,
}

impl OpenConnection {
    fn has_token(&self, token: usize) -> bool {
        self.token.as_ref().is_some_and(|own| own.token == token)
    }
}

/// A closed connection whose synthetic unsubscriptions have not been read yet.
struct ClosedConnection {
    token: Option<usize>,
    prefixes: HashSet<Prefix>,
    /// What synthetic unsubscriptions removed while messages of its own could follow.
    withdrawn: Vec<Prefix>,
    /// All messages have been read once since it was closed: none of its own follows.
    is_complete: bool,
}

impl ClosedConnection {
    fn new(token: Option<usize>, prefixes: HashSet<Prefix>, withdrawn: Vec<Prefix>) -> Self {
        Self {
            token,
            prefixes,
            withdrawn,
            is_complete: false,
        }
    }
}

/// How many peers have each subscription, for a relay that forwards subscriptions.
#[derive(Debug, Default)]
struct Totals {
    counts: HashMap<Prefix, usize>,
    /// Prefixes that got their first subscriber, or lost their last one, since the last call.
    changed: Vec<Prefix>,
}

impl Totals {
    fn add(&mut self, prefix: &Prefix) {
        let count = self.counts.entry(Arc::clone(prefix)).or_default();
        *count += 1;
        if *count == 1 {
            self.changed.push(Arc::clone(prefix));
        }
    }

    fn remove(&mut self, prefix: &[u8]) {
        if decrement(&mut self.counts, prefix) && !self.counts.contains_key(prefix) {
            self.changed.push(prefix.into());
        }
    }
}

/// The subscriptions of the peers of one socket.
#[derive(Default)]
pub(crate) struct SubscriptionTable {
    /// The open connections, by descriptor.
    open: HashMap<i32, OpenConnection>,
    /// The closed connections, in the order in which they were closed.
    closed: VecDeque<ClosedConnection>,
    /// Tokens of closed connections, by descriptor.
    closed_tokens: HashMap<i32, VecDeque<PinnedToken>>,
    /// Descriptors of closed connections whose token was never seen.
    closed_without_token: HashSet<i32>,
    /// Descriptors that were opened since all messages were last read, and in the interval before.
    opened: HashSet<i32>,
    opened_before: HashSet<i32>,
    /// Subscriptions that name no connection (inproc), and their number.
    inproc: HashMap<Prefix, usize>,
    /// The number of subscriptions of all open connections.
    total: usize,
    /// Only for a relay: a publisher may have a million subscriptions.
    totals: Option<Totals>,
}

/// The connection that a subscription message belongs to.
enum Owner {
    /// The open connection with the message's descriptor.
    Open,
    /// The closed connection at this index of `closed`.
    Closed(usize),
}

/// Decrements a counter; returns false if there is none.
fn decrement(counts: &mut HashMap<Prefix, usize>, prefix: &[u8]) -> bool {
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
    /// A table that also counts how many peers have each subscription.
    pub(crate) fn with_totals() -> Self {
        Self {
            totals: Some(Totals::default()),
            ..Self::default()
        }
    }

    /// Takes the prefixes that got their first subscriber since the last call, or lost their last one.
    /// A prefix may be contained several times.
    pub(crate) fn take_changed(&mut self) -> Vec<Prefix> {
        let changed = self.totals.as_mut().map(|totals| &mut totals.changed);
        changed.map(std::mem::take).unwrap_or_default()
    }

    /// Whether a peer subscribes to exactly this prefix.
    pub(crate) fn is_subscribed(&self, prefix: &[u8]) -> bool {
        let totals = self.totals.as_ref();
        totals.is_some_and(|totals| totals.counts.contains_key(prefix))
    }

    /// Whether a peer receives messages that begin with `first_bytes`.
    pub(crate) fn has_receiver(&self, first_bytes: &[u8]) -> bool {
        let Some(Totals { counts, .. }) = &self.totals else {
            return self.count(Some(first_bytes)) > 0;
        };
        if counts.len() > first_bytes.len() {
            (0..=first_bytes.len()).any(|length| counts.contains_key(&first_bytes[..length]))
        } else {
            counts.keys().any(|prefix| first_bytes.starts_with(prefix))
        }
    }

    /// Whether this connection subscribes to exactly this prefix.
    pub(crate) fn contains(&self, source: Source, prefix: &[u8]) -> bool {
        let connection = self.open.get(&source.descriptor);
        connection.is_some_and(|connection| {
            connection.has_token(source.token) && connection.prefixes.contains(prefix)
        })
    }

    /// The number of subscriptions of this connection.
    pub(crate) fn total_of(&self, source: Source) -> usize {
        let connection = self.open.get(&source.descriptor);
        connection
            .filter(|connection| connection.has_token(source.token))
            .map_or(0, |connection| connection.prefixes.len())
    }

    /// The number of subscriptions of all connections, without those of inproc peers.
    pub(crate) fn total(&self) -> usize {
        self.total
    }

    /// The connection that has the most subscriptions, and their number.
    pub(crate) fn largest(&self) -> Option<(i32, usize)> {
        let sizes = self
            .open
            .iter()
            .map(|(descriptor, connection)| (*descriptor, connection.prefixes.len()));
        sizes.max_by_key(|(_, count)| *count)
    }

    fn add_to_totals(&mut self, prefix: &Prefix) {
        if let Some(totals) = &mut self.totals {
            totals.add(prefix);
        }
    }

    fn remove_from_totals(&mut self, prefix: &[u8]) {
        if let Some(totals) = &mut self.totals {
            totals.remove(prefix);
        }
    }

    /// A connection was opened. This is reported before its first message.
    pub(crate) fn connection_opened(&mut self, descriptor: i32) {
        self.connection_closed(descriptor);
        let connection = OpenConnection {
            is_recent: true,
            ..OpenConnection::default()
        };
        self.open.insert(descriptor, connection);
        self.opened.insert(descriptor);
    }

    /// The connection with this descriptor was closed.
    pub(crate) fn connection_closed(&mut self, descriptor: i32) {
        let Some(connection) = self.open.remove(&descriptor) else {
            return;
        };
        if connection.token.is_none() || connection.is_uncertain {
            self.closed_without_token.insert(descriptor);
        }
        let token = connection.token.as_ref().map(|pinned| pinned.token);
        if let Some(pinned) = connection.token {
            self.keep_closed_token(descriptor, pinned);
        }
        let closed = ClosedConnection::new(token, connection.prefixes, connection.withdrawn);
        self.add_closed(closed, false);
    }

    /// Subtracts the subscriptions of a closed connection, whose synthetic unsubscriptions follow.
    fn add_closed(&mut self, mut closed: ClosedConnection, first: bool) {
        self.total -= closed.prefixes.len();
        if self.totals.is_some() {
            for prefix in &closed.prefixes {
                self.remove_from_totals(prefix);
            }
        }
        if !closed.prefixes.is_empty() || !closed.withdrawn.is_empty() {
            self.return_withdrawn(&mut closed);
            if first {
                self.closed.push_front(closed);
            } else {
                self.closed.push_back(closed);
            }
        }
    }

    fn keep_closed_token(&mut self, descriptor: i32, pinned: PinnedToken) {
        let tokens = self.closed_tokens.entry(descriptor).or_default();
        if tokens.len() == MAX_CLOSED_TOKENS {
            tokens.pop_front();
        }
        tokens.push_back(pinned);
    }

    /// All messages that were queued have been read and applied.
    pub(crate) fn all_read(&mut self) {
        self.closed.retain_mut(|closed| {
            closed.withdrawn = Vec::new();
            let is_over = closed.is_complete && closed.prefixes.is_empty();
            closed.is_complete = true;
            !is_over
        });
        let opened = std::mem::take(&mut self.opened);
        for descriptor in std::mem::replace(&mut self.opened_before, opened) {
            if self.opened_before.contains(&descriptor) {
                continue;
            }
            self.closed_tokens.remove(&descriptor);
            self.closed_without_token.remove(&descriptor);
            if let Some(connection) = self.open.get_mut(&descriptor) {
                connection.is_recent = false;
            }
        }
    }

    /// The connection that a message belongs to. `pin` is called for a token that was not seen before.
    fn owner(&mut self, source: Source, pin: impl FnOnce() -> Pin) -> Owner {
        let Source { descriptor, token } = source;
        let new = || PinnedToken { token, _pin: pin() };
        let closed = self.closed_tokens.get(&descriptor);
        if closed.is_some_and(|closed| closed.iter().any(|one| one.token == token)) {
            return Owner::Closed(self.closed_with_token(token));
        }
        let Some(connection) = self.open.get_mut(&descriptor) else {
            // It was read after its connection was closed, or the connection was refused.
            self.keep_closed_token(descriptor, new());
            return Owner::Closed(self.closed_with_token(token));
        };
        if connection.has_token(token) {
            let withdrawn = std::mem::take(&mut connection.withdrawn);
            self.restore(source, withdrawn);
            return Owner::Open;
        }
        connection.is_uncertain =
            connection.is_recent && self.closed_without_token.contains(&descriptor);
        if let Some(earlier) = connection.token.replace(new()) {
            // The subscriptions so far are an earlier connection's.
            let prefixes = std::mem::take(&mut connection.prefixes);
            let withdrawn = std::mem::take(&mut connection.withdrawn);
            let closed = ClosedConnection::new(Some(earlier.token), prefixes, withdrawn);
            self.add_closed(closed, true);
            self.keep_closed_token(descriptor, earlier);
        }
        Owner::Open
    }

    /// Returns subscriptions that synthetic unsubscriptions removed from connections with an uncertain
    /// token: the unsubscriptions may be this closed connection's. If they are not, its own follow, and
    /// are taken for those of the other connections.
    fn return_withdrawn(&mut self, closed: &mut ClosedConnection) {
        let mut returned = Vec::new();
        for connection in self.open.values_mut() {
            connection.withdrawn.retain(|prefix| {
                let Some(prefix) = closed.prefixes.take(prefix) else {
                    return true;
                };
                closed.withdrawn.push(Arc::clone(&prefix));
                connection.prefixes.insert(Arc::clone(&prefix));
                returned.push(prefix);
                false
            });
        }
        self.total += returned.len();
        for prefix in returned {
            self.add_to_totals(&prefix);
        }
    }

    /// Restores subscriptions of a connection whose token proved to be its own. The synthetic
    /// unsubscriptions that had removed them were those of inproc peers.
    fn restore(&mut self, Source { descriptor, token }: Source, withdrawn: Vec<Prefix>) {
        for prefix in withdrawn {
            if let Some(connection) = self.open.get_mut(&descriptor) {
                connection.prefixes.insert(Arc::clone(&prefix));
                self.total += 1;
                self.add_to_totals(&prefix);
            }
            self.remove_without_source(&prefix, Some(token));
        }
    }

    /// The index of a closed connection, which may have had no subscription so far.
    fn closed_with_token(&mut self, token: usize) -> usize {
        let has_token = |closed: &ClosedConnection| closed.token == Some(token);
        if let Some(closed) = self.closed.iter_mut().find(|one| has_token(one)) {
            let withdrawn = std::mem::take(&mut closed.withdrawn);
            closed.prefixes.extend(withdrawn.iter().map(Arc::clone));
            for prefix in withdrawn {
                self.remove_without_source(&prefix, Some(token));
            }
            if let Some(index) = self.closed.iter().position(has_token) {
                return index;
            }
        }
        self.closed.push_back(ClosedConnection::new(
            Some(token),
            HashSet::new(),
            Vec::new(),
        ));
        self.closed.len() - 1
    }

    /// A peer subscribed to messages that begin with `prefix`. Returns false if it was subscribed
    /// already. `pin` keeps a token that was not seen before from being reused.
    pub(crate) fn subscribe(
        &mut self,
        source: Option<Source>,
        prefix: &[u8],
        pin: impl FnOnce() -> Pin,
    ) -> bool {
        let Some(source) = source else {
            let prefix: Prefix = prefix.into();
            self.add_to_totals(&prefix);
            *self.inproc.entry(prefix).or_default() += 1;
            return true;
        };
        match self.owner(source, pin) {
            Owner::Open => {
                let Some(connection) = self.open.get_mut(&source.descriptor) else {
                    return false;
                };
                if connection.prefixes.contains(prefix) {
                    return false;
                }
                let prefix: Prefix = prefix.into();
                connection.prefixes.insert(Arc::clone(&prefix));
                self.total += 1;
                self.add_to_totals(&prefix);
                true
            }
            Owner::Closed(index) => {
                self.closed[index].prefixes.insert(prefix.into());
                false
            }
        }
    }

    /// A peer unsubscribed, or libzmq did so for a closed connection. Returns false if that has no
    /// effect.
    pub(crate) fn unsubscribe(
        &mut self,
        source: Option<Source>,
        prefix: &[u8],
        pin: impl FnOnce() -> Pin,
    ) -> bool {
        let Some(source) = source else {
            return self.remove_without_source(prefix, None);
        };
        match self.owner(source, pin) {
            Owner::Open => self.remove_from_open(source.descriptor, prefix),
            Owner::Closed(index) => {
                self.closed[index].prefixes.remove(prefix);
                false
            }
        }
    }

    fn remove_from_open(&mut self, descriptor: i32, prefix: &[u8]) -> bool {
        let connection = self.open.get_mut(&descriptor);
        let removed = connection.is_some_and(|connection| connection.prefixes.remove(prefix));
        if removed {
            self.total -= 1;
            self.remove_from_totals(prefix);
        }
        removed
    }

    /// Applies an unsubscription that names no connection, and is not that of the connection `other`.
    fn remove_without_source(&mut self, prefix: &[u8], other: Option<usize>) -> bool {
        let mut closed = self.closed.iter_mut();
        let is_candidate = |one: &&mut ClosedConnection| {
            (other.is_none() || one.token != other) && one.prefixes.contains(prefix)
        };
        if let Some(closed) = closed.find(is_candidate) {
            if let Some(prefix) = closed.prefixes.take(prefix) {
                if !closed.is_complete {
                    closed.withdrawn.push(prefix);
                } else if closed.prefixes.is_empty() {
                    self.closed
                        .retain(|one| !one.is_complete || !one.prefixes.is_empty());
                }
            }
            return false;
        }
        // Of a closed connection whose message was recorded for the descriptor's next connection.
        let is_candidate = |connection: &OpenConnection| {
            connection.is_uncertain && connection.prefixes.contains(prefix)
        };
        let is_other =
            |connection: &OpenConnection| other.is_some_and(|other| connection.has_token(other));
        let found = self
            .open
            .iter()
            .find(|(_, connection)| !is_other(connection) && is_candidate(connection));
        if let Some(descriptor) = found.map(|(descriptor, _)| *descriptor) {
            let removed = self.remove_from_open(descriptor, prefix);
            if let Some(connection) = self.open.get_mut(&descriptor) {
                connection.withdrawn.push(prefix.into());
            }
            return removed;
        }
        let removed = decrement(&mut self.inproc, prefix);
        if removed {
            self.remove_from_totals(prefix);
        }
        removed
    }

    /// How many peers receive messages that begin with `first_bytes`; `None`: how many have a
    /// subscription.
    pub(crate) fn count(&self, first_bytes: Option<&[u8]>) -> usize {
        let Some(first_bytes) = first_bytes else {
            let connections = self.open.values();
            let subscribed = connections.filter(|connection| !connection.prefixes.is_empty());
            return subscribed.count() + self.inproc.values().sum::<usize>();
        };
        let connections = self
            .open
            .values()
            .filter(|connection| {
                let prefixes = &connection.prefixes;
                if prefixes.len() > first_bytes.len() {
                    (0..=first_bytes.len()).any(|length| prefixes.contains(&first_bytes[..length]))
                } else {
                    prefixes
                        .iter()
                        .any(|prefix| first_bytes.starts_with(prefix))
                }
            })
            .count();
        let inproc: usize = self
            .inproc
            .iter()
            .filter(|(prefix, _)| first_bytes.starts_with(prefix))
            .map(|(_, count)| count)
            .sum();
        connections + inproc
    }

    /// The different prefixes among the first `max_count` subscriptions.
    pub(crate) fn sample(&self, max_count: usize) -> HashSet<Prefix> {
        let prefixes = self
            .open
            .values()
            .flat_map(|connection| &connection.prefixes);
        let all = self.inproc.keys().chain(prefixes);
        all.take(max_count).map(Arc::clone).collect()
    }

    /// All subscriptions, with a count; a prefix is repeated for each connection that has it. Cheap to
    /// copy under a lock, to be summed up by [`sum_by_prefix`] without it.
    pub(crate) fn prefixes(&self) -> Vec<(Prefix, usize)> {
        let mut all = Vec::with_capacity(self.total + self.inproc.len());
        all.extend(
            self.inproc
                .iter()
                .map(|(prefix, count)| (Arc::clone(prefix), *count)),
        );
        let connections = self.open.values();
        all.extend(
            connections
                .flat_map(|connection| &connection.prefixes)
                .map(|prefix| (Arc::clone(prefix), 1)),
        );
        all
    }

    /// An upper bound of the number of different prefixes.
    pub(crate) fn max_distinct(&self) -> usize {
        self.total + self.inproc.len()
    }

    /// Calls `call` with the prefix of every subscription, repeated for each connection that has it.
    pub(crate) fn for_each(&self, mut call: impl FnMut(&[u8])) {
        for prefix in self.inproc.keys() {
            call(prefix);
        }
        for prefix in self
            .open
            .values()
            .flat_map(|connection| &connection.prefixes)
        {
            call(prefix);
        }
    }
}

/// How many peers have each prefix.
pub(crate) fn sum_by_prefix(prefixes: Vec<(Prefix, usize)>) -> HashMap<Prefix, usize> {
    let mut counts = HashMap::with_capacity(prefixes.len());
    for (prefix, count) in prefixes {
        *counts.entry(prefix).or_default() += count;
    }
    counts
}

#[cfg(test)]
mod tests {
    use crate::net::subscription::table::{sum_by_prefix, Prefix, Source, SubscriptionTable};
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet, VecDeque};

    /// A connection by its descriptor and its token.
    #[allow(clippy::unnecessary_wraps)] // as in a message
    fn from(descriptor: i32, token: usize) -> Option<Source> {
        Some(Source { descriptor, token })
    }

    fn subscribe(table: &mut SubscriptionTable, source: Option<Source>, prefix: &[u8]) {
        table.subscribe(source, prefix, || None);
    }

    fn unsubscribe(table: &mut SubscriptionTable, source: Option<Source>, prefix: &[u8]) {
        table.unsubscribe(source, prefix, || None);
    }

    fn counts(table: &SubscriptionTable) -> HashMap<Prefix, usize> {
        sum_by_prefix(table.prefixes())
    }

    fn with_open(descriptors: &[i32]) -> SubscriptionTable {
        let mut table = SubscriptionTable::default();
        for descriptor in descriptors {
            table.connection_opened(*descriptor);
        }
        table
    }

    #[test]
    fn peers_are_counted_not_subscriptions() {
        let mut table = with_open(&[7, 8]);
        for prefix in [b"room1:".as_slice(), b"room2:", b""] {
            subscribe(&mut table, from(7, 1), prefix);
        }
        subscribe(&mut table, from(8, 2), b"room1:");
        assert_eq!(table.count(None), 2);
        assert_eq!(table.count(Some(b"room1:")), 2);
        assert_eq!(table.count(Some(b"room3:")), 1);
        assert_eq!(counts(&table)[b"room1:".as_slice()], 2);
        unsubscribe(&mut table, from(7, 1), b"");
        assert_eq!(table.count(Some(b"room3:")), 0);
    }

    #[test]
    fn a_subscription_longer_than_the_topic_does_not_count_for_it() {
        let mut table = with_open(&[7]);
        subscribe(&mut table, from(7, 1), b"room1:He");
        assert_eq!(table.count(Some(b"room1:")), 0);
        subscribe(&mut table, from(7, 1), b"ro");
        assert_eq!(table.count(Some(b"room1:")), 1);
    }

    #[test]
    fn a_topic_is_found_among_many_subscriptions() {
        let mut table = with_open(&[7]);
        for number in 0..10_000 {
            subscribe(&mut table, from(7, 1), format!("topic{number}:").as_bytes());
        }
        assert_eq!(table.count(Some(b"topic9999:")), 1);
        assert_eq!(table.count(Some(b"topic10000:")), 0);
    }

    #[test]
    fn a_closed_connection_is_subtracted_at_once_and_its_synthetic_unsubscriptions_have_no_effect()
    {
        let mut table = with_open(&[7]);
        subscribe(&mut table, from(7, 1), b"a");
        subscribe(&mut table, None, b"a");
        table.connection_closed(7);
        assert_eq!(table.count(Some(b"a")), 1);
        unsubscribe(&mut table, None, b"a");
        assert_eq!(
            table.count(Some(b"a")),
            1,
            "the inproc peer is still subscribed"
        );
        unsubscribe(&mut table, None, b"a");
        assert_eq!(table.count(None), 0);
    }

    #[test]
    fn a_descriptor_may_be_reused_at_once() {
        let mut table = with_open(&[7]);
        subscribe(&mut table, from(7, 1), b"old");
        table.connection_closed(7);
        table.connection_opened(7);
        subscribe(&mut table, from(7, 2), b"new");
        unsubscribe(&mut table, None, b"old");
        assert_eq!(table.count(None), 1);
        assert_eq!(table.count(Some(b"new")), 1);
        assert_eq!(table.count(Some(b"old")), 0);
    }

    #[test]
    fn a_message_recorded_for_the_next_connection_of_a_descriptor_is_corrected() {
        for with_unsubscription in [true, false] {
            // The old connection's subscription is applied after its close, hence to the new one.
            let mut table = with_open(&[7]);
            table.connection_closed(7);
            table.connection_opened(7);
            subscribe(&mut table, from(7, 1), b"old");
            if with_unsubscription {
                unsubscribe(&mut table, None, b"old");
                assert_eq!(table.count(None), 0);
            }
            subscribe(&mut table, from(7, 2), b"new");
            assert_eq!(table.count(Some(b"old")), 0);
            assert_eq!(table.count(Some(b"new")), 1);
            table.all_read();
            table.all_read();
            assert_eq!(table.closed.is_empty(), with_unsubscription);
        }
    }

    #[test]
    fn an_open_connection_is_never_taken_for_a_closed_one() {
        // The old connection of 7 subscribes and closes, the new one subscribes to the same; 8 stays.
        // libzmq decides in which order the messages are read.
        for order in [["old", "gone", "new"], ["old", "new", "gone"]] {
            let mut table = with_open(&[8, 7]);
            subscribe(&mut table, from(8, 3), b"a");
            table.connection_closed(7);
            table.connection_opened(7);
            for message in order {
                match message {
                    "gone" => unsubscribe(&mut table, None, b"a"),
                    "old" => subscribe(&mut table, from(7, 1), b"a"),
                    _ => subscribe(&mut table, from(7, 2), b"a"),
                }
            }
            assert_eq!(table.count(Some(b"a")), 2, "{order:?}");
            table.connection_closed(7);
            unsubscribe(&mut table, None, b"a");
            assert_eq!(counts(&table)[b"a".as_slice()], 1);
            table.all_read();
            table.all_read();
            assert!(table.closed.is_empty());
        }
    }

    #[test]
    fn one_unsubscription_ends_a_repeated_subscription() {
        // Whether or not messages of an earlier connection with the descriptor were read.
        for was_known in [true, false] {
            let mut table = with_open(&[7]);
            if was_known {
                subscribe(&mut table, from(7, 1), b"a");
            }
            table.connection_closed(7);
            table.connection_opened(7);
            for _ in 0..2 {
                subscribe(&mut table, from(7, 2), b"b");
            }
            assert_eq!(table.count(Some(b"b")), 1);
            unsubscribe(&mut table, from(7, 2), b"b");
            assert_eq!(table.count(None), 0);
        }
    }

    #[test]
    fn after_a_repeated_subscription_an_inproc_peer_counts_until_it_unsubscribes() {
        let mut table = with_open(&[7]);
        table.connection_closed(7);
        table.connection_opened(7);
        for _ in 0..2 {
            subscribe(&mut table, from(7, 1), b"a");
        }
        table.connection_closed(7);
        // One synthetic unsubscription, as the connection had one subscription.
        unsubscribe(&mut table, None, b"a");
        subscribe(&mut table, None, b"a");
        assert_eq!(table.count(None), 1);
        unsubscribe(&mut table, None, b"a");
        assert_eq!(table.count(None), 0);
    }

    #[test]
    fn a_message_that_is_read_after_the_close_counts_for_no_peer() {
        let mut table = with_open(&[7, 8]);
        subscribe(&mut table, from(8, 2), b"");
        table.connection_closed(7);
        subscribe(&mut table, from(7, 1), b"");
        assert_eq!(table.count(None), 1);
        unsubscribe(&mut table, None, b"");
        assert_eq!(table.count(None), 1);
        assert_eq!(table.open[&8].prefixes.len(), 1);
    }

    #[test]
    fn prefixes_with_a_first_or_without_a_last_subscriber_are_reported() {
        let mut table = SubscriptionTable::with_totals();
        table.connection_opened(7);
        table.connection_opened(8);
        let changed = |table: &mut SubscriptionTable| -> Vec<(Vec<u8>, bool)> {
            let changed = table.take_changed();
            let with_state = |prefix: &Prefix| (prefix.to_vec(), table.is_subscribed(prefix));
            changed.iter().map(with_state).collect()
        };
        subscribe(&mut table, from(7, 1), b"a");
        subscribe(&mut table, from(7, 1), b"a");
        subscribe(&mut table, from(8, 2), b"a");
        subscribe(&mut table, None, b"a");
        assert_eq!(changed(&mut table), [(b"a".to_vec(), true)]);
        // Removing a subscription that the connection does not have has no effect on other peers.
        unsubscribe(&mut table, from(8, 2), b"a");
        unsubscribe(&mut table, from(8, 2), b"a");
        unsubscribe(&mut table, from(8, 2), b"b");
        table.connection_closed(7);
        unsubscribe(&mut table, None, b"a");
        assert!(changed(&mut table).is_empty());
        unsubscribe(&mut table, None, b"a");
        assert_eq!(changed(&mut table), [(b"a".to_vec(), false)]);
    }

    #[test]
    fn no_state_of_closed_connections_accumulates() {
        let mut table = SubscriptionTable::default();
        for round in 0..100_u8 {
            let descriptor = i32::from(round % 3);
            table.connection_opened(descriptor);
            subscribe(&mut table, from(descriptor, usize::from(round)), b"x");
            table.connection_closed(descriptor);
            unsubscribe(&mut table, None, b"x");
            table.all_read();
        }
        table.all_read();
        assert!(table.open.is_empty() && table.closed.is_empty() && table.inproc.is_empty());
        assert!(
            table.closed_tokens.len() <= 3
                && table.closed_tokens.values().all(|tokens| tokens.len() <= 2)
        );
        assert_eq!(table.total(), 0);
    }

    /// What libzmq and the peers do, in any order.
    #[derive(Debug, Clone)]
    enum Step {
        Open,
        /// A connection, whether it subscribes or unsubscribes, and the prefix.
        Send(usize, bool, u8),
        /// A connection, and what it sent that arrives after the event of its end.
        Close(usize, Vec<(bool, u8)>),
        /// libzmq's I/O thread confirms the end of a connection.
        Answer,
        Inproc(bool, u8),
        /// The socket runs its commands; no message is read.
        Run,
        /// At most this number of messages is read.
        Read(usize),
    }

    #[derive(Debug, Clone)]
    enum Command {
        Sent(usize, bool, u8),
        Ends(usize),
        Ended(usize),
        Inproc(bool, u8),
    }

    /// A model of libzmq: one I/O thread, whose events and commands keep their order.
    #[derive(Default)]
    struct Model {
        /// Descriptor and subscriptions by number; `None` after the end of the connection.
        connections: Vec<(i32, Option<HashSet<u8>>)>,
        open: Vec<usize>,
        inproc: HashMap<u8, usize>,
        monitor: Vec<(bool, i32)>,
        commands: VecDeque<Command>,
        ending: VecDeque<usize>,
        messages: VecDeque<(Option<Source>, bool, u8)>,
    }

    impl Model {
        fn step(&mut self, step: Step, table: &mut SubscriptionTable) {
            match step {
                Step::Open => {
                    let taken =
                        |at: &i32| self.open.iter().any(|one| self.connections[*one].0 == *at);
                    let descriptor = (7..1_000).find(|at| !taken(at)).expect("a free descriptor");
                    self.open.push(self.connections.len());
                    self.connections.push((descriptor, Some(HashSet::new())));
                    self.monitor.push((true, descriptor));
                }
                Step::Send(one, adds, prefix) if !self.open.is_empty() => {
                    let one = self.open[one % self.open.len()];
                    self.commands.push_back(Command::Sent(one, adds, prefix));
                }
                Step::Close(one, late) if !self.open.is_empty() => {
                    let one = self.open.remove(one % self.open.len());
                    self.monitor.push((false, self.connections[one].0));
                    let late = late.into_iter();
                    let sent = late.map(|(adds, prefix)| Command::Sent(one, adds, prefix));
                    self.commands.extend(sent);
                    self.commands.push_back(Command::Ends(one));
                }
                Step::Answer => {
                    let ended = self.ending.pop_front().map(Command::Ended);
                    self.commands.extend(ended);
                }
                Step::Inproc(adds, prefix) => {
                    let count = self.inproc.entry(prefix).or_default();
                    if adds || *count > 0 {
                        *count = if adds { *count + 1 } else { *count - 1 };
                        self.commands.push_back(Command::Inproc(adds, prefix));
                    }
                }
                Step::Run => self.run(),
                Step::Read(most) => {
                    self.run();
                    let most = most.min(self.messages.len());
                    let messages: Vec<_> = self.messages.drain(..most).collect();
                    for (opens, descriptor) in self.monitor.drain(..) {
                        if opens {
                            table.connection_opened(descriptor);
                        } else {
                            table.connection_closed(descriptor);
                        }
                    }
                    for (source, adds, prefix) in messages {
                        if adds {
                            subscribe(table, source, &[prefix]);
                        } else {
                            unsubscribe(table, source, &[prefix]);
                        }
                    }
                    if self.messages.is_empty() {
                        table.all_read();
                    }
                }
                Step::Send(..) | Step::Close(..) => {}
            }
        }

        fn run(&mut self) {
            while let Some(command) = self.commands.pop_front() {
                match command {
                    Command::Sent(one, adds, prefix) => {
                        let (descriptor, prefixes) = &mut self.connections[one];
                        if let Some(prefixes) = prefixes {
                            if adds {
                                prefixes.insert(prefix);
                            } else {
                                prefixes.remove(&prefix);
                            }
                        }
                        self.messages
                            .push_back((from(*descriptor, one), adds, prefix));
                    }
                    Command::Inproc(adds, prefix) => self.messages.push_back((None, adds, prefix)),
                    Command::Ends(one) => self.ending.push_back(one),
                    Command::Ended(one) => {
                        let prefixes = self.connections[one].1.take().unwrap_or_default();
                        let synthetic = prefixes.into_iter().map(|prefix| (None, false, prefix));
                        self.messages.extend(synthetic);
                    }
                }
            }
        }

        /// To how many connections and inproc peers libzmq delivers a message.
        fn delivers(&self, prefix: u8) -> usize {
            let has = |prefixes: &HashSet<u8>| prefixes.contains(&prefix);
            let connections = self.connections.iter();
            let connections =
                connections.filter(|(_, prefixes)| prefixes.as_ref().is_some_and(has));
            connections.count() + self.inproc.get(&prefix).copied().unwrap_or_default()
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        // Few letters, so that connections have subscriptions in common.
        let change = || (any::<bool>(), b'a'..=b'c');
        let late = prop::collection::vec(change(), 0..3);
        prop_oneof![
            3 => Just(Step::Open),
            8 => (any::<usize>(), change()).prop_map(|(one, (adds, prefix))| Step::Send(one, adds, prefix)),
            3 => (any::<usize>(), late).prop_map(|(one, late)| Step::Close(one, late)),
            2 => Just(Step::Answer),
            2 => change().prop_map(|(adds, prefix)| Step::Inproc(adds, prefix)),
            1 => Just(Step::Run),
            3 => (0..6_usize).prop_map(Step::Read),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        /// In any order of events, the table equals what libzmq delivers, once all messages were read.
        #[test]
        fn the_table_equals_what_libzmq_delivers(
            steps in prop::collection::vec(step(), 0..60),
            totals in any::<bool>(),
        ) {
            let mut table = if totals { SubscriptionTable::with_totals() } else { SubscriptionTable::default() };
            let mut model = Model::default();
            for step in steps {
                model.step(step, &mut table);
            }
            while !(model.commands.is_empty() && model.ending.is_empty() && model.messages.is_empty()) {
                model.step(Step::Answer, &mut table);
                model.step(Step::Read(3), &mut table);
            }
            model.step(Step::Read(0), &mut table);
            let counts = counts(&table);
            for prefix in b'a'..=b'c' {
                let delivers = model.delivers(prefix);
                prop_assert_eq!(counts.get([prefix].as_slice()).copied().unwrap_or(0), delivers);
                prop_assert_eq!(table.count(Some(&[prefix])), delivers);
                if totals {
                    prop_assert_eq!(table.is_subscribed(&[prefix]), delivers > 0);
                }
            }
            model.step(Step::Read(0), &mut table);
            prop_assert!(table.closed.is_empty());
            let sizes = table.open.values().map(|peer| peer.prefixes.len());
            prop_assert_eq!(table.total(), sizes.sum::<usize>());
        }
    }
}
