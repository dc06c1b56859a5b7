//! How a thread wakes another one that waits.
//!
//! Invariant: each thread has its own wake-up. If several threads shared one, the first would clear
//! it before the second had checked what changed.

use crate::util::fork;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A thread's wake-up: a descriptor that becomes readable. Without one (on Windows, or when the
/// process has no descriptor left) the thread checks again after its next slice.
#[derive(Debug)]
pub(crate) struct Wakeup {
    /// Saves a system call if the wake-up is set already.
    set: AtomicBool,
    /// Another wake-up to set; its thread checks this one.
    parent: Option<Arc<Wakeup>>,
    #[cfg(unix)]
    ends: Option<Ends>,
}

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self {
            set: AtomicBool::new(false),
            parent: None,
            #[cfg(unix)]
            ends: Ends::open(),
        }
    }

    /// One of several wake-ups that a single thread checks. Setting it wakes that thread. It stays
    /// set until it is taken.
    pub(crate) fn child_of(parent: &Arc<Self>) -> Self {
        Self {
            set: AtomicBool::new(false),
            parent: Some(Arc::clone(parent)),
            #[cfg(unix)]
            ends: None,
        }
    }

    /// Wakes the thread now, or when it next waits.
    pub(crate) fn set(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            if let Some(parent) = &self.parent {
                parent.set();
            }
            #[cfg(unix)]
            if let Some(ends) = &self.ends {
                ends.write();
            }
        }
    }

    /// Clears the wake-up. Only the waiting thread calls this, before it checks what changed.
    ///
    /// The descriptor is read before the flag is cleared. In the other order, the read could consume
    /// the signal of a later `set`, whose flag would then stay set forever. The descriptor is read even
    /// if the flag is not set: a signal may arrive after its flag was cleared.
    pub(crate) fn clear(&self) {
        #[cfg(unix)]
        if let Some(ends) = &self.ends {
            ends.read();
        }
        self.set.swap(false, Ordering::AcqRel);
    }

    /// Clears the wake-up; true if it was set.
    pub(crate) fn take(&self) -> bool {
        self.set.swap(false, Ordering::AcqRel)
    }

    #[cfg(unix)]
    pub(crate) fn descriptor(&self) -> Option<std::os::fd::RawFd> {
        use std::os::fd::AsRawFd;
        self.ends.as_ref().map(|ends| ends.read.as_raw_fd())
    }

    #[cfg(not(unix))]
    pub(crate) fn descriptor(&self) -> Option<std::os::windows::io::RawSocket> {
        None
    }
}

/// An eventfd on Linux, a pipe elsewhere.
#[cfg(unix)]
#[derive(Debug)]
struct Ends {
    read: std::fs::File,
    /// `None` for an eventfd, which is read and written through one descriptor.
    write: Option<std::fs::File>,
}

#[cfg(unix)]
impl Ends {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn open() -> Option<Self> {
        use std::os::fd::FromRawFd;
        // SAFETY: eventfd takes no pointers, and the returned descriptor has no other owner.
        let read = unsafe {
            let fd = libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK);
            (fd >= 0).then(|| std::fs::File::from_raw_fd(fd))?
        };
        Some(Self { read, write: None })
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn open() -> Option<Self> {
        use std::os::fd::FromRawFd;
        let mut ends = [-1; 2];
        // SAFETY: pipe writes two descriptors into the array, which have no other owner.
        unsafe {
            if libc::pipe(ends.as_mut_ptr()) != 0 {
                return None;
            }
            for end in ends {
                libc::fcntl(end, libc::F_SETFD, libc::FD_CLOEXEC);
                libc::fcntl(end, libc::F_SETFL, libc::O_NONBLOCK);
            }
            Some(Self {
                read: std::fs::File::from_raw_fd(ends[0]),
                write: Some(std::fs::File::from_raw_fd(ends[1])),
            })
        }
    }

    fn write(&self) {
        use std::io::Write;
        // A write fails only if the pipe or counter is full, and then the descriptor is readable.
        let mut end = self.write.as_ref().unwrap_or(&self.read);
        let _ = end.write(&1_u64.to_ne_bytes());
    }

    fn read(&self) {
        use std::io::Read;
        let _ = (&self.read).read(&mut [0; 8]);
    }
}

thread_local! {
    static OF_THIS_THREAD: RefCell<Option<(u64, Arc<Wakeup>)>> = const { RefCell::new(None) };
}

/// This thread's wake-up, created when it first waits. A forked child creates a new one, because the
/// inherited descriptor is shared with the parent.
pub(crate) fn of_this_thread() -> Arc<Wakeup> {
    OF_THIS_THREAD.with_borrow_mut(|stored| match stored {
        Some((generation, wake)) if *generation == fork::generation() => Arc::clone(wake),
        _ => {
            let wake = Arc::new(Wakeup::new());
            *stored = Some((fork::generation(), Arc::clone(&wake)));
            wake
        }
    })
}
