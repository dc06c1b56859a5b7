//! Who hung up: the other side, or libzmq on it.
//!
//! libzmq reports the end of a connection alike, whether the peer left or was cut off for a breach
//! of protocol, such as a message above the limit. A second descriptor of the connection tells:
//! when a peer leaves, everything was read up to its end; when it is cut off, it was not.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

/// A second descriptor of a connection. It keeps the connection open until it is dropped.
#[derive(Debug)]
pub(crate) struct DisconnectWitness(TcpStream);

impl DisconnectWitness {
    /// `None` when the connection is gone already, or nothing can be told here.
    #[cfg(unix)]
    pub(crate) fn of(descriptor: i32, remote: &str) -> Option<Self> {
        use std::os::fd::{FromRawFd, OwnedFd};

        let remote: SocketAddr = remote.parse().ok()?;
        // SAFETY: the call takes any number, and fails for one that is no open descriptor.
        let copy = unsafe { libc::fcntl(descriptor, libc::F_DUPFD_CLOEXEC, 3) };
        if copy < 0 {
            return None;
        }
        // SAFETY: the copy was just made and belongs to nobody else.
        let stream = TcpStream::from(unsafe { OwnedFd::from_raw_fd(copy) });
        // The number may belong to somebody else by now.
        (stream.peer_addr().ok()? == remote).then_some(Self(stream))
    }

    #[cfg(not(unix))]
    pub(crate) fn of(_: i32, _: &str) -> Option<Self> {
        None
    }

    /// Whether the other side was still there, or something of it unread, when libzmq hung up. A
    /// connection that was reset has no peer any more. What it left unread proves nothing: libzmq
    /// does not read while the receiver is full.
    pub(crate) fn saw_a_cut(&self) -> bool {
        if self.0.peer_addr().is_err() {
            return false;
        }
        match self.0.peek(&mut [0]) {
            Ok(count) => count > 0,
            // libzmq made it a descriptor that does not block.
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Ends this connection in both directions. False where the descriptor is another connection's by
/// now: it is checked on a copy, which nothing can close meanwhile. `remote` is the peer's address
/// over TCP, and `bound` has the `ipc://` endpoints that it may have connected to.
#[cfg(unix)]
pub(crate) fn shut(descriptor: i32, remote: &str, bound: &[String]) -> bool {
    use std::net::Shutdown;
    use std::os::fd::BorrowedFd;
    use std::os::unix::net::UnixStream;

    if let Some(DisconnectWitness(stream)) = DisconnectWitness::of(descriptor, remote) {
        return stream.shutdown(Shutdown::Both).is_ok();
    }
    if descriptor < 0 || !bound.iter().any(|bound| bound.starts_with("ipc://")) {
        return false;
    }
    // SAFETY: it is used for nothing but the copy, which fails for a number that is not open.
    let Ok(copy) = (unsafe { BorrowedFd::borrow_raw(descriptor) }).try_clone_to_owned() else {
        return false;
    };
    let stream = UnixStream::from(copy);
    let Ok(local) = stream.local_addr() else {
        return false;
    };
    let path = local.as_pathname().and_then(std::path::Path::to_str);
    let ours = |bound: &String| path.is_some() && bound.strip_prefix("ipc://") == path;
    bound.iter().any(ours) && stream.shutdown(Shutdown::Both).is_ok()
}

#[cfg(not(unix))]
pub(crate) fn shut(_: i32, _: &str, _: &[String]) -> bool {
    false
}

/// Whether this is a connection that the other side has not ended yet. The number may be anybody's.
#[cfg(unix)]
pub(crate) fn is_connected(descriptor: i32) -> bool {
    let mut byte = 0_u8;
    // SAFETY: takes any number, fails for one that is no socket, and writes one byte at most.
    let seen = unsafe {
        libc::recv(
            descriptor,
            std::ptr::from_mut(&mut byte).cast(),
            1,
            libc::MSG_PEEK | libc::MSG_DONTWAIT,
        )
    };
    seen > 0 || (seen < 0 && std::io::Error::last_os_error().kind() == ErrorKind::WouldBlock)
}

#[cfg(not(unix))]
pub(crate) fn is_connected(_: i32) -> bool {
    true
}
