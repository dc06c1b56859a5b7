//! Maintenance of requested connections: applying resolved names, and making the attempts that libzmq
//! does not make.

use crate::error::Result;
use crate::net::connection::outgoing::OutgoingConnection;
use crate::net::connection::resolver::{resolve_action, ResolveAction, Resolver};
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::wire::endpoint::{Endpoint, Host};
use std::time::Duration;

/// libzmq reports at once that it retries. After this time it does not retry.
const ABANDONED_AFTER: Duration = Duration::from_millis(500);

/// What [`maintain_connections`] did.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Maintained {
    /// A connection was established or attempted.
    pub(crate) changed: bool,
    /// Another attempt may be due later.
    pub(crate) pending: bool,
}

/// Applies resolved names and makes due attempts.
pub(crate) fn maintain_connections<H: SocketHandler>(
    open: &mut OpenSocket,
    handler: &mut H,
) -> Maintained {
    let resolved = apply_resolutions(open, handler);
    let reconnected = reconnect_abandoned(open, handler);
    let mut outgoing = open.connections.outgoing.iter();
    Maintained {
        changed: resolved || reconnected,
        pending: outgoing.any(OutgoingConnection::is_pending),
    }
}

/// Applies the answers of resolvers. True if there was one.
fn apply_resolutions<H: SocketHandler>(open: &mut OpenSocket, handler: &mut H) -> bool {
    let mut applied = false;
    for index in 0..open.connections.outgoing.len() {
        let resolver = &mut open.connections.outgoing[index].resolver;
        let answer = resolver.as_mut().and_then(Resolver::take_answer);
        if let Some(hosts) = answer {
            applied = true;
            if apply_resolution(open, handler, index, &hosts) {
                if let Some(resolver) = &mut open.connections.outgoing[index].resolver {
                    resolver.finish();
                }
            }
        }
    }
    applied
}

/// Applies the hosts of a connection's name. False if the name must be resolved again.
fn apply_resolution<H: SocketHandler>(
    open: &mut OpenSocket,
    handler: &mut H,
    index: usize,
    hosts: &[Host],
) -> bool {
    let connection = &mut open.connections.outgoing[index];
    connection.set_hosts(hosts);
    if connection.info.is_connected() {
        return true;
    }
    match resolve_action(connection.current_host(), hosts) {
        ResolveAction::Keep => true,
        ResolveAction::Retry => false,
        ResolveAction::MoveTo(host) => {
            let endpoint = connection.at(host);
            endpoint.is_some_and(|endpoint| move_to(open, handler, index, endpoint).is_ok())
        }
    }
}

/// Makes the attempts that libzmq does not make. True if there was one.
fn reconnect_abandoned<H: SocketHandler>(open: &mut OpenSocket, handler: &mut H) -> bool {
    let connections = &mut open.connections;
    let longest_pause = connections.longest_pause;
    let mut cut_off = Vec::new();
    for connection in &mut connections.outgoing {
        let is_lost = connection.endpoint.is_some() && !connection.info.is_connected();
        if let (true, Some(resolver)) = (is_lost, &mut connection.resolver) {
            resolver.restart_if_due();
        }
        // libzmq does not retry after the peer violated the protocol.
        if connection.take_abandoned(ABANDONED_AFTER) {
            connection.attempt_failed(longest_pause);
            cut_off.push(connection.info.address.clone());
        }
    }
    for address in cut_off {
        connections.report_cut_off(&address);
    }
    let mut attempted = false;
    for index in 0..open.connections.outgoing.len() {
        if open.connections.outgoing[index].is_attempt_due() {
            attempted = true;
            let outcome = attempt(open, handler, index);
            let connection = &mut open.connections.outgoing[index];
            connection.attempted();
            if outcome.is_err() {
                connection.attempt_failed(longest_pause);
            }
        }
    }
    attempted
}

/// Makes the next attempt.
fn attempt<H: SocketHandler>(open: &mut OpenSocket, handler: &mut H, index: usize) -> Result<()> {
    let connection = &open.connections.outgoing[index];
    let alternatives = connection.has_alternatives();
    match (connection.endpoint.clone(), connection.next_endpoint()) {
        (Some(current), Some(next)) if current != next => {
            move_to(open, handler, index, next)?;
            open.connections.outgoing[index].info.attempts += 1;
            Ok(())
        }
        (Some(current), _) => {
            if open.connections.was_established(&current) {
                handler.take_unread(open);
            }
            open.connections
                .renew(&mut open.socket, &current, alternatives)
        }
        (None, Some(next)) => open.connections.attach(&mut open.socket, index, next),
        (None, None) => Ok(()),
    }
}

