//! Listening at an `ipc://` path.
//!
//! libzmq removes whatever is at the path before it binds, an ordinary file or another program's
//! socket included. So the socket is bound here and handed to libzmq, which then removes nothing.
//!
//! Invariants: the kernel decides which of several binders gets a path, because `bind` fails where
//! anything exists. Only a socket file that no socket is bound to is removed, with the folder locked,
//! so that two processes cannot remove each other's new socket. A symbolic link is never removed.

use crate::net::socket::open_socket::OpenSocket;
use crate::net::zmq::ffi::{uninterrupted, Errno};
use std::path::PathBuf;

/// Why a path cannot be bound.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// As the system says; `EADDRINUSE` where a socket is bound to it.
    System(Errno),
    /// Something other than a socket is there: a file, a directory.
    NotASocket(&'static str),
    /// A symbolic link is there, to this path, where no socket is bound.
    Link(PathBuf),
    /// A socket file is there that no socket is bound to, and it cannot be removed.
    Stale(Errno),
}

impl From<Errno> for Obstacle {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl Obstacle {
    pub(crate) fn is_in_use(&self) -> bool {
        matches!(self, Self::System(Errno(libc::EADDRINUSE)))
    }
}

/// Whether libzmq makes the path itself, in a new folder.
fn is_wildcard(path: &str) -> bool {
    path.starts_with('*')
}

/// Binds `live` to the path of `address`, which is `ipc://` and the path.
pub(crate) fn bind(live: &mut OpenSocket, path: &str, address: &str) -> Result<(), Obstacle> {
    use crate::net::zmq::ffi::{self, Attach};
    let attach = |live: &mut OpenSocket| {
        uninterrupted(|| ffi::attach(&mut live.socket, Attach::Bind, address))
    };
    if is_wildcard(path) {
        return Ok(attach(live)?);
    }
    let listener = file::Listener::bind(path, address)?;
    ffi::set_int(&mut live.socket, ffi::USE_FD, listener.descriptor())?;
    let attached = attach(live);
    let reset = ffi::set_int(&mut live.socket, ffi::USE_FD, -1);
    match attached {
        Ok(()) => live.socket_files.extend(listener.handed_over()),
        Err(errno) => return Err(errno.into()),
    }
    Ok(reset?)
}

pub(crate) use file::SocketFile;

#[cfg(unix)]
mod file {
    use super::Obstacle;
    use crate::net::zmq::ffi::{self, Errno};
    use crate::util::fork;
    use std::fs::{self, Metadata};
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// How often a path is tried that others bind and leave meanwhile.
    const ATTEMPTS: usize = 100;
    /// How long another process may hold the lock on the folder.
    const PATIENCE: Duration = Duration::from_secs(1);

    fn errno(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Tells a socket file from one that took its place, even where the inode's number is used again.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Identity {
        device: u64,
        inode: u64,
        made: (i64, i64),
    }

    impl Identity {
        fn of(found: &Metadata) -> Self {
            Self {
                device: found.dev(),
                inode: found.ino(),
                made: (found.mtime(), found.mtime_nsec()),
            }
        }
    }

    /// The file of a bound socket.
    #[derive(Debug)]
    pub(crate) struct SocketFile {
        endpoint: String,
        /// Absolute: the working directory may change.
        path: PathBuf,
        identity: Identity,
    }

    impl SocketFile {
        /// The endpoint of its socket.
        pub(crate) fn endpoint(&self) -> &str {
            &self.endpoint
        }

        /// Whether this path leads to it.
        pub(crate) fn is_at(&self, path: &str) -> bool {
            fs::metadata(path).is_ok_and(|found| Identity::of(&found) == self.identity)
        }

