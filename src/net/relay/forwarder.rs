//! The thread that passes messages on.
//!
//! Invariants: it locks the frontend first, then the backend, and both for one batch at a time; it
//! waits holding neither. libzmq's descriptors tell of commands, not of messages, and any call may
//! run commands: so the last thing before a wait is a look at both sockets, and nothing is done in
//! between.

use crate::error::Result;
use crate::net::relay::backend::Backend;
use crate::net::relay::capture::{Capture, Captured};
use crate::net::relay::frontend::Frontend;
use crate::net::runtime::process;
use crate::net::socket::connections;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketHandler};
use crate::net::zmq::ffi::{self, uninterrupted};
use crate::net::zmq::frame::{send_whole, Frame};
use crate::net::zmq::options::OnFull;
use crate::util::time::{unix_ns, SLICE};
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// How much is passed on with the locks held.
const BATCH_MESSAGES: usize = 1_000;
const BATCH_BYTES: usize = 1024 * 1024;

/// How long the thread stays away from the locks when others want them.
const COURTESY: Duration = Duration::from_micros(50);

/// Both sides, and whoever wants to look at them.
pub(crate) struct Forwarder {
    pub(crate) frontend: Arc<SharedSocket<Frontend>>,
    pub(crate) backend: Arc<SharedSocket<Backend>>,
    pub(crate) wake: Arc<Wakeup>,
    pub(crate) on_full: OnFull,
    pub(crate) capture: Option<Arc<dyn Capture>>,
    /// Upstream is asked for everything, whatever subscribers want.
    pub(crate) hears_all: bool,
    callers: AtomicUsize,
}

/// While it lives, the thread leaves the locks to its owner: a mutex is not fair by itself.
pub(crate) struct Caller<'a>(&'a AtomicUsize);

impl Drop for Caller<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What comes next.
enum Next {
    /// There is more to do.
    More,
    /// Nothing, until one of these is readable, or the time is over.
    Wait([RawFd; 2], Option<Duration>),
}

/// What became of one message.
enum Passed {
    /// It went, with so many bytes.
    On(usize),
    /// There was none.
    Nothing,
    /// A subscriber is full, and it waits.
    Held,
}

impl Forwarder {
    pub(crate) fn new(
        frontend: Arc<SharedSocket<Frontend>>,
        backend: Arc<SharedSocket<Backend>>,
        wake: Arc<Wakeup>,
        on_full: OnFull,
        capture: Option<Arc<dyn Capture>>,
        hears_all: bool,
    ) -> Self {
        Self {
            frontend,
            backend,
            wake,
            on_full,
            capture,
            hears_all,
            callers: AtomicUsize::new(0),
        }
    }

