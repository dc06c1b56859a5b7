//! An exclusive lock on a file that several processes write to.
//!
//! The lock is `flock` on Unix and `LockFileEx` on Windows. The system releases it when its process ends
//! for any reason. On a file system without locks, locking always succeeds.

use std::fs::File;
use std::sync::Arc;

/// Holds the lock until it is dropped.
pub(crate) struct FileLock(Arc<File>);

impl FileLock {
    /// Takes the lock. Returns `None` while another process holds it.
    pub(crate) fn try_acquire(file: &Arc<File>) -> Option<Self> {
        sys::try_lock(file).then(|| Self(Arc::clone(file)))
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        sys::unlock(&self.0);
    }
}

#[cfg(unix)]
mod sys {
    use crate::util::descriptor;
    use std::fs::File;
    use std::io::ErrorKind;

    /// True also on a file system without locks.
    pub(crate) fn try_lock(file: &File) -> bool {
        !matches!(descriptor::lock_file(file), Err(error) if error.kind() == ErrorKind::WouldBlock)
    }

    pub(crate) fn unlock(file: &File) {
        descriptor::unlock_file(file);
    }
}

/// The lock covers one byte far beyond the end of the file: Windows forbids other processes to read
/// locked bytes.
#[cfg(windows)]
mod sys {
    use std::fs::File;
    use std::io;
    use std::os::windows::io::AsRawHandle;
    use windows_sys::Win32::Foundation::ERROR_LOCK_VIOLATION;
    use windows_sys::Win32::Storage::FileSystem::{
        LockFileEx, UnlockFileEx, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY,
    };
    use windows_sys::Win32::System::IO::OVERLAPPED;

    /// True also on a file system without locks.
    pub(crate) fn try_lock(file: &File) -> bool {
        let flags = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
        let mut at = last_byte();
        // SAFETY: the handle is open as long as the borrow lasts. It is synchronous, so the system does
        // not use the structure after the call.
        let locked = unsafe { LockFileEx(file.as_raw_handle(), flags, 0, 1, 0, &raw mut at) } != 0;
        let error = io::Error::last_os_error().raw_os_error();
        locked || error.and_then(|error| u32::try_from(error).ok()) != Some(ERROR_LOCK_VIOLATION)
    }

    pub(crate) fn unlock(file: &File) {
        let mut at = last_byte();
        // SAFETY: as for the lock.
        unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &raw mut at) };
    }

    /// The position of the locked byte: the last one that a file could have.
    fn last_byte() -> OVERLAPPED {
        let mut at = OVERLAPPED::default();
        at.Anonymous.Anonymous.Offset = u32::MAX - 1;
        at.Anonymous.Anonymous.OffsetHigh = u32::MAX >> 1;
        at
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::FileLock;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::sync::Arc;

    #[test]
    fn a_locked_file_is_readable_and_cannot_be_locked_again() {
        let path = std::env::temp_dir().join(format!("zmqchat-lock-{}", std::process::id()));
        let open = || {
            let mut options = OpenOptions::new();
            let file = options.read(true).append(true).create(true).open(&path);
            Arc::new(file.unwrap())
        };
        let (first, second) = (open(), open());
        let lock = FileLock::try_acquire(&first).unwrap();
        assert!(FileLock::try_acquire(&second).is_none());
        (&*first).write_all(b"a line\n").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"a line\n");
        drop(lock);
        assert!(FileLock::try_acquire(&second).is_some());
        fs::remove_file(&path).unwrap();
    }
}
