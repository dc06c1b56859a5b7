//! Descriptors to spare.
//!
//! Invariant: libzmq is not asked for what opens descriptors unless there are some: where it finds
//! none, binding and the start of its threads end the whole process with an assertion.

use super::sys::Errno;

/// More than the start of its threads or a bind takes in one go.
#[cfg(unix)]
const ENOUGH: usize = 16;

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
