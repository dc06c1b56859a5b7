//! Who hung up: the other side, or libzmq on it.
//!
//! libzmq reports the end of a connection alike, whether the peer left or was cut off for a breach
//! of protocol, such as a message above the limit. A second descriptor of the connection tells:
//! when a peer leaves, everything was read up to its end; when it is cut off, it was not.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

/// A second descriptor of a connection. It keeps the connection open until it is dropped.
#[derive(Debug)]
pub(crate) struct Witness(TcpStream);

impl Witness {
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
