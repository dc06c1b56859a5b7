//! What a subscriber asked to hear.
//!
//! Invariant: each entry stands for exactly one subscription at libzmq, which counts them, so that
//! adding or removing twice changes nothing.

use crate::net::zmq::ffi::Errno;
use crate::net::zmq::frame::RawMessage;
use crate::wire::message::{interpret, Framing};
use crate::wire::subscription::Subscription;
use crate::wire::topic;
use foldhash::fast::RandomState;
use std::collections::{BTreeSet, HashSet};

pub(crate) struct SubscriptionSet {
    framing: Framing,
    /// Whether frames that start with none of `topics` are split at their first `:`.
    split_topics: bool,
    topics: HashSet<String, RandomState>,
    /// The topic that was found last, with its `:`; often the next message has it, too. Empty: none.
    recent: Vec<u8>,
    prefixes: BTreeSet<Vec<u8>>,
    /// Hears everything because nothing was asked for yet.
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

    /// The constructor's subscriptions; `None`: everything.
    pub(crate) fn begin(
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

    /// What libzmq is asked for: it knows prefixes of the first frame alone.
    fn on_the_wire(&self, subscription: &Subscription) -> Vec<u8> {
        match subscription {
            Subscription::Prefix(prefix) => prefix.clone(),
            Subscription::Topic(topic) if self.framing == Framing::Envelope => {
                topic.as_bytes().to_vec()
            }
            Subscription::Topic(topic) => topic::prefix(topic),
        }
    }

    pub(crate) fn add(
        &mut self,
        socket: &mut zmq::Socket,
        subscription: Subscription,
    ) -> std::result::Result<(), Errno> {
        let wire = self.on_the_wire(&subscription);
        let new = match &subscription {
            Subscription::Topic(topic) => !self.topics.contains(topic),
            Subscription::Prefix(prefix) => !self.prefixes.contains(prefix),
        };
        if new {
            if !self.has_twin(&subscription) {
                socket.set_subscribe(&wire)?;
            }
            match subscription {
                Subscription::Topic(topic) => self.topics.insert(topic),
                Subscription::Prefix(prefix) => self.prefixes.insert(prefix),
            };
        }
        self.narrow(socket)
    }

    pub(crate) fn remove(
        &mut self,
        socket: &mut zmq::Socket,
        subscription: &Subscription,
    ) -> std::result::Result<(), Errno> {
        let known = match subscription {
            Subscription::Topic(topic) => self.topics.remove(topic),
            Subscription::Prefix(prefix) => self.prefixes.remove(prefix),
        };
        self.recent.clear();
        if known {
            if !self.has_twin(subscription) {
                socket.set_unsubscribe(&self.on_the_wire(subscription))?;
            }
        } else if *subscription == Subscription::Prefix(Vec::new()) {
            return self.narrow(socket);
        }
        Ok(())
    }

    /// Whether another subscription is the same to libzmq, as topic `x` and prefix `x:` are. It is asked
    /// for once: libzmq would pass it on as often as it is asked for, but only its last end.
    fn has_twin(&self, subscription: &Subscription) -> bool {
        match subscription {
            Subscription::Topic(_) => self.prefixes.contains(&self.on_the_wire(subscription)),
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

    /// Ends hearing everything by default.
    fn narrow(&mut self, socket: &mut zmq::Socket) -> std::result::Result<(), Errno> {
        if self.everything {
            socket.set_unsubscribe(b"")?;
            self.everything = false;
        }
        Ok(())
    }

    /// Whether libzmq lets through what was not asked for: `room10` where `room1` was, because the
    /// first frame of an envelope has no `:` to end the topic.
    pub(crate) fn needs_check(&self) -> bool {
        self.framing == Framing::Envelope && !self.topics.is_empty()
    }

    pub(crate) fn admits(&self, received: &RawMessage) -> bool {
        let first = received.first.bytes();
        if self.everything || self.prefixes.iter().any(|prefix| first.starts_with(prefix)) {
            return true;
        }
        if self.own_topic(first).is_some() {
            return true;
        }
        if self.framing == Framing::Envelope {
            let frames: Vec<&[u8]> = std::iter::once(first)
                .chain(
                    received
                        .rest
                        .iter()
                        .map(crate::net::zmq::frame::Frame::bytes),
                )
                .collect();
            return interpret(&frames, self.framing, 0)
                .topic
                .is_some_and(|topic| self.topics.contains(&topic));
        }
        false
    }

    /// The topic of ours that a frame starts with, followed by `:`. libzmq matches in the same way.
    fn own_topic<'a>(&self, first: &'a [u8]) -> Option<&'a str> {
        let end = first
            .iter()
            .take(topic::MAX_BYTES + 1)
            .position(|&byte| byte == b':')?;
        let topic = std::str::from_utf8(&first[..end]).ok()?;
        self.topics.contains(topic).then_some(topic)
    }

    /// Whether a message may have a topic of ours, or is to be split anyway.
    #[inline]
    pub(crate) fn splits(&self) -> bool {
        !self.topics.is_empty() || self.split_topics
    }

    /// The length of the topic at which a message's first frame is split: one of our own, or, if asked
    /// for, what precedes the `:` of a message without a stamp. 0: it is not split. Called for each
    /// message that is handed out.
    #[inline]
    pub(crate) fn topic_len(&mut self, received: &RawMessage) -> u8 {
        if self.splits() {
            self.find_topic(received)
        } else {
            0
        }
    }

    fn find_topic(&mut self, received: &RawMessage) -> u8 {
        let first = received.first.bytes();
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
        if self.split_topics && received.rest.is_empty() {
            return topic::split(first).map_or(0, |(topic, _)| length(topic));
        }
        0
    }

    /// Whether every message of a topic is heard, not only some.
    pub(crate) fn covers(&self, topic: Option<&str>) -> bool {
        if self.everything {
            return true;
        }
        let Some(topic) = topic else {
            return self.prefixes.contains(&b""[..]);
        };
        let start = self.on_the_wire(&Subscription::Topic(topic.to_owned()));
        self.topics.contains(topic) || self.prefixes.iter().any(|prefix| start.starts_with(prefix))
    }

    pub(crate) fn subscriptions(&self) -> Vec<Subscription> {
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
