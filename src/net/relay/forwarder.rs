//! The thread that forwards messages from the frontend to the backend.
//!
//! Invariants: the thread locks the frontend first, then the backend, and both for one batch at a time.
//! It holds neither lock while it waits. libzmq's descriptors signal commands, not messages, and any call
//! may run commands. So the last thing before a wait is a check of both sockets, and nothing is done
//! between the check and the wait.

use crate::error::Result;
use crate::net::relay::backend::Backend;
use crate::net::relay::capture::{Capture, Captured};
use crate::net::relay::frontend::Frontend;
use crate::net::runtime::process;
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::reconnect::maintain_connections;
use crate::net::socket::shared_socket::SharedSocket;
use crate::net::zmq::ffi::{self, uninterrupted};
use crate::net::zmq::frame::{send_whole, Frame};
use crate::net::zmq::options::OnFull;
use crate::util::time::{unix_ns, SLICE};
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// The most that is forwarded while the locks are held.
const BATCH_MESSAGES: usize = 1_000;
const BATCH_BYTES: usize = 1024 * 1024;

/// How long the thread releases the locks if another thread requests one.
const LOCK_RELEASE: Duration = Duration::from_micros(50);

/// Both sockets of a relay, and the state of the thread between them.
pub(crate) struct Forwarder {
    pub(crate) frontend: Arc<SharedSocket<Frontend>>,
    pub(crate) backend: Arc<SharedSocket<Backend>>,
    wakeup: Arc<Wakeup>,
    on_full: OnFull,
    capture: Option<Arc<dyn Capture>>,
    /// The frontend subscribes to everything upstream, whatever the subscribers want.
    subscribes_to_all: bool,
    lock_requests: AtomicUsize,
}

/// A request for the locks: while it exists, the thread releases them between two batches. A mutex by
/// itself is not fair.
pub(crate) struct LockRequest<'a>(&'a AtomicUsize);

impl Drop for LockRequest<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What the thread does after a batch.
enum NextStep {
    /// Forward the next batch.
    Continue,
    /// Wait until one of these descriptors is readable, or for this time.
    Wait([RawFd; 2], Option<Duration>),
}

/// What became of one message.
enum Outcome {
    /// It was forwarded. Its size in bytes.
    Forwarded(usize),
    /// There was no message.
    Empty,
    /// It waits for a full subscriber.
    Held,
}

impl Forwarder {
    pub(crate) fn new(
        frontend: Arc<SharedSocket<Frontend>>,
        backend: Arc<SharedSocket<Backend>>,
        wakeup: Arc<Wakeup>,
        on_full: OnFull,
        capture: Option<Arc<dyn Capture>>,
        subscribes_to_all: bool,
    ) -> Self {
        Self {
            frontend,
            backend,
            wakeup,
            on_full,
            capture,
            subscribes_to_all,
            lock_requests: AtomicUsize::new(0),
        }
    }

