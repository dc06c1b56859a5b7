//! Changes of what a relay asks upstream for, limited in their rate; pure.
//!
//! Subscribers of a relay may subscribe and unsubscribe without pause. A publisher upstream cuts off a
//! peer that does so (see `audience`), and must not take the relay for one. Changes that were undone
//! before their turn are not passed on. The rate stays below what a publisher accepts: in any 10 s,
//! 50,000 changes and twice the number of subscriptions.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Changes that may follow each other at once, beyond the number of subscriptions.
const BURST: usize = 20_000;

/// How long it takes until as many are allowed again.
const PERIOD: Duration = Duration::from_secs(10);

/// Changes that have not been passed on yet.
#[derive(Default)]
pub(crate) struct SubscriptionChanges {
    waiting: HashSet<Arc<[u8]>>,
    order: VecDeque<Arc<[u8]>>,
    /// How many were passed on and still count.
    spent: f64,
    counted: Option<Instant>,
}

impl SubscriptionChanges {
    /// This subscription got its first subscriber, or lost its last one.
    pub(crate) fn add(&mut self, prefix: Arc<[u8]>) {
        if self.waiting.insert(Arc::clone(&prefix)) {
            self.order.push_back(prefix);
        }
    }

    /// Whether changes wait.
    pub(crate) fn are_waiting(&self) -> bool {
        !self.order.is_empty()
    }

    /// Passes changes on as far as the rate allows, `asked` subscriptions being in force. `pass` says
    /// whether one was left to pass on.
    pub(crate) fn pass_on(
        &mut self,
        now: Instant,
        asked: usize,
        mut pass: impl FnMut(&Arc<[u8]>) -> bool,
    ) {
        if self.order.is_empty() {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let most = (BURST + asked) as f64;
        let passed = self.counted.map(|counted| now.duration_since(counted));
        self.counted = Some(now);
        let share = passed.map_or(1.0, |passed| passed.as_secs_f64() / PERIOD.as_secs_f64());
        self.spent = (self.spent - share * most).max(0.0);
        while self.spent < most {
            let Some(prefix) = self.order.pop_front() else {
                return;
            };
            self.waiting.remove(&prefix);
            if pass(&prefix) {
                self.spent += 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passed_on(changes: &mut SubscriptionChanges, now: Instant, needed: bool) -> usize {
        let mut count = 0;
        changes.pass_on(now, 0, |_| {
            count += 1;
            needed
        });
        count
    }

    fn add(changes: &mut SubscriptionChanges, numbers: std::ops::Range<usize>) {
        for number in numbers {
            changes.add(Arc::from(number.to_string().as_bytes()));
        }
    }

    #[test]
    fn a_burst_is_passed_on_at_once_and_what_follows_at_a_limited_rate() {
        let (mut changes, now) = (SubscriptionChanges::default(), Instant::now());
        add(&mut changes, 0..3 * BURST);
        assert_eq!(passed_on(&mut changes, now, true), BURST);
        assert_eq!(passed_on(&mut changes, now, true), 0);
        let later = now + PERIOD / 2;
        let count = passed_on(&mut changes, later, true);
        assert!((BURST / 2..=BURST / 2 + 1).contains(&count), "{count}");
        assert!(changes.are_waiting());
    }

    #[test]
    fn changes_that_were_undone_cost_nothing_and_one_waits_once() {
        let (mut changes, now) = (SubscriptionChanges::default(), Instant::now());
        add(&mut changes, 0..10 * BURST);
        add(&mut changes, 0..10 * BURST);
        assert_eq!(passed_on(&mut changes, now, false), 10 * BURST);
        assert!(!changes.are_waiting() && changes.waiting.is_empty());
    }
}
