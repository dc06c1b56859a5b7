//! Whether the peer or libzmq ended a connection.
//!
//! libzmq reports the end of a connection in the same way in both cases. It ends connections whose
//! peer violates the protocol, for example by a message above the size limit. A second descriptor
//! of the connection distinguishes the two cases: if the peer disconnected, everything was read up to the
//! end of the stream. If libzmq ended the connection, there was more to come.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};

/// A second descriptor of a TCP connection. It keeps the connection open until it is dropped.
#[derive(Debug)]
pub(crate) struct DisconnectProbe(TcpStream);

impl DisconnectProbe {
    /// `None` if the connection has ended already.
    #[cfg(unix)]
    pub(crate) fn of(descriptor: i32, remote: &str) -> Option<Self> {
        let remote: SocketAddr = remote.parse().ok()?;
        let stream = TcpStream::from(crate::util::descriptor::duplicate(descriptor)?);
        // The descriptor may have been reused for another connection.
        (stream.peer_addr().ok()? == remote).then_some(Self(stream))
    }

    /// Not supported on this system.
    #[cfg(not(unix))]
    pub(crate) fn of(_: i32, _: &str) -> Option<Self> {
        None
    }

    /// Whether libzmq ended the connection: the peer was still connected, or sent more than libzmq
    /// read. A connection that was reset has no peer any more. Its unread rest does not count:
    /// libzmq does not read while the receiver's queue is full.
    pub(crate) fn was_cut_off(&self) -> bool {
        if self.0.peer_addr().is_err() {
            return false;
        }
        match self.0.peek(&mut [0]) {
            Ok(count) => count > 0,
            // libzmq made the descriptor non-blocking.
            Err(error) => error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// Shuts the connection down in both directions. False if the descriptor belongs to another
/// connection by now. The check uses a duplicate, which no other thread can close. `remote` is the
/// peer's TCP address. `bound` contains the `ipc://` endpoints that the peer may be connected to.
#[cfg(unix)]
pub(crate) fn shut_down(descriptor: i32, remote: &str, bound: &[String]) -> bool {
    use std::net::Shutdown;
    use std::os::unix::net::UnixStream;

    if let Some(DisconnectProbe(stream)) = DisconnectProbe::of(descriptor, remote) {
        return stream.shutdown(Shutdown::Both).is_ok();
    }
    if !bound.iter().any(|bound| bound.starts_with("ipc://")) {
        return false;
    }
    let Some(copy) = crate::util::descriptor::duplicate(descriptor) else {
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

/// Not supported on this system.
#[cfg(not(unix))]
pub(crate) fn shut_down(_: i32, _: &str, _: &[String]) -> bool {
    false
}

/// Whether the descriptor is a connection that the peer has not closed yet; true where that is
/// unknown.
pub(crate) fn is_connected(descriptor: i32) -> bool {
    #[cfg(unix)]
    return crate::util::descriptor::is_connected(descriptor);
    #[cfg(not(unix))]
    {
        let _ = descriptor;
        true
    }
}
