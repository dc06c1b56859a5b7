//! The books, right whatever the order of events.

use crate::net::subscription::table::{counted, Prefix, Source, SubscriptionTable};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet, VecDeque};

/// A connection by its descriptor and its number.
#[allow(clippy::unnecessary_wraps)] // as notices have it
fn from(descriptor: i32, token: usize) -> Option<Source> {
    Some(Source { descriptor, token })
}

fn subscribed(ledger: &mut SubscriptionTable, source: Option<Source>, prefix: &[u8]) {
    ledger.subscribed(source, prefix, || None);
}

fn unsubscribed(ledger: &mut SubscriptionTable, source: Option<Source>, prefix: &[u8]) {
    ledger.unsubscribed(source, prefix, || None);
}

fn counts(ledger: &SubscriptionTable) -> HashMap<Prefix, usize> {
    counted(ledger.prefixes())
}

fn with_open(descriptors: &[i32]) -> SubscriptionTable {
    let mut ledger = SubscriptionTable::default();
    for descriptor in descriptors {
        ledger.opened(*descriptor);
    }
    ledger
}

#[test]
fn peers_are_counted_not_subscriptions() {
    let mut ledger = with_open(&[7, 8]);
    for prefix in [b"room1:".as_slice(), b"room2:", b""] {
        subscribed(&mut ledger, from(7, 1), prefix);
    }
    subscribed(&mut ledger, from(8, 2), b"room1:");
    assert_eq!(ledger.count(None), 2);
    assert_eq!(ledger.count(Some(b"room1:")), 2);
    assert_eq!(ledger.count(Some(b"room3:")), 1);
    assert_eq!(counts(&ledger)[b"room1:".as_slice()], 2);
    unsubscribed(&mut ledger, from(7, 1), b"");
    assert_eq!(ledger.count(Some(b"room3:")), 0);
}

#[test]
fn a_subscription_longer_than_the_topic_hears_only_some_of_it() {
    let mut ledger = with_open(&[7]);
    subscribed(&mut ledger, from(7, 1), b"room1:He");
    assert_eq!(ledger.count(Some(b"room1:")), 0);
    subscribed(&mut ledger, from(7, 1), b"ro");
    assert_eq!(ledger.count(Some(b"room1:")), 1);
}

#[test]
fn many_subscriptions_are_looked_up_not_scanned() {
    let mut ledger = with_open(&[7]);
    for number in 0..10_000 {
        subscribed(
            &mut ledger,
            from(7, 1),
            format!("topic{number}:").as_bytes(),
        );
    }
    assert_eq!(ledger.count(Some(b"topic9999:")), 1);
    assert_eq!(ledger.count(Some(b"topic10000:")), 0);
}

#[test]
fn a_departure_counts_at_once_and_its_notices_are_absorbed() {
    let mut ledger = with_open(&[7]);
    subscribed(&mut ledger, from(7, 1), b"a");
    subscribed(&mut ledger, None, b"a");
    ledger.gone(7);
    assert_eq!(ledger.count(Some(b"a")), 1);
    unsubscribed(&mut ledger, None, b"a");
    assert_eq!(
        ledger.count(Some(b"a")),
        1,
        "the inproc peer is still there"
    );
    unsubscribed(&mut ledger, None, b"a");
    assert_eq!(ledger.count(None), 0);
}

#[test]
fn a_descriptor_may_be_used_again_at_once() {
    let mut ledger = with_open(&[7]);
    subscribed(&mut ledger, from(7, 1), b"old");
    ledger.gone(7);
    ledger.opened(7);
    subscribed(&mut ledger, from(7, 2), b"new");
    unsubscribed(&mut ledger, None, b"old");
    assert_eq!(ledger.count(None), 1);
    assert_eq!(ledger.count(Some(b"new")), 1);
    assert_eq!(ledger.count(Some(b"old")), 0);
}

#[test]
fn a_notice_booked_on_the_next_owner_of_a_descriptor_is_corrected() {
    for with_departure in [true, false] {
        // The old owner's subscription is applied after its departure, hence to the new owner.
        let mut ledger = with_open(&[7]);
        ledger.gone(7);
        ledger.opened(7);
        subscribed(&mut ledger, from(7, 1), b"old");
        if with_departure {
            unsubscribed(&mut ledger, None, b"old");
            assert_eq!(ledger.count(None), 0);
        }
        subscribed(&mut ledger, from(7, 2), b"new");
        assert_eq!(ledger.count(Some(b"old")), 0);
        assert_eq!(ledger.count(Some(b"new")), 1);
        ledger.read_to_the_end();
        ledger.read_to_the_end();
        assert_eq!(ledger.departed.is_empty(), with_departure);
    }
}

