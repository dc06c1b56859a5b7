//! The owner of a socket: its lock and its end; how its waiters wait is in `wait`.
//!
//! Invariants: the `zmq` socket is used only under this lock, by calls that do not block; nobody
//! waits while holding it. A thread that waits polls the socket's descriptor together with its own
//! wake-up. That descriptor is edge-triggered: whoever runs the socket's commands takes the signal
//! away from the others, and therefore wakes them.

use crate::error::{Error, Result};
use crate::net::runtime::notebook_cell::CellRun;
use crate::net::runtime::process;
use crate::net::runtime::registry::{Managed, PollInterest};
use crate::net::socket::connections;
use crate::net::socket::open_socket::{self, OpenSocket};
use crate::util::fork;
use crate::util::sync::lock;
use crate::util::time::{Checkpoint, Deadline};
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// What a publisher or subscriber keeps beside its socket, under the same lock.
pub(crate) trait SocketHandler: Send + 'static {
    /// What it is called in messages.
    const NAME: &'static str;

    /// Takes in what the connections report; unless somebody waits on the socket, who does that
    /// anyway, runs the socket's commands, too. Messages stay where they are. True when something
    /// was reported.
    fn process_monitor(&mut self, live: &mut OpenSocket, run_commands: bool) -> bool;

    /// Whether something is left that another waiting thread could take.
    fn has_left(&self) -> bool;

    /// Whether input from peers is left that the last call did not read, as one reads a bounded amount.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether the last call read what a peer sent, so that more may follow.
    fn has_just_read(&self) -> bool {
        false
    }

    /// Whether a warning is due a little later.
    fn has_pending_warning(&self) -> bool {
        false
    }

    /// The wake-up of the thread that attends to the socket for as long as it is open, if there is
    /// one: it runs the commands, whether or not anybody else waits.
    fn attendant(&self) -> Option<&Wakeup> {
        None
    }

    /// Takes messages over that a connection would drop when it is made anew.
    fn take_unread(&mut self, _live: &mut OpenSocket) {}

    /// Tells what must be told before the close.
    fn on_close(&mut self, _live: &mut OpenSocket) {}
}

pub(crate) struct Inner<R: SocketHandler> {
    pub(crate) live: Option<OpenSocket>,
    pub(crate) room: R,
    pub(crate) waiters: Vec<Arc<Wakeup>>,
    /// Counts uses, and what it was at the last look of the housekeeping thread.
    uses: u64,
    seen: u64,
}

impl<R: SocketHandler> Inner<R> {
    /// Takes somebody off the list of those who wait.
    pub(crate) fn forget(&mut self, waiter: &Arc<Wakeup>) {
        if let Some(place) = self.waiters.iter().position(|one| Arc::ptr_eq(one, waiter)) {
            self.waiters.swap_remove(place);
        }
    }

    pub(crate) fn wake_others(&self, me: Option<&Arc<Wakeup>>) {
        if let Some(attendant) = self.room.attendant() {
            attendant.set();
        }
        for waiter in &self.waiters {
            if me.is_none_or(|me| !Arc::ptr_eq(me, waiter)) {
                waiter.set();
            }
        }
    }
}

/// The owner.
pub(crate) struct SharedSocket<R: SocketHandler> {
    generation: u64,
    closed: AtomicBool,
    pub(crate) slot: Mutex<Inner<R>>,
}

/// A held lock on an open socket.
pub(crate) struct SocketGuard<'a, R: SocketHandler> {
    pub(crate) slot: MutexGuard<'a, Inner<R>>,
    pub(crate) quiet: bool,
}

impl<R: SocketHandler> SocketGuard<'_, R> {
    /// The socket and what is kept beside it.
    pub(crate) fn parts(&mut self) -> Result<(&mut OpenSocket, &mut R)> {
        let slot = &mut *self.slot;
        match &mut slot.live {
            Some(live) => Ok((live, &mut slot.room)),
            None => Err(closed::<R>()),
        }
    }

    /// Says that this use ran the commands of messages alone, so that waiters need waking only if
    /// some are left for them.
    pub(crate) fn only_took(&mut self) {
        self.quiet = true;
    }
}

impl<R: SocketHandler> Drop for SocketGuard<'_, R> {
    fn drop(&mut self) {
        if !self.quiet || self.slot.room.has_left() {
            self.slot.wake_others(None);
        }
    }
}

fn closed<R: SocketHandler>() -> Error {
    Error::Closed(format!(
        "this {name} is closed: make a new {name}",
        name = R::NAME
    ))
}

impl<R: SocketHandler> SharedSocket<R> {
    /// Takes over an open socket, and puts it into the care of the housekeeping thread.
    pub(crate) fn new(live: OpenSocket, room: R) -> Result<Arc<Self>> {
        let owner = Arc::new(Self {
            generation: fork::generation(),
            closed: AtomicBool::new(false),
            slot: Mutex::new(Inner {
                live: Some(live),
                room,
                waiters: Vec::new(),
                uses: 0,
                seen: 0,
            }),
        });
        let weak = Arc::downgrade(&owner);
        if let Err(error) = process::process().register(weak) {
            owner.shut(Some(Duration::ZERO), Some(open_socket::LISTENER_PATIENCE));
            return Err(error);
        }
        Ok(owner)
    }

    /// Whether a forked child inherited it from its parent.
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Before any lock: in a child another thread of the parent may have held it at the fork.
    pub(crate) fn check_fork(&self) -> Result<()> {
        if !self.is_inherited() {
            return Ok(());
        }
        Err(Error::Os {
            errno: libc::EPERM,
            message: format!(
                "this {name} was made before the fork and belongs to the parent process: make a \
                 new {name} in the child, or start children with the \"spawn\" method",
                name = R::NAME
            ),
        })
    }

