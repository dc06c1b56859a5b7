//! What a subscriber keeps beside its socket: messages that are taken from libzmq in batches and handed
//! out one by one, the subscriptions, and the loss of messages.
//!
//! Invariant: a message is not handed out after its subscription was removed. libzmq checks a message
//! when it hands it over. Messages that are queued here, and the one that libzmq holds ready, are
//! checked here.

use crate::error::{Error, Result};
use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::subscriber::loss::{Loss, LossTracker};
use crate::net::subscription::set::SubscriptionSet;
use crate::net::zmq::ffi::{uninterrupted, Errno};
use crate::net::zmq::frame::{Frame, RawMessage};
use crate::util::time::unix_ns;
use crate::wire::stamp::{self, StampRef};
use std::collections::vec_deque::Drain;
use std::collections::VecDeque;

/// The most that is taken from libzmq in one batch.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// The most messages that are taken from libzmq before a reconnect: publishers that keep sending must
/// not delay it.
const MAX_UNREAD: usize = 20_000;

/// What a subscriber keeps beside its socket.
pub(crate) struct ReceiveQueue {
    pub(crate) messages: VecDeque<RawMessage>,
    pub(crate) subscriptions: SubscriptionSet,
    pub(crate) losses: LossTracker,
    /// Messages taken from libzmq, and the bytes of their frames.
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// The value of `received` when a wait last began.
    received_before_wait: u64,
}

impl SocketHandler for ReceiveQueue {
    const NAME: &'static str = "Subscriber";

    fn process_monitor(&mut self, socket: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            socket.run_commands();
        }
        let reported = socket.read_events(|_| {});
        self.warn(socket);
        reported
    }

    fn has_left(&self) -> bool {
        !self.messages.is_empty()
    }

    fn has_pending_warning(&self) -> bool {
        self.losses.is_warning_pending()
    }

    fn take_unread(&mut self, socket: &mut OpenSocket) {
        let at_ns = unix_ns();
        for _ in 0..MAX_UNREAD {
            let Ok(Some(size)) = self.pull(socket) else {
                return;
            };
            self.accept(socket, size, at_ns);
        }
    }

    fn on_close(&mut self, socket: &mut OpenSocket) {
        self.losses.end_pause();
        self.warn(socket);
    }
}

impl ReceiveQueue {
    pub(crate) fn new(subscriptions: SubscriptionSet) -> Self {
        Self {
            messages: VecDeque::new(),
            subscriptions,
            losses: LossTracker::default(),
            received: 0,
            bytes: 0,
            received_before_wait: 0,
        }
    }

    /// Reads the next message in place and removes it. It stays if `read` returns `None`, for want of
    /// memory. `wants_topic`: whether to determine its topic first.
    #[inline]
    pub(crate) fn read_next<T>(
        &mut self,
        socket: &mut OpenSocket,
        wants_topic: bool,
        read: impl FnOnce(&RawMessage) -> Option<T>,
    ) -> Result<Option<T>> {
        if self.messages.is_empty() {
            self.drain(socket)?;
        }
        let Some(message) = self.messages.front_mut() else {
            return Ok(None);
        };
        if wants_topic {
            message.topic_len = self.subscriptions.topic_len(message);
        }
        let found = read(message).ok_or(Error::NoMemory)?;
        self.messages.pop_front();
        Ok(Some(found))
    }

    /// Reads up to `max_count` messages in place, and returns how many. They are moved to `taken` all at
    /// once: a message that was just written to is slow to move.
    pub(crate) fn read_several<T>(
        &mut self,
        socket: &mut OpenSocket,
        max_count: usize,
        found: &mut Vec<T>,
        taken: &mut Vec<RawMessage>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> Result<usize> {
        if self.messages.is_empty() {
            self.drain(socket)?;
        }
        if self.messages.is_empty() {
            return Ok(0);
        }
        let before = found.len();
        self.determine_topics(max_count);
        found.extend(self.messages.iter().take(max_count).map_while(read));
        let count = found.len() - before;
        taken.extend(self.messages.drain(..count));
        if count == 0 {
            return Err(Error::NoMemory);
        }
        Ok(count)
    }

    /// Takes the next message, and drains nothing beyond it: a waiting caller gets it at once, before
    /// libzmq looks for more.
    pub(crate) fn next(&mut self, socket: &mut OpenSocket) -> Result<Option<RawMessage>> {
        while self.messages.is_empty() {
            let Some(size) = self.pull(socket)? else {
                break;
            };
            self.accept(socket, size, unix_ns());
        }
        if self.losses.lost > 0 {
            self.warn(socket);
        }
        self.determine_topics(1);
        Ok(self.messages.pop_front())
    }

    /// Takes up to `max_count` messages that were drained before.
    pub(crate) fn take_queued(&mut self, max_count: usize) -> Drain<'_, RawMessage> {
        let count = self.messages.len().min(max_count);
        self.determine_topics(count);
        self.messages.drain(..count)
    }

    /// Determines the topics of the first messages, which are about to be handed out.
    fn determine_topics(&mut self, count: usize) {
        if self.subscriptions.splits() {
            for message in self.messages.iter_mut().take(count) {
                message.topic_len = self.subscriptions.topic_len(message);
            }
        }
    }

    /// Takes up to `max_count` messages, drained before or now.
    pub(crate) fn take(
        &mut self,
        socket: &mut OpenSocket,
        max_count: usize,
    ) -> Result<Vec<RawMessage>> {
        let mut taken = Vec::new();
        while taken.len() < max_count {
            if self.messages.is_empty() {
                self.drain(socket)?;
                if self.messages.is_empty() {
                    break;
                }
            }
            let missing = max_count - taken.len();
            taken.extend(self.take_queued(missing));
        }
        Ok(taken)
    }

