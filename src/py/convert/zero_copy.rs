//! Large payloads that libzmq sends from where Python keeps them.
//!
//! libzmq's network thread says when it is done with one, and must not wait for the interpreter. It
//! therefore puts the object on a list, which the next large send empties, or a thread of ours a
//! moment later. Invariants: nobody waits for the interpreter while holding the list's lock; each
//! process has a list of its own, because another thread may hold the lock when a process forks.

use crate::net::{begin_detached_wait, fork_generation, DetachedWait, SharedBytes};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// Below this, copying is cheaper.
pub(crate) const LEAST: usize = 64 * 1024;

/// How long the thread leaves the list to the next send.
const PATIENCE: Duration = Duration::from_millis(20);

/// What libzmq is done with, in one process.
struct Returned {
    generation: u64,
    list: Mutex<Vec<PyBackedBytes>>,
    any: AtomicBool,
    /// The thread that empties the list, once there is one.
    keeper: Mutex<Option<Thread>>,
}

static CURRENT: AtomicPtr<Returned> = AtomicPtr::new(std::ptr::null_mut());

impl Returned {
    /// This process's list, made when first asked for. It is never freed: what is lent refers to it.
    fn of_this_process() -> &'static Self {
        let generation = fork_generation();
        let current = CURRENT.load(Ordering::Acquire);
        // SAFETY: null, or leaked below.
        if let Some(known) = unsafe { current.as_ref() } {
            if known.generation == generation {
                return known;
            }
        }
        let made = Box::into_raw(Box::new(Self {
            generation,
            list: Mutex::default(),
            any: AtomicBool::new(false),
            keeper: Mutex::default(),
        }));
        match CURRENT.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: leaked just now.
            Ok(_) => unsafe { &*made },
            Err(first) => {
                // SAFETY: nobody else has seen the one; another thread leaked the other.
                unsafe {
                    drop(Box::from_raw(made));
                    &*first
                }
            }
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<PyBackedBytes>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an object from libzmq's thread.
    fn take(&self, bytes: PyBackedBytes) {
        self.list().push(bytes);
        if !self.any.swap(true, Ordering::AcqRel) {
            let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = &*keeper {
                thread.unpark();
            }
        }
    }

    /// Lets go of what was returned. Only while attached to the interpreter.
    fn close_nowait(&self) {
        if self.any.swap(false, Ordering::AcqRel) {
            let returned = std::mem::take(&mut *self.list());
            drop(returned);
        }
    }

    /// Starts the thread, once; `None` where there can be none.
    fn start_keeper(&'static self) -> Option<()> {
        let mut keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        if keeper.is_none() {
            let thread = std::thread::Builder::new()
                .name("zmqchat-bytes".into())
                .spawn(|| {
                    crate::net::block_signals();
                    self.keep();
                })
                .ok()?;
            *keeper = Some(thread.thread().clone());
        }
        Some(())
    }

    /// Stays with the interpreter for good, and lets go of it while there is nothing to do. To come
    /// anew each time takes a lock of the interpreter's, and CPython 3.11 waits for that forever in a
    /// child that was forked in such a moment.
    fn keep(&self) {
        let Ok(mut waiting) = begin_detached_wait() else {
            return;
        };
        Python::try_attach(|py| loop {
            waiting = py.detach(|| {
                drop(waiting);
                self.wait_for_any()
            });
            self.close_nowait();
        });
    }

    /// The end of the program waits for whoever holds what this gives, and gives it to nobody later:
    /// after it there is no interpreter to come back to.
    fn wait_for_any(&self) -> DetachedWait {
        loop {
            std::thread::park();
            std::thread::sleep(PATIENCE);
            if self.any.load(Ordering::Acquire) {
                match begin_detached_wait() {
                    Ok(waiting) => return waiting,
                    Err(_) => loop {
                        std::thread::park();
                    },
                }
            }
        }
    }
}

/// What libzmq holds while it sends.
struct Lent {
    bytes: Option<PyBackedBytes>,
    returned: &'static Returned,
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            if self.returned.generation == fork_generation() {
                self.returned.take(bytes);
            } else {
                // The parent's, and with it whatever the lock protects.
                std::mem::forget(bytes);
            }
        }
    }
}

/// A lender of these bytes; `None` where they must be copied.
pub(crate) fn lend(bytes: &Bound<'_, PyBytes>) -> Option<SharedBytes> {
    let returned = Returned::of_this_process();
    returned.close_nowait();
    returned.start_keeper()?;
    Some(Arc::new(Lent {
        bytes: Some(PyBackedBytes::from(bytes.clone())),
        returned,
    }))
}
