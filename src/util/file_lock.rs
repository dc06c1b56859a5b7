//! An exclusive lock on a file that several processes write to.
//!
//! On Unix the lock is `flock`, which the system releases when its process ends for any reason. Where
//! no such lock exists (Windows, some network file systems), locking always succeeds.

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

#[cfg(not(unix))]
mod sys {
    use std::fs::File;

    pub(crate) fn try_lock(_: &File) -> bool {
        true
    }

    pub(crate) fn unlock(_: &File) {}
}
