//! How a forked child is recognised, at the price of one atomic load.
//!
//! Invariant: [`generation`] differs between a process and each of its forked children, so an
//! object that remembers the generation of its making knows whether it was inherited. Comparing
//! process ids would cost a system call for every message.

use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);

#[cfg(unix)]
extern "C" fn child_was_forked() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
}

/// Which life of the process this is: 1, and one more after each fork that leads here.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Asks to be told of forks; called before the first object is made.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handler only adds to an atomic, which is allowed after a fork.
            unsafe { libc::pthread_atfork(None, None, Some(child_was_forked)) };
        });
    }
}
