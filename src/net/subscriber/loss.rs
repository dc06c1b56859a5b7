//! Loss, counted from the stamps of named publishers.
//!
//! Each instance numbers its messages from 0 within each topic. A gap counts as loss when a later
//! message of the same instance and topic arrives; the first one received is only a baseline. A
//! chat's presence has the number of the next message and does not advance it: lost presence is not
//! a loss, and presence that arrives reveals the loss of the messages before it. Numbers are kept
//! only for topics that the subscriptions cover whole, so that a filter never looks like loss.
//! A gap that is too large to be loss adds nothing to the count: one forged stamp would spoil it. It is
//! reported as a loss of unknown size.

use crate::wire::stamp::StampRef;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most messages that one gap counts as lost: 100 s at 100,000 a second. Behind a larger gap the
/// number is unknown: the stamp is forged, or the connection was interrupted for very long.
const MOST_LOST: u64 = 10_000_000;

/// Beyond so many pairs of instance and topic, all start with a new baseline.
const MOST: usize = 65_536;

/// Between two warnings.
const PAUSE: Duration = Duration::from_secs(5);

/// How many senders are named in the warnings of one pause; the others are summed up.
const MOST_SENDERS: usize = 10;

/// What is expected of one instance in one topic.
#[derive(Debug)]
struct Expected {
    /// The next number.
    next: u64,
    /// How many interruptions of connections there had been when the last message arrived.
    interruptions: u64,
}

/// Lost messages to warn of.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The publisher's name; empty where several are summed up.
    pub(crate) sender: String,
    /// 0 where the number is unknown.
    pub(crate) count: u64,
    /// How many interruptions of connections there had been before the first of them.
    pub(crate) interruptions: u64,
}

/// What is expected of each instance and topic, and what was missed.
#[derive(Debug, Default)]
pub(crate) struct LossTracker {
    /// Whose messages are not counted: our own, which a relay sends back.
    own: Option<String>,
    /// The next number, by instance and topic; "" is no topic, which no topic can be.
    next: HashMap<String, HashMap<String, Expected>>,
    pairs: usize,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    untold: Vec<Loss>,
    told: Option<Instant>,
}

impl LossTracker {
    /// Takes in a message that the subscriptions cover.
    ///
    /// `presence`: whether it is one that does not count. `interruptions`: how many connections of
    /// this subscriber have ended so far.
    pub(crate) fn take(&mut self, stamp: &StampRef<'_>, presence: bool, interruptions: u64) {
        if self.own.as_deref() == Some(stamp.id.as_ref()) {
            return;
        }
        let topic = stamp.topic.as_deref().unwrap_or_default();
        let expected = self
            .next
            .get_mut(stamp.id.as_ref())
            .and_then(|topics| topics.get_mut(topic));
        let next = stamp.seq.saturating_add(u64::from(!presence));
        if let Some(expected) = expected {
            if stamp.seq < expected.next {
                self.duplicates += u64::from(!presence);
                return;
            }
            let gap = stamp.seq - expected.next;
            let lost = if gap > MOST_LOST { 0 } else { gap };
            let since = std::mem::replace(&mut expected.interruptions, interruptions);
            expected.next = next;
            if gap > 0 {
                self.lost = self.lost.saturating_add(lost);
                self.remember(&stamp.from, lost, since);
            }
            return;
        }
        if self.pairs >= MOST {
            self.next.clear();
            self.pairs = 0;
        }
        self.pairs += 1;
        self.next
            .entry(stamp.id.clone().into_owned())
            .or_default()
            .insert(
                topic.to_owned(),
                Expected {
                    next,
                    interruptions,
                },
            );
    }

    /// Keeps what is to be warned of, by sender.
    #[cold]
    fn remember(&mut self, sender: &str, count: u64, interruptions: u64) {
        let known = self.untold.iter().position(|loss| loss.sender == sender);
        let full = self.untold.len() > MOST_SENDERS;
        if let Some(place) = known.or(full.then_some(MOST_SENDERS)) {
            let loss = &mut self.untold[place];
            loss.count = loss.count.saturating_add(count);
            loss.interruptions = loss.interruptions.min(interruptions);
            return;
        }
        let several = self.untold.len() == MOST_SENDERS;
        self.untold.push(Loss {
            sender: if several { "" } else { sender }.to_owned(),
            count,
            interruptions,
        });
    }

    /// Counts no messages of this instance from now on.
    pub(crate) fn ignore_sender(&mut self, id: String) {
        self.own = Some(id);
    }

    /// Forgets what is not covered any more: what comes after a gap in listening is a baseline.
    pub(crate) fn keep(&mut self, covered: impl Fn(Option<&str>) -> bool) {
        for topics in self.next.values_mut() {
            topics.retain(|topic, _| covered((!topic.is_empty()).then_some(topic)));
        }
        self.next.retain(|_, topics| !topics.is_empty());
        self.pairs = self.next.values().map(HashMap::len).sum();
    }

    /// Whether there is loss without a warning yet.
    pub(crate) fn untold(&self) -> bool {
        !self.untold.is_empty()
    }

    /// Ends the pause: the next warning comes at once.
    pub(crate) fn hurry(&mut self) {
        self.told = None;
    }

    /// Whether there is loss to warn of now.
    pub(crate) fn is_warning_due(&self) -> bool {
        self.untold() && self.told.is_none_or(|told| told.elapsed() >= PAUSE)
    }

    /// Loss to warn of, by sender; at most every 5 s.
    pub(crate) fn warnings(&mut self) -> Vec<Loss> {
        if !self.is_warning_due() {
            return Vec::new();
        }
        self.told = Some(Instant::now());
        std::mem::take(&mut self.untold)
    }
}

