//! Lost messages, counted by the stamps of named publishers.
//!
//! Each publisher instance numbers its messages from 0 within each topic. A gap counts as loss when a
//! later message of the same instance and topic arrives; the first message received is only a baseline.
//! A chat's presence message has the number of the next message and does not advance it: lost presence
//! is not a loss, and presence that arrives reveals the loss of the messages before it. Numbers are kept
//! only for topics that the subscriptions cover completely, so that a filter never looks like loss.
//! A gap that is too large to be loss adds nothing to the count, which one forged stamp would spoil. It
//! is reported as a loss of unknown size.

use crate::wire::stamp::StampRef;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The most messages that one gap counts as lost: 100 s at 100,000 a second. The size of a larger gap is
/// unknown: the stamp is forged, or the connection was interrupted for very long.
const MAX_GAP: u64 = 10_000_000;

/// Above this number of pairs of instance and topic, all start with a new baseline.
const MAX_PAIRS: usize = 65_536;

/// The time between two warnings.
const WARNING_INTERVAL: Duration = Duration::from_secs(5);

/// How many senders the warnings of one interval name; the loss of all others is summed up.
const MAX_SENDERS: usize = 10;

/// What is expected of one instance in one topic.
#[derive(Debug)]
struct Expected {
    /// The next sequence number.
    next: u64,
    /// How many connections had been interrupted when the last message arrived.
    interruptions: u64,
}

/// Lost messages to warn about.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// The publisher's name; empty for the sum of several.
    pub(crate) sender: String,
    /// 0 if the number is unknown.
    pub(crate) count: u64,
    /// How many connections had been interrupted before the first of these messages was lost.
    pub(crate) interruptions: u64,
}

/// What is expected of each instance and topic, and which messages are missing.
#[derive(Debug, Default)]
pub(crate) struct LossTracker {
    /// The instance whose messages are not counted: our own, whose messages a relay sends back.
    ignored: Option<String>,
    /// By instance and topic. A message without a topic has the topic "", which no other one has.
    expected: HashMap<String, HashMap<String, Expected>>,
    pairs: usize,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    unreported: Vec<Loss>,
    last_warning: Option<Instant>,
}

impl LossTracker {
    /// Records a message that the subscriptions cover.
    ///
    /// `presence`: whether it is a presence message, which has no number of its own. `interruptions`: how
    /// many connections of this subscriber have ended so far.
    pub(crate) fn record(&mut self, stamp: &StampRef<'_>, presence: bool, interruptions: u64) {
        if self.ignored.as_deref() == Some(stamp.id.as_ref()) {
            return;
        }
        let topic = stamp.topic.as_deref().unwrap_or_default();
        let expected = self
            .expected
            .get_mut(stamp.id.as_ref())
            .and_then(|topics| topics.get_mut(topic));
        let next = stamp.seq.saturating_add(u64::from(!presence));
        if let Some(expected) = expected {
            if stamp.seq < expected.next {
                self.duplicates += u64::from(!presence);
                return;
            }
            let gap = stamp.seq - expected.next;
            let lost = if gap > MAX_GAP { 0 } else { gap };
            let since = std::mem::replace(&mut expected.interruptions, interruptions);
            expected.next = next;
            if gap > 0 {
                self.lost = self.lost.saturating_add(lost);
                self.add_unreported(&stamp.from, lost, since);
            }
            return;
        }
        if self.pairs >= MAX_PAIRS {
            self.expected.clear();
            self.pairs = 0;
        }
        self.pairs += 1;
        self.expected
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

    #[cold]
    fn add_unreported(&mut self, sender: &str, count: u64, interruptions: u64) {
        let known = self
            .unreported
            .iter()
            .position(|loss| loss.sender == sender);
        let full = self.unreported.len() > MAX_SENDERS;
        if let Some(index) = known.or(full.then_some(MAX_SENDERS)) {
            let loss = &mut self.unreported[index];
            loss.count = loss.count.saturating_add(count);
            loss.interruptions = loss.interruptions.min(interruptions);
            return;
        }
        let is_sum = self.unreported.len() == MAX_SENDERS;
        self.unreported.push(Loss {
            sender: if is_sum { "" } else { sender }.to_owned(),
            count,
            interruptions,
        });
    }

    /// Counts no messages of this instance from now on.
    pub(crate) fn ignore_sender(&mut self, id: String) {
        self.ignored = Some(id);
    }

    /// Forgets topics that the subscriptions no longer cover. After another subscription to one of them,
    /// its first message is a baseline.
    pub(crate) fn retain(&mut self, covered: impl Fn(Option<&str>) -> bool) {
        for topics in self.expected.values_mut() {
            topics.retain(|topic, _| covered((!topic.is_empty()).then_some(topic)));
        }
        self.expected.retain(|_, topics| !topics.is_empty());
        self.pairs = self.expected.values().map(HashMap::len).sum();
    }

    /// Whether there is loss without a warning yet.
    pub(crate) fn is_warning_pending(&self) -> bool {
        !self.unreported.is_empty()
    }

    /// Ends the pause between two warnings: the next one is due at once.
    pub(crate) fn end_pause(&mut self) {
        self.last_warning = None;
    }

    /// Whether there is loss to warn about now.
    pub(crate) fn is_warning_due(&self) -> bool {
        let interval_is_over = |last: Instant| last.elapsed() >= WARNING_INTERVAL;
        self.is_warning_pending() && self.last_warning.is_none_or(interval_is_over)
    }

    /// Takes the loss to warn about, by sender; none if no warning is due.
    pub(crate) fn take_warnings(&mut self) -> Vec<Loss> {
        if !self.is_warning_due() {
            return Vec::new();
        }
        self.last_warning = Some(Instant::now());
        std::mem::take(&mut self.unreported)
    }
}

#[cfg(test)]
mod tests {
    use super::{Loss, LossTracker, MAX_GAP, MAX_PAIRS, MAX_SENDERS};
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
    fn a_gap_is_a_loss_and_a_repetition_is_a_duplicate() {
        let mut losses = LossTracker::default();
        for seq in [5, 6, 9, 9, 10, 7] {
            losses.record(&stamp("a", None, seq), false, 0);
        }
        assert_eq!((losses.lost, losses.duplicates), (2, 2));
        assert_eq!(losses.take_warnings(), [loss("alice", 2, 0)]);
        assert_eq!(losses.take_warnings(), []);
    }

