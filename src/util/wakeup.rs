//! How a waiting thread is woken by another one.
//!
//! Invariant: each thread has a wake-up of its own. One shared by several waiters would lose
//! wake-ups: the first to run clears it before the second has looked.

use crate::util::fork;
use std::cell::RefCell;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

/// A thread's wake-up: a descriptor that turns readable. Where there is none (Windows, or no
/// descriptor to be had) the waiter looks again at its next slice.
#[derive(Debug)]
pub(crate) struct Wakeup {
    /// Spares a system call when it is set already.
    set: AtomicBool,
    /// Whose thread waits for this one, too.
    above: Option<Arc<Wakeup>>,
    #[cfg(unix)]
    ends: Option<Ends>,
}

impl Wakeup {
    pub(crate) fn new() -> Self {
        Self {
            set: AtomicBool::new(false),
            above: None,
            #[cfg(unix)]
            ends: Ends::open(),
        }
    }

    /// One of several that a single thread waits for: it wakes that thread, and stays set until it
    /// is taken.
    pub(crate) fn below(above: &Arc<Self>) -> Self {
        Self {
            set: AtomicBool::new(false),
            above: Some(Arc::clone(above)),
            #[cfg(unix)]
            ends: None,
        }
    }

    /// Wakes the thread, now or when it next waits.
    pub(crate) fn set(&self) {
        if !self.set.swap(true, Ordering::AcqRel) {
            if let Some(above) = &self.above {
                above.set();
            }
            #[cfg(unix)]
            if let Some(ends) = &self.ends {
                ends.write();
            }
        }
    }

    /// Forgets what was set. Only the waiting thread calls this, before it looks at what changed.
    ///
    /// It reads first: a flag that fell before would let the read swallow the next one's signal,
    /// and stay up forever. And it reads in any case: a signal may come after its flag fell.
    pub(crate) fn clear(&self) {
        #[cfg(unix)]
        if let Some(ends) = &self.ends {
            ends.read();
        }
        self.set.swap(false, Ordering::AcqRel);
    }

    /// Whether it was set; it no longer is.
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
        // SAFETY: eventfd takes no pointers, and the descriptor that it returns is ours alone.
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
        // SAFETY: pipe writes two descriptors into the array; from then on they are ours alone.
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
        // A pipe or counter that is full is set already.
        let mut end = self.write.as_ref().unwrap_or(&self.read);
        let _ = end.write(&1_u64.to_ne_bytes());
    }

    fn read(&self) {
        use std::io::Read;
        let _ = (&self.read).read(&mut [0; 8]);
    }
}

thread_local! {
    static MINE: RefCell<Option<(u64, Arc<Wakeup>)>> = const { RefCell::new(None) };
}

/// This thread's wake-up, made when it first waits. A forked child makes a new one: the inherited
/// descriptor is shared with the parent.
pub(crate) fn mine() -> Arc<Wakeup> {
    MINE.with_borrow_mut(|mine| match mine {
        Some((generation, wake)) if *generation == fork::generation() => Arc::clone(wake),
        _ => {
            let wake = Arc::new(Wakeup::new());
            *mine = Some((fork::generation(), Arc::clone(&wake)));
            wake
        }
    })
}
