//! Why a receive timed out: the text of its `TimeoutError`.
//!
//! libzmq reports that a connection failed, but not why. The reason comes from a connection attempt of
//! our own, which is repeated once a second at most. It takes a small part of the time that the caller
//! has waited: short receives stay short, and an event loop does not stop.

use crate::error::{Error, Result};
use crate::net::connection::bound_endpoint;
use crate::net::connection::state::ConnectionState;
use crate::net::socket::shared_socket::SharedSocket;
use crate::net::subscriber::queue::ReceiveQueue;
use crate::util::sync::lock;
use crate::util::text::list_first;
use crate::wire::endpoint::{Endpoint, Host, Port};
use crate::wire::subscription::Subscription;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV6, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// The longest and the shortest time that the attempts of one text may take together.
const MAX_PROBE: Duration = Duration::from_millis(50);
const MIN_PROBE: Duration = Duration::from_millis(1);

/// The attempts may take this part of the time that the caller waited: one twentieth.
const PROBE_DIVISOR: u32 = 20;

/// How long the reason of a failed connection is reused.
const REUSE: Duration = Duration::from_secs(1);

/// Why a connection is not established.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The name has not been resolved.
    NotResolved,
    /// No program listens on the port.
    Refused,
    /// There is no route, or no host has the address.
    Unreachable,
    /// The host did not answer in time.
    NoAnswer,
    /// The port accepts, but no ZeroMQ handshake was completed.
    NoHandshake,
    /// A firewall of this host forbids the connection.
    Forbidden,
    /// The file of an `ipc://` address does not exist.
    NoFile,
    /// No object of this process is bound to the `inproc://` name.
    NotBound,
    Unknown,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Self::NotResolved => "name not found",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::NoAnswer => "no answer",
            Self::NoHandshake => "the port accepts, but no ZeroMQ handshake was completed",
            Self::Forbidden => "forbidden by a firewall",
            Self::NoFile => "no such file",
            Self::NotBound => "not bound in this program",
            Self::Unknown => "no answer yet",
        }
    }

    const fn remedy(self) -> &'static str {
        match self {
            Self::NotResolved => {
                "check the spelling, or use the IP address (run `zmqchat ip` on that host)"
            }
            Self::Refused => {
                "no program listens on that port; start the publisher, or check address and port"
            }
            Self::Unreachable => "check the address, and that both hosts are on the same network",
            Self::NoAnswer => "check the address, and the firewall of that host",
            Self::NoHandshake => "check that the program on that port is a publisher",
            Self::Forbidden => "allow the connection in the firewall of this host",
            Self::NoFile => "start the publisher, or check the path",
            Self::NotBound => "bind a publisher to that name in the same process",
            Self::Unknown => "check address, port and firewall",
        }
    }

    fn of(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::ConnectionRefused | ErrorKind::ConnectionReset => Self::Refused,
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::NoAnswer,
            ErrorKind::PermissionDenied => Self::Forbidden,
            ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::AddrNotAvailable => Self::Unreachable,
            _ => Self::Unknown,
        }
    }
}

/// What waited until the timeout.
#[derive(Debug, Clone, Copy)]
pub enum WaitKind {
    /// A thread, for this long.
    Thread(Duration),
    /// A task of an event loop, whose other tasks wait while the text is created.
    Task,
}

impl WaitKind {
    /// How long the connection attempts of one text may take together.
    fn probe_time(self) -> Duration {
        match self {
            Self::Thread(waited) => (waited / PROBE_DIVISOR).clamp(MIN_PROBE, MAX_PROBE),
            Self::Task => MIN_PROBE,
        }
    }
}

/// A connection that is not established.
struct Missing {
    /// The address as the user wrote it.
    typed: String,
    /// The endpoint to connect to; `None` while its name is not resolved.
    endpoint: Option<Endpoint>,
}

/// The state of a subscriber at the timeout.
struct Situation {
    subscriptions: Vec<Subscription>,
    connected: Vec<String>,
    missing: Vec<Missing>,
    /// Other threads and tasks that wait for a message.
    waiters: usize,
}

impl Situation {
    fn of(shared: &SharedSocket<ReceiveQueue>) -> Result<Self> {
        let mut entered = shared.enter()?;
        let waiters = entered.waiter_count();
        let (socket, queue) = entered.parts()?;
        socket.read_events(|_| {});
        let mut connected = Vec::new();
        let mut missing = Vec::new();
        for peer in socket
            .connections
            .infos()
            .into_iter()
            .skip(socket.connections.outgoing.len())
        {
            if peer.state == ConnectionState::Connected {
                connected.push(peer.address);
            }
        }
        for connection in &socket.connections.outgoing {
            let typed = connection.info.address.clone();
            if connection.info.state == ConnectionState::Connected {
                connected.push(typed);
            } else {
                let wanted = connection.requested().clone();
                let has_name = matches!(
                    wanted,
                    Endpoint::Tcp {
                        host: Host::Name(_),
                        ..
                    }
                );
                let endpoint = if has_name {
                    connection.endpoint.clone()
                } else {
                    Some(wanted)
                };
                missing.push(Missing { typed, endpoint });
            }
        }
        Ok(Self {
            subscriptions: queue.subscriptions.list(),
            connected,
            missing,
            waiters,
        })
    }
}

