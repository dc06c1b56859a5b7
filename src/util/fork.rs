//! Recognising a forked child, and closing the sockets that it inherited.
//!
//! Invariants: [`generation`] differs between a process and each of its forked children. An object
//! that stores the generation of its creation recognises that it was inherited. This costs one atomic
//! load, where comparing process ids would cost a system call per message. On Linux, a forked child
//! closes the parent's network sockets before `fork` returns.

use std::sync::atomic::{AtomicU64, Ordering};

static GENERATION: AtomicU64 = AtomicU64::new(1);

/// 1, and one more after each fork from the first process to this one.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

/// Registers the handlers for forks. Called before the first object is created.
pub(crate) fn watch() {
    #[cfg(unix)]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        ONCE.call_once(|| {
            // SAFETY: the handlers use atomics, a lock that each child creates anew, and `close`, all
            // of which are allowed after a fork.
            unsafe {
                libc::pthread_atfork(
                    Some(before_fork),
                    Some(after_fork_in_parent),
                    Some(after_fork_in_child),
                )
            };
        });
    }
}

#[cfg(unix)]
extern "C" fn before_fork() {
    sockets::before_fork();
}

#[cfg(unix)]
extern "C" fn after_fork_in_parent() {
    sockets::after_fork_in_parent();
}

#[cfg(unix)]
extern "C" fn after_fork_in_child() {
    GENERATION.fetch_add(1, Ordering::SeqCst);
    sockets::after_fork_in_child();
}

/// Delays forks in other threads until it is dropped. A socket is opened and added to the table, or
/// removed from the table and closed, while forks are delayed.
#[cfg(unix)]
pub(crate) struct ForkPause(());

#[cfg(unix)]
impl ForkPause {
    pub(crate) fn new() -> Self {
        sockets::hold();
        Self(())
    }

    /// Adds a descriptor to those that a forked child closes.
    #[allow(clippy::unused_self)] // only while forks are delayed
    pub(crate) fn add_socket(&self, descriptor: std::os::fd::RawFd) {
        sockets::enter(descriptor);
    }

    /// Removes a descriptor that is about to be closed here.
    #[allow(clippy::unused_self)] // only while forks are delayed
    pub(crate) fn remove_socket(&self, descriptor: std::os::fd::RawFd) {
        sockets::remove(descriptor);
    }
}

#[cfg(unix)]
impl Drop for ForkPause {
    fn drop(&mut self) {
        sockets::allow();
    }
}

/// The table of open sockets, which libzmq maintains (see `libzmq/src/descriptors.h`).
#[cfg(any(target_os = "linux", target_os = "android"))]
mod sockets {
    use std::ffi::c_int;

    // SAFETY: defined in `libzmq/src/descriptors.h` and `libzmq/src/threads.h` with these types; they
    // take no pointers, and use atomics and locks of their own.
    unsafe extern "C" {
        #[link_name = "zmqchat_hold_forks"]
        pub(crate) safe fn hold();
        #[link_name = "zmqchat_allow_forks"]
        pub(crate) safe fn allow();
        #[link_name = "zmqchat_add_descriptor"]
        pub(crate) safe fn enter(descriptor: c_int);
        #[link_name = "zmqchat_remove_descriptor"]
        pub(crate) safe fn remove(descriptor: c_int);
        #[link_name = "zmqchat_before_fork"]
        pub(crate) safe fn before_fork();
        #[link_name = "zmqchat_after_fork_in_parent"]
        pub(crate) safe fn after_fork_in_parent();
        #[link_name = "zmqchat_after_fork_in_child"]
        safe fn close_all();
        #[link_name = "zmqchat_forget_reserve"]
        safe fn forget_reserved_threads();
    }

    pub(crate) fn after_fork_in_child() {
        close_all();
        forget_reserved_threads();
    }
}

/// Other systems have no table: a child keeps the inherited descriptors.
#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
mod sockets {
    use std::ffi::c_int;

    pub(crate) fn hold() {}
    pub(crate) fn allow() {}
    pub(crate) fn enter(_: c_int) {}
    pub(crate) fn remove(_: c_int) {}
    pub(crate) fn before_fork() {}
    pub(crate) fn after_fork_in_parent() {}
    pub(crate) fn after_fork_in_child() {}
}
