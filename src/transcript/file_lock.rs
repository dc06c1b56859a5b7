//! The lock on a file that other processes write too: `flock`, which ends with the process that
//! holds it, however that ends.
//!
//! It is held for the time of one write, so whoever finds it taken tries again soon. Where there is no
//! such lock (Windows, some network file systems) it is as if nobody else wrote.

use crate::error::{Error, Result};
use crate::transcript::{shown, Checkpoint};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far more than any write takes: whoever holds it longer was stopped, or hangs on its disk.
const LONGEST_WAIT: Duration = Duration::from_secs(10);
const CHECK: Duration = Duration::from_millis(50);
const LONGEST_NAP: Duration = Duration::from_millis(2);

/// The lock, until it is dropped.
pub(crate) struct Locked(Arc<File>);

impl Drop for Locked {
    fn drop(&mut self) {
        sys::unlock(&self.0);
    }
}

/// The lock, unless somebody else has it.
pub(crate) fn acquire(file: &Arc<File>) -> Option<Locked> {
    sys::try_lock(file).then(|| Locked(Arc::clone(file)))
}

/// How somebody waits who found it taken.
pub(crate) struct Patience {
    began: Instant,
    checked: Instant,
    nap: Duration,
}

impl Patience {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        Self {
            began: now,
            checked: now,
            nap: Duration::from_micros(20),
        }
    }

    /// Waits for a moment, longer each time. To be called with no lock held: the checkpoint may run a
    /// signal handler that writes, too.
    pub(crate) fn wait(&mut self, path: &Path, checkpoint: Checkpoint<'_>) -> Result<()> {
        std::thread::sleep(self.nap);
        self.nap = (self.nap * 2).min(LONGEST_NAP);
        if self.checked.elapsed() >= CHECK {
            checkpoint()?;
            self.checked = Instant::now();
        }
        if self.began.elapsed() < LONGEST_WAIT {
            return Ok(());
        }
        Err(Error::Os {
            errno: libc::EAGAIN,
            message: format!(
                "cannot write to {}: another program has kept it locked for {} s; is one stopped \
                 that logs there, too?",
                shown(path),
                LONGEST_WAIT.as_secs()
            ),
        })
    }
}

#[cfg(unix)]
mod sys {
    use std::fs::File;
    use std::os::fd::AsRawFd;

    /// Whether the file is ours now; a file system that knows no locks says yes.
    pub(crate) fn try_lock(file: &File) -> bool {
        flock(file, libc::LOCK_EX | libc::LOCK_NB)
            || std::io::Error::last_os_error().kind() != std::io::ErrorKind::WouldBlock
    }

    pub(crate) fn unlock(file: &File) {
        flock(file, libc::LOCK_UN);
    }

    fn flock(file: &File, operation: libc::c_int) -> bool {
        // SAFETY: the descriptor is open as long as the borrow lasts, and the call takes no memory.
        unsafe { libc::flock(file.as_raw_fd(), operation) == 0 }
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
