//! The thread that polls sockets for event loops.
//!
//! An event loop tries an operation. Where the operation cannot proceed, the loop arms a callback
//! under the same lock, so that no change is missed. The callback runs once, when the operation is
//! worth another try. One thread per process polls for all event loops. It takes no messages.
//!
//! Invariant: callbacks run with no lock held.

use crate::error::{Error, Result};
use crate::net::zmq::ffi;
use crate::util::sync::lock;
use crate::util::thread;
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// How often all callbacks are checked, even if no descriptor reported anything.
#[cfg(unix)]
const CHECK_ALL: Duration = Duration::from_millis(100);
/// Without a descriptor for its wake-up, the thread notices new callbacks only when it checks.
#[cfg(not(unix))]
const CHECK_ALL: Duration = Duration::from_millis(5);

/// What an operation waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// A message to receive.
    Message,
    /// Any activity at the socket: libzmq does not report that a queue has space again.
    Change,
}

/// A function that is called once when an operation is worth another try.
pub struct ReadinessCallback {
    /// Set when something happened; also wakes the thread.
    wakeup: Arc<Wakeup>,
    interest: Interest,
    source: Weak<dyn ReadinessSource>,
    /// Whether the wake-up is among its socket's waiters. Changes under the socket's lock.
    armed: AtomicBool,
    cancelled: AtomicBool,
    on_ready: Box<dyn Fn() + Send + Sync>,
}

impl ReadinessCallback {
    /// A callback that is not armed. It runs in the reactor's thread, with no lock held.
    pub(crate) fn new(
        reactor: &Reactor,
        interest: Interest,
        source: Weak<dyn ReadinessSource>,
        on_ready: Box<dyn Fn() + Send + Sync>,
    ) -> Self {
        Self {
            wakeup: Arc::new(Wakeup::child_of(&reactor.wakeup)),
            interest,
            source,
            armed: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            on_ready,
        }
    }

    pub(crate) fn interest(&self) -> Interest {
        self.interest
    }

    pub(crate) fn wakeup(&self) -> &Arc<Wakeup> {
        &self.wakeup
    }

    /// Arms the callback; false if it was armed before. Called under the socket's lock.
    pub(crate) fn arm(&self) -> bool {
        !self.armed.swap(true, Ordering::AcqRel)
    }

    /// Disarms the callback. Called under the socket's lock.
    pub(crate) fn disarm(&self) {
        self.armed.store(false, Ordering::Release);
    }

    /// Prevents further calls.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
        if self.armed.load(Ordering::Acquire) {
            self.wakeup.set();
        }
    }

    /// Calls the function if the operation is worth another try. True if the reactor need not keep
    /// this callback.
    fn check(&self) -> bool {
        let Some(source) = self.source.upgrade() else {
            return true;
        };
        let cancelled = self.cancelled.load(Ordering::Acquire);
        if !cancelled && !self.wakeup.take() {
            return false;
        }
        let disarmed = source.disarm(self, cancelled);
        if disarmed && !cancelled {
            (self.on_ready)();
        }
        disarmed
    }
}

/// A socket as the reactor uses it.
pub(crate) trait ReadinessSource: Send + Sync {
    /// Wakes all waiters of the socket, because its descriptor reported something.
    fn wake_all(&self);

    /// Disarms the callback if its operation is worth another try, or in any case if `forced`. True
    /// if it was disarmed.
    fn disarm(&self, callback: &ReadinessCallback, forced: bool) -> bool;
}

/// A handle to the thread.
pub(crate) struct Reactor {
    wakeup: Arc<Wakeup>,
    stop: AtomicBool,
    /// Callbacks that were armed since the thread's last round.
    added: Mutex<Vec<(Arc<ReadinessCallback>, RawFd)>>,
}

impl Reactor {
    pub(crate) fn start() -> Result<Arc<Self>> {
        let this = Arc::new(Self {
            wakeup: Arc::new(Wakeup::new()),
            stop: AtomicBool::new(false),
            added: Mutex::default(),
        });
        let running = Arc::clone(&this);
        thread::spawn("zmqchat-reactor", move || running.run())
            .map_err(|error| Error::no_thread("for event loops", &error))?;
        Ok(this)
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wakeup.set();
    }

    /// Polls the descriptor of the callback's socket until the callback has run.
    pub(crate) fn add(&self, callback: &Arc<ReadinessCallback>, descriptor: RawFd) {
        lock(&self.added).push((Arc::clone(callback), descriptor));
        self.wakeup.set();
    }

    fn run(&self) {
        let mut callbacks: Vec<(Arc<ReadinessCallback>, RawFd)> = Vec::new();
        let mut descriptors = Vec::new();
        let mut reported = Vec::new();
        let mut all_checked = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            descriptors.clear();
            descriptors.extend(callbacks.iter().map(|(_, descriptor)| *descriptor));
            descriptors.sort_unstable();
            descriptors.dedup();
            descriptors.extend(self.wakeup.descriptor());
            let timeout = if callbacks.is_empty() && !descriptors.is_empty() {
                -1
            } else {
                i64::try_from(CHECK_ALL.as_millis()).unwrap_or(i64::MAX)
            };
            if ffi::poll_each(&descriptors, timeout, &mut reported).is_err() {
                std::thread::sleep(CHECK_ALL);
            }
            // A wake-up that is set later is reported in the next round.
            let woken = |wakeup| reported.contains(&wakeup);
            if self.wakeup.descriptor().is_none_or(woken) {
                self.wakeup.clear();
            }
            // Busy sockets must not keep the others from being checked.
            let all = reported.is_empty() || all_checked.elapsed() >= CHECK_ALL;
            if all {
                all_checked = Instant::now();
            }
            for (callback, descriptor) in &callbacks {
                if all {
                    callback.wakeup.set();
                }
                if let Some(index) = reported.iter().position(|one| one == descriptor) {
                    reported.swap_remove(index);
                    if let Some(source) = callback.source.upgrade() {
                        source.wake_all();
                    }
                }
            }
            callbacks.append(&mut lock(&self.added));
            callbacks.retain(|(callback, _)| !callback.check());
        }
    }
}