    /// Requests the locks for the lifetime of the returned value.
    pub(crate) fn request_locks(&self) -> LockRequest<'_> {
        self.lock_requests.fetch_add(1, Ordering::AcqRel);
        LockRequest(&self.lock_requests)
    }

    /// Forwards messages until a socket is closed.
    pub(crate) fn run(&self) {
        let mut descriptors = Vec::with_capacity(3);
        let mut maintained = Instant::now();
        let mut captured = Vec::new();
        loop {
            if self.lock_requests.load(Ordering::Acquire) > 0 || process::ended() {
                std::thread::sleep(LOCK_RELEASE);
            }
            let step = self.forward_batch(&mut maintained, &mut captured);
            if let (Some(capture), false) = (&self.capture, captured.is_empty()) {
                capture.take(std::mem::take(&mut captured));
            }
            let (sockets, timeout) = match step {
                Ok(NextStep::Continue) => continue,
                Ok(NextStep::Wait(sockets, timeout)) => (sockets, timeout),
                Err(_) if self.frontend.is_closed() || self.backend.is_closed() => return,
                // E.g. for want of memory, which may be free again soon.
                Err(_) => {
                    std::thread::sleep(SLICE);
                    continue;
                }
            };
            descriptors.clear();
            descriptors.extend(sockets);
            descriptors.extend(self.wakeup.descriptor());
            // Without a wake-up of its own, the thread polls at regular intervals.
            let milliseconds = match (timeout, self.wakeup.descriptor()) {
                (None, Some(_)) => -1,
                (timeout, _) => timeout.unwrap_or(SLICE).as_millis().try_into().unwrap_or(1),
            };
            if ffi::poll(&descriptors, milliseconds).is_err() {
                std::thread::sleep(SLICE);
            }
            self.wakeup.clear();
        }
    }

    /// Forwards one batch while it holds the locks.
    fn forward_batch(
        &self,
        maintained: &mut Instant,
        captured: &mut Vec<Captured>,
    ) -> Result<NextStep> {
        let mut entered_frontend = self.frontend.enter()?;
        let mut entered_backend = self.backend.enter()?;
        entered_frontend.takes_messages_only();
        entered_backend.takes_messages_only();
        let (from, frontend) = entered_frontend.parts()?;
        let (to, backend) = entered_backend.parts()?;
        backend.read_subscriptions(to);
        if maintained.elapsed() >= SLICE {
            // Under load, the maintenance thread finds both sockets locked.
            *maintained = Instant::now();
            backend.process_monitor(to, false);
            frontend.process_monitor(from, false);
            maintain_connections(to, backend);
            maintain_connections(from, frontend);
        }
        let changed = backend.subscribers.table.take_changed();
        if !self.subscribes_to_all {
            for prefix in changed {
                frontend.changes.add(prefix);
            }
            if frontend.changes.are_pending() {
                let table = &backend.subscribers.table;
                frontend.send_changes(from, |prefix| table.is_subscribed(prefix));
            }
        }
        let (mut bytes, mut held, mut more) = (0, false, true);
        if !frontend.paused {
            let at_ns = self.capture.as_ref().map(|_| unix_ns());
            for _ in 0..BATCH_MESSAGES {
                match self.forward(from, frontend, to, backend)? {
                    Outcome::Forwarded(size) => {
                        frontend.messages += 1;
                        frontend.bytes += size as u64;
                        bytes += size;
                        if let Some(replay) = &mut backend.replay {
                            replay.cache.put(&frontend.copies);
                        }
                        if let Some(at_ns) = at_ns {
                            let frames = std::mem::take(&mut frontend.copies);
                            captured.push(Captured { frames, at_ns });
                        }
                    }
                    Outcome::Empty => more = false,
                    Outcome::Held => held = true,
                }
                if held || !more || bytes >= BATCH_BYTES {
                    break;
                }
            }
            if !held && more {
                return Ok(NextStep::Continue);
            }
        }
        // In this order: no call on the frontend follows that could run the backend's commands.
        let has_message = from.run_commands();
        let has_subscription = to.run_commands();
        if has_subscription
            || backend.subscribers.is_behind()
            || (has_message && !frontend.paused && !held)
        {
            return Ok(NextStep::Continue);
        }
        let sockets = [from.descriptor, to.descriptor];
        // An XPUB does not signal when a queue is free again (zeromq's dist_t always reports that it
        // is). Its descriptor signals acknowledgements, which may have arrived before.
        let polls = held || frontend.changes.are_pending();
        Ok(NextStep::Wait(sockets, polls.then_some(SLICE)))
    }

    /// Forwards one message, frame by frame.
    fn forward(
        &self,
        from: &mut OpenSocket,
        frontend: &mut Frontend,
        to: &mut OpenSocket,
        backend: &mut Backend,
    ) -> Result<Outcome> {
        let needs_copies = self.capture.is_some() || backend.replay.is_some();
        let Frontend {
            held,
            frame,
            copies,
            ..
        } = frontend;
        let mut length = if let Some(first) = held.take() {
            *frame = first;
            frame.bytes().len()
        } else {
            match uninterrupted(|| frame.receive(&mut from.socket)) {
                Ok(length) => length,
                Err(errno) if errno.would_block() => return Ok(Outcome::Empty),
                Err(errno) => return Err(errno.during("cannot receive a message")),
            }
        };
        copies.clear();
        let mut size = 0;
        let mut begun = false;
        let mut lossy = false;
        loop {
            let more = frame.more();
            if needs_copies {
                copies.push(frame.bytes().to_vec());
            }
            let sent = send_whole(&mut to.socket, frame, more, begun)
                .map_err(|errno| errno.during("cannot forward a message"))?;
            if !sent {
                if self.on_full == OnFull::Block {
                    *held = Some(std::mem::replace(frame, Frame::empty()));
                    return Ok(Outcome::Held);
                }
                // Full subscribers lose the message. libzmq excludes them until their queues are free.
                backend.count_overflow(to);
                let _ = ffi::set_int(&mut to.socket, ffi::XPUB_NODROP, 0);
                lossy = true;
                let _ = send_whole(&mut to.socket, frame, more, begun);
            }
            size += length;
            begun = true;
            if !more {
                break;
            }
            // libzmq hands over a message only when it has all its frames.
            length = uninterrupted(|| frame.receive(&mut from.socket))
                .map_err(|errno| errno.during("cannot receive the rest of a message"))?;
        }
        if lossy {
            let _ = ffi::set_int(&mut to.socket, ffi::XPUB_NODROP, 1);
        }
        Ok(Outcome::Forwarded(size))
    }
}