    #[test]
    fn a_forged_sequence_number_adds_no_loss_and_later_loss_is_counted() {
        for forged in [u64::MAX, u64::MAX - 1, MAX_GAP + 2] {
            let mut losses = LossTracker::default();
            for seq in [0, forged, u64::MAX] {
                losses.record(&stamp("a", None, seq), false, 0);
            }
            assert_eq!(losses.lost, 0);
            assert_eq!(losses.take_warnings(), [loss("alice", 0, 0)]);
            for (seq, lost) in [(7, 0), (9, 1), (10, 1)] {
                losses.record(&stamp("b", None, seq), false, 0);
                assert_eq!(losses.lost, lost);
            }
        }
        let mut losses = LossTracker::default();
        for seq in [0, MAX_GAP + 1] {
            losses.record(&stamp("a", None, seq), false, 0);
        }
        assert_eq!(losses.lost, MAX_GAP);
    }

    fn loss(sender: &str, count: u64, interruptions: u64) -> Loss {
        Loss {
            sender: sender.into(),
            count,
            interruptions,
        }
    }

    #[test]
    fn presence_has_no_number_of_its_own_and_reveals_a_missing_message() {
        let mut losses = LossTracker::default();
        let mut record = |seq, presence| {
            losses.record(&stamp("a", Some("lobby"), seq), presence, 0);
            (losses.lost, losses.duplicates)
        };
        // The first one is a baseline: the next message is number 0.
        for (seq, presence) in [(0, true), (0, true), (0, false), (1, true), (1, false)] {
            assert_eq!(record(seq, presence), (0, 0), "{seq}");
        }
        assert_eq!(record(3, true), (1, 0), "message 2 is missing");
        assert_eq!(record(3, true), (1, 0), "the loss is counted once");
        assert_eq!(record(3, false), (1, 0));
        assert_eq!(record(2, true), (1, 0), "late presence is not a duplicate");
        assert_eq!(record(3, false), (1, 1));
    }

    #[test]
    fn loss_is_kept_by_sender_with_the_number_of_interruptions_before_it() {
        let mut losses = LossTracker::default();
        let mut record = |number: usize, seq, interruptions| {
            let name = format!("p{number}");
            let mut stamp = stamp(&name, None, seq);
            stamp.from = name.as_str().into();
            losses.record(&stamp, false, interruptions);
        };
        for number in 0..MAX_SENDERS + 5 {
            record(number, 0, 3);
            record(number, 2, 4);
            record(number, 4, 4);
        }
        let warnings = losses.take_warnings();
        assert_eq!(warnings.len(), MAX_SENDERS + 1);
        assert_eq!(warnings[0], loss("p0", 2, 3));
        assert_eq!(warnings[MAX_SENDERS], loss("", 10, 3));
        assert_eq!(losses.lost, 2 * (MAX_SENDERS as u64 + 5));
    }

    #[test]
    fn each_instance_and_topic_has_its_own_sequence() {
        let mut losses = LossTracker::default();
        for (id, topic, seq) in [
            ("a", None, 0),
            ("b", None, 7),
            ("a", Some("room1"), 3),
            ("a", None, 1),
            ("b", None, 8),
            ("a", Some("room1"), 4),
        ] {
            losses.record(&stamp(id, topic, seq), false, 0);
        }
        assert_eq!((losses.lost, losses.duplicates), (0, 0));
    }

    #[test]
    fn missing_messages_of_an_ignored_sender_are_not_loss() {
        let mut losses = LossTracker::default();
        losses.ignore_sender("a".into());
        for (id, seq) in [("a", 0), ("b", 0), ("a", 7), ("b", 2)] {
            losses.record(&stamp(id, None, seq), false, 0);
        }
        assert_eq!(losses.lost, 1);
    }

    #[test]
    fn the_first_message_after_a_new_subscription_is_a_baseline() {
        let mut losses = LossTracker::default();
        losses.record(&stamp("a", Some("room1"), 0), false, 0);
        losses.record(&stamp("a", Some("room2"), 0), false, 0);
        losses.retain(|topic| topic == Some("room2"));
        losses.record(&stamp("a", Some("room1"), 50), false, 0);
        losses.record(&stamp("a", Some("room2"), 3), false, 0);
        assert_eq!(losses.lost, 2);
    }

    #[test]
    fn the_number_of_pairs_is_limited() {
        let mut losses = LossTracker::default();
        for number in 0..=MAX_PAIRS {
            losses.record(&stamp(&number.to_string(), None, 0), false, 0);
        }
        assert_eq!(losses.pairs, 1);
        assert_eq!(losses.expected.len(), 1);
    }
}
