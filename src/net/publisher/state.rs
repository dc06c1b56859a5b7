//! What a publisher keeps beside its socket: the subscriptions of its peers, and the sequence numbers
//! and stamps of its messages.

use crate::error::{Error, Result};
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
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

/// The most messages, a power of two, between two reads of subscriptions.
const MAX_READ_INTERVAL: u64 = 1_024;

/// The number of messages between two reads of subscriptions, less one. A read also processes the
/// acknowledgements of peers, which libzmq itself does once in a millisecond. At a low mark a queue would
/// look full before that, and a fast subscriber would lose messages. So it happens eight times a queue.
fn read_mask(high_water_mark: i32) -> u64 {
    match u64::try_from(high_water_mark) {
        Ok(mark @ 1..) => (mark / 8).next_power_of_two().min(MAX_READ_INTERVAL) - 1,
        _ => MAX_READ_INTERVAL - 1,
    }
}

/// Above this number of topics, numbering restarts under a new instance id.
const MAX_NUMBERED_TOPICS: usize = 65_536;

/// Numbers and stamps messages.
struct Stamper {
    name: String,
    encoder: stamp::StampEncoder,
    /// The next sequence number, by topic; a message without a topic has the topic "", which no other
    /// one has.
    next: HashMap<Box<str>, u64>,
    last_stamp: Vec<u8>,
}

impl Stamper {
    fn new(name: String) -> Self {
        Self {
            encoder: stamp::StampEncoder::new(&name, &random_id()),
            name,
            next: HashMap::new(),
            last_stamp: Vec::new(),
        }
    }

    fn stamp(&mut self, topic: Option<&str>, kind: Option<&str>) -> &[u8] {
        if self.next.len() >= MAX_NUMBERED_TOPICS {
            self.next.clear();
            self.encoder = stamp::StampEncoder::new(&self.name, &random_id());
        }
        let seq = self.next.get(topic.unwrap_or_default()).copied();
        let sent_ns = unix_ns();
        self.encoder
            .encode_into(&mut self.last_stamp, topic, seq.unwrap_or(0), sent_ns, kind);
        &self.last_stamp
    }

    /// Advances the sequence number of a topic, after a message with the last stamp was sent.
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
    stamper: Option<Stamper>,
    pub(crate) subscribers: SubscriptionTracker,
    /// Messages and payload bytes that were sent, or dropped because no peer subscribes to them.
    pub(crate) sent: u64,
    pub(crate) sent_bytes: u64,
    /// See `read_mask`.
    read_mask: u64,
}

impl SocketHandler for PublisherState {
    const NAME: &'static str = "Publisher";

    fn process_monitor(&mut self, socket: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            self.read_subscriptions(socket)
        } else {
            self.subscribers.read_monitor(socket)
        }
    }

    fn has_left(&self) -> bool {
        false
    }

    fn is_behind(&self) -> bool {
        self.subscribers.is_behind()
    }

    fn has_just_read(&self) -> bool {
        self.subscribers.last_read() > 0
    }
}

