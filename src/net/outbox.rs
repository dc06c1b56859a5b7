//! What a publisher keeps beside its socket: the books of who subscribes, and the numbering of
//! what it sends.

use super::frame::Frame;
use super::ledger::Ledger;
use super::live::{uninterrupted, Live};
use super::monitor::Happening;
use super::socket::Room;
use super::sys::Errno;
use crate::error::Result;
use crate::wire::message::Framing;
use crate::wire::stamp::Stamp;
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

/// Beyond so many topics the numbering starts afresh under a new instance id.
const MAX_NUMBERED_TOPICS: usize = 65_536;

/// Notices taken in at a time.
const NOTICES: usize = 1_024;

/// Numbers and signs messages.
struct Signer {
    name: String,
    instance: String,
    next: HashMap<Option<Box<str>>, u64>,
}

impl Signer {
    fn new(name: String) -> Self {
        Self {
            name,
            instance: random_id(),
            next: HashMap::new(),
        }
    }

    fn stamp(&mut self, topic: Option<&str>) -> Stamp {
        if self.next.len() >= MAX_NUMBERED_TOPICS {
            self.next.clear();
            self.instance = random_id();
        }
        Stamp {
            from: self.name.clone(),
            id: self.instance.clone(),
            topic: topic.map(Into::into),
            seq: self.next.get(&topic.map(Box::from)).copied().unwrap_or(0),
            sent_ns: unix_nanoseconds(),
        }
    }

    fn sent(&mut self, topic: Option<&str>) {
        *self.next.entry(topic.map(Box::from)).or_default() += 1;
    }
}

/// Nanoseconds since 1970, UTC.
pub(crate) fn unix_nanoseconds() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_nanos()).ok())
        .unwrap_or(0)
}

/// 64 random bits in hexadecimal, from the seed of the standard library's hash maps.
fn random_id() -> String {
    format!("{:016x}", RandomState::new().hash_one(std::process::id()))
}

/// What a publisher keeps beside its socket.
pub(crate) struct Outbox {
    framing: Framing,
    signer: Option<Signer>,
    pub(crate) ledger: Ledger,
    notices: Vec<Frame>,
}

impl Room for Outbox {
    const NAME: &'static str = "Publisher";

    fn tidy(&mut self, live: &mut Live, run_commands: bool) {
        if run_commands {
            self.read_notices(live);
        } else {
            self.read_monitor(live);
        }
    }

    fn has_left(&self) -> bool {
        false
    }
}

impl Outbox {
    /// One that stamps its messages if it has a name.
    pub(crate) fn new(framing: Framing, name: Option<String>) -> Self {
        Self {
            framing,
            signer: name.map(Signer::new),
            ledger: Ledger::default(),
            notices: Vec::new(),
        }
    }

    /// See `ledger` for why this order.
    pub(crate) fn read_notices(&mut self, live: &mut Live) {
        loop {
            while self.notices.len() < NOTICES {
                let mut notice = Frame::empty();
                if uninterrupted(|| notice.receive(&mut live.socket)).is_err() {
                    break;
                }
                self.notices.push(notice);
            }
            self.read_monitor(live);
            let full = self.notices.len() == NOTICES;
            for notice in self.notices.drain(..) {
                // Anything else is a message from upstream, which nobody asked for.
                match notice.bytes() {
                    [1, prefix @ ..] => self.ledger.subscribed(notice.source(), prefix),
                    [0, prefix @ ..] => self.ledger.unsubscribed(notice.source(), prefix),
                    _ => {}
                }
            }
            if !full {
                return;
            }
        }
    }

    fn read_monitor(&mut self, live: &mut Live) {
        while let Some(happening) = live.next_happening() {
            match happening {
                Happening::Opened(peer) => self.ledger.opened(peer.descriptor),
                Happening::Gone(peer) => self.ledger.gone(peer.descriptor),
                _ => {}
            }
        }
    }

    /// Sends one message whole, or says that a queue is full.
    pub(crate) fn send(
        &mut self,
        live: &mut Live,
        payload: &[u8],
        topic: Option<&str>,
    ) -> Result<bool> {
        let memory = |errno: Errno| errno.during("no memory for a message");
        let envelope = self.framing == Framing::Envelope;
        let first = match topic {
            _ if envelope => Frame::concat(&[topic.unwrap_or_default().as_bytes()]),
            Some(topic) => Frame::concat(&[topic.as_bytes(), b":", payload]),
            None => Frame::concat(&[payload]),
        }
        .map_err(memory)?;
        let second = if envelope {
            Some(Frame::concat(&[payload]).map_err(memory)?)
        } else {
            None
        };
        let stamp = match &mut self.signer {
            Some(signer) => Some(Frame::concat(&[&signer.stamp(topic).encode()]).map_err(memory)?),
            None => None,
        };
        let sent = send_frames(live, first, second, stamp)?;
        if let (true, Some(signer)) = (sent, &mut self.signer) {
            signer.sent(topic);
        }
        Ok(sent)
    }
}

fn send_frames(
    live: &mut Live,
    first: Frame,
    second: Option<Frame>,
    third: Option<Frame>,
) -> Result<bool> {
    let mut frames = std::iter::once(first).chain(second).chain(third).peekable();
    let mut begun = false;
    while let Some(mut frame) = frames.next() {
        let more = frames.peek().is_some();
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
        begun = true;
    }
    Ok(true)
}
