//! A socket that several threads share: its lock, its waiters and its end.
//!
//! Invariants: the `zmq` socket is used only under this lock, by calls that do not block. No thread
//! waits while it holds the lock. A thread that waits polls the socket's descriptor together with its
//! own wake-up. That descriptor is edge-triggered: a thread that runs the socket's commands consumes
//! the signal, and therefore wakes the other waiters.

use crate::error::{Error, Result};
use crate::net::runtime::notebook_cell::CellRun;
use crate::net::runtime::process;
use crate::net::runtime::registry::{Managed, PollInterest};
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::{OpenSocket, LISTENER_TIMEOUT};
use crate::net::socket::reconnect::maintain_connections;
use crate::util::fork;
use crate::util::sync::lock;
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, TryLockError};
use std::time::Duration;

/// What the lock protects.
pub(crate) struct Inner<H: SocketHandler> {
    /// `None` when the socket is closed.
    pub(crate) open: Option<OpenSocket>,
    pub(crate) handler: H,
    /// The wake-ups of those that wait on the socket.
    pub(crate) waiters: Vec<Arc<Wakeup>>,
    /// The number of uses, now and at the last maintenance.
    uses: u64,
    maintained_uses: u64,
}

impl<H: SocketHandler> Inner<H> {
    /// Removes a waiter.
    pub(crate) fn remove_waiter(&mut self, waiter: &Arc<Wakeup>) {
        let mut waiters = self.waiters.iter();
        if let Some(index) = waiters.position(|one| Arc::ptr_eq(one, waiter)) {
            self.waiters.swap_remove(index);
        }
    }

    /// Wakes all waiters, except this one.
    pub(crate) fn wake_others(&self, except: Option<&Arc<Wakeup>>) {
        if let Some(dedicated) = self.handler.dedicated_wakeup() {
            dedicated.set();
        }
        for waiter in &self.waiters {
            if except.is_none_or(|except| !Arc::ptr_eq(except, waiter)) {
                waiter.set();
            }
        }
    }
}

/// A socket and what its object keeps beside it.
pub(crate) struct SharedSocket<H: SocketHandler> {
    generation: u64,
    closed: AtomicBool,
    pub(crate) inner: Mutex<Inner<H>>,
}

/// The held lock of an open socket. When it is dropped, the waiters are woken.
pub(crate) struct SocketGuard<'a, H: SocketHandler> {
    pub(crate) inner: MutexGuard<'a, Inner<H>>,
    /// Whether waiters are woken only if messages are left.
    messages_only: bool,
}

impl<H: SocketHandler> SocketGuard<'_, H> {
    /// The socket and what is kept beside it.
    #[inline]
    pub(crate) fn parts(&mut self) -> Result<(&mut OpenSocket, &mut H)> {
        let inner = &mut *self.inner;
        match &mut inner.open {
            Some(open) => Ok((open, &mut inner.handler)),
            None => Err(closed::<H>()),
        }
    }

    /// Declares that this use only takes messages: other waiters are woken only if messages are left.
    #[inline]
    pub(crate) fn takes_messages_only(&mut self) {
        self.messages_only = true;
    }

    /// How many threads and event loops wait on the socket.
    pub(crate) fn waiter_count(&self) -> usize {
        self.inner.waiters.len()
    }
}

impl<H: SocketHandler> Drop for SocketGuard<'_, H> {
    #[inline]
    fn drop(&mut self) {
        if !self.messages_only || self.inner.handler.has_left() {
            self.inner.wake_others(None);
        }
    }
}

#[cold]
fn closed<H: SocketHandler>() -> Error {
    Error::Closed(format!(
        "this {name} is closed: make a new {name}",
        name = H::NAME
    ))
}

#[cold]
fn inherited<H: SocketHandler>() -> Error {
    Error::Os {
        errno: libc::EPERM,
        message: format!(
            "this {name} was made before the fork and belongs to the parent process: make a new {name} \
             in the child, or start children with the \"spawn\" method",
            name = H::NAME
        ),
    }
}

impl<H: SocketHandler> SharedSocket<H> {
    /// Shares an open socket, and registers it for maintenance.
    pub(crate) fn new(open: OpenSocket, handler: H) -> Result<Arc<Self>> {
        let shared = Arc::new(Self {
            generation: fork::generation(),
            closed: AtomicBool::new(false),
            inner: Mutex::new(Inner {
                open: Some(open),
                handler,
                waiters: Vec::new(),
                uses: 0,
                maintained_uses: 0,
            }),
        });
        let weak = Arc::downgrade(&shared);
        if let Err(error) = process::process().register(weak) {
            shared.close_within(Some(Duration::ZERO), Some(LISTENER_TIMEOUT));
            return Err(error);
        }
        Ok(shared)
    }

    /// Whether a forked child inherited the socket from its parent.
    #[inline]
    pub(crate) fn is_inherited(&self) -> bool {
        self.generation != fork::generation()
    }

    /// Fails in a forked child. Called before any lock is taken: another thread of the parent may
    /// have held it during the fork.
    #[inline]
    pub(crate) fn check_fork(&self) -> Result<()> {
        if self.is_inherited() {
            return Err(inherited::<H>());
        }
        Ok(())
    }

    #[inline]
    fn admit(mut inner: MutexGuard<'_, Inner<H>>) -> Result<SocketGuard<'_, H>> {
        if inner.open.is_none() {
            return Err(closed::<H>());
        }
        inner.uses += 1;
        Ok(SocketGuard {
            inner,
            messages_only: false,
        })
    }

    /// Locks the socket. Another thread holds the lock for microseconds only.
    pub(crate) fn enter(&self) -> Result<SocketGuard<'_, H>> {
        self.check_fork()?;
        Self::admit(lock(&self.inner))
    }