/// When reasons were found, and what they are.
type FoundReasons = (Instant, Vec<(Endpoint, Reason)>);

/// Explains the timeouts of one subscriber.
#[derive(Debug, Default)]
pub(crate) struct TimeoutCause {
    found: Mutex<Option<FoundReasons>>,
}

impl TimeoutCause {
    /// Why no message arrived, and what to do. `bound` are the endpoints that the subscriber is bound
    /// to. `taken` counts the messages that other consumers received during the wait.
    /// `names_waiters`: whether consumers that still wait are a possible cause.
    pub(crate) fn no_message(
        &self,
        shared: &SharedSocket<ReceiveQueue>,
        bound: &[String],
        taken: u64,
        names_waiters: bool,
        wait: WaitKind,
    ) -> String {
        let situation = match Situation::of(shared) {
            Ok(situation) => situation,
            Err(error) => return error.to_string(),
        };
        let Situation {
            subscriptions,
            connected,
            missing,
            waiters,
        } = situation;
        if subscriptions.is_empty() {
            return "this subscriber has no subscriptions; call subscribe(\"room1\"), or omit topics= \
                    to receive everything"
                .into();
        }
        if taken > 0 {
            let messages = if taken == 1 { "message" } else { "messages" };
            return format!(
                "another consumer of this subscriber (a watch, a listen, another thread or task) \
                 received {taken} {messages} during the wait; use one consumer, or one subscriber \
                 for each"
            );
        }
        if connected.is_empty() {
            if !missing.is_empty() {
                return self.not_connected(&missing, wait);
            }
            if bound.is_empty() {
                return "this subscriber is not connected to an address; call connect with the address \
                        of a publisher"
                    .into();
            }
            return format!(
                "no publisher has connected to {}; check the address that publishers connect to, and \
                 the firewall of this host",
                addresses(bound)
            );
        }
        let mut text = format!(
            "connected to {}, but {}",
            list_first(&connected),
            nothing_published(&subscriptions)
        );
        if names_waiters && waiters > 0 {
            text.push_str(
                "; another consumer (a watch, a listen, another thread or task) is waiting, too, and \
                 each message is delivered to one of them",
            );
        }
        if !missing.is_empty() {
            text.push_str("; ");
            text.push_str(&self.not_connected(&missing, wait));
        }
        text
    }

    /// The error for connections that were not established in time: `seen` of `count` were.
    pub(crate) fn too_few_connections(
        &self,
        shared: &SharedSocket<ReceiveQueue>,
        bound: &[String],
        seen: usize,
        count: usize,
        wait: WaitKind,
    ) -> Error {
        let missing = Situation::of(shared).map(|situation| situation.missing);
        let cause = match missing {
            Ok(missing) if !missing.is_empty() => self.not_connected(&missing, wait),
            _ if bound.is_empty() => "call connect with further addresses".into(),
            _ => format!(
                "check that publishers connect to {}, and the firewall of this host",
                addresses(bound)
            ),
        };
        let plural = if count == 1 { "" } else { "s" };
        Error::Timeout(format!(
            "{seen} of {count} connection{plural} established within the timeout (see peers): {cause}"
        ))
    }

    fn not_connected(&self, missing: &[Missing], wait: WaitKind) -> String {
        let reasons = self.reasons(missing, wait.probe_time());
        let explained: Vec<String> = missing
            .iter()
            .zip(&reasons)
            .map(|(missing, reason)| format!("{} ({})", missing.typed, reason.as_str()))
            .collect();
        let remedy = match reasons.first() {
            Some(first) if reasons.iter().all(|reason| reason == first) => first.remedy(),
            _ => "check addresses, ports and firewalls",
        };
        format!("not connected to {}: {remedy}", list_first(&explained))
    }

    /// The reason of each missing connection. The attempts take no longer than `within` together.
    fn reasons(&self, missing: &[Missing], within: Duration) -> Vec<Reason> {
        // Not locked during the attempts: another thread may have less time.
        let previous = lock(&self.found).take();
        let current = previous.filter(|(at, _)| at.elapsed() < REUSE);
        let (at, mut found) = current.unwrap_or_else(|| (Instant::now(), Vec::new()));
        let deadline = Instant::now() + within;
        let reasons = missing
            .iter()
            .map(|missing| {
                let Some(endpoint) = &missing.endpoint else {
                    return Reason::NotResolved;
                };
                if let Some((_, reason)) = found.iter().find(|(known, _)| known == endpoint) {
                    return *reason;
                }
                let reason = probe(endpoint, deadline.saturating_duration_since(Instant::now()));
                found.push((endpoint.clone(), reason));
                reason
            })
            .collect();
        *lock(&self.found) = Some((at, found));
        reasons
    }
}

