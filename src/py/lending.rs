//! Large payloads that libzmq sends from where Python keeps them.
//!
//! libzmq's network thread says when it is done with one, and must not wait for the interpreter. It
//! therefore puts the object on a list, which the next large send empties, or a thread of ours a
//! moment later. Invariant: nobody waits for the interpreter while holding the list's lock.

use crate::net::{about_to_wait, fork_generation, Lender};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::PyBytes;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::Duration;

/// Below this, copying is cheaper.
pub(super) const LEAST: usize = 64 * 1024;

/// How long the thread leaves the list to the next send.
const PATIENCE: Duration = Duration::from_millis(20);

static RETURNED: Mutex<Vec<PyBackedBytes>> = Mutex::new(Vec::new());
static ANY_RETURNED: AtomicBool = AtomicBool::new(false);

/// The thread that empties the list, and the process that it belongs to.
static KEEPER: Mutex<Option<(u64, Thread)>> = Mutex::new(None);

/// What libzmq holds while it sends.
struct Lent(Option<PyBackedBytes>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(bytes) = self.0.take() {
            RETURNED
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(bytes);
            if !ANY_RETURNED.swap(true, Ordering::AcqRel) {
                let keeper = KEEPER.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some((_, thread)) = &*keeper {
                    thread.unpark();
                }
            }
        }
    }
}

/// A lender of these bytes; `None` where they must be copied.
pub(super) fn lend(bytes: &Bound<'_, PyBytes>) -> Option<Lender> {
    take_back();
    start_keeper()?;
    Some(Arc::new(Lent(Some(PyBackedBytes::from(bytes.clone())))))
}

/// Lets go of what was returned. Only while attached to the interpreter.
fn take_back() {
    if ANY_RETURNED.swap(false, Ordering::AcqRel) {
        // In a forked child another thread of the parent may have held the lock at the fork.
        let returned = RETURNED
            .try_lock()
            .map(|mut list| std::mem::take(&mut *list));
        match returned {
            Ok(returned) => drop(returned),
            Err(_) => ANY_RETURNED.store(true, Ordering::Release),
        }
    }
}

/// Starts the thread, once a process; `None` where there can be none.
fn start_keeper() -> Option<()> {
    let mut keeper = KEEPER.try_lock().ok()?;
    let generation = fork_generation();
    if keeper.as_ref().is_none_or(|(of, _)| *of != generation) {
        let thread = std::thread::Builder::new()
            .name("zmqchat-bytes".into())
            .spawn(|| {
                crate::net::block_signals();
                keep();
            })
            .ok()?;
        *keeper = Some((generation, thread.thread().clone()));
    }
    Some(())
}

fn keep() {
    loop {
        std::thread::park();
        std::thread::sleep(PATIENCE);
        if ANY_RETURNED.load(Ordering::Acquire) {
            // The end of the program waits for whoever holds this, and gives it to nobody later.
            let Ok(_waiting) = about_to_wait() else {
                return;
            };
            if Python::try_attach(|_| take_back()).is_none() {
                return;
            }
        }
    }
}
