//! Threads of the package.

use std::io;
use std::thread::{Builder, JoinHandle};

/// Starts a thread that receives no signals, so that they interrupt the waits of the main thread.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    Builder::new().name(name.into()).spawn(move || {
        block_signals();
        run()
    })
}

/// Blocks all signals in the calling thread.
pub fn block_signals() {
    #[cfg(unix)]
    // SAFETY: fills a signal set of our own and gives it to this thread.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, std::ptr::null_mut());
    }
}
