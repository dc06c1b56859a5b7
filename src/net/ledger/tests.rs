//! The books, right whatever the order of events.

use super::Ledger;

fn with_open(descriptors: &[i32]) -> Ledger {
    let mut ledger = Ledger::default();
    for descriptor in descriptors {
        ledger.opened(*descriptor);
    }
    ledger
}

#[test]
fn peers_are_counted_not_subscriptions() {
    let mut ledger = with_open(&[7, 8]);
    for prefix in [b"room1:".as_slice(), b"room2:", b""] {
        ledger.subscribed(Some(7), prefix);
    }
    ledger.subscribed(Some(8), b"room1:");
    assert_eq!(ledger.count(None), 2);
    assert_eq!(ledger.count(Some(b"room1:")), 2);
    assert_eq!(ledger.count(Some(b"room3:")), 1);
    assert_eq!(ledger.prefixes()[b"room1:".as_slice()], 2);
    ledger.unsubscribed(Some(7), b"");
    assert_eq!(ledger.count(Some(b"room3:")), 0);
}

#[test]
fn a_subscription_longer_than_the_topic_hears_only_some_of_it() {
    let mut ledger = with_open(&[7]);
    ledger.subscribed(Some(7), b"room1:He");
    assert_eq!(ledger.count(Some(b"room1:")), 0);
    ledger.subscribed(Some(7), b"ro");
    assert_eq!(ledger.count(Some(b"room1:")), 1);
}

#[test]
fn many_subscriptions_are_looked_up_not_scanned() {
    let mut ledger = with_open(&[7]);
    for number in 0..10_000 {
        ledger.subscribed(Some(7), format!("topic{number}:").as_bytes());
    }
    assert_eq!(ledger.count(Some(b"topic9999:")), 1);
    assert_eq!(ledger.count(Some(b"topic10000:")), 0);
}

#[test]
fn a_departure_counts_at_once_and_its_notices_are_absorbed() {
    let mut ledger = with_open(&[7]);
    ledger.subscribed(Some(7), b"a");
    ledger.subscribed(None, b"a");
    ledger.gone(7);
    assert_eq!(ledger.count(Some(b"a")), 1);
    ledger.unsubscribed(None, b"a");
    assert_eq!(
        ledger.count(Some(b"a")),
        1,
        "the inproc peer is still there"
    );
    ledger.unsubscribed(None, b"a");
    assert_eq!(ledger.count(None), 0);
}

#[test]
fn a_descriptor_may_be_used_again_at_once() {
    let mut ledger = with_open(&[7]);
    ledger.subscribed(Some(7), b"old");
    ledger.gone(7);
    ledger.opened(7);
    ledger.subscribed(Some(7), b"new");
    ledger.unsubscribed(None, b"old");
    assert_eq!(ledger.count(None), 1);
    assert_eq!(ledger.count(Some(b"new")), 1);
    assert_eq!(ledger.count(Some(b"old")), 0);
}

#[test]
fn a_notice_booked_on_the_wrong_owner_is_made_good() {
    // The old owner's subscription is applied after its departure, hence to the new owner.
    let mut ledger = with_open(&[7]);
    ledger.gone(7);
    ledger.opened(7);
    ledger.subscribed(Some(7), b"old");
    ledger.subscribed(Some(7), b"new");
    ledger.unsubscribed(None, b"old");
    assert_eq!(ledger.count(Some(b"old")), 0);
    assert_eq!(ledger.count(Some(b"new")), 1);
}

#[test]
fn whoever_stays_is_never_taken_for_one_who_left() {
    // The old owner of 7 subscribes and departs, the new one subscribes to the same; 8 stays.
    // In which order the notices come to light is libzmq's affair.
    for order in [["old", "gone", "new"], ["old", "new", "gone"]] {
        let mut ledger = with_open(&[8, 7]);
        ledger.subscribed(Some(8), b"a");
        ledger.gone(7);
        ledger.opened(7);
        for notice in order {
            match notice {
                "gone" => ledger.unsubscribed(None, b"a"),
                _ => ledger.subscribed(Some(7), b"a"),
            }
        }
        assert_eq!(ledger.count(Some(b"a")), 2, "{order:?}");
        ledger.gone(7);
        ledger.unsubscribed(None, b"a");
        assert_eq!(ledger.prefixes()[b"a".as_slice()], 1);
        assert!(ledger.departed.is_empty());
    }
}

#[test]
fn a_notice_that_comes_to_light_after_the_departure_counts_for_nobody() {
    let mut ledger = with_open(&[7, 8]);
    ledger.subscribed(Some(8), b"");
    ledger.gone(7);
    ledger.subscribed(Some(7), b"");
    assert_eq!(ledger.count(None), 1);
    ledger.unsubscribed(None, b"");
    assert_eq!(ledger.count(None), 1);
    assert_eq!(ledger.peers[&8].prefixes.len(), 1);
}

#[test]
fn the_totals_tell_what_has_its_first_and_what_lost_its_last() {
    let mut ledger = Ledger::with_totals();
    ledger.opened(7);
    ledger.opened(8);
    let turned = |ledger: &mut Ledger| -> Vec<(Vec<u8>, bool)> {
        let turned = ledger.turned();
        let told = |prefix: &super::Prefix| (prefix.to_vec(), ledger.is_held(prefix));
        turned.iter().map(told).collect()
    };
    ledger.subscribed(Some(7), b"a");
    ledger.subscribed(Some(7), b"a");
    ledger.subscribed(Some(8), b"a");
    ledger.subscribed(None, b"a");
    assert_eq!(turned(&mut ledger), [(b"a".to_vec(), true)]);
    // Who takes back what it never had takes it from nobody.
    ledger.unsubscribed(Some(8), b"a");
    ledger.unsubscribed(Some(8), b"a");
    ledger.unsubscribed(Some(8), b"b");
    ledger.gone(7);
    ledger.unsubscribed(None, b"a");
    assert!(turned(&mut ledger).is_empty());
    ledger.unsubscribed(None, b"a");
    assert_eq!(turned(&mut ledger), [(b"a".to_vec(), false)]);
}

#[test]
fn nothing_stays_behind_when_all_have_gone() {
    let mut ledger = Ledger::default();
    for round in 0..100 {
        let descriptor = round % 3;
        ledger.opened(descriptor);
        ledger.subscribed(Some(descriptor), b"x");
        ledger.gone(descriptor);
        ledger.unsubscribed(None, b"x");
    }
    assert!(ledger.peers.is_empty() && ledger.departed.is_empty() && ledger.nameless.is_empty());
}
