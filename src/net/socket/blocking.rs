//! Operations that wait: the one wait loop of the crate.

use crate::error::Result;
use crate::net::runtime::process;
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketGuard};
use crate::net::zmq::{ffi, options};
use crate::util::sync::lock;
use crate::util::time::{Checkpoint, Deadline, SLICE};
use crate::util::wakeup::{self, Wakeup};
use std::sync::Arc;
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

impl<H: SocketHandler> SharedSocket<H> {
    /// Repeats `attempt` until it returns a value, in slices between which the checkpoint runs with no
    /// lock held. `Ok(None)` at the deadline.
    pub(crate) fn wait<T>(
        &self,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
        attempt: impl FnMut(&mut OpenSocket, &mut H) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.wait_as(None, deadline, checkpoint, attempt)
    }

    /// Waits until `is_quiet`, for at most this time.
    pub(crate) fn wait_until_quiet(
        &self,
        timeout: Duration,
        mut is_quiet: impl FnMut(&mut OpenSocket, &mut H) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        loop {
            let descriptor = {
                let mut guard = self.enter()?;
                let (open, handler) = guard.parts()?;
                if is_quiet(open, handler) || began.elapsed() >= timeout {
                    return Ok(());
                }
                open.descriptor
            };
            let _ = ffi::poll(&[descriptor], 1);
        }
    }

    /// Waits until `count` connections are established, or until the deadline. Returns how many are
    /// established then.
    pub(crate) fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let mut connected = 0;
        self.wait(deadline, checkpoint, |open, handler| {
            handler.process_monitor(open, true);
            connected = open.connections.connected();
            Ok((connected >= count).then_some(connected))
        })?;
        Ok(connected)
    }

    /// As `wait`. A caller that has tried already, and became a waiter under the same lock, passes its
    /// guard.
    pub(crate) fn wait_as<T>(
        &self,
        waiter: Option<WaiterGuard<'_, H>>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
        mut attempt: impl FnMut(&mut OpenSocket, &mut H) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.check_fork()?;
        let mut tried = waiter.is_some();
        let waiter = if let Some(waiter) = waiter {
            waiter
        } else {
            let mut guard = self.enter()?;
            guard.takes_messages_only();
            guard.add_waiter(self)?
        };
        if waiter.isolated {
            // The maintenance thread may be asleep; it reports that no peer connects.
            process::process().wake_maintenance();
        }
        let mut ran_commands = true;
        let mut checked = Instant::now();
        // Whether an attempt left input unread.
        let mut behind = false;
        loop {
            if std::mem::take(&mut tried) {
                // A thread that waits after each single message has mostly just sent one, and waits
                // for the answer. It arrives sooner if the network thread need not wait for another
                // processor.
                if waiter.one_by_one {
                    std::thread::yield_now();
                }
            } else {
                let mut guard = self.enter()?;
                guard.takes_messages_only();
                let (open, handler) = guard.parts()?;
                let outcome = attempt(open, handler);
                // Running commands may have consumed the signal that another waiter needs.
                if ran_commands || !matches!(outcome, Ok(None)) {
                    guard.inner.wake_others(Some(&waiter.wakeup));
                }
                if let Some(found) = outcome? {
                    return Ok(Some(found));
                }
                let inner = &*guard.inner;
                let open = inner.open.as_ref();
                behind = inner.handler.is_behind() || open.is_some_and(OpenSocket::is_behind);
            }
            if deadline.expired() {
                return Ok(None);
            }
            let slice = deadline.slice();
            let before = Instant::now();
            // Rounded up: otherwise the loop would spin in the last millisecond.
            let milliseconds = if std::mem::take(&mut behind) {
                0
            } else {
                i64::from(options::milliseconds(slice)) + 1
            };
            let ready = match waiter.wakeup.descriptor() {
                Some(wakeup) => ffi::poll(&[waiter.descriptor, wakeup], milliseconds),
                None => ffi::poll(&[waiter.descriptor], milliseconds),
            };
            // A wake-up that the poll missed stays set, and the next poll reports it.
            if waiter.wakeup.descriptor().is_none() || !ready.is_ok_and(|ready| !ready.others) {
                waiter.wakeup.clear();
            }
            let now = Instant::now();
            // A thread that another waiter woke does not wake further ones: they would wake each other
            // forever.
            ran_commands = ready.is_ok_and(|ready| ready.first) || now - before >= slice;
            if ready.is_err() || now - checked >= SLICE {
                checked = now;
                checkpoint()?;
            }
        }
    }
}

/// A thread that waits on a socket: threads that consume a signal wake it. Dropping the guard removes
/// the waiter.
pub(crate) struct WaiterGuard<'a, H: SocketHandler> {
    shared: &'a SharedSocket<H>,
    wakeup: Arc<Wakeup>,
    /// The socket's.
    descriptor: RawFd,
    /// Whether no peer is connected and no connection is requested.
    isolated: bool,
    /// Whether at most one message arrived since a thread last became a waiter.
    pub(crate) one_by_one: bool,
}

impl<H: SocketHandler> SocketGuard<'_, H> {
    /// Makes this thread a waiter. What it did before, under the same lock, may have consumed a signal
    /// that another waiter needs.
    pub(crate) fn add_waiter<'a>(
        &mut self,
        shared: &'a SharedSocket<H>,
    ) -> Result<WaiterGuard<'a, H>> {
        let (open, _) = self.parts()?;
        let (descriptor, isolated) = (open.descriptor, open.connections.is_isolated());
        let wakeup = wakeup::of_this_thread();
        self.inner.wake_others(Some(&wakeup));
        self.inner.waiters.push(Arc::clone(&wakeup));
        Ok(WaiterGuard {
            shared,
            wakeup,
            descriptor,
            isolated,
            one_by_one: false,
        })
    }
}

impl<H: SocketHandler> Drop for WaiterGuard<'_, H> {
    fn drop(&mut self) {
        // A signal handler may have forked during the wait.
        if self.shared.check_fork().is_err() {
            return;
        }
        let mut inner = lock(&self.shared.inner);
        inner.remove_waiter(&self.wakeup);
        // The last attempt may have consumed a signal that another waiter needs.
        inner.wake_others(None);
    }
}