#[test]
fn a_connection_that_stays_is_never_taken_for_one_that_closed() {
    // The old owner of 7 subscribes and departs, the new one subscribes to the same; 8 stays.
    // In which order the notices are read is libzmq's affair.
    for order in [["old", "gone", "new"], ["old", "new", "gone"]] {
        let mut ledger = with_open(&[8, 7]);
        subscribed(&mut ledger, from(8, 3), b"a");
        ledger.gone(7);
        ledger.opened(7);
        for notice in order {
            match notice {
                "gone" => unsubscribed(&mut ledger, None, b"a"),
                "old" => subscribed(&mut ledger, from(7, 1), b"a"),
                _ => subscribed(&mut ledger, from(7, 2), b"a"),
            }
        }
        assert_eq!(ledger.count(Some(b"a")), 2, "{order:?}");
        ledger.gone(7);
        unsubscribed(&mut ledger, None, b"a");
        assert_eq!(counts(&ledger)[b"a".as_slice()], 1);
        ledger.read_to_the_end();
        ledger.read_to_the_end();
        assert!(ledger.departed.is_empty());
    }
}

#[test]
fn one_unsubscription_ends_a_subscription_that_was_made_twice() {
    // Whether or not the descriptor had another owner before, and whatever was read of that.
    for known in [true, false] {
        let mut ledger = with_open(&[7]);
        if known {
            subscribed(&mut ledger, from(7, 1), b"a");
        }
        ledger.gone(7);
        ledger.opened(7);
        for _ in 0..2 {
            subscribed(&mut ledger, from(7, 2), b"b");
        }
        assert_eq!(ledger.count(Some(b"b")), 1);
        unsubscribed(&mut ledger, from(7, 2), b"b");
        assert_eq!(ledger.count(None), 0);
    }
}

#[test]
fn after_a_double_subscription_an_inproc_peer_is_not_counted_longer_than_it_stays() {
    let mut ledger = with_open(&[7]);
    ledger.gone(7);
    ledger.opened(7);
    for _ in 0..2 {
        subscribed(&mut ledger, from(7, 1), b"a");
    }
    ledger.gone(7);
    // libzmq makes up one notice, as the connection had one subscription.
    unsubscribed(&mut ledger, None, b"a");
    subscribed(&mut ledger, None, b"a");
    assert_eq!(ledger.count(None), 1);
    unsubscribed(&mut ledger, None, b"a");
    assert_eq!(ledger.count(None), 0);
}

#[test]
fn a_notice_that_is_read_after_the_departure_counts_for_no_peer() {
    let mut ledger = with_open(&[7, 8]);
    subscribed(&mut ledger, from(8, 2), b"");
    ledger.gone(7);
    subscribed(&mut ledger, from(7, 1), b"");
    assert_eq!(ledger.count(None), 1);
    unsubscribed(&mut ledger, None, b"");
    assert_eq!(ledger.count(None), 1);
    assert_eq!(ledger.peers[&8].prefixes.len(), 1);
}

#[test]
fn the_totals_report_first_and_last_subscribers() {
    let mut ledger = SubscriptionTable::with_totals();
    ledger.opened(7);
    ledger.opened(8);
    let turned = |ledger: &mut SubscriptionTable| -> Vec<(Vec<u8>, bool)> {
        let turned = ledger.turned();
        let told = |prefix: &Prefix| (prefix.to_vec(), ledger.is_held(prefix));
        turned.iter().map(told).collect()
    };
    subscribed(&mut ledger, from(7, 1), b"a");
    subscribed(&mut ledger, from(7, 1), b"a");
    subscribed(&mut ledger, from(8, 2), b"a");
    subscribed(&mut ledger, None, b"a");
    assert_eq!(turned(&mut ledger), [(b"a".to_vec(), true)]);
    // To take back what it never had takes it from no other peer.
    unsubscribed(&mut ledger, from(8, 2), b"a");
    unsubscribed(&mut ledger, from(8, 2), b"a");
    unsubscribed(&mut ledger, from(8, 2), b"b");
    ledger.gone(7);
    unsubscribed(&mut ledger, None, b"a");
    assert!(turned(&mut ledger).is_empty());
    unsubscribed(&mut ledger, None, b"a");
    assert_eq!(turned(&mut ledger), [(b"a".to_vec(), false)]);
}

#[test]
fn nothing_is_kept_of_closed_connections() {
    let mut ledger = SubscriptionTable::default();
    for round in 0..100_u8 {
        let descriptor = i32::from(round % 3);
        ledger.opened(descriptor);
        subscribed(&mut ledger, from(descriptor, usize::from(round)), b"x");
        ledger.gone(descriptor);
        unsubscribed(&mut ledger, None, b"x");
        ledger.read_to_the_end();
    }
    ledger.read_to_the_end();
    assert!(ledger.peers.is_empty() && ledger.departed.is_empty() && ledger.nameless.is_empty());
    assert!(ledger.former.len() <= 3 && ledger.former.values().all(|former| former.len() <= 2));
    assert_eq!(ledger.held(), 0);
}

