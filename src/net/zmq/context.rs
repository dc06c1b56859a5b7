//! libzmq's context, which owns the sockets and the network thread.
//!
//! Invariants: a context exists only once a socket could be opened in it. libzmq aborts the process
//! where it cannot start its threads, so their descriptors and threads are reserved first. No socket
//! is opened in a context that libzmq may have freed.

use crate::net::zmq::descriptor_limit;
use crate::net::zmq::ffi::{self, Errno};
use crate::util::sync::lock;
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::Mutex;

/// Beyond libzmq's default of 1,023: the monitor of each of our sockets needs two more.
const MAX_SOCKETS: c_int = 65_535;

/// A context that the first socket creates.
#[derive(Default)]
pub(crate) struct Context {
    /// Null before the first socket, and after the end.
    pointer: AtomicPtr<c_void>,
    /// Held while a socket is opened. True after the end.
    ended: Mutex<bool>,
}

impl Context {
    fn pointer(&self) -> *mut c_void {
        self.pointer.load(Ordering::Acquire)
    }

    /// A new socket; ETERM after the end.
    pub(crate) fn socket(&self, kind: zmq::SocketType) -> Result<zmq::Socket, Errno> {
        let ended = lock(&self.ended);
        if *ended {
            return Err(Errno(zmq_sys::errno::ETERM));
        }
        if !self.pointer().is_null() {
            return ffi::socket(self.pointer(), kind);
        }
        descriptor_limit::check_descriptors()?;
        let _threads = descriptor_limit::Threads::reserve()?;
        // SAFETY: creates a context, or fails with null.
        let context = unsafe { zmq_sys::zmq_ctx_new() };
        if context.is_null() {
            return Err(Errno::last());
        }
        #[allow(clippy::cast_possible_wrap)] // ZMQ_MAX_SOCKETS is 2
        // SAFETY: a valid context that no other thread knows yet.
        unsafe {
            zmq_sys::zmq_ctx_set(context, zmq_sys::ZMQ_MAX_SOCKETS as c_int, MAX_SOCKETS)
        };
        let first = ffi::socket(context, kind);
        if first.is_ok() {
            self.pointer.store(context, Ordering::Release);
        } else {
            // SAFETY: a valid context without sockets that no other thread knows: it ends at once.
            unsafe { zmq_sys::zmq_ctx_term(context) };
        }
        first
    }

    /// Makes every call on a socket fail with ETERM, and stops libzmq from blocking on monitors.
    pub(crate) fn shut_down(&self) {
        // SAFETY: a valid context, or null, which does nothing. May precede `zmq_ctx_term`.
        unsafe { zmq_sys::zmq_ctx_shutdown(self.pointer()) };
    }

    /// Ends the context. Waits until the last socket has sent its messages or stopped lingering.
    pub(crate) fn terminate(&self) {
        let mut ended = lock(&self.ended);
        *ended = true;
        let context = self.pointer.swap(std::ptr::null_mut(), Ordering::AcqRel);
        drop(ended);
        // SAFETY: a valid context, or null, which fails. No other thread uses the pointer: open
        // sockets keep the context alive until they are closed, and no further one is opened.
        while unsafe { zmq_sys::zmq_ctx_term(context) } == -1 && Errno::last().interrupted() {}
    }
}

#[cfg(test)]
mod tests {
    use super::Context;

    #[test]
    fn no_socket_is_opened_after_the_end() {
        let context = Context::default();
        drop(context.socket(zmq::XPUB).unwrap());
        context.terminate();
        let error = context.socket(zmq::XPUB).err().unwrap();
        assert_eq!(error.0, zmq_sys::errno::ETERM);
        context.terminate();
    }
}
