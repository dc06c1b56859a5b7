//! How to wait, how long, and who may interrupt.

use crate::error::Result;
use crate::net::runtime::process;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard, SocketHandler};
use crate::net::zmq::{ffi, options};
use crate::util::sync::lock;
use crate::util::time::{Checkpoint, Deadline, SLICE};
use crate::util::wakeup::{self, Wakeup};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

impl<R: SocketHandler> SharedSocket<R> {
    /// The one wait of the crate: tries until `attempt` gives something, in slices between which
    /// the checkpoint runs with no lock held. `Ok(None)` when the deadline came first.
    pub(crate) fn wait<T>(
        &self,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
        attempt: impl FnMut(&mut OpenSocket, &mut R) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.wait_in_line(None, deadline, checkpoint, attempt)
    }

    /// Waits until `is_quiet`, at most this long.
    pub(crate) fn settle(
        &self,
        most: Duration,
        mut is_quiet: impl FnMut(&mut OpenSocket, &mut R) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let descriptor = {
                let mut entered = self.enter()?;
                let (live, room) = entered.parts()?;
                if is_quiet(live, room) || began.elapsed() >= most {
                    return Ok(());
                }
                live.descriptor
            };
            let _ = ffi::poll(&[descriptor], 1);
        }
    }

    /// The same for whoever may have tried already, and got in line in the same use.
    pub(crate) fn wait_in_line<T>(
        &self,
        place: Option<WaiterGuard<'_, R>>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
        mut attempt: impl FnMut(&mut OpenSocket, &mut R) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.check_fork()?;
        let mut tried = place.is_some();
        let place = if let Some(place) = place {
            place
        } else {
            let mut entered = self.enter()?;
            entered.quiet = true;
            entered.get_in_line(self)?
        };
        if place.alone {
            // It says so when this takes long, and may be asleep.
            process::process().wake_maintenance();
        }
        let mut ran_commands = true;
        let mut checked = Instant::now();
        // Input is left that one attempt did not read.
        let mut behind = false;
        loop {
            if std::mem::take(&mut tried) {
                // Whoever waits after each single message has mostly just sent one, and waits for the
                // answer: it comes sooner if the network's thread need not look for another processor.
                if place.one_by_one {
                    std::thread::yield_now();
                }
            } else {
                let mut entered = self.enter()?;
                entered.quiet = true;
                let (live, room) = entered.parts()?;
                let outcome = attempt(live, room);
                // Whoever ran commands may have taken the signal that another waiter needs.
                if ran_commands || !matches!(outcome, Ok(None)) {
                    entered.slot.wake_others(Some(&place.me));
                }
                if let Some(found) = outcome? {
                    return Ok(Some(found));
                }
                let slot = &*entered.slot;
                let live = slot.live.as_ref();
                behind = slot.room.is_behind() || live.is_some_and(OpenSocket::is_behind);
            }
            if deadline.expired() {
                return Ok(None);
            }
            let slice = deadline.slice();
            let before = Instant::now();
            // Rounded up, lest the last millisecond is spent spinning.
            let milliseconds = if std::mem::take(&mut behind) {
                0
            } else {
                i64::from(options::milliseconds(slice)) + 1
            };
            let ready = match place.me.descriptor() {
                Some(mine) => ffi::poll(&[place.descriptor, mine], milliseconds),
                None => ffi::poll(&[place.descriptor], milliseconds),
            };
            // A wake-up that did not show stays set, and shows in the next poll.
            if place.me.descriptor().is_none() || !ready.is_ok_and(|ready| !ready.others) {
                place.me.clear();
            }
            let now = Instant::now();
            // Woken by another waiter, there is nothing to tell; or they would wake each other for ever.
            ran_commands = ready.is_ok_and(|ready| ready.first) || now - before >= slice;
            if ready.is_err() || now - checked >= SLICE {
                checked = now;
                checkpoint()?;
            }
        }
    }
}

/// A thread's place among those that wait for a socket: whoever takes a signal that it may need
/// wakes it. It leaves when dropped.
pub(crate) struct WaiterGuard<'a, R: SocketHandler> {
    owner: &'a SharedSocket<R>,
    me: Arc<Wakeup>,
    /// The socket's.
    descriptor: RawFd,
    /// Whether the socket is connected to nobody and has asked for nobody.
    alone: bool,
    /// Whether hardly anything came since somebody last got in line.
    pub(crate) one_by_one: bool,
}

impl<R: SocketHandler> SocketGuard<'_, R> {
    /// Puts this thread among those that wait. What it did before in the same use may have taken a
    /// signal that another one of them needs.
    pub(crate) fn get_in_line<'a>(
        &mut self,
        owner: &'a SharedSocket<R>,
    ) -> Result<WaiterGuard<'a, R>> {
        let (live, _) = self.parts()?;
        let (descriptor, alone) = (live.descriptor, live.is_alone());
        let me = wakeup::mine();
        self.slot.wake_others(Some(&me));
        self.slot.waiters.push(Arc::clone(&me));
        Ok(WaiterGuard {
            owner,
            me,
            descriptor,
            alone,
            one_by_one: false,
        })
    }
}

impl<R: SocketHandler> Drop for WaiterGuard<'_, R> {
    fn drop(&mut self) {
        // A signal handler may have forked during the wait.
        if self.owner.check_fork().is_err() {
            return;
        }
        let mut slot = lock(&self.owner.slot);
        slot.forget(&self.me);
        // Its last attempt, in vain or not, may have taken a signal that another one needs.
        slot.wake_others(None);
    }
}
