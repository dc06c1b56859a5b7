//! Loss, counted from the stamps of named publishers.
//!
//! Each instance numbers its messages from 0 within each topic. A gap counts as loss when a later
//! message of the same instance and topic arrives; the first one heard is only a baseline. Numbers
//! are kept only for topics that the subscriptions cover whole, so that a filter never looks like
//! loss.

use crate::wire::stamp::Glimpse;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Beyond so many pairs of instance and topic, all start with a new baseline.
const MOST: usize = 65_536;

/// Between two warnings.
const PAUSE: Duration = Duration::from_secs(5);

/// What is expected of each instance and topic, and what was missed.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// Whose messages are not counted: our own, which a relay sends back.
    own: Option<String>,
    /// The next number, by instance and topic; "" is no topic, which no topic can be.
    next: HashMap<String, HashMap<String, u64>>,
    pairs: usize,
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    untold: u64,
    sender: String,
    told: Option<Instant>,
}

impl Sequences {
    /// Takes in a message that the subscriptions cover.
    pub(crate) fn take(&mut self, stamp: &Glimpse<'_>) {
        if self.own.as_deref() == Some(stamp.id.as_ref()) {
            return;
        }
        let topic = stamp.topic.as_deref().unwrap_or_default();
        let expected = self
            .next
            .get_mut(stamp.id.as_ref())
            .and_then(|topics| topics.get_mut(topic));
        if let Some(expected) = expected {
            if stamp.seq < *expected {
                self.duplicates += 1;
                return;
            }
            let lost = stamp.seq - *expected;
            *expected = stamp.seq.saturating_add(1);
            if lost > 0 {
                self.lost = self.lost.saturating_add(lost);
                self.untold = self.untold.saturating_add(lost);
                stamp.from.as_ref().clone_into(&mut self.sender);
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
            .insert(topic.to_owned(), stamp.seq.saturating_add(1));
    }

    /// Counts no messages of this instance from now on.
    pub(crate) fn pass_over(&mut self, id: String) {
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

    /// Whether there is loss that nobody was told of yet.
    pub(crate) fn untold(&self) -> bool {
        self.untold > 0
    }

    /// Ends the pause: the next warning comes at once.
    pub(crate) fn hurry(&mut self) {
        self.told = None;
    }

    /// Loss to warn of, by the last sender that it was seen with; at most every 5 s.
    pub(crate) fn warning(&mut self) -> Option<(String, u64)> {
        if self.untold == 0 || self.told.is_some_and(|told| told.elapsed() < PAUSE) {
            return None;
        }
        self.told = Some(Instant::now());
        Some((self.sender.clone(), std::mem::take(&mut self.untold)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Sequences, MOST};
    use crate::wire::stamp::Glimpse;

    fn stamp<'a>(id: &'a str, topic: Option<&'a str>, seq: u64) -> Glimpse<'a> {
        Glimpse {
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
        let mut sequences = Sequences::default();
        for seq in [5, 6, 9, 9, 10, 7] {
            sequences.take(&stamp("a", None, seq));
        }
        assert_eq!((sequences.lost, sequences.duplicates), (2, 2));
        assert_eq!(sequences.warning(), Some(("alice".into(), 2)));
        assert_eq!(sequences.warning(), None);
    }

    #[test]
    fn instances_and_topics_are_numbered_apart() {
        let mut sequences = Sequences::default();
        for (id, topic, seq) in [
            ("a", None, 0),
            ("b", None, 7),
            ("a", Some("room1"), 3),
            ("a", None, 1),
            ("b", None, 8),
            ("a", Some("room1"), 4),
        ] {
            sequences.take(&stamp(id, topic, seq));
        }
        assert_eq!((sequences.lost, sequences.duplicates), (0, 0));
    }

    #[test]
    fn what_one_misses_of_oneself_is_no_loss() {
        let mut sequences = Sequences::default();
        sequences.pass_over("a".into());
        for (id, seq) in [("a", 0), ("b", 0), ("a", 7), ("b", 2)] {
            sequences.take(&stamp(id, None, seq));
        }
        assert_eq!(sequences.lost, 1);
    }

    #[test]
    fn listening_anew_is_a_new_baseline() {
        let mut sequences = Sequences::default();
        sequences.take(&stamp("a", Some("room1"), 0));
        sequences.take(&stamp("a", Some("room2"), 0));
        sequences.keep(|topic| topic == Some("room2"));
        sequences.take(&stamp("a", Some("room1"), 50));
        sequences.take(&stamp("a", Some("room2"), 3));
        assert_eq!(sequences.lost, 2);
    }

    #[test]
    fn the_table_has_an_end() {
        let mut sequences = Sequences::default();
        for number in 0..=MOST {
            sequences.take(&stamp(&number.to_string(), None, 0));
        }
        assert_eq!(sequences.pairs, 1);
        assert_eq!(sequences.next.len(), 1);
    }
}
