//! What a publisher keeps beside its socket: the books of who subscribes, and the numbering of
//! what it sends.

use crate::error::{Error, Result};
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SocketHandler;
use crate::net::subscription::prefilter::TopicPrefilter;
use crate::net::subscription::table::SubscriptionTable;
use crate::net::subscription::tracker::SubscriptionTracker;
use crate::net::zmq::ffi::{uninterrupted, Errno};
use crate::net::zmq::frame::{Frame, Payload};
use crate::util::time::unix_ns;
use crate::wire::message::Framing;
use crate::wire::stamp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

/// After this many messages, a power of two, notices are read.
const READ_EVERY: u64 = 1_024;

/// The number of messages after which notices are read, less one. Reading them also processes what
/// connections acknowledge, which libzmq itself does once in a millisecond. At a low mark a queue would
/// seem full before that, and a quick subscriber would lose messages: so it happens eight times a queue.
fn read_mask(high_water_mark: i32) -> u64 {
    match u64::try_from(high_water_mark) {
        Ok(mark @ 1..) => (mark / 8).next_power_of_two().min(READ_EVERY) - 1,
        _ => READ_EVERY - 1,
    }
}

/// Beyond so many topics the numbering starts afresh under a new instance id.
const MAX_NUMBERED_TOPICS: usize = 65_536;

/// Numbers and signs messages.
struct Signer {
    name: String,
    head: stamp::StampEncoder,
    /// The next number, by topic; "" is no topic, which no topic can be.
    next: HashMap<Box<str>, u64>,
    /// The last stamp.
    frame: Vec<u8>,
}

impl Signer {
    fn new(name: String) -> Self {
        Self {
            head: stamp::StampEncoder::new(&name, &random_id()),
            name,
            next: HashMap::new(),
            frame: Vec::new(),
        }
    }

    fn stamp(&mut self, topic: Option<&str>, kind: Option<&str>) -> &[u8] {
        if self.next.len() >= MAX_NUMBERED_TOPICS {
            self.next.clear();
            self.head = stamp::StampEncoder::new(&self.name, &random_id());
        }
        let seq = self.next.get(topic.unwrap_or_default()).copied();
        let sent_ns = unix_ns();
        self.head
            .complete(&mut self.frame, topic, seq.unwrap_or(0), sent_ns, kind);
        &self.frame
    }

    /// The last stamp went out with a message that counts.
    fn advance(&mut self, topic: Option<&str>) {
        let topic = topic.unwrap_or_default();
        match self.next.get_mut(topic) {
            Some(next) => *next += 1,
            None => drop(self.next.insert(topic.into(), 1)),
        }
    }
}

/// 64 random bits in hexadecimal, from the seed of the standard library's hash maps.
fn random_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// What a publisher keeps beside its socket.
pub(crate) struct PublisherState {
    framing: Framing,
    signer: Option<Signer>,
    pub(crate) audience: SubscriptionTracker,
    /// Messages and payload bytes that libzmq took, or nobody wanted.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// See `read_mask`.
    read_mask: u64,
}

impl SocketHandler for PublisherState {
    const NAME: &'static str = "Publisher";

    fn process_monitor(&mut self, live: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            self.read_notices(live)
        } else {
            self.audience.read_monitor(live)
        }
    }

    fn has_left(&self) -> bool {
        false
    }

    fn is_behind(&self) -> bool {
        self.audience.is_behind()
    }

    fn has_just_read(&self) -> bool {
        self.audience.last_read() > 0
    }
}

impl PublisherState {
    /// One that stamps its messages if it has a name.
    pub(crate) fn new(
        framing: Framing,
        name: Option<String>,
        high_water_mark: i32,
        max_subscriptions: usize,
    ) -> Self {
        Self {
            framing,
            signer: name.map(Signer::new),
            audience: SubscriptionTracker::new(
                framing,
                SubscriptionTable::default(),
                TopicPrefilter::nothing(),
                false,
                max_subscriptions,
            ),
            sent: 0,
            sent_bytes: 0,
            read_mask: read_mask(high_water_mark),
        }
    }

    /// The stamp of the last message; empty before the first one, and where none are stamped.
    pub(crate) fn last_stamp(&self) -> &[u8] {
        self.signer.as_ref().map_or(&[], |signer| &signer.frame)
    }