    /// Locks the socket; `None` if another thread holds the lock. Inlined, because a call for
    /// each message costs 50 instructions: its result is returned through memory.
    #[allow(clippy::inline_always)]
    #[inline(always)]
    pub(crate) fn try_enter(&self) -> Option<Result<SocketGuard<'_, H>>> {
        if let Err(error) = self.check_fork() {
            return Some(Err(error));
        }
        match self.inner.try_lock() {
            Ok(inner) => Some(Self::admit(inner)),
            Err(TryLockError::Poisoned(poisoned)) => Some(Self::admit(poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// Processes what the monitor has reported, and evaluates `query`.
    pub(crate) fn inspect<T>(&self, query: impl FnOnce(&mut OpenSocket, &mut H) -> T) -> Result<T> {
        let mut guard = self.enter()?;
        let (open, handler) = guard.parts()?;
        handler.process_monitor(open, true);
        Ok(query(open, handler))
    }

    /// Connects to the address that the user typed.
    pub(crate) fn connect(&self, text: &str) -> Result<()> {
        self.enter()?.parts()?.0.connect(text)
    }

    /// Connects to all these addresses, or closes the object.
    pub(crate) fn connect_all(&self, texts: &[String]) -> Result<()> {
        let outcome = texts.iter().try_for_each(|text| self.connect(text));
        if outcome.is_err() {
            self.close(None)?;
        }
        outcome
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Fails if the socket is closed, or was inherited by this forked child.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.check_fork()?;
        if self.is_closed() {
            return Err(closed::<H>());
        }
        Ok(())
    }

    /// Closes, if it is open; `linger` replaces the socket's own. Returns when the port is free again.
    pub(crate) fn close(&self, linger: Option<Duration>) -> Result<()> {
        self.check_fork()?;
        self.close_within(linger, Some(LISTENER_TIMEOUT));
        Ok(())
    }

    /// Closes without waiting.
    pub(crate) fn close_nowait(&self) {
        if self.check_fork().is_ok() {
            self.close_within(None, None);
        }
    }

    fn close_within(&self, linger: Option<Duration>, timeout: Option<Duration>) {
        self.closed.store(true, Ordering::Release);
        let open = {
            let mut inner = lock(&self.inner);
            inner.wake_others(None);
            let mut open = inner.open.take();
            if let Some(open) = &mut open {
                inner.handler.on_close(open);
            }
            open
        };
        if let Some(open) = open {
            let linger = linger.unwrap_or(open.linger);
            open.close(linger, timeout);
        }
    }
}

impl<H: SocketHandler> Managed for SharedSocket<H> {
    fn maintain(&self) -> PollInterest {
        let Ok(mut inner) = self.inner.try_lock() else {
            return PollInterest {
                busy: true,
                ..PollInterest::default()
            };
        };
        let Inner {
            open: Some(open),
            handler,
            waiters,
            uses,
            maintained_uses,
        } = &mut *inner
        else {
            return PollInterest::default();
        };
        let has_thread = handler.dedicated_wakeup().is_some();
        let waited_on = !waiters.is_empty();
        // A socket with a dedicated thread needs frequent maintenance only while a connection is
        // missing. So does a publisher that connects: no thread waits on it, but its missing
        // connections are reported even while it is idle.
        let in_use = waited_on
            || ((has_thread || open.connections.publishes) && open.connections.is_incomplete())
            || (!has_thread && *uses != *maintained_uses);
        *maintained_uses = *uses;
        let reported = handler.process_monitor(open, !waited_on && !has_thread);
        let connections = maintain_connections(open, handler);
        open.report_outages(in_use, waited_on);
        let busy = connections.pending || in_use || handler.has_pending_warning();
        let behind = open.is_behind() || handler.is_behind();
        // A burst of subscriptions is read as it arrives.
        let polled = !has_thread && (!busy || (!waited_on && handler.has_just_read()));
        let descriptors = [open.monitor_descriptor(), polled.then_some(open.descriptor)];
        if connections.changed || reported {
            // Connecting ran the socket's commands, or the report may end a wait.
            inner.wake_others(None);
        }
        PollInterest {
            busy,
            behind,
            descriptors,
        }
    }

    fn close_at_exit(&self) {
        self.close_within(None, None);
    }

    fn holder_of(&self, endpoint: &str) -> Option<String> {
        let inner = lock(&self.inner);
        let open = inner.open.as_ref()?;
        open.listeners
            .holding(endpoint)
            .map(|_| format!("another {} of this program", H::NAME))
    }

    fn close_if_superseded(&self, endpoint: &str, run: &CellRun) -> bool {
        let is_superseded = |open: &OpenSocket| {
            let cell = open.cell.as_ref();
            open.listeners.holding(endpoint).is_some()
                && cell.is_some_and(|cell| cell.is_superseded_by(run))
        };
        let found = lock(&self.inner).open.as_ref().is_some_and(is_superseded);
        if found {
            self.close_within(None, Some(LISTENER_TIMEOUT));
        }
        found
    }
}

impl<H: SocketHandler> Drop for SharedSocket<H> {
    fn drop(&mut self) {
        let inner = match self.inner.get_mut() {
            Ok(inner) => inner,
            Err(poisoned) => poisoned.into_inner(),
        };
        if let Some(open) = inner.open.take() {
            if self.generation == fork::generation() {
                let linger = open.linger;
                open.close(linger, None);
            } else {
                // Closing the parent's socket here would abort the parent.
                std::mem::forget(open);
            }
        }
    }
}
