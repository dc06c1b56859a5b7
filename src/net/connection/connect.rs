//! Connecting and disconnecting a socket, with errors that name the address.

use crate::error::Result;
use crate::net::zmq::ffi::{self, uninterrupted, Attach, Errno};
use crate::net::zmq::options;
use crate::wire::endpoint::{Endpoint, Host};
use std::time::Duration;

/// How long a peer may take for its handshake, in milliseconds: libzmq's default, and the limit if
/// the name has other addresses to try.
const HANDSHAKE_MS: [i32; 2] = [30_000, 5_000];

/// Longer than any wait for a connection, in milliseconds.
const NEVER_MS: i32 = 1_000_000_000;

/// Connects to an endpoint whose host is not a name. If there are `alternatives` to try, a peer that
/// does not answer is given up early, and libzmq makes one attempt only: a second one might succeed
/// while the next address is tried.
pub(crate) fn connect(
    socket: &mut zmq::Socket,
    endpoint: &Endpoint,
    alternatives: bool,
    longest_pause: Duration,
) -> Result<()> {
    set_ip_version(socket, endpoint)?;
    socket
        .set_handshake_ivl(HANDSHAKE_MS[usize::from(alternatives)])
        .map_err(|error| Errno::from(error).during("cannot limit the handshake"))?;
    let pauses = if alternatives {
        [NEVER_MS, 0]
    } else {
        [options::RECONNECT, longest_pause].map(options::milliseconds)
    };
    options::set_pauses(socket, pauses)
        .map_err(|errno| errno.during("cannot set the pauses between attempts"))?;
    let address = endpoint.to_string();
    uninterrupted(|| ffi::attach(socket, Attach::Connect, &address))
        .map_err(|errno| errno.during(&format!("cannot connect to {}", endpoint.typed())))
}

/// Ends a connection.
pub(crate) fn disconnect(socket: &mut zmq::Socket, endpoint: &Endpoint) -> Result<()> {
    let address = endpoint.to_string();
    uninterrupted(|| ffi::attach(socket, Attach::Disconnect, &address))
        .map_err(|errno| errno.during(&format!("cannot disconnect from {}", endpoint.typed())))
}

/// Enables IPv6 for IPv6 addresses only: with the option on, libzmq binds and resolves all other
/// addresses as IPv6, too.
pub(crate) fn set_ip_version(socket: &mut zmq::Socket, endpoint: &Endpoint) -> Result<()> {
    let ipv6 = matches!(
        endpoint,
        Endpoint::Tcp {
            host: Host::V6 { .. },
            ..
        }
    );
    socket
        .set_ipv6(ipv6)
        .map_err(|error| Errno::from(error).during("cannot set the IP version"))
}
