//! A quick check of whether any peer may subscribe to a message.
//!
//! libzmq allocates a message, looks for its subscribers, and drops it if there are none. This check
//! costs less, so that a program may publish thousands of topics for few subscribers of one topic each.
//!
//! Invariant: a message that matches a subscription which was read is never held back. Nothing is
//! removed when a peer disconnects. The prefilter is rebuilt from the subscription table once it holds
//! many times more entries. A send reads new subscriptions every few milliseconds; libzmq itself does so
//! every millisecond.

use crate::net::subscription::table::SubscriptionTable;
use crate::util::time::CoarseTick;
use foldhash::fast::RandomState;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};

/// The longest prefix, in bytes, that is kept. Longer ones are rare; with one of them every message
/// matches.
const MAX_LENGTH: usize = 63;
/// The most entries, which take 16 MiB. With more subscriptions every message matches.
const MAX_ENTRIES: usize = 1 << 20;
/// Entries that may be kept beyond four times the number of subscriptions.
const STALE_ENTRIES: usize = 16_384;
/// After this many matches in a row, only one message in as many is checked.
const SAMPLING: u32 = 16;

/// The prefixes that peers subscribe to.
pub(crate) struct TopicPrefilter {
    /// Every message matches.
    everything: bool,
    /// Bit `n` is set if a prefix is `n` bytes long.
    lengths: u64,
    /// The last bytes of the prefixes of each length. Topics end with `:`, so that reading one byte of a
    /// message rules out most lengths.
    last_bytes: Box<[ByteSet; MAX_LENGTH + 1]>,
    /// Hashes of the prefixes without their last byte, which for a topic is the text that a sender
    /// passes. Equal hashes of different prefixes only let a message through that no peer receives.
    stems: HashSet<u64, RandomState>,
    hashes: RandomState,
    /// Entries that were added since the last rebuild.
    added: usize,
    /// The matches in a row, and how many messages follow without a check.
    matches: u32,
    unchecked: u32,
    last_read: CoarseTick,
}

/// A set of bytes.
#[derive(Clone, Copy, Default)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    #[inline]
    fn contains(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 != 0
    }
}

impl TopicPrefilter {
    /// No subscription yet: no message matches.
    pub(crate) fn nothing() -> Self {
        Self {
            everything: false,
            lengths: 0,
            last_bytes: Box::new([ByteSet::default(); MAX_LENGTH + 1]),
            stems: HashSet::default(),
            hashes: RandomState::default(),
            added: 0,
            matches: 0,
            unchecked: 0,
            last_read: CoarseTick::default(),
        }
    }

    /// Every message matches, for a socket that does not use the check.
    pub(crate) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::nothing()
        }
    }

    /// A peer subscribes to messages that begin with this prefix.
    pub(crate) fn add(&mut self, prefix: &[u8]) {
        if self.everything {
            return;
        }
        match prefix {
            [stem @ .., last] if prefix.len() <= MAX_LENGTH && self.stems.len() < MAX_ENTRIES => {
                self.lengths |= 1 << prefix.len();
                self.last_bytes[prefix.len()].add(*last);
                self.added += usize::from(self.stems.insert(self.hash(stem)));
            }
            _ => {
                self.everything = true;
                self.stems = HashSet::default();
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stems.len()
    }

    /// Rebuilds the prefilter if most of its entries are of subscriptions that ended.
    pub(crate) fn rebuild_if_stale(&mut self, table: &SubscriptionTable) {
        if self.added > STALE_ENTRIES + 4 * table.max_distinct() {
            self.lengths = 0;
            *self.last_bytes = [ByteSet::default(); MAX_LENGTH + 1];
            self.stems = HashSet::default();
            self.added = 0;
            table.for_each(|prefix| self.add(prefix));
        }
    }

    /// Whether a peer may subscribe to a message that begins with these parts, one after the other.
    /// While all messages match, most are not checked.
    #[inline]
    pub(crate) fn may_match(&mut self, parts: [&[u8]; 3]) -> bool {
        if self.everything {
            return true;
        }
        if self.unchecked > 0 {
            self.unchecked -= 1;
            return true;
        }
        let found = self.contains_prefix_of(parts);
        self.matches = if found { self.matches + 1 } else { 0 };
        if self.matches == SAMPLING {
            (self.matches, self.unchecked) = (SAMPLING - 1, SAMPLING - 1);
        }
        found
    }

    #[inline]
    fn contains_prefix_of(&self, parts: [&[u8]; 3]) -> bool {
        let mut lengths = self.lengths;
        while lengths != 0 {
            let length = lengths.trailing_zeros() as usize;
            match byte_at(parts, length - 1) {
                None => return false,
                Some(last)
                    if self.last_bytes[length].contains(last)
                        && self.has_stem(parts, length - 1) =>
                {
                    return true;
                }
                Some(_) => {}
            }
            lengths &= lengths - 1;
        }
        false
    }

    #[inline]
    fn has_stem(&self, parts: [&[u8]; 3], length: usize) -> bool {
        let hash = match parts[0].get(..length) {
            Some(stem) => self.hash(stem),
            None => self.hash(&first_bytes(parts)[..length]),
        };
        self.stems.contains(&hash)
    }

    /// Whether new subscriptions should be read before a message is held back.
    #[inline]
    pub(crate) fn is_read_due(&mut self) -> bool {
        self.last_read.advance()
    }

    #[inline]
    fn hash(&self, stem: &[u8]) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write(stem);
        hasher.finish()
    }
}

