//! What of a publisher's messages somebody may hear.
//!
//! libzmq makes a message, looks for who wants it, and drops it where nobody does. A look at what was
//! ever subscribed to costs less, so that a program may publish thousands of topics for those few who
//! hear one each.
//!
//! Invariant: a message for a subscription that was taken in is never held back. Nothing is taken out
//! when a peer leaves; the table is made anew from the books (see `ledger`) once it holds many times
//! what they do. A send takes in new subscriptions every few milliseconds; libzmq itself does so every
//! millisecond.

use crate::net::subscription::table::SubscriptionTable;
use foldhash::fast::RandomState;
use std::collections::HashSet;
use std::hash::{BuildHasher, Hasher};

/// Longer subscriptions are rare; with one of them all may be heard.
const LONGEST: usize = 63;
/// So are so many; these take 16 MiB.
const MOST: usize = 1 << 20;
/// Entries that the table may hold beyond four times the number of subscriptions.
const SPARE: usize = 16_384;
/// After so many messages in a row that somebody may hear, only one in so many is looked up.
const ROW: u32 = 16;

/// What messages that anybody wants begin with.
pub(crate) struct TopicPrefilter {
    /// All may be heard.
    everything: bool,
    /// The bit `n` says that some are `n` bytes long.
    lengths: u64,
    /// The bytes that those of each length end with. As topics end with their `:`, one look at a byte
    /// does for most lengths.
    ends: Box<[Bytes; LONGEST + 1]>,
    /// Hashes of all but their last byte, which for a topic is what it was passed as. Those that
    /// happen to be alike only let a message through that nobody wants.
    stems: HashSet<u64, RandomState>,
    hashes: RandomState,
    /// Subscriptions that were added since the table was made.
    added: usize,
    /// How many somebody may hear, one after the other, and how many are let through unseen.
    row: u32,
    unseen: u32,
    looked: CoarseTick,
}

/// A set of bytes.
#[derive(Clone, Copy, Default)]
struct Bytes([u64; 4]);

impl Bytes {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte / 64)] |= 1 << (byte % 64);
    }

    #[inline]
    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte / 64)] >> (byte % 64) & 1 != 0
    }
}

impl TopicPrefilter {
    /// Nothing so far.
    pub(crate) fn nothing() -> Self {
        Self {
            everything: false,
            lengths: 0,
            ends: Box::new([Bytes::default(); LONGEST + 1]),
            stems: HashSet::default(),
            hashes: RandomState::default(),
            added: 0,
            row: 0,
            unseen: 0,
            looked: CoarseTick::default(),
        }
    }

    /// Everything, for those who do not ask.
    pub(crate) fn everything() -> Self {
        Self {
            everything: true,
            ..Self::nothing()
        }
    }

    /// Somebody wants what begins like this.
    pub(crate) fn add(&mut self, start: &[u8]) {
        if self.everything {
            return;
        }
        match start {
            [stem @ .., end] if start.len() <= LONGEST && self.stems.len() < MOST => {
                self.lengths |= 1 << start.len();
                self.ends[start.len()].add(*end);
                self.added += usize::from(self.stems.insert(self.hash(stem)));
            }
            _ => {
                self.everything = true;
                self.stems = HashSet::default();
            }
        }
    }

    /// How many entries the table has.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.stems.len()
    }

    /// Rebuilds the table if most of its entries are of subscriptions that ended.
    pub(crate) fn renew(&mut self, ledger: &SubscriptionTable) {
        if self.added > SPARE + 4 * ledger.bound() {
            self.lengths = 0;
            *self.ends = [Bytes::default(); LONGEST + 1];
            self.stems = HashSet::default();
            self.added = 0;
            ledger.each(|start| self.add(start));
        }
    }

    /// Whether to let libzmq look for who wants a message that begins with these parts, one after the
    /// other. Where all are heard, to ask first would only cost.
    #[inline]
    pub(crate) fn may_include(&mut self, parts: [&[u8]; 3]) -> bool {
        if self.everything {
            return true;
        }
        if self.unseen > 0 {
            self.unseen -= 1;
            return true;
        }
        let found = self.finds(parts);
        self.row = if found { self.row + 1 } else { 0 };
        if self.row == ROW {
            (self.row, self.unseen) = (ROW - 1, ROW - 1);
        }
        found
    }

    #[inline]
    fn finds(&self, parts: [&[u8]; 3]) -> bool {
        let mut lengths = self.lengths;
        while lengths != 0 {
            let length = lengths.trailing_zeros() as usize;
            match byte_at(parts, length - 1) {
                None => return false,
                Some(end) if self.ends[length].has(end) && self.has_stem(parts, length - 1) => {
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
            None => self.hash(&together(parts)[..length]),
        };
        self.stems.contains(&hash)
    }

    /// Whether it is time to look who subscribed meanwhile.
    #[inline]
    pub(crate) fn is_stale(&mut self) -> bool {
        self.looked.is_over()
    }

    #[inline]
    fn hash(&self, start: &[u8]) -> u64 {
        let mut hasher = self.hashes.build_hasher();
        hasher.write(start);
        hasher.finish()
    }
}

/// The byte at this place of the whole.
#[inline]
fn byte_at(parts: [&[u8]; 3], mut place: usize) -> Option<u8> {
    for part in parts {
        match part.get(place) {
            Some(byte) => return Some(*byte),
            None => place -= part.len(),
        }
    }
    None
}

/// As much of the whole as the longest start has.
#[cold]
fn together(parts: [&[u8]; 3]) -> [u8; LONGEST] {
    let mut whole = [0; LONGEST];
    for (to, from) in whole.iter_mut().zip(parts.concat()) {
        *to = from;
    }
    whole
}

/// The last few milliseconds, by the system's coarse clock: 1 to 10 of them, for a fifth of the price.
#[cfg(target_os = "linux")]
#[derive(Default)]
struct CoarseTick {
    seconds: libc::time_t,
    nanoseconds: libc::c_long,
}

#[cfg(target_os = "linux")]
impl CoarseTick {
    /// Whether they are over, which begins them anew.
    #[inline]
    fn is_over(&mut self) -> bool {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: fills in the structure that is passed, from a clock that Linux always has.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_COARSE, &raw mut now) };
        let over = (self.seconds, self.nanoseconds) != (now.tv_sec, now.tv_nsec);
        (self.seconds, self.nanoseconds) = (now.tv_sec, now.tv_nsec);
        over
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Default)]
struct CoarseTick(Option<std::time::Instant>);