    /// Announces somebody who wants a lock for a moment.
    pub(crate) fn call(&self) -> Caller<'_> {
        self.callers.fetch_add(1, Ordering::AcqRel);
        Caller(&self.callers)
    }

    /// Passes messages on until a side is closed.
    pub(crate) fn run(&self) {
        let mut descriptors = Vec::with_capacity(3);
        let mut looked = Instant::now();
        let mut captured = Vec::new();
        loop {
            if self.callers.load(Ordering::Acquire) > 0 || process::ended() {
                std::thread::sleep(COURTESY);
            }
            let step = self.step(&mut looked, &mut captured);
            if let (Some(capture), false) = (&self.capture, captured.is_empty()) {
                capture.take(std::mem::take(&mut captured));
            }
            let (sockets, patience) = match step {
                Ok(Next::More) => continue,
                Ok(Next::Wait(sockets, patience)) => (sockets, patience),
                Err(_) if self.frontend.is_closed() || self.backend.is_closed() => return,
                // No memory, perhaps; it may be better soon.
                Err(_) => {
                    std::thread::sleep(SLICE);
                    continue;
                }
            };
            descriptors.clear();
            descriptors.extend(sockets);
            descriptors.extend(self.wake.descriptor());
            // Without a wake-up of its own, it looks at regular times.
            let patience = match (patience, self.wake.descriptor()) {
                (None, Some(_)) => -1,
                (patience, _) => patience
                    .unwrap_or(SLICE)
                    .as_millis()
                    .try_into()
                    .unwrap_or(1),
            };
            if ffi::poll(&descriptors, patience).is_err() {
                std::thread::sleep(SLICE);
            }
            self.wake.clear();
        }
    }

    /// One batch with the locks held.
    fn step(&self, looked: &mut Instant, captured: &mut Vec<Captured>) -> Result<Next> {
        let mut front = self.frontend.enter()?;
        let mut back = self.backend.enter()?;
        front.only_took();
        back.only_took();
        let (from, intake) = front.parts()?;
        let (to, outlet) = back.parts()?;
        outlet.read_notices(to);
        if looked.elapsed() >= SLICE {
            // The housekeeping thread finds both busy, as long as there is much to do.
            *looked = Instant::now();
            outlet.process_monitor(to, false);
            intake.process_monitor(from, false);
            connections::reconnect_abandoned(to, outlet);
            connections::reconnect_abandoned(from, intake);
        }
        let turned = outlet.audience.table.take_changed();
        if !self.hears_all {
            for prefix in turned {
                intake.changes.add(prefix);
            }
            if intake.changes.are_waiting() {
                let ledger = &outlet.audience.table;
                intake.follow(from, |prefix| ledger.is_subscribed(prefix));
            }
        }
        let (mut bytes, mut held, mut more) = (0, false, true);
        if !intake.paused {
            let at_ns = self.capture.as_ref().map(|_| unix_ns());
            for _ in 0..BATCH_MESSAGES {
                match self.pass(from, intake, to, outlet)? {
                    Passed::On(size) => {
                        intake.messages += 1;
                        intake.bytes += size as u64;
                        bytes += size;
                        if let Some(late) = &mut outlet.late {
                            late.cache.put(&intake.copies);
                        }
                        if let Some(at_ns) = at_ns {
                            let frames = std::mem::take(&mut intake.copies);
                            captured.push(Captured { frames, at_ns });
                        }
                    }
                    Passed::Nothing => more = false,
                    Passed::Held => held = true,
                }
                if held || !more || bytes >= BATCH_BYTES {
                    break;
                }
            }
            if !held && more {
                return Ok(Next::More);
            }
        }
        // In this order: nothing is done with the frontend that could run the backend's commands.
        let arrived = from.run_commands();
        let noticed = to.run_commands();
        if noticed || outlet.audience.is_behind() || (arrived && !intake.paused && !held) {
            return Ok(Next::More);
        }
        let sockets = [from.descriptor, to.descriptor];
        // XPUB cannot tell when there is room (zeromq's dist_t always says so): its descriptor tells
        // of acknowledgements, which may have come before.
        let waits = held || intake.changes.are_waiting();
        Ok(Next::Wait(sockets, waits.then_some(SLICE)))
    }

    /// Passes one message on, frame by frame.
    fn pass(
        &self,
        from: &mut OpenSocket,
        intake: &mut Frontend,
        to: &mut OpenSocket,
        outlet: &mut Backend,
    ) -> Result<Passed> {
        let keeps = self.capture.is_some() || outlet.late.is_some();
        let Frontend {
            held,
            frame,
            copies,
            ..
        } = intake;
        let mut length = if let Some(first) = held.take() {
            *frame = first;
            frame.bytes().len()
        } else {
            match uninterrupted(|| frame.receive(&mut from.socket)) {
                Ok(length) => length,
                Err(errno) if errno.would_block() => return Ok(Passed::Nothing),
                Err(errno) => return Err(errno.during("cannot receive a message")),
            }
        };
        copies.clear();
        let mut size = 0;
        let mut begun = false;
        let mut lossy = false;
        loop {
            let more = frame.more();
            if keeps {
                copies.push(frame.bytes().to_vec());
            }
            let sent = send_whole(&mut to.socket, frame, more, begun)
                .map_err(|errno| errno.during("cannot pass a message on"))?;
            if !sent {
                if self.on_full == OnFull::Block {
                    *held = Some(std::mem::replace(frame, Frame::empty()));
                    return Ok(Passed::Held);
                }
                // Whoever is full loses it, and libzmq leaves them out until they have room again.
                outlet.overflowed(to);
                let _ = ffi::set_int(&mut to.socket, ffi::XPUB_NODROP, 0);
                lossy = true;
                let _ = send_whole(&mut to.socket, frame, more, begun);
            }
            size += length;
            begun = true;
            if !more {
                break;
            }
            // libzmq hands over the frames of a message only when it has them all.
            length = uninterrupted(|| frame.receive(&mut from.socket))
                .map_err(|errno| errno.during("cannot receive the rest of a message"))?;
        }
        if lossy {
            let _ = ffi::set_int(&mut to.socket, ffi::XPUB_NODROP, 1);
        }
        Ok(Passed::On(size))
    }
}