#[cfg(test)]
mod tests {
    use super::{Loss, LossTracker, MOST, MOST_LOST, MOST_SENDERS};
    use crate::wire::stamp::StampRef;

    fn stamp<'a>(id: &'a str, topic: Option<&'a str>, seq: u64) -> StampRef<'a> {
        StampRef {
            from: "alice".into(),
            id: id.into(),
            topic: topic.map(Into::into),
            seq,
            sent_ns: 0,
            kind: None,
        }
    }

    #[test]
    fn a_gap_is_loss_and_a_repetition_a_duplicate() {
        let mut sequences = LossTracker::default();
        for seq in [5, 6, 9, 9, 10, 7] {
            sequences.take(&stamp("a", None, seq), false, 0);
        }
        assert_eq!((sequences.lost, sequences.duplicates), (2, 2));
        assert_eq!(sequences.warnings(), [loss("alice", 2, 0)]);
        assert_eq!(sequences.warnings(), []);
    }

    #[test]
    fn a_forged_number_adds_no_loss_and_later_loss_counts() {
        for forged in [u64::MAX, u64::MAX - 1, MOST_LOST + 2] {
            let mut sequences = LossTracker::default();
            for seq in [0, forged, u64::MAX] {
                sequences.take(&stamp("a", None, seq), false, 0);
            }
            assert_eq!(sequences.lost, 0);
            assert_eq!(sequences.warnings(), [loss("alice", 0, 0)]);
            for (seq, lost) in [(7, 0), (9, 1), (10, 1)] {
                sequences.take(&stamp("b", None, seq), false, 0);
                assert_eq!(sequences.lost, lost);
            }
        }
        let mut sequences = LossTracker::default();
        for seq in [0, MOST_LOST + 1] {
            sequences.take(&stamp("a", None, seq), false, 0);
        }
        assert_eq!(sequences.lost, MOST_LOST);
    }

    fn loss(sender: &str, count: u64, interruptions: u64) -> Loss {
        Loss {
            sender: sender.into(),
            count,
            interruptions,
        }
    }

    #[test]
    fn presence_does_not_count_and_reveals_a_message_that_is_missing() {
        let mut sequences = LossTracker::default();
        let mut take = |seq, presence| {
            sequences.take(&stamp("a", Some("lobby"), seq), presence, 0);
            (sequences.lost, sequences.duplicates)
        };
        // The first one is a baseline: message 0 is the next one.
        for (seq, presence) in [(0, true), (0, true), (0, false), (1, true), (1, false)] {
            assert_eq!(take(seq, presence), (0, 0), "{seq}");
        }
        assert_eq!(take(3, true), (1, 0), "message 2 is missing");
        assert_eq!(take(3, true), (1, 0), "and is counted once");
        assert_eq!(take(3, false), (1, 0));
        assert_eq!(take(2, true), (1, 0), "late presence is not a duplicate");
        assert_eq!(take(3, false), (1, 1));
    }

    #[test]
    fn loss_is_kept_by_sender_with_the_interruptions_before_it() {
        let mut sequences = LossTracker::default();
        let mut take = |number: usize, seq, interruptions| {
            let name = format!("p{number}");
            let mut stamp = stamp(&name, None, seq);
            stamp.from = name.as_str().into();
            sequences.take(&stamp, false, interruptions);
        };
        for number in 0..MOST_SENDERS + 5 {
            take(number, 0, 3);
            take(number, 2, 4);
            take(number, 4, 4);
        }
        let losses = sequences.warnings();
        assert_eq!(losses.len(), MOST_SENDERS + 1);
        assert_eq!(losses[0], loss("p0", 2, 3));
        assert_eq!(losses[MOST_SENDERS], loss("", 10, 3));
        assert_eq!(sequences.lost, 2 * (MOST_SENDERS as u64 + 5));
    }

    #[test]
    fn instances_and_topics_are_numbered_apart() {
        let mut sequences = LossTracker::default();
        for (id, topic, seq) in [
            ("a", None, 0),
            ("b", None, 7),
            ("a", Some("room1"), 3),
            ("a", None, 1),
            ("b", None, 8),
            ("a", Some("room1"), 4),
        ] {
            sequences.take(&stamp(id, topic, seq), false, 0);
        }
        assert_eq!((sequences.lost, sequences.duplicates), (0, 0));
    }

    #[test]
    fn what_one_misses_of_oneself_is_no_loss() {
        let mut sequences = LossTracker::default();
        sequences.ignore_sender("a".into());
        for (id, seq) in [("a", 0), ("b", 0), ("a", 7), ("b", 2)] {
            sequences.take(&stamp(id, None, seq), false, 0);
        }
        assert_eq!(sequences.lost, 1);
    }

    #[test]
    fn listening_anew_is_a_new_baseline() {
        let mut sequences = LossTracker::default();
        sequences.take(&stamp("a", Some("room1"), 0), false, 0);
        sequences.take(&stamp("a", Some("room2"), 0), false, 0);
        sequences.keep(|topic| topic == Some("room2"));
        sequences.take(&stamp("a", Some("room1"), 50), false, 0);
        sequences.take(&stamp("a", Some("room2"), 3), false, 0);
        assert_eq!(sequences.lost, 2);
    }

    #[test]
    fn the_table_has_an_end() {
        let mut sequences = LossTracker::default();
        for number in 0..=MOST {
            sequences.take(&stamp(&number.to_string(), None, 0), false, 0);
        }
        assert_eq!(sequences.pairs, 1);
        assert_eq!(sequences.next.len(), 1);
    }
}