/// What libzmq and peers do, in their own order.
#[derive(Debug, Clone)]
enum Step {
    Open,
    /// A connection, whether it subscribes, and to what.
    Send(usize, bool, u8),
    /// A connection, and what it sent that is delivered after the report of its end.
    Close(usize, Vec<(bool, u8)>),
    /// libzmq's network thread answers the end of a connection.
    Answer,
    Inproc(bool, u8),
    /// The socket runs its commands, without being read.
    Run,
    /// So many notices are read at most.
    Read(usize),
}

#[derive(Debug, Clone)]
enum Command {
    Sent(usize, bool, u8),
    Ends(usize),
    Ended(usize),
    Inproc(bool, u8),
}

/// libzmq's side: one network thread, whose reports and commands keep their order.
#[derive(Default)]
struct Model {
    /// By number: descriptor and subscriptions; `None` once libzmq has forgotten it.
    connections: Vec<(i32, Option<HashSet<u8>>)>,
    open: Vec<usize>,
    inproc: HashMap<u8, usize>,
    monitor: Vec<(bool, i32)>,
    commands: VecDeque<Command>,
    ending: VecDeque<usize>,
    notices: VecDeque<(Option<Source>, bool, u8)>,
}

impl Model {
    fn step(&mut self, step: Step, ledger: &mut SubscriptionTable) {
        match step {
            Step::Open => {
                let taken = |at: &i32| self.open.iter().any(|one| self.connections[*one].0 == *at);
                let descriptor = (7..1_000).find(|at| !taken(at)).expect("a free one");
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
                let most = most.min(self.notices.len());
                let notices: Vec<_> = self.notices.drain(..most).collect();
                for (opens, descriptor) in self.monitor.drain(..) {
                    if opens {
                        ledger.opened(descriptor);
                    } else {
                        ledger.gone(descriptor);
                    }
                }
                for (source, adds, prefix) in notices {
                    if adds {
                        subscribed(ledger, source, &[prefix]);
                    } else {
                        unsubscribed(ledger, source, &[prefix]);
                    }
                }
                if self.notices.is_empty() {
                    ledger.read_to_the_end();
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
                    self.notices
                        .push_back((from(*descriptor, one), adds, prefix));
                }
                Command::Inproc(adds, prefix) => self.notices.push_back((None, adds, prefix)),
                Command::Ends(one) => self.ending.push_back(one),
                Command::Ended(one) => {
                    let prefixes = self.connections[one].1.take().unwrap_or_default();
                    let made_up = prefixes.into_iter().map(|prefix| (None, false, prefix));
                    self.notices.extend(made_up);
                }
            }
        }
    }

    /// Which connections, and how many inproc peers, libzmq delivers a prefix to.
    fn delivers(&self, prefix: u8) -> usize {
        let has = |prefixes: &HashSet<u8>| prefixes.contains(&prefix);
        let connections = self.connections.iter();
        let connections = connections.filter(|(_, prefixes)| prefixes.as_ref().is_some_and(has));
        connections.count() + self.inproc.get(&prefix).copied().unwrap_or_default()
    }
}

fn step() -> impl Strategy<Value = Step> {
    // Few letters, so that connections have much in common.
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

    /// Whatever the order of events, the books equal what libzmq delivers once all was read.
    #[test]
    fn the_books_equal_what_libzmq_delivers(
        steps in prop::collection::vec(step(), 0..60),
        totals in any::<bool>(),
    ) {
        let mut ledger = if totals { SubscriptionTable::with_totals() } else { SubscriptionTable::default() };
        let mut model = Model::default();
        for step in steps {
            model.step(step, &mut ledger);
        }
        while !(model.commands.is_empty() && model.ending.is_empty() && model.notices.is_empty()) {
            model.step(Step::Answer, &mut ledger);
            model.step(Step::Read(3), &mut ledger);
        }
        model.step(Step::Read(0), &mut ledger);
        let counts = counts(&ledger);
        for prefix in b'a'..=b'c' {
            let delivers = model.delivers(prefix);
            prop_assert_eq!(counts.get([prefix].as_slice()).copied().unwrap_or(0), delivers);
            prop_assert_eq!(ledger.count(Some(&[prefix])), delivers);
            if totals {
                prop_assert_eq!(ledger.is_held(&[prefix]), delivers > 0);
            }
        }
        model.step(Step::Read(0), &mut ledger);
        prop_assert!(ledger.departed.is_empty());
        let sizes = ledger.peers.values().map(|peer| peer.prefixes.len());
        prop_assert_eq!(ledger.held(), sizes.sum::<usize>());
    }
}
