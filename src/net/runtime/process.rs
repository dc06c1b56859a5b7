//! The one context of the process, and how it ends.
//!
//! Invariant: a context is used only in the process that made it. A forked child gets a context of
//! its own on first use and leaves the inherited one, its sockets and its locks strictly alone.

use crate::error::{Error, Result};
use crate::net::runtime::event_queue::Events;
use crate::net::runtime::inproc_registry::InprocRegistry;
use crate::net::runtime::maintenance::Maintenance;
use crate::net::runtime::reactor::Reactor;
use crate::net::socket::shared_socket::Managed;
use crate::net::zmq::descriptor_limit;
use crate::net::zmq::ffi::{self, Errno};
use crate::net::zmq::monitor::Monitor;
use crate::util::fork;
use crate::util::sync::lock;
use crate::util::thread;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{mpsc, Arc, Mutex, Weak};
use std::time::{Duration, Instant};

/// Beyond the default of 1,023: each socket of ours brings two for its monitor.
const MAX_SOCKETS: c_int = 65_535;

/// What the end of the process may take beyond the longest linger.
const GRACE: Duration = Duration::from_millis(400);

/// All that a process has once.
pub(crate) struct Process {
    generation: u64,
    /// Null before the first socket.
    context: AtomicPtr<c_void>,
    /// Held by whoever makes it.
    starting: Mutex<()>,
    housed: Mutex<Vec<Weak<dyn Managed>>>,
    names: InprocRegistry,
    housekeeping: Mutex<Option<Arc<Maintenance>>>,
    watcher: Mutex<Option<Arc<Reactor>>>,
    /// The monitors of closed sockets that may still report.
    orphans: Mutex<Vec<Monitor>>,
    /// Threads that are inside a wait, or between it and the interpreter.
    waiting: AtomicUsize,
    events: Events,
    ended: AtomicBool,
    /// The end waits for nobody any more.
    departed: AtomicBool,
    /// Until when sockets that were closed may still be sending.
    lingering: Mutex<Option<Instant>>,
}

static CURRENT: AtomicPtr<Process> = AtomicPtr::new(std::ptr::null_mut());

/// This process's room, made on first use.
pub(crate) fn process() -> &'static Process {
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: it is null or was leaked below, so that it lives as long as the process. In a forked
    // child it is a copy, of which only the generation is read.
    if let Some(process) = unsafe { current.as_ref() } {
        if process.generation == fork::generation() {
            return process;
        }
    }
    fork::watch();
    let made = Box::into_raw(Box::new(Process {
        generation: fork::generation(),
        context: AtomicPtr::default(),
        starting: Mutex::default(),
        housed: Mutex::default(),
        names: InprocRegistry::default(),
        housekeeping: Mutex::default(),
        watcher: Mutex::default(),
        orphans: Mutex::default(),
        waiting: AtomicUsize::new(0),
        events: Events::default(),
        ended: AtomicBool::new(false),
        departed: AtomicBool::new(false),
        lingering: Mutex::default(),
    }));
    match CURRENT.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
        // SAFETY: leaked, see above.
        Ok(_) => unsafe { &*made },
        // Another thread was first. Ours stays behind: it has no threads yet, and costs little.
        // SAFETY: whoever was first leaked it, too.
        Err(first) => unsafe { &*first },
    }
}

impl Process {
    fn context(&self) -> *mut c_void {
        self.context.load(Ordering::Acquire)
    }

    /// A new socket; the first one makes the context.
    pub(crate) fn socket(&self, kind: zmq::SocketType) -> std::result::Result<zmq::Socket, Errno> {
        if !self.context().is_null() {
            return ffi::socket(self.context(), kind);
        }
        let _starting = lock(&self.starting);
        if !self.context().is_null() {
            return ffi::socket(self.context(), kind);
        }
        descriptor_limit::check_descriptors()?;
        let _threads = descriptor_limit::Threads::reserve()?;
        // SAFETY: makes a context or fails with null.
        let context = unsafe { zmq_sys::zmq_ctx_new() };
        if context.is_null() {
            return Err(Errno::last());
        }
        #[allow(clippy::cast_possible_wrap)] // ZMQ_MAX_SOCKETS is 2
        // SAFETY: a valid context that nobody else knows yet.
        unsafe {
            zmq_sys::zmq_ctx_set(context, zmq_sys::ZMQ_MAX_SOCKETS as c_int, MAX_SOCKETS)
        };
        let first = ffi::socket(context, kind);
        if first.is_ok() {
            self.context.store(context, Ordering::Release);
        } else {
            // SAFETY: a valid context without sockets that nobody else knows: it ends at once.
            unsafe { zmq_sys::zmq_ctx_term(context) };
        }
        first
    }

    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Refuses once the process is ending.
    pub(crate) fn check(&self) -> Result<()> {
        if self.ended() {
            return Err(Error::Closed(
                "the program is ending: no publisher or subscriber works any more".into(),
            ));
        }
        Ok(())
    }

    /// Takes a new object into the care of the housekeeping thread, and starts that if need be.
    pub(crate) fn register(&self, object: Weak<dyn Managed>) -> Result<()> {
        let mut housed = lock(&self.housed);
        if housed.len() == housed.capacity() {
            housed.retain(|known| known.strong_count() > 0);
        }
        housed.push(object);
        drop(housed);
        let mut housekeeping = lock(&self.housekeeping);
        if let Some(running) = &*housekeeping {
            running.look();
        } else {
            *housekeeping = Some(
                Maintenance::start()
                    .map_err(|error| Error::no_thread("for maintenance", &error))?,
            );
        }
        Ok(())
    }

