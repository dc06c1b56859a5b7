//! The latest message of each topic, for new subscribers; pure.
//!
//! Invariant: the cache holds a limited number of topics and bytes. The topic whose latest message is the
//! oldest is removed first.

use crate::wire::message::{interpret, Framing, ParsedMessage};
use crate::wire::topic;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// All frames of a message.
pub(crate) type Frames = Vec<Vec<u8>>;

/// The most bytes that all messages of the cache have together.
const MAX_BYTES: usize = 64 * 1024 * 1024;

struct Latest {
    frames: Frames,
    /// The number of this message among all that were put into the cache.
    number: u64,
}

/// The latest message of each topic.
pub(crate) struct LastValueCache {
    max_topics: usize,
    topics: HashMap<Arc<str>, Latest>,
    /// The topics by the number of their latest message: the oldest first.
    order: BTreeMap<u64, Arc<str>>,
    last_number: u64,
    bytes: usize,
}

/// The topic of the stamp or the envelope, or the text before the first `:`.
fn topic_of(frames: &[Vec<u8>]) -> Option<String> {
    let ParsedMessage { topic, frame, .. } = interpret(frames, Framing::Plain, 0);
    if topic.is_some() || frame > 0 {
        return topic;
    }
    let (topic, _) = topic::split(frames.first()?)?;
    Some(topic.to_owned())
}

fn size(frames: &Frames) -> usize {
    frames.iter().map(Vec::len).sum()
}

impl LastValueCache {
    /// A cache of at most `max_topics` topics.
    pub(crate) fn new(max_topics: usize) -> Self {
        Self {
            max_topics,
            topics: HashMap::new(),
            order: BTreeMap::new(),
            last_number: 0,
            bytes: 0,
        }
    }

    /// The number of topics.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Keeps a message in place of its topic's previous one. A message without a topic is not kept.
    ///
    /// The topic is the one that a subscriber can subscribe to. It is only compared: subscribers receive
    /// the frames unchanged, and split them by their own subscriptions.
    pub(crate) fn put(&mut self, frames: &[Vec<u8>]) {
        let Some(topic) = topic_of(frames) else {
            return;
        };
        let topic = match self.topics.remove_entry(topic.as_str()) {
            Some((known, old)) => {
                self.order.remove(&old.number);
                self.bytes -= size(&old.frames);
                known
            }
            None => topic.into(),
        };
        let frames = frames.to_vec();
        self.bytes += size(&frames);
        self.last_number += 1;
        let number = self.last_number;
        self.order.insert(number, Arc::clone(&topic));
        self.topics.insert(topic, Latest { frames, number });
        while self.topics.len() > self.max_topics || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            if let Some(old) = self.topics.remove(&oldest) {
                self.bytes -= size(&old.frames);
            }
        }
    }

    /// The messages that a subscription to `prefix` matches, the oldest first.
    pub(crate) fn matching(&self, prefix: &[u8]) -> Vec<Frames> {
        let matches = |latest: &&Latest| latest.frames[0].starts_with(prefix);
        // The prefix of exactly one topic matches no other.
        if let Some(topic) = prefix.strip_suffix(b":").and_then(topic::is_topic) {
            let latest = self.topics.get(topic).filter(matches);
            return latest
                .map(|latest| latest.frames.clone())
                .into_iter()
                .collect();
        }
        let topics = self.order.values();
        let latest = topics.filter_map(|topic| self.topics.get(topic));
        latest
            .filter(matches)
            .map(|latest| latest.frames.clone())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Frames, LastValueCache};

    fn message(text: &str) -> Frames {
        vec![text.as_bytes().to_vec()]
    }

    fn found(cache: &LastValueCache, prefix: &str) -> Vec<String> {
        let found = cache.matching(prefix.as_bytes());
        let text = |frames: &Frames| String::from_utf8_lossy(&frames[0]).into_owned();
        found.iter().map(text).collect()
    }

    #[test]
    fn the_latest_message_of_each_topic_is_kept() {
        let mut cache = LastValueCache::new(10);
        for text in ["a:1", "ab:1", "a:2", "no topic", "http://x"] {
            cache.put(&message(text));
        }
        assert_eq!(found(&cache, "a:"), ["a:2"]);
        assert_eq!(found(&cache, "a"), ["ab:1", "a:2"]);
        assert_eq!(found(&cache, ""), ["ab:1", "a:2"]);
        assert!(found(&cache, "b:").is_empty());
        assert!(found(&cache, "a:1").is_empty());
        assert_eq!(cache.len(), 2);
    }

    #[test]
    fn with_a_stamp_without_a_topic_the_frame_has_the_topic() {
        let stamp = br#"{"zmqchat":1,"from":"alice","id":"9f3c","topic":null,"seq":0,"sent_ns":1}"#;
        let mut cache = LastValueCache::new(10);
        cache.put(&[b"room1:Hello".to_vec(), stamp.to_vec()]);
        assert_eq!(found(&cache, "room1:"), ["room1:Hello"]);
    }

    #[test]
    fn an_envelope_matches_a_prefix_as_in_zeromq() {
        let mut cache = LastValueCache::new(10);
        cache.put(&[b"a".to_vec(), b"text".to_vec()]);
        assert_eq!(cache.matching(b"a").len(), 1);
        assert!(cache.matching(b"a:").is_empty());
    }

    #[test]
    fn the_topic_with_the_oldest_message_is_removed_first() {
        let mut cache = LastValueCache::new(2);
        for text in ["a:1", "b:1", "a:2", "c:1"] {
            cache.put(&message(text));
        }
        assert_eq!(found(&cache, ""), ["a:2", "c:1"]);
        assert_eq!(cache.order.len(), 2);
        assert_eq!(cache.bytes, 6);
    }

    #[test]
    fn the_number_of_bytes_is_limited() {
        let mut cache = LastValueCache::new(100);
        for topic in ["a", "b", "c"] {
            cache.put(&[format!("{topic}:").into_bytes(), vec![0; 30_000_000]]);
        }
        assert_eq!(
            cache.len(),
            0,
            "a first frame with a colon is not the topic of an envelope"
        );
        for topic in ["a", "b", "c"] {
            cache.put(&[topic.as_bytes().to_vec(), vec![0; 30_000_000]]);
        }
        assert_eq!(cache.len(), 2);
        cache.put(&[b"a".to_vec(), vec![0; 70_000_000]]);
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }
}