/// Connects to another endpoint instead.
fn move_to<H: SocketHandler>(
    open: &mut OpenSocket,
    handler: &mut H,
    index: usize,
    endpoint: Endpoint,
) -> Result<()> {
    if open.connections.outgoing[index].was_established() {
        handler.take_unread(open);
    }
    open.connections.detach(&mut open.socket, index)?;
    open.connections.attach(&mut open.socket, index, endpoint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{apply_resolution, maintain_connections, Maintained, OpenSocket};
    use crate::net::connection::outgoing::OutgoingConnection;
    use crate::net::connection::state::ConnectionState;
    use crate::net::subscriber::queue::ReceiveQueue;
    use crate::net::subscription::set::SubscriptionSet;
    use crate::net::zmq::options::{ConnectionOptions, SocketOptions};
    use crate::wire::endpoint::{self, Endpoint, Host, Role};
    use crate::wire::message::Framing;
    use std::time::Duration;

    const LONGEST: Duration = Duration::from_secs(1);

    fn open() -> (OpenSocket, ReceiveQueue) {
        let options = SocketOptions {
            high_water_mark: 1,
            max_inbound_bytes: 1,
            linger: Duration::ZERO,
            connection: ConnectionOptions {
                keepalive: None,
                reconnect_max: LONGEST,
                batch_bytes: 8_192,
            },
            event_owner: None,
        };
        let open = OpenSocket::open(zmq::SUB, &options).unwrap();
        let set = SubscriptionSet::new(Framing::Plain, false);
        (open, ReceiveQueue::new(set))
    }

    #[test]
    fn an_attempt_that_fails_is_repeated() {
        let (mut open, mut queue) = open();
        // libzmq rejects it: the path is too long for a socket.
        let too_long = Endpoint::Ipc("x".repeat(200));
        let mut connection = OutgoingConnection::new(too_long.clone());
        connection.endpoint = Some(too_long);
        open.connections.outgoing.push(connection);
        let mut maintained = |open: &mut OpenSocket| {
            open.connections.outgoing[0].make_due();
            let Maintained { changed, pending } = maintain_connections(open, &mut queue);
            (changed, pending)
        };
        for failures in 1..4 {
            assert_eq!(maintained(&mut open), (true, true));
            assert_eq!(open.connections.outgoing[0].failures(), failures);
        }
        let good = Endpoint::Ipc("reconnect-test".into());
        let connection = &mut open.connections.outgoing[0];
        connection.set_candidates(vec![good.clone()]);
        connection.endpoint = Some(good);
        assert_eq!(maintained(&mut open), (true, false));
    }

    #[test]
    fn attempts_try_the_addresses_of_a_name_in_turn() {
        let (mut open, mut queue) = open();
        let requested = endpoint::parse("lab-pc:1", Role::Connect).unwrap();
        open.connections
            .outgoing
            .push(OutgoingConnection::new(requested));
        let hosts = [1, 2, 3].map(|last| Host::V4([127, 0, 0, last].into()));
        assert!(apply_resolution(&mut open, &mut queue, 0, &hosts));
        let typed = |open: &OpenSocket| {
            let endpoint = open.connections.outgoing[0].endpoint.as_ref();
            endpoint.unwrap().typed()
        };
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(typed(&open));
            let connection = &mut open.connections.outgoing[0];
            assert_eq!(connection.info.state, ConnectionState::Connecting);
            connection.retries(LONGEST);
            connection.make_due();
            maintain_connections(&mut open, &mut queue);
        }
        assert_eq!(
            seen,
            ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "127.0.0.1:1"]
        );
        // After a loss, the address that worked is tried first, then the next one.
        let connection = &mut open.connections.outgoing[0];
        connection.mark_connected();
        connection.mark_disconnected();
        connection.retries(LONGEST);
        for expected in ["127.0.0.2:1", "127.0.0.3:1"] {
            open.connections.outgoing[0].make_due();
            maintain_connections(&mut open, &mut queue);
            assert_eq!(typed(&open), expected);
            open.connections.outgoing[0].retries(LONGEST);
        }
        // The name has another address now.
        let moved = [Host::V4([127, 0, 0, 9].into())];
        assert!(apply_resolution(&mut open, &mut queue, 0, &moved));
        assert_eq!(typed(&open), "127.0.0.9:1");
    }
}
