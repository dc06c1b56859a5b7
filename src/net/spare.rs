//! Descriptors to spare.
//!
//! Invariant: libzmq is not asked to start its threads unless there are some: where it finds none, it
//! ends the whole process with an assertion. All else in it that opens descriptors returns an error,
//! as it is built here (see the crate in `libzmq/`).

use super::sys::Errno;

/// Its threads take five and the first socket one; the others may go to other threads of the program,
/// which open files meanwhile.
#[cfg(unix)]
const ENOUGH: usize = 10;

/// Refuses with what the system says when descriptors are about to run out. Another thread may still
/// take those that were found, which a few to spare make unlikely.
#[cfg(unix)]
pub(crate) fn check() -> Result<(), Errno> {
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
pub(crate) fn check() -> Result<(), Errno> {
    Ok(())
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
