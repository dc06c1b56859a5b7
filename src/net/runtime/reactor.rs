//! Waiting without a thread of one's own: who runs an event loop looks, and is told when to look again.
//!
//! One thread a process waits for readiness on behalf of all of them; it takes no message. A watch
//! fires once; whoever looks in vain sets it again, under the same lock, so that nothing happens in
//! between. Invariant: nobody is told while a lock is held.

use crate::error::{Error, Result};
use crate::net::runtime::process;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketHandler};
use crate::net::zmq::ffi;
use crate::util::sync::lock;
use crate::util::thread;
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// When all are looked at, whether or not something was reported.
#[cfg(unix)]
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Without a wake-up of its own the thread learns of new watches only when it looks.
#[cfg(not(unix))]
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// What is worth a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// A message to receive.
    Message,
    /// Anything that happens at the socket: libzmq does not say when there is room to send.
    Change,
}

/// How somebody is told to look again.
pub struct ReadinessCallback {
    /// Set when something happened; wakes the thread, too.
    wake: Arc<Wakeup>,
    want: Interest,
    owner: Weak<dyn ReadinessSource>,
    /// Is on the list of its socket's waiters; changes under the socket's lock.
    set: AtomicBool,
    cancelled: AtomicBool,
    tell: Box<dyn Fn() + Send + Sync>,
}

impl ReadinessCallback {
    /// Tells nothing any more.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if self.set.load(Ordering::Acquire) {
            self.wake.set();
        }
    }

    /// Looks after something happened; true when it is over with this watch.
    fn is_done(&self) -> bool {
        let Some(owner) = self.owner.upgrade() else {
            return true;
        };
        let cancelled = self.cancelled.load(Ordering::Acquire);
        if !cancelled && !self.wake.take() {
            return false;
        }
        let done = owner.disarm(self, cancelled);
        if done && !cancelled {
            (self.tell)();
        }
        done
    }
}

/// The thread's view of an object.
pub(crate) trait ReadinessSource: Send + Sync {
    /// Its descriptor has reported: all who wait must look.
    fn wake_all(&self);

    /// Takes a watch off the list, if it is worth a look (or at any rate); true when it was.
    fn disarm(&self, watch: &ReadinessCallback, at_any_rate: bool) -> bool;
}

impl<R: SocketHandler> ReadinessSource for SharedSocket<R> {
    fn wake_all(&self) {
        lock(&self.slot).wake_others(None);
    }

    fn disarm(&self, watch: &ReadinessCallback, at_any_rate: bool) -> bool {
        let mut slot = lock(&self.slot);
        let worth = at_any_rate
            || watch.want == Interest::Change
            || slot.room.has_left()
            // Closed, too, is worth a look.
            || slot.live.as_mut().is_none_or(OpenSocket::run_commands);
        if worth {
            watch.set.store(false, Ordering::Release);
            slot.forget(&watch.wake);
        }
        worth
    }
}

impl<R: SocketHandler> SharedSocket<R> {
    /// A watch, not set yet, that calls `tell` from a thread of ours, with no lock held.
    pub(crate) fn watch(
        self: &Arc<Self>,
        want: Interest,
        tell: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.check_fork()?;
        let watcher = process::process().watcher()?;
        let owner: Weak<Self> = Arc::downgrade(self);
        Ok(Arc::new(ReadinessCallback {
            wake: Arc::new(Wakeup::below(&watcher.wake)),
            want,
            owner,
            set: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            tell,
        }))
    }

    /// Looks once. Where that was in vain the watch is set: it tells when to look again. The first
    /// look of a wait `stirs` the others who wait here, from whom it may have taken the signal.
    pub(crate) fn look<T>(
        &self,
        watch: Option<&Arc<ReadinessCallback>>,
        stirs: bool,
        attempt: impl FnOnce(&mut OpenSocket, &mut R) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut entered = self.enter()?;
        entered.only_took();
        let (live, room) = entered.parts()?;
        let (descriptor, alone) = (live.descriptor, live.is_alone());
        let outcome = attempt(live, room);
        // Who looks for a change may have taken the signal of those who look for messages.
        let changes = watch.is_some_and(|watch| watch.want == Interest::Change);
        let took = changes && matches!(outcome, Ok(None)) && live.run_commands();
        if stirs || took || matches!(outcome, Ok(Some(_))) {
            entered.slot.wake_others(watch.map(|watch| &watch.wake));
        }
        if let (Some(watch), Ok(None)) = (watch, &outcome) {
            if !watch.set.swap(true, Ordering::AcqRel) {
                entered.slot.waiters.push(Arc::clone(&watch.wake));
                drop(entered);
                if alone {
                    // As in `wait`: the thread that says so may be asleep.
                    process::process().look();
                }
                process::process().watcher()?.add(watch, descriptor);
            }
        }
        outcome
    }
}

/// The thread, and what it is to wait for.
pub(crate) struct Reactor {
    wake: Arc<Wakeup>,
    stop: AtomicBool,
    /// Set since it last looked.
    new: Mutex<Vec<(Arc<ReadinessCallback>, RawFd)>>,
}

impl Reactor {
    pub(crate) fn start() -> Result<Arc<Self>> {
        let this = Arc::new(Self {
            wake: Arc::new(Wakeup::new()),
            stop: AtomicBool::new(false),
            new: Mutex::default(),
        });
        let running = Arc::clone(&this);
        thread::spawn("zmqchat-reactor", move || running.run())
            .map_err(|error| Error::no_thread("for event loops", &error))?;
        Ok(this)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.set();
    }

    fn add(&self, watch: &Arc<ReadinessCallback>, descriptor: RawFd) {
        lock(&self.new).push((Arc::clone(watch), descriptor));
        self.wake.set();
    }

    fn run(&self) {
        let mut watches: Vec<(Arc<ReadinessCallback>, RawFd)> = Vec::new();
        let mut descriptors = Vec::new();
        let mut reported = Vec::new();
        let mut all_looked = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            descriptors.clear();
            descriptors.extend(watches.iter().map(|(_, descriptor)| *descriptor));
            descriptors.sort_unstable();
            descriptors.dedup();
            descriptors.extend(self.wake.descriptor());
            let patience = if watches.is_empty() && !descriptors.is_empty() {
                -1
            } else {
                i64::try_from(LOOK_AGAIN.as_millis()).unwrap_or(i64::MAX)
            };
            if ffi::poll_each(&descriptors, patience, &mut reported).is_err() {
                std::thread::sleep(LOOK_AGAIN);
            }
            // Whoever sets it later has it reported again.
            let woken = |wake| reported.contains(&wake);
            if self.wake.descriptor().is_none_or(woken) {
                self.wake.clear();
            }
            // All count as reported now and then, however busy some are.
            let all = reported.is_empty() || all_looked.elapsed() >= LOOK_AGAIN;
            if all {
                all_looked = Instant::now();
            }
            for (watch, descriptor) in &watches {
                if all {
                    watch.wake.set();
                }
                if let Some(place) = reported.iter().position(|one| one == descriptor) {
                    reported.swap_remove(place);
                    if let Some(owner) = watch.owner.upgrade() {
                        owner.wake_all();
                    }
                }
            }
            watches.append(&mut lock(&self.new));
            watches.retain(|(watch, _)| !watch.is_done());
        }
    }
}