    /// A wait begins. Returns whether at most one message was received since the previous wait began.
    pub(crate) fn begin_wait(&mut self) -> bool {
        let received = self.received - self.received_before_wait;
        self.received_before_wait = self.received;
        received <= 1
    }

    /// The number of established connections.
    pub(crate) fn connected(&mut self, socket: &mut OpenSocket) -> usize {
        self.process_monitor(socket, true);
        socket.connections.connected()
    }

    /// Puts messages back at the front. They were counted when they first arrived.
    pub(crate) fn put_back(&mut self, messages: Vec<RawMessage>) {
        for message in messages.into_iter().rev() {
            if self.subscriptions.admits(&message) {
                self.messages.push_front(message);
            }
        }
    }

    pub(crate) fn drain(&mut self, socket: &mut OpenSocket) -> Result<()> {
        let mut bytes = 0;
        let mut at_ns = 0;
        while self.messages.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            let Some(size) = self.pull(socket)? else {
                break;
            };
            if at_ns == 0 {
                at_ns = unix_ns();
            }
            self.accept(socket, size, at_ns);
            bytes += size;
        }
        if self.losses.lost > 0 {
            self.warn(socket);
        }
        Ok(())
    }

    /// Receives one message into the end of the queue; returns its size, or `None` if there is none.
    fn pull(&mut self, socket: &mut OpenSocket) -> Result<Option<usize>> {
        self.messages.push_back(RawMessage {
            first: Frame::empty(),
            rest: Vec::new(),
            topic_len: 0,
            at_ns: 0,
        });
        let outcome = self
            .messages
            .back_mut()
            .map_or(Ok(None), |message| receive(socket, message));
        if !matches!(outcome, Ok(Some(_))) {
            self.messages.pop_back();
        }
        outcome
    }

    /// Dates and counts the message at the end of the queue. Drops it if no subscription matches.
    fn accept(&mut self, socket: &OpenSocket, size: usize, at_ns: i64) {
        let Some(message) = self.messages.back_mut() else {
            return;
        };
        message.at_ns = at_ns;
        if self.subscriptions.needs_check() && !self.subscriptions.admits(message) {
            self.messages.pop_back();
            return;
        }
        self.received += 1;
        self.bytes += size as u64;
        // A stamp is the last of several frames.
        if let Some(last) = message.rest.last() {
            if let Some(stamp) = StampRef::decode(last.bytes()) {
                if self.subscriptions.covers(stamp.topic.as_deref()) {
                    let presence = is_presence(&stamp, message);
                    let interruptions = socket.connections.interruptions;
                    self.losses.record(&stamp, presence, interruptions);
                }
            }
        }
    }

    fn warn(&mut self, socket: &mut OpenSocket) {
        if !self.losses.is_warning_due() {
            return;
        }
        // Messages may have been read before the event that their connection was interrupted.
        socket.read_events(|_| {});
        for loss in self.losses.take_warnings() {
            let Loss { sender, count, .. } = loss;
            let interrupted = socket.connections.interruptions > loss.interruptions;
            socket.report(EventKind::Lost { count, interrupted }, &sender);
        }
    }

    /// Changes the subscriptions, and drops queued messages that none of them matches any more.
    pub(crate) fn change(
        &mut self,
        socket: &mut OpenSocket,
        change: impl FnOnce(&mut SubscriptionSet, &mut zmq::Socket) -> std::result::Result<(), Errno>,
    ) -> Result<()> {
        // libzmq may hold one message ready that it checked before the change.
        if let Some(size) = self.pull(socket)? {
            self.accept(socket, size, unix_ns());
        }
        let outcome = change(&mut self.subscriptions, &mut socket.socket);
        let subscriptions = &self.subscriptions;
        self.messages
            .retain(|message| subscriptions.admits(message));
        self.losses.retain(|topic| subscriptions.covers(topic));
        outcome.map_err(|errno| errno.during("cannot change the subscriptions"))
    }
}

/// Whether a stamped message is a chat's presence, see [`stamp::is_presence`].
fn is_presence(stamp: &StampRef<'_>, message: &RawMessage) -> bool {
    let Some(kind) = stamp.kind.as_deref() else {
        return false;
    };
    let topic = stamp.topic.as_deref();
    let has_text = match message.rest.as_slice() {
        [_stamp] => message.first.bytes().len() > topic.map_or(0, |topic| topic.len() + 1),
        [payload, _stamp] => !payload.bytes().is_empty(),
        _ => true,
    };
    stamp::is_presence(Some(kind), has_text)
}

/// Receives all frames of one message into `message`, which is empty; returns its size, or `None` if
/// there is none.
fn receive(socket: &mut OpenSocket, message: &mut RawMessage) -> Result<Option<usize>> {
    let mut size = match uninterrupted(|| message.first.receive(&mut socket.socket)) {
        Ok(size) => size,
        Err(errno) if errno.would_block() => return Ok(None),
        Err(errno) => return Err(errno.during("cannot receive")),
    };
    let mut more = message.first.more();
    while more {
        // libzmq hands over a message only when it has all its frames.
        let mut frame = Frame::empty();
        size += uninterrupted(|| frame.receive(&mut socket.socket))
            .map_err(|errno| errno.during("cannot receive the rest of a message"))?;
        more = frame.more();
        message.rest.push(frame);
    }
    Ok(Some(size))
}