    /// The thread that waits for event loops, started on first use.
    pub(crate) fn watcher(&self) -> Result<Arc<Reactor>> {
        self.check()?;
        let mut watcher = lock(&self.watcher);
        if let Some(running) = &*watcher {
            return Ok(Arc::clone(running));
        }
        Ok(Arc::clone(watcher.insert(Reactor::start()?)))
    }

    /// The objects that are alive.
    pub(crate) fn housed(&self) -> Vec<Arc<dyn Managed>> {
        lock(&self.housed)
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }

    /// The names that sockets of this process are bound to.
    pub(crate) fn names(&self) -> &InprocRegistry {
        &self.names
    }

    /// Has the housekeeping thread look at all objects.
    pub(crate) fn look(&self) {
        if let Some(running) = &*lock(&self.housekeeping) {
            running.look();
        }
    }

    /// Looks at all objects that are not in use, here and now; at the others soon.
    pub(crate) fn look_here(&self) {
        for object in self.housed() {
            object.maintain();
        }
        self.look();
    }

    /// Remembers that a socket closed now may be sending for that long.
    pub(crate) fn lingers(&self, linger: Duration) {
        let until = Instant::now().checked_add(linger);
        let mut lingering = lock(&self.lingering);
        *lingering = (*lingering).max(until);
    }

    /// Leaves a closed socket's monitor to the housekeeping thread.
    pub(crate) fn read_out(&self, monitor: Monitor) {
        lock(&self.orphans).push(monitor);
        self.look();
    }

    /// How many closed sockets may still report.
    pub(crate) fn orphan_count(&self) -> usize {
        lock(&self.orphans).len()
    }

    /// Reads what closed sockets report, and lets go of those that are gone; what to watch for the
    /// others.
    pub(crate) fn read_orphans(&self) -> Vec<zmq_sys::RawFd> {
        let mut orphans = lock(&self.orphans);
        orphans.retain_mut(|monitor| !monitor.read_out());
        orphans.iter().map(Monitor::descriptor).collect()
    }
}

/// A thread that waits, from before it lets go of the interpreter until it has it again.
///
/// The end of the program lets go of all that wait, and gives them a moment to come back: whatever
/// ends after us may join them. One that came back later still might find the interpreter gone, and
/// be torn down inside our frames; it stays where it is, for the little while that the process lasts.
pub struct Waiting(&'static Process);

impl Waiting {
    /// The wait is over. Does not return once the end waits for nobody any more.
    pub fn over(&self) {
        if self.0.departed.load(Ordering::SeqCst) {
            loop {
                std::thread::park();
            }
        }
    }
}

/// Announces a wait; refused once the process is ending.
pub fn about_to_wait() -> Result<Waiting> {
    let process = process();
    process.waiting.fetch_add(1, Ordering::SeqCst);
    let waiting = Waiting(process);
    process.check()?;
    Ok(waiting)
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether this process is ending.
#[must_use]
pub fn ended() -> bool {
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: as in `process`.
    unsafe { current.as_ref() }
        .is_some_and(|process| process.generation == fork::generation() && process.ended())
}

/// Closes whatever is open and ends the context, within the longest linger and half a second.
/// Whatever is used afterwards says that it is closed. Must not be called with the interpreter
/// held: threads that come back from a wait need it.
pub fn shut_down() {
    let current = CURRENT.load(Ordering::Acquire);
    // SAFETY: as in `process`.
    let Some(process) = (unsafe { current.as_ref() }) else {
        return;
    };
    if process.generation != fork::generation() || process.ended.swap(true, Ordering::SeqCst) {
        return;
    }
    process.events.end();
    for object in process.housed() {
        object.end();
    }
    let housekeeping = lock(&process.housekeeping).take();
    if let Some(housekeeping) = &housekeeping {
        housekeeping.stop();
    }
    if let Some(watcher) = lock(&process.watcher).take() {
        watcher.stop();
    }
    // From now on no report blocks libzmq, so that their readers can go.
    // SAFETY: a valid context, or null, which does nothing; the call only tells its sockets, and may
    // come before `zmq_ctx_term`.
    unsafe { zmq_sys::zmq_ctx_shutdown(process.context()) };
    lock(&process.orphans).clear();
    let patience = Instant::now() + GRACE;
    while process.waiting.load(Ordering::SeqCst) > 0 && Instant::now() < patience {
        std::thread::sleep(Duration::from_millis(1));
    }
    process.departed.store(true, Ordering::SeqCst);
    let until = lock(&process.lingering).unwrap_or_else(Instant::now) + GRACE;
    terminate(process, until);
}

/// Ends the context in a thread of its own, because libzmq knows no time-out for it.
fn terminate(process: &'static Process, until: Instant) {
    let (done, ended) = mpsc::channel::<()>();
    let ending = thread::spawn("zmqchat-end", move || {
        let context = process.context();
        // SAFETY: a valid context, or null, ended only here, where `ended` admits one caller. No socket
        // is made after `ended` was set, except by a thread that was already past the check;
        // its calls report ETERM.
        while unsafe { zmq_sys::zmq_ctx_term(context) } == -1 && Errno::last().interrupted() {}
        drop(done);
    });
    if ending.is_ok() {
        // Ends when the sender is dropped, or when time is up.
        let _ = ended.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}