        /// Removes it. Called while the socket is still bound, so that no other binder of this
        /// module can have put its own in its place.
        pub(crate) fn remove(&self) {
            if fs::symlink_metadata(&self.path)
                .is_ok_and(|found| Identity::of(&found) == self.identity)
            {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// A bound socket that libzmq does not own yet. A forked child closes it.
    pub(crate) struct Listener {
        socket: Option<UnixListener>,
        descriptor: RawFd,
        file: Option<SocketFile>,
    }

    impl Listener {
        pub(crate) fn bind(path: &str, endpoint: &str) -> Result<Self, Obstacle> {
            if let Some(name) = path.strip_prefix('@') {
                return Ok(Self::open(|| bind_abstract(name))?);
            }
            let absolute = std::path::absolute(path).map_err(|error| errno(&error))?;
            for _ in 0..ATTEMPTS {
                match Self::open(|| UnixListener::bind(path)) {
                    Err(Errno(libc::EADDRINUSE)) => {}
                    outcome => return Ok(outcome?.with_file(absolute, endpoint)?),
                }
                match inspect(path)? {
                    Found::Nothing => {}
                    Found::Stale => {
                        let _lock = FolderLock::take(&absolute).map_err(Obstacle::Stale)?;
                        if let Found::Stale = inspect(path)? {
                            fs::remove_file(&absolute)
                                .map_err(|error| Obstacle::Stale(errno(&error)))?;
                        }
                    }
                }
            }
            Err(Errno(libc::EADDRINUSE).into())
        }

        fn open(bind: impl FnOnce() -> io::Result<UnixListener>) -> Result<Self, Errno> {
            let held = fork::Held::new();
            let socket = bind().map_err(|error| errno(&error))?;
            let descriptor = socket.as_raw_fd();
            held.enter(descriptor);
            drop(held);
            // A peer that gives up before it is accepted must not block libzmq's thread.
            let nonblocking = socket.set_nonblocking(true);
            let this = Self {
                socket: Some(socket),
                descriptor,
                file: None,
            };
            nonblocking.map_err(|error| errno(&error))?;
            Ok(this)
        }

        fn with_file(mut self, path: PathBuf, endpoint: &str) -> Result<Self, Errno> {
            let found = fs::symlink_metadata(&path).map_err(|error| errno(&error))?;
            self.file = Some(SocketFile {
                endpoint: endpoint.to_owned(),
                path,
                identity: Identity::of(&found),
            });
            Ok(self)
        }

        pub(crate) fn descriptor(&self) -> RawFd {
            self.descriptor
        }

        /// libzmq closes the socket from now on; its file is left to the caller.
        pub(crate) fn handed_over(mut self) -> Option<SocketFile> {
            if let Some(socket) = self.socket.take() {
                let _ = socket.into_raw_fd();
            }
            self.file.take()
        }
    }

    impl Drop for Listener {
        fn drop(&mut self) {
            if let Some(file) = self.file.take() {
                file.remove();
            }
            if let Some(socket) = self.socket.take() {
                let held = fork::Held::new();
                held.remove(self.descriptor);
                drop(socket);
            }
        }
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    fn bind_abstract(name: &str) -> io::Result<UnixListener> {
        #[cfg(target_os = "android")]
        use std::os::android::net::SocketAddrExt;
        #[cfg(target_os = "linux")]
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::net::SocketAddr;
        if name.is_empty() {
            return Err(io::Error::from_raw_os_error(libc::EINVAL));
        }
        UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
    }

    /// Names without a file are Linux's.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn bind_abstract(_: &str) -> io::Result<UnixListener> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    enum Found {
        Nothing,
        Stale,
    }

    /// What is at a path that cannot be bound; an error where it must stay.
    fn inspect(path: &str) -> Result<Found, Obstacle> {
        let found = match fs::symlink_metadata(path) {
            Ok(found) => found.file_type(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Found::Nothing),
            Err(error) => return Err(errno(&error).into()),
        };
        let is_bound = is_bound(path);
        if found.is_symlink() {
            if let Ok(true) = is_bound {
                return Err(Errno(libc::EADDRINUSE).into());
            }
            return Err(Obstacle::Link(fs::read_link(path).unwrap_or_default()));
        }
        if !found.is_socket() {
            return Err(Obstacle::NotASocket(if found.is_dir() {
                "a directory"
            } else if found.is_file() {
                "a file"
            } else if found.is_fifo() {
                "a named pipe"
            } else {
                "a device"
            }));
        }
        match is_bound {
            Ok(true) => Err(Errno(libc::EADDRINUSE).into()),
            Ok(false) => Ok(Found::Stale),
            Err(Errno(libc::ENOENT)) => Ok(Found::Nothing),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Whether a socket is bound to this socket file. A datagram socket asks: the kernel refuses it
    /// with another error where a stream socket is bound, listening or about to, so that the other
    /// program sees no connection.
    fn is_bound(path: &str) -> Result<bool, Errno> {
        let probe = UnixDatagram::unbound().map_err(|error| errno(&error))?;
        match probe.connect(path).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno(libc::EPROTOTYPE)) => Ok(true),
            Err(Errno(libc::ECONNREFUSED)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A lock on the folder of a path, for all processes that take it.
    struct FolderLock(fs::File);

    impl FolderLock {
        fn take(path: &Path) -> Result<Self, Errno> {
            let folder = path.parent().unwrap_or(path);
            let folder = fs::File::open(folder).map_err(|error| errno(&error))?;
            let end = Instant::now() + PATIENCE;
            loop {
                match ffi::lock_file(folder.as_raw_fd()) {
                    Ok(()) => return Ok(Self(folder)),
                    Err(Errno(libc::EWOULDBLOCK | libc::EINTR)) if Instant::now() < end => {
                        std::thread::sleep(Duration::from_millis(1));
                    }
                    Err(errno) => return Err(errno),
                }
            }
        }
    }

    impl Drop for FolderLock {
        fn drop(&mut self) {
            // Not left to the close: a child that was forked meanwhile has the descriptor, too.
            ffi::unlock_file(self.0.as_raw_fd());
        }
    }
}

/// There is no `ipc://` on Windows: the parser of addresses refuses it.
#[cfg(not(unix))]
mod file {
    use super::Obstacle;
    use crate::net::zmq::ffi::Errno;

    #[derive(Debug)]
    pub(crate) struct SocketFile(());

    #[allow(clippy::unused_self)]
    impl SocketFile {
        pub(crate) fn endpoint(&self) -> &str {
            ""
        }

        pub(crate) fn is_at(&self, _: &str) -> bool {
            false
        }

        pub(crate) fn remove(&self) {}
    }

    pub(crate) struct Listener(());

    #[allow(clippy::unused_self)]
    impl Listener {
        pub(crate) fn bind(_: &str, _: &str) -> Result<Self, Obstacle> {
            Err(Errno(libc::EOPNOTSUPP).into())
        }

        pub(crate) fn descriptor(&self) -> std::ffi::c_int {
            -1
        }

        pub(crate) fn handed_over(self) -> Option<SocketFile> {
            None
        }
    }
}
