//! Large payloads that libzmq sends from Python's memory, without a copy.
//!
//! libzmq's network thread returns the object after sending it, and must not wait for the
//! interpreter. It therefore puts the object on a list. The next large send drops the objects on the
//! list, or a separate thread does a moment later. Invariants: no thread waits for the interpreter
//! while it holds the list's lock. Each process has its own list, because another thread may hold the
//! lock when a process forks.

use crate::net::{begin_detached_wait, fork_generation, DetachedWait, SharedBytes};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// Smaller payloads are cheaper to copy.
pub(crate) const MIN_BYTES: usize = 64 * 1024;

/// How long the thread waits for the next send to empty the list.
const DELAY: Duration = Duration::from_millis(20);

/// The objects that libzmq has sent, in one process.
struct Returned {
    generation: u64,
    list: Mutex<Vec<PyBackedBytes>>,
    is_filled: AtomicBool,
    /// The thread that empties the list, once it was started.
    thread: Mutex<Option<Thread>>,
}

static CURRENT: AtomicPtr<Returned> = AtomicPtr::new(std::ptr::null_mut());

impl Returned {
    /// This process's list, created by the first call. It is never freed: lent payloads refer to it.
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
            is_filled: AtomicBool::new(false),
            thread: Mutex::default(),
        }));
        match CURRENT.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: leaked just now.
            Ok(_) => unsafe { &*made },
            Err(first) => {
                // SAFETY: no other thread has seen `made`; another thread leaked `first`.
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
        if !self.is_filled.swap(true, Ordering::AcqRel) {
            let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(thread) = &*thread {
                thread.unpark();
            }
        }
    }

    /// Drops the returned objects. The caller is attached to the interpreter.
    fn drop_returned(&self) {
        if self.is_filled.swap(false, Ordering::AcqRel) {
            let returned = std::mem::take(&mut *self.list());
            drop(returned);
        }
    }

    /// Starts the thread, once. `None` if the system starts no more threads.
    fn start_thread(&'static self) -> Option<()> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            let handle = std::thread::Builder::new()
                .name("zmqchat-bytes".into())
                .spawn(|| {
                    crate::net::block_signals();
                    self.run();
                })
                .ok()?;
            *thread = Some(handle.thread().clone());
        }
        Some(())
    }

    /// Attaches once, and detaches while there is nothing to do. Attaching anew each time takes a lock
    /// of the interpreter, and CPython 3.11 waits for it forever in a child that was forked meanwhile.
    fn run(&self) {
        let Ok(mut waiting) = begin_detached_wait() else {
            return;
        };
        Python::try_attach(|py| loop {
            waiting = py.detach(|| {
                drop(waiting);
                self.wait_until_filled()
            });
            self.drop_returned();
        });
    }

    /// The end of the program waits until the result is dropped. Later calls never return, because
    /// there is no interpreter to attach to any more.
    fn wait_until_filled(&self) -> DetachedWait {
        loop {
            std::thread::park();
            std::thread::sleep(DELAY);
            if self.is_filled.load(Ordering::Acquire) {
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

/// A payload that libzmq refers to while it sends.
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
                // The object and the list belong to the parent process.
                std::mem::forget(bytes);
            }
        }
    }
}

/// These bytes for libzmq; `None` if they must be copied.
pub(crate) fn lend(bytes: &Bound<'_, PyBytes>) -> Option<SharedBytes> {
    let returned = Returned::of_this_process();
    returned.drop_returned();
    returned.start_thread()?;
    Some(Arc::new(Lent {
        bytes: Some(PyBackedBytes::from(bytes.clone())),
        returned,
    }))
}