    /// Takes in who came and went.
    pub(crate) fn read_notices(&mut self, live: &mut OpenSocket) -> bool {
        self.audience.read(live, |_, _, _| {})
    }

    /// Sends one message whole, or says that a queue is full.
    pub(crate) fn send(
        &mut self,
        live: &mut OpenSocket,
        payload: Payload<'_>,
        topic: Option<&str>,
    ) -> Result<bool> {
        // Each send may make libzmq take in a few notices, which would otherwise pile up.
        if self.sent & self.read_mask == 0 {
            self.read_notices(live);
        }
        let plain = self.framing == Framing::Plain && self.signer.is_none();
        // Stamps count what was sent, heard or not.
        let sent = if self.signer.is_none() && !self.may_be_heard(live, payload.bytes, topic) {
            true
        } else if plain && payload.lender.is_none() {
            let bytes = payload.bytes;
            let outcome = match topic {
                Some(topic) => {
                    Frame::send_parts(&mut live.socket, &[topic.as_bytes(), b":", bytes])
                }
                None => Frame::send_parts(&mut live.socket, &[bytes]),
            };
            match outcome {
                Ok(()) => true,
                Err(errno) if errno.would_block() => false,
                Err(errno) => return Err(errno.during("cannot send")),
            }
        } else {
            self.send_several(live, payload, topic)?
        };
        if sent {
            self.sent += 1;
            self.sent_bytes += payload.bytes.len() as u64;
        }
        Ok(sent)
    }

    /// Whether anybody may want such a message; who subscribed a moment ago may be missed, as libzmq
    /// would.
    #[inline]
    fn may_be_heard(&mut self, live: &mut OpenSocket, payload: &[u8], topic: Option<&str>) -> bool {
        let parts: [&[u8]; 3] = match topic {
            Some(topic) if self.framing == Framing::Envelope => [topic.as_bytes(), b"", b""],
            None if self.framing == Framing::Envelope => [b"", b"", b""],
            Some(topic) => [topic.as_bytes(), b":", payload],
            None => [payload, b"", b""],
        };
        if self.audience.heard.may_include(parts) {
            return true;
        }
        if !self.audience.heard.is_stale() {
            return false;
        }
        self.read_notices(live);
        self.audience.heard.may_include(parts)
    }

    /// A stamped message, an envelope, or both; or a payload that is lent.
    fn send_several(
        &mut self,
        live: &mut OpenSocket,
        payload: Payload<'_>,
        topic: Option<&str>,
    ) -> Result<bool> {
        let mut frames = Vec::with_capacity(3);
        match topic {
            _ if self.framing == Framing::Envelope => {
                let topic = topic.unwrap_or_default().as_bytes();
                frames.push(Frame::concat(&[topic]).map_err(no_memory)?);
                frames.push(Frame::of(payload).map_err(no_memory)?);
            }
            Some(topic) => {
                let parts = [topic.as_bytes(), b":", payload.bytes];
                frames.push(Frame::concat(&parts).map_err(no_memory)?);
            }
            None => frames.push(Frame::of(payload).map_err(no_memory)?),
        }
        if let Some(signer) = &mut self.signer {
            frames.push(Frame::concat(&[signer.stamp(topic, payload.kind)]).map_err(no_memory)?);
        }
        let sent = send_frames(live, &mut frames)?;
        if let (true, Some(signer)) = (sent, &mut self.signer) {
            if !stamp::is_presence(payload.kind, !payload.bytes.is_empty()) {
                signer.advance(topic);
            }
        }
        Ok(sent)
    }
}

fn no_memory(errno: Errno) -> Error {
    errno.during("no memory for a message")
}

fn send_frames(live: &mut OpenSocket, frames: &mut [Frame]) -> Result<bool> {
    let last = frames.len() - 1;
    for (index, frame) in frames.iter_mut().enumerate() {
        let (begun, more) = (index > 0, index < last);
        loop {
            match uninterrupted(|| frame.send(&mut live.socket, more)) {
                Ok(()) => break,
                Err(errno) if errno.would_block() && !begun => return Ok(false),
                // libzmq counts a message when its last frame is written, so that a frame that
                // follows an accepted one finds room. Should it not, the message must still end.
                Err(errno) if errno.would_block() => {
                    live.run_commands();
                    std::thread::yield_now();
                }
                Err(errno) => return Err(errno.during("cannot send")),
            }
        }
    }
    Ok(true)
}
