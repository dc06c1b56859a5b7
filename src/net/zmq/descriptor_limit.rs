//! Checks that enough descriptors and threads are available.
//!
//! Invariant: libzmq starts its threads only if both are available, because otherwise it aborts the
//! process with an assertion. Later calls that open descriptors return an error: libzmq is patched in
//! this way (see the crate in `libzmq/`).

use crate::net::zmq::ffi::Errno;

/// The threads of libzmq: the reaper and the I/O thread.
const THREADS: u8 = 2;

/// libzmq's threads need five descriptors and the first socket one. The rest is a reserve for other
/// threads of the program, which may open files meanwhile.
#[cfg(unix)]
const ENOUGH: usize = 10;

/// Fails with the system's error if almost no descriptors are left. Another thread may use those that
/// were found, which the reserve makes unlikely.
#[cfg(unix)]
pub(crate) fn check_descriptors() -> Result<(), Errno> {
    let mut found = [const { None }; ENOUGH];
    for slot in &mut found {
        match std::os::unix::net::UnixDatagram::unbound() {
            Ok(socket) => *slot = Some(socket),
            Err(error) => return Err(Errno(error.raw_os_error().unwrap_or(libc::EMFILE))),
        }
    }
    Ok(())
}

/// On Windows, programs do not reach the limit.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // as elsewhere
pub(crate) fn check_descriptors() -> Result<(), Errno> {
    Ok(())
}

/// Threads that are reserved for libzmq. When this is dropped, the unused ones end.
pub(crate) struct Threads(());

impl Threads {
    /// Starts the threads, or fails with the system's error.
    pub(crate) fn reserve() -> Result<Self, Errno> {
        match threads::reserve(THREADS.into()) {
            0 => Ok(Self(())),
            errno => Err(Errno(errno)),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        threads::release();
    }
}

/// libzmq uses the threads that were started here (see `libzmq/src/threads.h`), so that it cannot fail
/// to start one.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod threads {
    use std::ffi::c_int;

    // SAFETY: defined there with these types. They take no pointers, and have their own lock.
    unsafe extern "C" {
        #[link_name = "zmqchat_reserve_threads"]
        pub(crate) safe fn reserve(count: c_int) -> c_int;
        #[link_name = "zmqchat_empty_reserve"]
        pub(crate) safe fn release();
    }
}

/// Elsewhere this only tests that the threads can be started: they run at the same time, and end.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod threads {
    use std::sync::mpsc;

    pub(crate) fn reserve(count: i32) -> i32 {
        let mut running = Vec::new();
        let mut outcome = 0;
        for _ in 0..count {
            let (end, ended) = mpsc::channel::<()>();
            let started = crate::util::thread::spawn("zmqchat-try", move || {
                // Ends when the sender is dropped.
                let _ = ended.recv();
            });
            match started {
                Ok(thread) => running.push((end, thread)),
                Err(error) => outcome = error.raw_os_error().unwrap_or(libc::EAGAIN),
            }
        }
        for (end, thread) in running {
            drop(end);
            let _ = thread.join();
        }
        outcome
    }

    pub(crate) fn release() {}
}

/// Whether almost no descriptors are left. The system assigns the lowest free number, so the number of
/// the latest descriptor shows how many are in use.
#[cfg(unix)]
pub(crate) fn is_running_out(latest: i32) -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: fills in the structure that is passed. If it fails, there is no limit.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    let left = limit
        .rlim_cur
        .saturating_sub(u64::try_from(latest).unwrap_or(0));
    left <= u64::try_from(ENOUGH).unwrap_or(0)
}

#[cfg(not(unix))]
pub(crate) fn is_running_out(_: i32) -> bool {
    false
}
