//! Changes of the subscriptions that a relay sends upstream, at a limited rate; pure.
//!
//! Subscribers of a relay may subscribe and unsubscribe without pause. A publisher upstream disconnects a
//! peer that does so (see the subscription tracker), and must not disconnect the relay. A change that was
//! undone before it was sent is not sent. The rate stays below what a publisher accepts: in any 10 s,
//! 50,000 changes and twice the number of subscriptions.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Changes that may be sent in one burst, beyond the number of subscriptions.
const BURST: usize = 20_000;

/// The time after which as many may be sent again.
const PERIOD: Duration = Duration::from_secs(10);

/// Changes that have not been sent yet.
#[derive(Default)]
pub(crate) struct SubscriptionChanges {
    pending: HashSet<Arc<[u8]>>,
    order: VecDeque<Arc<[u8]>>,
    /// How many changes were sent and still count towards the limit.
    spent: f64,
    updated: Option<Instant>,
}

impl SubscriptionChanges {
    /// A prefix got its first subscriber, or lost its last one.
    pub(crate) fn add(&mut self, prefix: Arc<[u8]>) {
        if self.pending.insert(Arc::clone(&prefix)) {
            self.order.push_back(prefix);
        }
    }

    /// Whether there are changes that have not been sent.
    pub(crate) fn are_pending(&self) -> bool {
        !self.order.is_empty()
    }

    /// Calls `send` with changes, as far as the rate allows while `subscribed` subscriptions are in force.
    /// `send` returns whether the change was still needed.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        subscribed: usize,
        mut send: impl FnMut(&Arc<[u8]>) -> bool,
    ) {
        if self.order.is_empty() {
            return;
        }
        #[allow(clippy::cast_precision_loss)] // far below 2^52
        let limit = (BURST + subscribed) as f64;
        let elapsed = self.updated.map(|updated| now.duration_since(updated));
        self.updated = Some(now);
        let share = elapsed.map_or(1.0, |elapsed| elapsed.as_secs_f64() / PERIOD.as_secs_f64());
        self.spent = (self.spent - share * limit).max(0.0);
        while self.spent < limit {
            let Some(prefix) = self.order.pop_front() else {
                return;
            };
            self.pending.remove(&prefix);
            if send(&prefix) {
                self.spent += 1.0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send_count(changes: &mut SubscriptionChanges, now: Instant, needed: bool) -> usize {
        let mut count = 0;
        changes.send(now, 0, |_| {
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
    fn a_burst_is_sent_at_once_and_later_changes_at_a_limited_rate() {
        let (mut changes, now) = (SubscriptionChanges::default(), Instant::now());
        add(&mut changes, 0..3 * BURST);
        assert_eq!(send_count(&mut changes, now, true), BURST);
        assert_eq!(send_count(&mut changes, now, true), 0);
        let later = now + PERIOD / 2;
        let count = send_count(&mut changes, later, true);
        assert!((BURST / 2..=BURST / 2 + 1).contains(&count), "{count}");
        assert!(changes.are_pending());
    }

    #[test]
    fn a_repeated_change_is_pending_once_and_undone_changes_do_not_count() {
        let (mut changes, now) = (SubscriptionChanges::default(), Instant::now());
        add(&mut changes, 0..10 * BURST);
        add(&mut changes, 0..10 * BURST);
        assert_eq!(send_count(&mut changes, now, false), 10 * BURST);
        assert!(!changes.are_pending() && changes.pending.is_empty());
    }
}
