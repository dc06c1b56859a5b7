//! System calls on descriptors that the standard library does not offer.

#![cfg(unix)]

use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// A second descriptor of the same open file; `None` if the descriptor is not open.
///
/// The descriptor may be closed at any time by another thread, and may be open for another file then.
pub(crate) fn duplicate(descriptor: RawFd) -> Option<OwnedFd> {
    // SAFETY: the call takes any number, and fails for one that is not an open descriptor.
    let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
    // SAFETY: the copy was just made and has no other owner.
    (copy >= 0).then(|| unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Whether the descriptor is a connection that the peer has not closed yet. The descriptor may be
/// closed, or open for something else.
pub(crate) fn is_connected(descriptor: RawFd) -> bool {
    let mut byte = 0_u8;
    // SAFETY: takes any number, fails for one that is not a socket, and writes one byte at most.
    let seen = unsafe {
        libc::recv(
            descriptor,
            std::ptr::from_mut(&mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    seen > 0 || (seen < 0 && io::Error::last_os_error().kind() == ErrorKind::WouldBlock)
}

/// Locks an open file or folder against all other processes that use this lock; does not wait.
pub(crate) fn lock_file(file: &impl AsFd) -> io::Result<()> {
    let descriptor = file.as_fd().as_raw_fd();
    // SAFETY: takes no pointers.
    match unsafe { libc::flock(descriptor, libc::LOCK_EX | libc::LOCK_NB) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Unlocks the file or folder.
pub(crate) fn unlock_file(file: &impl AsFd) {
    // SAFETY: takes no pointers.
    unsafe { libc::flock(file.as_fd().as_raw_fd(), libc::LOCK_UN) };
}
