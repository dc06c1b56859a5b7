//! The subscriptions of a subscriber.
//!
//! Invariant: each entry is exactly one subscription at libzmq, which counts repeated ones. Adding or
//! removing a subscription twice has no effect.

use crate::net::zmq::ffi::Errno;
use crate::net::zmq::frame::{Frame, RawMessage};
use crate::wire::message::{interpret, Framing};
use crate::wire::subscription::Subscription;
use crate::wire::topic;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashSet};

/// The subscriptions of one subscriber.
pub(crate) struct SubscriptionSet {
    framing: Framing,
    /// Whether frames that begin with none of `topics` are split at their first `:`.
    split_topics: bool,
    topics: HashSet<String, RandomState>,
    /// The topic that was found last, with its `:`; often the next message has the same. Empty if none was.
    recent: Vec<u8>,
    prefixes: BTreeSet<Vec<u8>>,
    /// Subscribed to everything, because there were no subscriptions yet.
    everything: bool,
}

impl SubscriptionSet {
    pub(crate) fn new(framing: Framing, split_topics: bool) -> Self {
        Self {
            framing,
            split_topics,
            topics: HashSet::default(),
            recent: Vec::new(),
            prefixes: BTreeSet::new(),
            everything: false,
        }
    }

    /// Adds the constructor's subscriptions; `None`: everything.
    pub(crate) fn add_initial(
        &mut self,
        socket: &mut zmq::Socket,
        wanted: Option<Vec<Subscription>>,
    ) -> std::result::Result<(), Errno> {
        match wanted {
            None => {
                socket.set_subscribe(b"")?;
                self.everything = true;
            }
            Some(wanted) => {
                for subscription in wanted {
                    self.add(socket, subscription)?;
                }
            }
        }
        Ok(())
    }

    pub(crate) fn add(
        &mut self,
        socket: &mut zmq::Socket,
        subscription: Subscription,
    ) -> std::result::Result<(), Errno> {
        let prefix = subscription.wire_prefix(self.framing);
        let new = match &subscription {
            Subscription::Topic(topic) => !self.topics.contains(topic),
            Subscription::Prefix(prefix) => !self.prefixes.contains(prefix),
        };
        if new {
            if !self.has_equivalent(&subscription) {
                socket.set_subscribe(&prefix)?;
            }
            match subscription {
                Subscription::Topic(topic) => self.topics.insert(topic),
                Subscription::Prefix(prefix) => self.prefixes.insert(prefix),
            };
        }
        self.end_everything(socket)
    }

    pub(crate) fn remove(
        &mut self,
        socket: &mut zmq::Socket,
        subscription: &Subscription,
    ) -> std::result::Result<(), Errno> {
        let removed = match subscription {
            Subscription::Topic(topic) => self.topics.remove(topic),
            Subscription::Prefix(prefix) => self.prefixes.remove(prefix),
        };
        self.recent.clear();
        if removed {
            if !self.has_equivalent(subscription) {
                socket.set_unsubscribe(&subscription.wire_prefix(self.framing))?;
            }
        } else if *subscription == Subscription::Prefix(Vec::new()) {
            // The default subscription is the empty prefix.
            return self.end_everything(socket);
        }
        Ok(())
    }

    /// Whether another subscription has the same prefix at libzmq, as topic `x` and prefix `x:` do. It is
    /// added at libzmq once: libzmq would forward each addition, but only the last removal.
    fn has_equivalent(&self, subscription: &Subscription) -> bool {
        match subscription {
            Subscription::Topic(_) => self
                .prefixes
                .contains(&subscription.wire_prefix(self.framing)),
            Subscription::Prefix(prefix) => {
                let topic = match self.framing {
                    Framing::Envelope => Some(&prefix[..]),
                    _ => prefix.strip_suffix(b":"),
                };
                topic
                    .and_then(|topic| std::str::from_utf8(topic).ok())
                    .is_some_and(|topic| self.topics.contains(topic))
            }
        }
    }

    /// Ends the subscription to everything, which was the default.
    fn end_everything(&mut self, socket: &mut zmq::Socket) -> std::result::Result<(), Errno> {
        if self.everything {
            socket.set_unsubscribe(b"")?;
            self.everything = false;
        }
        Ok(())
    }

    /// Whether libzmq also delivers other topics: `room10` to a subscriber of `room1`, because the topic
    /// frame of an envelope does not end with `:`.
    pub(crate) fn needs_check(&self) -> bool {
        self.framing == Framing::Envelope && !self.topics.is_empty()
    }