/// The byte at this index of the concatenated parts.
#[inline]
fn byte_at(parts: [&[u8]; 3], mut index: usize) -> Option<u8> {
    for part in parts {
        match part.get(index) {
            Some(byte) => return Some(*byte),
            None => index -= part.len(),
        }
    }
    None
}

/// The first bytes of the concatenated parts, as many as the longest prefix has.
#[cold]
fn first_bytes(parts: [&[u8]; 3]) -> [u8; MAX_LENGTH] {
    let mut whole = [0; MAX_LENGTH];
    for (to, from) in whole.iter_mut().zip(parts.concat()) {
        *to = from;
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(prefixes: &[&[u8]]) -> TopicPrefilter {
        let mut prefilter = TopicPrefilter::nothing();
        for prefix in prefixes {
            prefilter.add(prefix);
        }
        prefilter
    }

    #[test]
    fn a_new_prefilter_matches_no_message() {
        assert!(!of(&[]).contains_prefix_of([b"room1", b":", b"Hello"]));
        assert!(!of(&[]).contains_prefix_of([b"", b"", b""]));
        assert!(TopicPrefilter::everything().may_match([b"", b"", b""]));
    }

    #[test]
    fn after_an_empty_or_long_prefix_or_too_many_every_message_matches() {
        for prefix in [&b""[..], &[b'x'; MAX_LENGTH + 1]] {
            let mut prefilter = of(&[b"room1:", prefix]);
            assert!(
                prefilter.may_match([b"other", b"", b""]) && prefilter.may_match([b"", b"", b""])
            );
        }
        let mut prefilter = of(&[]);
        for number in 0..MAX_ENTRIES {
            prefilter.add(format!("{number}:").as_bytes());
        }
        assert!(!prefilter.contains_prefix_of([b"room1", b":", b""]));
        prefilter.add(b"room1:");
        assert!(prefilter.may_match([b"room2", b":", b""]));
        assert!(prefilter.stems.is_empty());
    }

    #[test]
    fn a_prefix_of_the_maximum_length_matches() {
        let prefix = [b'x'; MAX_LENGTH];
        let prefilter = of(&[&prefix]);
        assert!(prefilter.contains_prefix_of([&prefix, b"", b""]));
        assert!(prefilter.contains_prefix_of([b"xx", &[b'x'; 100], b""]));
        assert!(!prefilter.contains_prefix_of([&prefix[1..], b"", b""]));
    }

    #[test]
    fn topics_match_exactly() {
        let prefilter = of(&[b"room1:", b"door22:", b"\xff"]);
        for (topic, expected) in [("room1", true), ("room2", false), ("room", false)] {
            assert_eq!(
                prefilter.contains_prefix_of([topic.as_bytes(), b":", b"Hello"]),
                expected
            );
        }
    }

    #[test]
    fn while_all_messages_match_one_in_sixteen_is_checked() {
        let mut prefilter = of(&[b"a:"]);
        let mut held_back_count = 0;
        for _ in 0..10 {
            for _ in 0..SAMPLING {
                assert!(prefilter.may_match([b"a", b":", b""]));
            }
            // The unchecked messages are let through, and no further one.
            let held_back = |_: &u32| !prefilter.may_match([b"b", b":", b""]);
            held_back_count += (0..2 * SAMPLING).filter(held_back).count();
        }
        assert_eq!(held_back_count, 10 * (SAMPLING as usize + 1));
    }

    #[test]
    fn a_read_is_due_from_time_to_time() {
        let mut prefilter = of(&[]);
        assert!(prefilter.is_read_due());
        // Not at every call, even on a slow machine.
        assert!((0..1_000).any(|_| !prefilter.is_read_due()));
        while !prefilter.is_read_due() {}
    }

    proptest! {
        /// Few letters, so that much matches. With one prefix, no other message is let through.
        #[test]
        fn a_message_that_matches_a_prefix_is_let_through(
            prefixes in prop::collection::vec("[ab]{1,6}", 0..6),
            parts in prop::array::uniform3("[ab]{0,4}"),
        ) {
            let prefilter = of(&prefixes.iter().map(String::as_bytes).collect::<Vec<_>>());
            let whole = parts.concat();
            let wanted = prefixes.iter().any(|prefix| whole.starts_with(prefix.as_str()));
            let let_through = prefilter.contains_prefix_of([0, 1, 2].map(|part: usize| parts[part].as_bytes()));
            prop_assert!(let_through || !wanted);
            prop_assert!(wanted || !let_through || prefixes.len() > 1);
        }
    }
}