/// Tries to connect to `endpoint` for no longer than `within`, and returns why that fails.
fn probe(endpoint: &Endpoint, within: Duration) -> Reason {
    let (host, port) = match endpoint {
        Endpoint::Inproc(_) => return Reason::NotBound,
        Endpoint::Ipc(path) if path.starts_with('@') => return Reason::Unknown,
        Endpoint::Ipc(path) => {
            let exists = Path::new(path).exists();
            return if exists {
                Reason::Unknown
            } else {
                Reason::NoFile
            };
        }
        Endpoint::Tcp { host, port } => (host, port),
    };
    let Port::Number(port) = *port else {
        return Reason::Unknown;
    };
    let address = match host {
        Host::V4(address) => SocketAddr::from((*address, port)),
        Host::V6 {
            address,
            zone: None,
        } => SocketAddr::V6(SocketAddrV6::new(*address, port, 0, 0)),
        _ => return Reason::Unknown,
    };
    if within.is_zero() {
        return Reason::Unknown;
    }
    match TcpStream::connect_timeout(&address, within) {
        // TCP may by chance connect a socket to itself, where no program listens.
        Ok(stream) if stream.local_addr().ok() == Some(address) => Reason::Refused,
        Ok(_) => Reason::NoHandshake,
        // So short an attempt may end before a refusal arrives.
        Err(error) if error.kind() == ErrorKind::TimedOut && within < MAX_PROBE => Reason::Unknown,
        Err(error) => Reason::of(&error),
    }
}

/// The addresses at which other hosts reach these endpoints, for an error.
fn addresses(bound: &[String]) -> String {
    let reachable = bound
        .iter()
        .flat_map(|endpoint| bound_endpoint::reachable(endpoint));
    list_first(&reachable.collect::<Vec<_>>())
}

/// That no message was published for these subscriptions.
fn nothing_published(subscriptions: &[Subscription]) -> String {
    let is_everything =
        |one: &Subscription| matches!(one, Subscription::Prefix(prefix) if prefix.is_empty());
    if subscriptions.iter().any(is_everything) {
        return "no message was published".into();
    }
    let named: Vec<String> = subscriptions.iter().map(Subscription::describe).collect();
    let is_topic = |one: &Subscription| matches!(one, Subscription::Topic(_));
    let hint = if subscriptions.iter().any(is_topic) {
        " (topics match exactly)"
    } else {
        ""
    };
    format!("no message arrived for {}{hint}", list_first(&named))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{nothing_published, probe, Reason, WaitKind};
    use crate::wire::endpoint::{parse, Role};
    use crate::wire::subscription::Subscription;
    use std::net::TcpListener;
    use std::time::Duration;

    fn reason_of(address: &str) -> Reason {
        probe(
            &parse(address, Role::Connect).unwrap(),
            Duration::from_secs(5),
        )
    }

    #[test]
    fn a_connection_attempt_finds_the_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(reason_of(&address), Reason::NoHandshake);
        drop(listener);
        assert_eq!(reason_of(&address), Reason::Refused);
        assert_eq!(reason_of("inproc://timeout-cause"), Reason::NotBound);
        assert_eq!(reason_of("ipc:///nowhere/at/all"), Reason::NoFile);
    }

    #[test]
    fn connection_attempts_take_a_small_part_of_the_wait() {
        let after = |milliseconds| {
            let waited = Duration::from_millis(milliseconds);
            WaitKind::Thread(waited).probe_time()
        };
        assert_eq!(after(0), Duration::from_millis(1));
        assert_eq!(after(200), Duration::from_millis(10));
        assert_eq!(after(60_000), Duration::from_millis(50));
        assert_eq!(WaitKind::Task.probe_time(), Duration::from_millis(1));
    }

    #[test]
    fn the_cause_names_the_subscriptions() {
        let topic = Subscription::Topic("room1".into());
        let prefix = Subscription::Prefix(b"log".to_vec());
        assert_eq!(
            nothing_published(&[topic.clone(), prefix.clone()]),
            "no message arrived for 'room1', the prefix 'log' (topics match exactly)"
        );
        assert_eq!(
            nothing_published(&[prefix]),
            "no message arrived for the prefix 'log'"
        );
        assert_eq!(
            nothing_published(&[topic, Subscription::Prefix(Vec::new())]),
            "no message was published"
        );
    }
}
