//! What a subscriber keeps beside its socket: messages taken from libzmq in batches and handed out
//! one by one, and what they tell of loss.
//!
//! Invariant: what was unsubscribed is not handed out any more. libzmq checks what it hands over
//! against its own list; what we hold already, and what it holds ready, is checked here.

use crate::error::{Error, Result};
use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SocketHandler;
use crate::net::subscriber::loss::{Loss, LossTracker};
use crate::net::subscription::set::SubscriptionSet;
use crate::net::zmq::ffi::{uninterrupted, Errno};
use crate::net::zmq::frame::{Frame, RawMessage};
use crate::util::time::unix_ns;
use crate::wire::stamp::{self, StampRef};
use std::collections::vec_deque::Drain;
use std::collections::VecDeque;

/// How much is taken from libzmq in one go.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// How much is taken over from libzmq before a connection is made anew: publishers that keep sending
/// must not hold that up.
const MOST_UNREAD: usize = 20_000;

/// What a subscriber keeps beside its socket.
pub(crate) struct ReceiveQueue {
    pub(crate) queue: VecDeque<RawMessage>,
    pub(crate) filter: SubscriptionSet,
    pub(crate) sequences: LossTracker,
    /// Messages taken from libzmq, and the bytes of their frames.
    pub(crate) received: u64,
    pub(crate) bytes: u64,
    /// What `received` was when somebody last waited.
    last_waited: u64,
}

impl SocketHandler for ReceiveQueue {
    const NAME: &'static str = "Subscriber";

    fn process_monitor(&mut self, live: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            live.run_commands();
        }
        let reported = live.read_happenings(|_| {});
        self.warn(live);
        reported
    }

    fn has_left(&self) -> bool {
        !self.queue.is_empty()
    }

    fn has_untold(&self) -> bool {
        self.sequences.untold()
    }

    fn take_unread(&mut self, live: &mut OpenSocket) {
        let at_ns = unix_ns();
        for _ in 0..MOST_UNREAD {
            let Ok(Some(size)) = self.pull(live) else {
                return;
            };
            self.take_in(live, size, at_ns);
        }
    }

    fn on_close(&mut self, live: &mut OpenSocket) {
        self.sequences.hurry();
        self.warn(live);
    }
}

impl ReceiveQueue {
    pub(crate) fn new(filter: SubscriptionSet) -> Self {
        Self {
            queue: VecDeque::new(),
            filter,
            sequences: LossTracker::default(),
            received: 0,
            bytes: 0,
            last_waited: 0,
        }
    }

    /// Reads the next message in place and drops it; leaves it where `read` finds no memory.
    /// `wants_topic`: whether to determine its topic first.
    #[inline]
    pub(crate) fn read_next<T>(
        &mut self,
        live: &mut OpenSocket,
        wants_topic: bool,
        read: impl FnOnce(&RawMessage) -> Option<T>,
    ) -> Result<Option<T>> {
        if self.queue.is_empty() {
            self.drain(live)?;
        }
        let Some(front) = self.queue.front_mut() else {
            return Ok(None);
        };
        if wants_topic {
            front.topic_len = self.filter.topic_len(front);
        }
        let found = read(front).ok_or(Error::NoMemory)?;
        self.queue.pop_front();
        Ok(Some(found))
    }

    /// Reads up to `most` messages in place, and moves them to `taken` all at once: one that was
    /// written to a moment ago is slow to move. How many; none where there are none.
    pub(crate) fn read_several<T>(
        &mut self,
        live: &mut OpenSocket,
        most: usize,
        found: &mut Vec<T>,
        taken: &mut Vec<RawMessage>,
        read: impl Fn(&RawMessage) -> Option<T>,
    ) -> Result<usize> {
        if self.queue.is_empty() {
            self.drain(live)?;
        }
        if self.queue.is_empty() {
            return Ok(0);
        }
        let before = found.len();
        self.determine_topics(most);
        found.extend(self.queue.iter().take(most).map_while(read));
        let count = found.len() - before;
        taken.extend(self.queue.drain(..count));
        if count == 0 {
            return Err(Error::NoMemory);
        }
        Ok(count)
    }

    /// The next message, taken. Drains nothing beyond it: whoever waited for it gets it at once, and
    /// need not wait until libzmq has looked for more.
    pub(crate) fn next(&mut self, live: &mut OpenSocket) -> Result<Option<RawMessage>> {
        while self.queue.is_empty() {
            let Some(size) = self.pull(live)? else { break };
            self.take_in(live, size, unix_ns());
        }
        if self.sequences.lost > 0 {
            self.warn(live);
        }
        self.determine_topics(1);
        Ok(self.queue.pop_front())
    }