    /// Whether a subscription matches this message.
    pub(crate) fn admits(&self, message: &RawMessage) -> bool {
        let first = message.first.bytes();
        if self.everything || self.prefixes.iter().any(|prefix| first.starts_with(prefix)) {
            return true;
        }
        if self.own_topic(first).is_some() {
            return true;
        }
        if self.framing == Framing::Envelope {
            let frames: Vec<&[u8]> = std::iter::once(first)
                .chain(message.rest.iter().map(Frame::bytes))
                .collect();
            return interpret(&frames, self.framing, 0)
                .topic
                .is_some_and(|topic| self.topics.contains(&topic));
        }
        false
    }

    /// The subscribed topic that a frame begins with, followed by `:`. libzmq matches in the same way.
    fn own_topic<'a>(&self, first: &'a [u8]) -> Option<&'a str> {
        let end = first
            .iter()
            .take(topic::MAX_BYTES + 1)
            .position(|&byte| byte == b':')?;
        let topic = std::str::from_utf8(&first[..end]).ok()?;
        self.topics.contains(topic).then_some(topic)
    }

    /// Whether messages may be split into topic and payload.
    #[inline]
    pub(crate) fn splits(&self) -> bool {
        !self.topics.is_empty() || self.split_topics
    }

    /// The length of the topic at which a message's first frame is split: a subscribed topic, or, with
    /// `split_topics`, the text before the first `:` of a message without a stamp. 0: it is not split.
    /// Called for each message that is handed out.
    #[inline]
    pub(crate) fn topic_len(&mut self, message: &RawMessage) -> u8 {
        if self.splits() {
            self.find_topic(message)
        } else {
            0
        }
    }

    fn find_topic(&mut self, message: &RawMessage) -> u8 {
        let first = message.first.bytes();
        let length = |topic: &str| u8::try_from(topic.len()).unwrap_or(0);
        if !self.recent.is_empty() && first.starts_with(&self.recent) {
            return u8::try_from(self.recent.len() - 1).unwrap_or(0);
        }
        if let Some(topic) = self.own_topic(first) {
            self.recent.clear();
            self.recent.extend_from_slice(topic.as_bytes());
            self.recent.push(b':');
            return length(topic);
        }
        if self.split_topics && message.rest.is_empty() {
            return topic::split(first).map_or(0, |(topic, _)| length(topic));
        }
        0
    }

    /// Whether the subscriptions match every message of a topic, not only some.
    pub(crate) fn covers(&self, topic: Option<&str>) -> bool {
        if self.everything {
            return true;
        }
        let Some(topic) = topic else {
            return self.prefixes.contains(&b""[..]);
        };
        // Compared in two parts: this runs for each message with a stamp, and must not allocate.
        let with_colon = self.framing != Framing::Envelope;
        let covers = |prefix: &Vec<u8>| {
            topic.as_bytes().starts_with(prefix)
                || with_colon && prefix.strip_suffix(b":") == Some(topic.as_bytes())
        };
        self.topics.contains(topic) || self.prefixes.iter().any(covers)
    }

    pub(crate) fn list(&self) -> Vec<Subscription> {
        let mut topics: Vec<_> = self.topics.iter().cloned().collect();
        topics.sort_unstable();
        let default = self.everything.then(|| Subscription::Prefix(Vec::new()));
        default
            .into_iter()
            .chain(topics.into_iter().map(Subscription::Topic))
            .chain(self.prefixes.iter().cloned().map(Subscription::Prefix))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Few letters, so that much matches.
        #[test]
        fn a_topic_is_covered_if_a_prefix_matches_its_text_on_the_wire(
            topic in "[ab]{1,4}",
            prefixes in prop::collection::btree_set("[ab]{0,4}:?[ab]?", 0..4),
            framing in prop::sample::select(vec![Framing::Plain, Framing::Envelope, Framing::Raw]),
        ) {
            let mut set = SubscriptionSet::new(framing, false);
            set.prefixes = prefixes.into_iter().map(String::into_bytes).collect();
            let wire = Subscription::Topic(topic.clone()).wire_prefix(framing);
            let expected = set.prefixes.iter().any(|prefix| wire.starts_with(prefix));
            prop_assert_eq!(set.covers(Some(&topic)), expected);
        }
    }
}
