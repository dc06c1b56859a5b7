//! The latest message of each topic, for those who come late; pure.
//!
//! Invariant: it holds at most so many topics and so many bytes; what was published longest ago
//! makes room.

use crate::wire::message::{interpret, Framing, ParsedMessage};
use crate::wire::topic;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// All frames of a message.
pub(crate) type Frames = Vec<Vec<u8>>;

/// What all messages of the cache may take together, in bytes.
const MAX_BYTES: usize = 64 * 1024 * 1024;

struct Latest {
    frames: Frames,
    /// When it came, counted in messages.
    turn: u64,
}

/// The cache.
pub(crate) struct LastValueCache {
    most: usize,
    topics: HashMap<Arc<str>, Latest>,
    /// The topics, the one published longest ago first.
    order: BTreeMap<u64, Arc<str>>,
    turn: u64,
    bytes: usize,
}

/// The topic of the stamp or the envelope, or what precedes the first `:`.
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
    /// One of at most so many topics.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            topics: HashMap::new(),
            order: BTreeMap::new(),
            turn: 0,
            bytes: 0,
        }
    }

    /// How many topics it holds.
    pub(crate) fn len(&self) -> usize {
        self.topics.len()
    }

    /// Keeps a message in place of its topic's last one. One without a topic is not kept.
    ///
    /// The topic is the one that a subscriber can ask for. The cache only matches it: subscribers
    /// receive the frames unchanged, and split them by their own subscriptions.
    pub(crate) fn put(&mut self, frames: &[Vec<u8>]) {
        let Some(topic) = topic_of(frames) else {
            return;
        };
        let topic = match self.topics.remove_entry(topic.as_str()) {
            Some((known, old)) => {
                self.order.remove(&old.turn);
                self.bytes -= size(&old.frames);
                known
            }
            None => topic.into(),
        };
        let frames = frames.to_vec();
        self.bytes += size(&frames);
        self.turn += 1;
        self.order.insert(self.turn, Arc::clone(&topic));
        let turn = self.turn;
        self.topics.insert(topic, Latest { frames, turn });
        while self.topics.len() > self.most || self.bytes > MAX_BYTES {
            let Some((_, oldest)) = self.order.pop_first() else {
                break;
            };
            if let Some(old) = self.topics.remove(&oldest) {
                self.bytes -= size(&old.frames);
            }
        }
    }

    /// The messages that a subscription to `prefix` hears, the one published longest ago first.
    pub(crate) fn matching(&self, prefix: &[u8]) -> Vec<Frames> {
        let begins = |latest: &&Latest| latest.frames[0].starts_with(prefix);
        // A topic and its colon begin nothing else.
        if let Some(topic) = prefix.strip_suffix(b":").and_then(topic::is_topic) {
            let latest = self.topics.get(topic).filter(begins);
            return latest
                .map(|latest| latest.frames.clone())
                .into_iter()
                .collect();
        }
        let topics = self.order.values();
        let latest = topics.filter_map(|topic| self.topics.get(topic));
        latest
            .filter(begins)
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
    fn the_latest_of_each_topic_is_kept() {
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
    fn a_stamp_without_a_topic_leaves_it_to_the_frame() {
        let stamp = br#"{"zmqchat":1,"from":"alice","id":"9f3c","topic":null,"seq":0,"sent_ns":1}"#;
        let mut cache = LastValueCache::new(10);
        cache.put(&[b"room1:Hello".to_vec(), stamp.to_vec()]);
        assert_eq!(found(&cache, "room1:"), ["room1:Hello"]);
    }

    #[test]
    fn an_envelope_is_heard_by_whom_zeromq_would_send_it() {
        let mut cache = LastValueCache::new(10);
        cache.put(&[b"a".to_vec(), b"text".to_vec()]);
        assert_eq!(cache.matching(b"a").len(), 1);
        assert!(cache.matching(b"a:").is_empty());
    }

    #[test]
    fn what_was_published_longest_ago_makes_room() {
        let mut cache = LastValueCache::new(2);
        for text in ["a:1", "b:1", "a:2", "c:1"] {
            cache.put(&message(text));
        }
        assert_eq!(found(&cache, ""), ["a:2", "c:1"]);
        assert_eq!(cache.order.len(), 2);
        assert_eq!(cache.bytes, 6);
    }

    #[test]
    fn bytes_are_bounded_too() {
        let mut cache = LastValueCache::new(100);
        for topic in ["a", "b", "c"] {
            cache.put(&[format!("{topic}:").into_bytes(), vec![0; 30_000_000]]);
        }
        assert_eq!(
            cache.len(),
            0,
            "no topic in frame 0, as the colon does not belong to it"
        );
        for topic in ["a", "b", "c"] {
            cache.put(&[topic.as_bytes().to_vec(), vec![0; 30_000_000]]);
        }
        assert_eq!(cache.len(), 2);
        cache.put(&[b"a".to_vec(), vec![0; 70_000_000]]);
        assert_eq!((cache.len(), cache.bytes), (0, 0));
    }
}