    /// Takes what is in the queue, at most this many messages.
    pub(crate) fn take_queued(&mut self, most: usize) -> Drain<'_, RawMessage> {
        let count = self.queue.len().min(most);
        self.determine_topics(count);
        self.queue.drain(..count)
    }

    /// Determines the topics of the first messages in the queue, which are about to be handed out.
    fn determine_topics(&mut self, count: usize) {
        if self.filter.splits() {
            for received in self.queue.iter_mut().take(count) {
                received.topic_len = self.filter.topic_len(received);
            }
        }
    }

    /// Takes up to `max_count` messages that are there.
    pub(crate) fn take(
        &mut self,
        live: &mut OpenSocket,
        max_count: usize,
    ) -> Result<Vec<RawMessage>> {
        let mut taken = Vec::new();
        while taken.len() < max_count {
            if self.queue.is_empty() {
                self.drain(live)?;
                if self.queue.is_empty() {
                    break;
                }
            }
            let most = max_count - taken.len();
            taken.extend(self.take_queued(most));
        }
        Ok(taken)
    }

    /// Somebody is about to wait: whether at most one message came since that was so before.
    pub(crate) fn came_one_by_one(&mut self) -> bool {
        let came = self.received - self.last_waited;
        self.last_waited = self.received;
        came <= 1
    }

    /// How many connections stand.
    pub(crate) fn connected(&mut self, live: &mut OpenSocket) -> usize {
        self.process_monitor(live, true);
        live.connected()
    }

    /// Takes messages back, which were counted when they first came.
    pub(crate) fn put_back(&mut self, messages: Vec<RawMessage>) {
        for received in messages.into_iter().rev() {
            if self.filter.admits(&received) {
                self.queue.push_front(received);
            }
        }
    }

    pub(crate) fn drain(&mut self, live: &mut OpenSocket) -> Result<()> {
        let mut bytes = 0;
        let mut at_ns = 0;
        while self.queue.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            let Some(size) = self.pull(live)? else { break };
            if at_ns == 0 {
                at_ns = unix_ns();
            }
            self.take_in(live, size, at_ns);
            bytes += size;
        }
        if self.sequences.lost > 0 {
            self.warn(live);
        }
        Ok(())
    }

    /// Receives one message straight into the end of the queue; its size, or `None` when there is
    /// none.
    fn pull(&mut self, live: &mut OpenSocket) -> Result<Option<usize>> {
        self.queue.push_back(RawMessage {
            first: Frame::empty(),
            rest: Vec::new(),
            topic_len: 0,
            at_ns: 0,
        });
        let outcome = self
            .queue
            .back_mut()
            .map_or(Ok(None), |received| receive(live, received));
        if !matches!(outcome, Ok(Some(_))) {
            self.queue.pop_back();
        }
        outcome
    }

    /// Dates and counts the message at the end of the queue, or drops one that was not asked for.
    fn take_in(&mut self, live: &OpenSocket, size: usize, at_ns: i64) {
        let Some(received) = self.queue.back_mut() else {
            return;
        };
        received.at_ns = at_ns;
        if self.filter.needs_check() && !self.filter.admits(received) {
            self.queue.pop_back();
            return;
        }
        self.received += 1;
        self.bytes += size as u64;
        // A stamp is the last of several frames.
        if let Some(last) = received.rest.last() {
            if let Some(stamp) = StampRef::of(last.bytes()) {
                if self.filter.covers(stamp.topic.as_deref()) {
                    let presence = is_presence(&stamp, received);
                    let interruptions = live.peers.interruptions;
                    self.sequences.take(&stamp, presence, interruptions);
                }
            }
        }
    }

    fn warn(&mut self, live: &mut OpenSocket) {
        if !self.sequences.is_warning_due() {
            return;
        }
        // Messages may have been read before the report that their connection was interrupted.
        live.read_happenings(|_| {});
        for loss in self.sequences.warnings() {
            let Loss { sender, count, .. } = loss;
            let interrupted = live.peers.interruptions > loss.interruptions;
            live.tell(EventKind::Lost { count, interrupted }, &sender);
        }
    }

    /// Changes the subscriptions by `change`, and forgets what is no longer wanted.
    pub(crate) fn change(
        &mut self,
        live: &mut OpenSocket,
        change: impl FnOnce(&mut SubscriptionSet, &mut zmq::Socket) -> std::result::Result<(), Errno>,
    ) -> Result<()> {
        // libzmq may hold one message ready that passed the old list.
        if let Some(size) = self.pull(live)? {
            self.take_in(live, size, unix_ns());
        }
        let outcome = change(&mut self.filter, &mut live.socket);
        self.queue.retain(|received| self.filter.admits(received));
        let filter = &self.filter;
        self.sequences.keep(|topic| filter.covers(topic));
        outcome.map_err(|errno| errno.during("cannot change the subscriptions"))
    }
}

/// Whether a stamped message is a chat's presence, see [`stamp::is_presence`].
fn is_presence(stamp: &StampRef<'_>, received: &RawMessage) -> bool {
    let Some(kind) = stamp.kind.as_deref() else {
        return false;
    };
    let topic = stamp.topic.as_deref();
    let has_text = match received.rest.as_slice() {
        [_stamp] => received.first.bytes().len() > topic.map_or(0, |topic| topic.len() + 1),
        [payload, _stamp] => !payload.bytes().is_empty(),
        _ => true,
    };
    stamp::is_presence(Some(kind), has_text)
}

/// One message whole, in place of the empty one; its size, or `None` when there is none.
fn receive(live: &mut OpenSocket, received: &mut RawMessage) -> Result<Option<usize>> {
    let mut size = match uninterrupted(|| received.first.receive(&mut live.socket)) {
        Ok(size) => size,
        Err(errno) if errno.would_block() => return Ok(None),
        Err(errno) => return Err(errno.during("cannot receive")),
    };
    let mut more = received.first.more();
    while more {
        // libzmq hands over the frames of a message only when it has them all.
        let mut frame = Frame::empty();
        size += uninterrupted(|| frame.receive(&mut live.socket))
            .map_err(|errno| errno.during("cannot receive the rest of a message"))?;
        more = frame.more();
        received.rest.push(frame);
    }
    Ok(Some(size))
}
