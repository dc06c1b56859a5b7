//! Listening at an `ipc://` path.
//!
//! libzmq removes the file at the path before it binds, even an ordinary file or another program's
//! socket. So the socket is bound here and handed to libzmq, which then removes nothing.
//!
//! Invariants: the kernel decides which of several processes gets a path, because `bind` fails where
//! a file exists. A socket file is removed only if no socket is bound to it. The folder is locked
//! meanwhile, so that two processes cannot remove each other's new socket. A symbolic link is never
//! removed.

use crate::net::zmq::ffi::{self, uninterrupted, Attach, Errno};
use std::path::PathBuf;

/// Why a path cannot be bound.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// An error of the system; `EADDRINUSE` if a socket is bound to the path.
    System(Errno),
    /// The path is not a socket, but a file or a directory.
    NotASocket(&'static str),
    /// The path is a symbolic link to this path, to which no socket is bound.
    Link(PathBuf),
    /// The path is a socket file that no socket is bound to, and it cannot be removed.
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

/// Whether libzmq chooses the path, in a new folder.
fn is_wildcard(path: &str) -> bool {
    path.starts_with('*')
}

/// Binds the socket to the path of `address`, which is `ipc://` and the path. Adds the file of the
/// listener, if there is one, to `files`.
pub(crate) fn bind(
    socket: &mut zmq::Socket,
    path: &str,
    address: &str,
    files: &mut Vec<SocketFile>,
) -> Result<(), Obstacle> {
    let attach =
        |socket: &mut zmq::Socket| uninterrupted(|| ffi::attach(socket, Attach::Bind, address));
    if is_wildcard(path) {
        return Ok(attach(socket)?);
    }
    let listener = file::Listener::bind(path, address)?;
    ffi::set_int(socket, ffi::USE_FD, listener.descriptor())?;
    let attached = attach(socket);
    let reset = ffi::set_int(socket, ffi::USE_FD, -1);
    match attached {
        Ok(()) => files.extend(listener.hand_over()),
        Err(errno) => return Err(errno.into()),
    }
    Ok(reset?)
}

pub(crate) use file::SocketFile;

#[cfg(unix)]
mod file {
    use super::Obstacle;
    use crate::net::zmq::ffi::Errno;
    use crate::util::{descriptor, fork};
    use std::fs::{self, Metadata};
    use std::io;
    use std::os::fd::{AsRawFd, IntoRawFd, RawFd};
    use std::os::unix::fs::{FileTypeExt, MetadataExt};
    use std::os::unix::net::{UnixDatagram, UnixListener};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// How often binding is tried while other processes bind and release the path.
    const ATTEMPTS: usize = 100;
    /// How long to wait for another process that has locked the folder.
    const LOCK_TIMEOUT: Duration = Duration::from_secs(1);

    fn errno(error: &io::Error) -> Errno {
        Errno(error.raw_os_error().unwrap_or(libc::EIO))
    }

    /// Distinguishes a socket file from one that replaced it, even if the inode number is reused.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    struct Identity {
        device: u64,
        inode: u64,
        modified: (i64, i64),
    }

    impl Identity {
        fn of(found: &Metadata) -> Self {
            Self {
                device: found.dev(),
                inode: found.ino(),
                modified: (found.mtime(), found.mtime_nsec()),
            }
        }
    }

    /// The file of a bound socket.
    #[derive(Debug)]
    pub(crate) struct SocketFile {
        endpoint: String,
        /// Absolute, because the working directory may change.
        path: PathBuf,
        identity: Identity,
    }

    impl SocketFile {
        /// The endpoint of its socket.
        pub(crate) fn endpoint(&self) -> &str {
            &self.endpoint
        }

        /// Whether this path leads to the file.
        pub(crate) fn is_at(&self, path: &str) -> bool {
            fs::metadata(path).is_ok_and(|found| Identity::of(&found) == self.identity)
        }

        /// Removes the file. Called while the socket is still bound, so that no other process can have
        /// replaced the file through this module.
        pub(crate) fn remove(&self) {
            if fs::symlink_metadata(&self.path)
                .is_ok_and(|found| Identity::of(&found) == self.identity)
            {
                let _ = fs::remove_file(&self.path);
            }
        }
    }

    /// A bound socket that libzmq does not own yet. A forked child closes its descriptor.
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
            let forks = fork::ForkPause::new();
            let socket = bind().map_err(|error| errno(&error))?;
            let descriptor = socket.as_raw_fd();
            forks.add_socket(descriptor);
            drop(forks);
            // A peer that disconnects before it is accepted must not block libzmq's thread.
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

        /// Hands the socket to libzmq, which closes it. Returns the file, which the caller removes.
        pub(crate) fn hand_over(mut self) -> Option<SocketFile> {
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
                let forks = fork::ForkPause::new();
                forks.remove_socket(self.descriptor);
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

    /// Abstract names, which have no file, exist on Linux only.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    fn bind_abstract(_: &str) -> io::Result<UnixListener> {
        Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
    }

    enum Found {
        Nothing,
        Stale,
    }

    /// What is at a path that cannot be bound; an error if it must not be removed.
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

    /// Whether a socket is bound to this socket file. The check connects a datagram socket, which the
    /// kernel refuses. The error shows whether a stream socket is bound, and the other program gets
    /// no connection.
    fn is_bound(path: &str) -> Result<bool, Errno> {
        let probe = UnixDatagram::unbound().map_err(|error| errno(&error))?;
        match probe.connect(path).map_err(|error| errno(&error)) {
            Ok(()) | Err(Errno(libc::EPROTOTYPE)) => Ok(true),
            Err(Errno(libc::ECONNREFUSED)) => Ok(false),
            Err(errno) => Err(errno),
        }
    }

    /// A lock on the folder of a path, which all processes with this package respect.
    struct FolderLock(fs::File);

    impl FolderLock {
        fn take(path: &Path) -> Result<Self, Errno> {
            let folder = path.parent().unwrap_or(path);
            let folder = fs::File::open(folder).map_err(|error| errno(&error))?;
            let end = Instant::now() + LOCK_TIMEOUT;
            loop {
                match descriptor::lock_file(&folder).map_err(|error| errno(&error)) {
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
            // A close alone would not unlock it: a child that was forked meanwhile has the descriptor, too.
            descriptor::unlock_file(&self.0);
        }
    }
}

/// `ipc://` does not exist on Windows: the address parser rejects it.
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

        pub(crate) fn hand_over(self) -> Option<SocketFile> {
            None
        }
    }
}
