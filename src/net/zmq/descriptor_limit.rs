//! Descriptors and threads to spare.
//!
//! Invariant: libzmq is not asked to start its threads unless there are enough of both: where it finds
//! none, it aborts the process with an assertion. Later calls that open descriptors return an error, as
//! libzmq is built here (see the crate in `libzmq/`).

use crate::net::zmq::ffi::Errno;

/// libzmq's reaper and its I/O thread.
const THREADS: u8 = 2;

/// Its threads take five and the first socket one; the others may go to other threads of the program,
/// which open files meanwhile.
#[cfg(unix)]
const ENOUGH: usize = 10;

/// Refuses with what the system says when descriptors are about to run out. Another thread may still
/// take those that were found, which a few to spare make unlikely.
#[cfg(unix)]
pub(crate) fn check_descriptors() -> Result<(), Errno> {
    let mut found = [const { None }; ENOUGH];
    for place in &mut found {
        match std::os::unix::net::UnixDatagram::unbound() {
            Ok(socket) => *place = Some(socket),
            Err(error) => return Err(Errno(error.raw_os_error().unwrap_or(libc::EMFILE))),
        }
    }
    Ok(())
}

/// Windows has no such limit that a program could reach.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // as elsewhere
pub(crate) fn check_descriptors() -> Result<(), Errno> {
    Ok(())
}

/// The threads that libzmq is about to ask for. Those that it did not take end with this value.
pub(crate) struct Threads(());

impl Threads {
    /// Starts them, or refuses with the system's error.
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

/// libzmq takes the threads that were started here (see `libzmq/src/threads.h`), so that none can be
/// missing when it asks.
#[cfg(any(target_os = "linux", target_os = "android"))]
mod threads {
    use std::ffi::c_int;

    // SAFETY: defined there with these types; they take no pointers, and use a lock of their own.
    unsafe extern "C" {
        #[link_name = "zmqchat_reserve_threads"]
        pub(crate) safe fn reserve(count: c_int) -> c_int;
        #[link_name = "zmqchat_empty_reserve"]
        pub(crate) safe fn release();
    }
}

/// Elsewhere they are only tried: the same number of threads runs at once, and ends.
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

/// Whether hardly any descriptor is left, by the number of the latest: the system gives the lowest.
#[cfg(unix)]
pub(crate) fn is_running_out(latest: i32) -> bool {
    let mut limit = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: fills in the structure that is passed; should it fail, there is no limit.
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
