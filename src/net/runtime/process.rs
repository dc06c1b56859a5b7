//! The state that exists once per process, and the end of the process.
//!
//! Invariant: a context is used only in the process that created it. A forked child creates another
//! one on first use, and does not touch the inherited context, its sockets and its locks.

use crate::error::{Error, Result};
use crate::net::runtime::event_queue::EventQueue;
use crate::net::runtime::inproc_registry::InprocRegistry;
use crate::net::runtime::maintenance::Maintenance;
use crate::net::runtime::reactor::Reactor;
use crate::net::runtime::registry::{Managed, Registry};
use crate::net::zmq::context::Context;
use crate::net::zmq::monitor::Monitor;
use crate::util::fork;
use crate::util::per_process::PerProcess;
use crate::util::sync::lock;
use crate::util::thread;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// How long the end of the process may take beyond the longest linger.
const GRACE: Duration = Duration::from_millis(400);

/// The state that exists once per process.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) context: Context,
    pub(crate) registry: Registry,
    pub(crate) inproc: InprocRegistry,
    pub(crate) events: EventQueue,
    maintenance: Mutex<Option<Arc<Maintenance>>>,
    reactor: Mutex<Option<Arc<Reactor>>>,
    /// How many threads wait without the interpreter, or are about to take it again.
    detached_waits: AtomicUsize,
    ended: AtomicBool,
    /// The end of the process no longer waits for these threads.
    abandoned: AtomicBool,
    /// Until when closed sockets may still be sending.
    lingering_until: Mutex<Option<Instant>>,
}

static CURRENT: PerProcess<Process> = PerProcess::new();

/// The state of this process, created on first use.
pub(crate) fn process() -> &'static Process {
    CURRENT.get_or_make(|| {
        fork::watch();
        Process::default()
    })
}

/// The events of this process.
#[must_use]
pub fn events() -> &'static EventQueue {
    &process().events
}

impl Process {
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Fails once the process is ending.
    pub(crate) fn check_not_ended(&self) -> Result<()> {
        if self.has_ended() {
            return Err(Error::Closed(
                "the program is ending: publishers, subscribers and relays are closed".into(),
            ));
        }
        Ok(())
    }

    /// Registers a new object for maintenance, and starts the maintenance thread if necessary.
    pub(crate) fn register(&'static self, object: Weak<dyn Managed>) -> Result<()> {
        self.registry.add(object);
        let mut maintenance = lock(&self.maintenance);
        if let Some(running) = &*maintenance {
            running.wake();
        } else {
            *maintenance = Some(
                Maintenance::start(&self.registry)
                    .map_err(|error| Error::no_thread("for maintenance", &error))?,
            );
        }
        Ok(())
    }

    /// The reactor, started on first use.
    pub(crate) fn reactor(&self) -> Result<Arc<Reactor>> {
        self.check_not_ended()?;
        let mut reactor = lock(&self.reactor);
        if let Some(running) = &*reactor {
            return Ok(Arc::clone(running));
        }
        Ok(Arc::clone(reactor.insert(Reactor::start()?)))
    }

    /// Has the maintenance thread maintain all objects.
    pub(crate) fn wake_maintenance(&self) {
        if let Some(running) = &*lock(&self.maintenance) {
            running.wake();
        }
    }

    /// Maintains all objects that no thread uses now. The maintenance thread maintains the remaining
    /// ones soon.
    pub(crate) fn maintain_all(&self) {
        for object in self.registry.objects() {
            object.maintain();
        }
        self.wake_maintenance();
    }

    /// Records that a socket closed now may be sending for this long.
    pub(crate) fn note_linger(&self, linger: Duration) {
        let until = Instant::now().checked_add(linger);
        let mut lingering = lock(&self.lingering_until);
        *lingering = (*lingering).max(until);
    }

    /// Hands the monitor of a closed socket to the maintenance thread.
    pub(crate) fn drain_until_stopped(&self, monitor: Monitor) {
        self.registry.drain_until_stopped(monitor);
        self.wake_maintenance();
    }
}

/// A wait of a thread, from before it releases the interpreter until it holds the interpreter again.
///
/// The end of the process wakes all threads that wait, and gives them a moment to return. A thread
/// that returns later might find that the interpreter is finalized, which would unwind our frames.
/// Such a thread is parked for the short rest of the process.
pub struct DetachedWait(&'static Process);

impl DetachedWait {
    /// Marks the end of the wait. Does not return if the end of the process no longer waits for this
    /// thread.
    pub fn finish(&self) {
        if self.0.abandoned.load(Ordering::SeqCst) {
            loop {
                std::thread::park();
            }
        }
    }
}

/// Begins a wait; fails if the process is ending.
pub fn begin_detached_wait() -> Result<DetachedWait> {
    let process = process();
    process.detached_waits.fetch_add(1, Ordering::SeqCst);
    let waiting = DetachedWait(process);
    process.check_not_ended()?;
    Ok(waiting)
}

impl Drop for DetachedWait {
    fn drop(&mut self) {
        self.0.detached_waits.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether this process is ending.
#[must_use]
pub fn ended() -> bool {
    CURRENT.get().is_some_and(Process::has_ended)
}

/// Closes every open object and ends the context, within the longest linger and half a second.
/// Objects that are used afterwards report that they are closed. Must not be called with the
/// interpreter held: threads that return from a wait need it.
pub fn shut_down() {
    let Some(process) = CURRENT.get() else {
        return;
    };
    if process.ended.swap(true, Ordering::SeqCst) {
        return;
    }
    process.events.end();
    for object in process.registry.objects() {
        object.close_at_exit();
    }
    if let Some(maintenance) = &*lock(&process.maintenance) {
        maintenance.stop();
    }
    if let Some(reactor) = lock(&process.reactor).take() {
        reactor.stop();
    }
    // From now on libzmq does not block on reports, so their readers can be closed.
    process.context.shut_down();
    process.registry.drop_closing();
    let deadline = Instant::now() + GRACE;
    while process.detached_waits.load(Ordering::SeqCst) > 0 && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    process.abandoned.store(true, Ordering::SeqCst);
    let until = lock(&process.lingering_until).unwrap_or_else(Instant::now) + GRACE;
    terminate(process, until);
}

/// Ends the context in another thread, because libzmq has no timeout for that.
fn terminate(process: &'static Process, until: Instant) {
    let (done, ended) = mpsc::channel::<()>();
    // No socket is opened any more, except by a thread that has already passed the check of `ended`.
    // The context refuses it with ETERM.
    let started = thread::spawn("zmqchat-end", move || {
        process.context.terminate();
        drop(done);
    });
    if started.is_ok() {
        // Returns when the sender is dropped, or at the timeout.
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}