    fn admit(mut slot: MutexGuard<'_, Inner<R>>) -> Result<SocketGuard<'_, R>> {
        if slot.live.is_none() {
            return Err(closed::<R>());
        }
        slot.uses += 1;
        Ok(SocketGuard { slot, quiet: false })
    }

    /// Enters; may wait for another thread to leave, which is a matter of microseconds.
    pub(crate) fn enter(&self) -> Result<SocketGuard<'_, R>> {
        self.check_fork()?;
        Self::admit(lock(&self.slot))
    }

    /// Enters if nobody is inside; `None` when somebody is.
    pub(crate) fn try_enter(&self) -> Option<Result<SocketGuard<'_, R>>> {
        if let Err(error) = self.check_fork() {
            return Some(Err(error));
        }
        match self.slot.try_lock() {
            Ok(slot) => Some(Self::admit(slot)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Self::admit(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// How all connections stand, and whatever else is asked of them.
    pub(crate) fn look_at<T>(&self, ask: impl FnOnce(&mut OpenSocket, &mut R) -> T) -> Result<T> {
        let mut entered = self.enter()?;
        let (live, room) = entered.parts()?;
        room.process_monitor(live, true);
        Ok(ask(live, room))
    }

    /// Waits until `count` connections are established; how many there are then, which are fewer
    /// where the deadline came first.
    pub(crate) fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let mut seen = 0;
        self.wait(deadline, checkpoint, |live, room| {
            room.process_monitor(live, true);
            seen = live.connected();
            Ok((seen >= count).then_some(seen))
        })?;
        Ok(seen)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether it can be used here: it is open, and not another process's.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_fork()?;
        if self.is_closed() {
            return Err(closed::<R>());
        }
        Ok(())
    }

    /// Closes, once; `linger` replaces the socket's own. Returns when the port is free again.
    pub(crate) fn close(&self, linger: Option<Duration>) -> Result<()> {
        self.check_fork()?;
        self.shut(linger, Some(open_socket::LISTENER_PATIENCE));
        Ok(())
    }

    /// Closes without waiting for anything, as its user lets go of it.
    pub(crate) fn close_nowait(&self) {
        if self.check_fork().is_ok() {
            self.shut(None, None);
        }
    }

    fn shut(&self, linger: Option<Duration>, patience: Option<Duration>) {
        self.closed.store(true, Ordering::Release);
        let live = {
            let mut slot = lock(&self.slot);
            slot.wake_others(None);
            let mut live = slot.live.take();
            if let Some(live) = &mut live {
                slot.room.on_close(live);
            }
            live
        };
        if let Some(live) = live {
            let linger = linger.unwrap_or(live.linger);
            live.close(linger, patience);
        }
    }
}

impl<R: SocketHandler> Managed for SharedSocket<R> {
    fn maintain(&self) -> PollInterest {
        let Ok(mut slot) = self.slot.try_lock() else {
            return PollInterest {
                busy: true,
                ..PollInterest::default()
            };
        };
        let Inner {
            live: Some(live),
            room,
            waiters,
            uses,
            seen,
        } = &mut *slot
        else {
            return PollInterest::default();
        };
        let attended = room.attendant().is_some();
        let waited_on = !waiters.is_empty();
        // An attendant is not a reason to look often, but a missing connection is. Nothing waits on a
        // publisher that connects: its missing connections are reported even while it is idle.
        let in_use = waited_on
            || ((attended || live.publishes) && live.is_away())
            || (!attended && *uses != *seen);
        *seen = *uses;
        let reported = room.process_monitor(live, !waited_on && !attended);
        let (mended, pending) = connections::reconnect_abandoned(live, room);
        live.watch_silence(in_use, waited_on);
        let busy = pending || in_use || room.has_pending_warning();
        let behind = live.is_behind() || room.is_behind();
        // A burst of subscriptions is read as it arrives.
        let watched = !attended && (!busy || (!waited_on && room.has_just_read()));
        let descriptors = [
            live.monitor_descriptor(),
            watched.then_some(live.descriptor),
        ];
        if mended || reported {
            // Connecting ran the socket's commands; a report may be what somebody waits for.
            slot.wake_others(None);
        }
        PollInterest {
            busy,
            behind,
            descriptors,
        }
    }

    fn close_at_exit(&self) {
        self.shut(None, None);
    }

    fn holder_of(&self, endpoint: &str) -> Option<String> {
        let slot = lock(&self.slot);
        let live = slot.live.as_ref()?;
        live.holding(endpoint)
            .map(|_| format!("another {} of this program", R::NAME))
    }

    fn close_if_superseded(&self, endpoint: &str, run: &CellRun) -> bool {
        let gives_way = |live: &OpenSocket| {
            let made_in = live.origin.as_ref();
            live.holding(endpoint).is_some()
                && made_in.is_some_and(|made_in| made_in.is_superseded_by(run))
        };
        let found = lock(&self.slot).live.as_ref().is_some_and(gives_way);
        if found {
            self.shut(None, Some(open_socket::LISTENER_PATIENCE));
        }
        found
    }
}

impl<R: SocketHandler> Drop for SharedSocket<R> {
    fn drop(&mut self) {
        let slot = match self.slot.get_mut() {
            Ok(slot) => slot,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(live) = slot.live.take() {
            if self.generation == fork::generation() {
                let linger = live.linger;
                live.close(linger, None);
            } else {
                // The parent's: closing it here would abort the parent.
                std::mem::forget(live);
            }
        }
    }
}