#[cfg(not(target_os = "linux"))]
impl CoarseTick {
    /// Whether they are over, which begins them anew.
    fn is_over(&mut self) -> bool {
        const MILLISECOND: std::time::Duration = std::time::Duration::from_millis(1);
        let over = self.0.is_none_or(|began| began.elapsed() >= MILLISECOND);
        if over {
            self.0 = Some(std::time::Instant::now());
        }
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(starts: &[&[u8]]) -> TopicPrefilter {
        let mut heard = TopicPrefilter::nothing();
        for start in starts {
            heard.add(start);
        }
        heard
    }

    #[test]
    fn at_first_nobody_hears_anything() {
        assert!(!of(&[]).finds([b"room1", b":", b"Hello"]));
        assert!(!of(&[]).finds([b"", b"", b""]));
        assert!(TopicPrefilter::everything().may_include([b"", b"", b""]));
    }

    #[test]
    fn what_is_too_much_to_keep_lets_everything_through() {
        for start in [&b""[..], &[b'x'; LONGEST + 1]] {
            let mut heard = of(&[b"room1:", start]);
            assert!(heard.may_include([b"other", b"", b""]) && heard.may_include([b"", b"", b""]));
        }
        let mut heard = of(&[]);
        for number in 0..MOST {
            heard.add(format!("{number}:").as_bytes());
        }
        assert!(!heard.finds([b"room1", b":", b""]));
        heard.add(b"room1:");
        assert!(heard.may_include([b"room2", b":", b""]));
        assert!(heard.stems.is_empty());
    }

    #[test]
    fn the_longest_that_is_kept_is_found() {
        let start = [b'x'; LONGEST];
        let heard = of(&[&start]);
        assert!(heard.finds([&start, b"", b""]));
        assert!(heard.finds([b"xx", &[b'x'; 100], b""]));
        assert!(!heard.finds([&start[1..], b"", b""]));
    }

    #[test]
    fn one_topic_is_not_another() {
        let heard = of(&[b"room1:", b"door22:", b"\xff"]);
        for (topic, expected) in [("room1", true), ("room2", false), ("room", false)] {
            assert_eq!(heard.finds([topic.as_bytes(), b":", b"Hello"]), expected);
        }
    }

    #[test]
    fn where_all_are_heard_few_are_looked_up() {
        let mut heard = of(&[b"a:"]);
        let mut unheard = 0;
        for _ in 0..10 {
            for _ in 0..ROW {
                assert!(heard.may_include([b"a", b":", b""]));
            }
            // Those among the unseen are let through, and then no more.
            let held_back = |_: &u32| !heard.may_include([b"b", b":", b""]);
            unheard += (0..2 * ROW).filter(held_back).count();
        }
        assert_eq!(unheard, 10 * (ROW as usize + 1));
    }

    #[test]
    fn it_is_stale_now_and_then() {
        let mut heard = of(&[]);
        assert!(heard.is_stale());
        // Not each time, however slow the machine.
        assert!((0..1_000).any(|_| !heard.is_stale()));
        while !heard.is_stale() {}
    }

    proptest! {
        /// Few letters, so that much matches. What a search of all finds is let through, and if starts
        /// have no end in common, nothing else.
        #[test]
        fn what_somebody_wants_is_let_through(
            starts in prop::collection::vec("[ab]{1,6}", 0..6),
            parts in prop::array::uniform3("[ab]{0,4}"),
        ) {
            let heard = of(&starts.iter().map(String::as_bytes).collect::<Vec<_>>());
            let whole = parts.concat();
            let wanted = starts.iter().any(|start| whole.starts_with(start.as_str()));
            let let_through = heard.finds([0, 1, 2].map(|part: usize| parts[part].as_bytes()));
            prop_assert!(let_through || !wanted);
            prop_assert!(wanted || !let_through || starts.len() > 1);
        }
    }
}