impl PublisherState {
    /// The state of a publisher that stamps its messages if it has a name.
    pub(crate) fn new(
        framing: Framing,
        name: Option<String>,
        high_water_mark: i32,
        max_subscriptions: usize,
    ) -> Self {
        Self {
            framing,
            stamper: name.map(Stamper::new),
            subscribers: SubscriptionTracker::new(
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

    /// The stamp of the last message; empty before the first one, and without a name.
    pub(crate) fn last_stamp(&self) -> &[u8] {
        self.stamper
            .as_ref()
            .map_or(&[], |stamper| &stamper.last_stamp)
    }

    /// Reads the subscriptions and the connections of peers; returns whether an event was reported.
    pub(crate) fn read_subscriptions(&mut self, socket: &mut OpenSocket) -> bool {
        self.subscribers.read(socket, |_, _, _| {})
    }

    /// Sends one message; returns `false` if a queue is full.
    pub(crate) fn send(
        &mut self,
        socket: &mut OpenSocket,
        payload: Payload<'_>,
        topic: Option<&str>,
    ) -> Result<bool> {
        // Each send may make libzmq queue a few subscription messages, which would accumulate.
        if self.sent & self.read_mask == 0 {
            self.read_subscriptions(socket);
        }
        let plain = self.framing == Framing::Plain && self.stamper.is_none();
        // Stamped messages are always sent: their numbers count messages without a subscriber, too.
        let sent =
            if self.stamper.is_none() && !self.may_have_subscriber(socket, payload.bytes, topic) {
                true
            } else if plain && payload.shared.is_none() {
                let bytes = payload.bytes;
                let outcome = match topic {
                    Some(topic) => {
                        Frame::send_parts(&mut socket.socket, &[topic.as_bytes(), b":", bytes])
                    }
                    None => Frame::send_parts(&mut socket.socket, &[bytes]),
                };
                match outcome {
                    Ok(()) => true,
                    Err(errno) if errno.would_block() => false,
                    Err(errno) => return Err(errno.during("cannot send")),
                }
            } else {
                self.send_composed(socket, payload, topic)?
            };
        if sent {
            self.sent += 1;
            self.sent_bytes += payload.bytes.len() as u64;
        }
        Ok(sent)
    }

    /// Whether a peer may subscribe to such a message. A subscription that has just arrived may be
    /// missed, as libzmq may miss it.
    #[inline]
    fn may_have_subscriber(
        &mut self,
        socket: &mut OpenSocket,
        payload: &[u8],
        topic: Option<&str>,
    ) -> bool {
        let parts: [&[u8]; 3] = match topic {
            Some(topic) if self.framing == Framing::Envelope => [topic.as_bytes(), b"", b""],
            None if self.framing == Framing::Envelope => [b"", b"", b""],
            Some(topic) => [topic.as_bytes(), b":", payload],
            None => [payload, b"", b""],
        };
        if self.subscribers.prefilter.may_match(parts) {
            return true;
        }
        if !self.subscribers.prefilter.is_read_due() {
            return false;
        }
        self.read_subscriptions(socket);
        self.subscribers.prefilter.may_match(parts)
    }

    /// Sends a message that has several frames (stamp, envelope), or whose payload is not copied.
    fn send_composed(
        &mut self,
        socket: &mut OpenSocket,
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
        if let Some(stamper) = &mut self.stamper {
            let stamp = stamper.stamp(topic, payload.kind);
            frames.push(Frame::concat(&[stamp]).map_err(no_memory)?);
        }
        let sent = send_frames(socket, &mut frames)?;
        if let (true, Some(stamper)) = (sent, &mut self.stamper) {
            if !stamp::is_presence(payload.kind, !payload.bytes.is_empty()) {
                stamper.advance(topic);
            }
        }
        Ok(sent)
    }
}

fn no_memory(errno: Errno) -> Error {
    errno.during("no memory for a message")
}

/// Sends all frames of a message; returns `false`, with nothing sent, if a queue is full.
fn send_frames(socket: &mut OpenSocket, frames: &mut [Frame]) -> Result<bool> {
    let last = frames.len() - 1;
    for (index, frame) in frames.iter_mut().enumerate() {
        let (begun, more) = (index > 0, index < last);
        loop {
            match uninterrupted(|| frame.send(&mut socket.socket, more)) {
                Ok(()) => break,
                Err(errno) if errno.would_block() && !begun => return Ok(false),
                // libzmq counts a message when its last frame is written, so that a later frame is
                // accepted if the first one was. Should it not be, the message must still end.
                Err(errno) if errno.would_block() => {
                    socket.run_commands();
                    std::thread::yield_now();
                }
                Err(errno) => return Err(errno.during("cannot send")),
            }
        }
    }
    Ok(true)
}
