//! Why a receive timed out: the text of its `TimeoutError`.
//!
//! libzmq reports that a connection failed, but not why. So the reason comes from a connection
//! attempt of our own. It is repeated after `FRESH` at the earliest, and takes a small part of the
//! time that the caller has waited anyway: short receives must not become long, and an event loop
//! must not stop.

use crate::error::Error;
use crate::net::connection::state::State;
use crate::net::subscriber::Subscriber;
use crate::wire::endpoint::{Endpoint, Host, Port};
use crate::wire::quote;
use crate::wire::subscription::Subscription;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV6, TcpStream};
use std::path::Path;
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The longest and the shortest time that the attempts of one text may take together.
const PROBE: Duration = Duration::from_millis(50);
const SHORTEST_PROBE: Duration = Duration::from_millis(1);

/// The attempts take one such part of the time that the caller waited.
const PART: u32 = 20;

/// How long a reason is taken for the current one.
const FRESH: Duration = Duration::from_secs(1);

/// How many addresses or subscriptions a text names.
const NAMED: usize = 5;

/// Why there is no connection to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its name has no address, as far as is known by now.
    NotResolved,
    /// No program listens there.
    Refused,
    /// There is no route, or no host has the address.
    Unreachable,
    /// Nothing came back.
    NoAnswer,
    /// The port accepts, but no ZeroMQ handshake was completed.
    NoHandshake,
    /// A firewall of this host forbids it.
    Forbidden,
    /// The file of an `ipc://` address does not exist.
    NoFile,
    /// No object of this process is bound to the `inproc://` name.
    NotBound,
    /// Not found out.
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
            Self::NotResolved => "check the spelling, or use the IP address (there: zmqchat ip)",
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

/// The reasons that were found last, and when.
#[derive(Debug, Default)]
pub(crate) struct Known(Option<(Instant, Vec<(Endpoint, Reason)>)>);

/// What waited until the timeout.
#[derive(Debug, Clone, Copy)]
pub enum Waiter {
    /// A thread, for this long.
    Thread(Duration),
    /// A task of an event loop, whose other tasks wait while the text is made.
    Task,
}

impl Waiter {
    /// How long the attempts of one text may take together.
    fn probe(self) -> Duration {
        match self {
            Self::Thread(waited) => (waited / PART).clamp(SHORTEST_PROBE, PROBE),
            Self::Task => SHORTEST_PROBE,
        }
    }
}

/// A connection that is not established.
struct Missing {
    typed: String,
    /// What is connected to; `None` while its name is not resolved.
    endpoint: Option<Endpoint>,
}

/// The state of the subscriber at the timeout.
struct Situation {
    subscriptions: Vec<Subscription>,
    connected: Vec<String>,
    missing: Vec<Missing>,
    /// Other threads and tasks that wait.
    others: usize,
}

impl Subscriber {
    /// The text of a receive's timeout. `taken` counts the messages that arrived during the wait, and
    /// that another consumer took. A thread that waited itself `looks_for_others`: a task's own place
    /// is still taken then.
    #[must_use]
    pub fn nothing_came(&self, taken: u64, waiter: Waiter) -> String {
        let looks_for_others = matches!(waiter, Waiter::Thread(_));
        let cause = self.timeout_cause(taken, looks_for_others, waiter);
        format!("no message arrived within the timeout: {cause}")
    }

    /// Why no message arrived, and what to do. The arguments are those of `nothing_came`; a caller
    /// that is itself among the consumers does not look for others.
    #[must_use]
    pub fn timeout_cause(&self, taken: u64, looks_for_others: bool, waiter: Waiter) -> String {
        match self.situation() {
            Ok(situation) => {
                let others = looks_for_others && situation.others > 0;
                self.cause(situation, taken, others, waiter)
            }
            Err(error) => error.to_string(),
        }
    }

    /// The error for connections that were not established in time.
    #[must_use]
    pub fn too_few(&self, seen: usize, count: usize, waiter: Waiter) -> Error {
        let missing = self.situation().map(|situation| situation.missing);
        let cause = match missing {
            Ok(missing) if !missing.is_empty() => self.not_connected(&missing, waiter),
            _ if self.endpoints().is_empty() => "call connect with further addresses".into(),
            _ => format!(
                "check that publishers connect to {}, and the firewall of this host",
                some(&self.addresses())
            ),
        };
        let plural = if count == 1 { "" } else { "s" };
        Error::Timeout(format!(
            "{seen} of {count} connection{plural} established within the timeout (see peers): {cause}"
        ))
    }

    fn situation(&self) -> Result<Situation, Error> {
        let mut entered = self.owner.enter()?;
        let others = entered.slot.waiters.len();
        let (live, inbox) = entered.parts()?;
        live.read_happenings(|_| {});
        let mut connected = Vec::new();
        let mut missing = Vec::new();
        for peer in live.all_peers().into_iter().skip(live.links.len()) {
            if peer.state == State::Connected {
                connected.push(peer.address);
            }
        }
        for link in &live.links {
            let typed = link.peer.address.clone();
            if link.peer.state == State::Connected {
                connected.push(typed);
            } else {
                let wanted = link.wanted().clone();
                let named = matches!(
                    wanted,
                    Endpoint::Tcp {
                        host: Host::Name(_),
                        ..
                    }
                );
                let endpoint = if named {
                    link.connected.clone()
                } else {
                    Some(wanted)
                };
                missing.push(Missing { typed, endpoint });
            }
        }
        Ok(Situation {
            subscriptions: inbox.filter.subscriptions(),
            connected,
            missing,
            others,
        })
    }

    fn cause(&self, situation: Situation, taken: u64, others: bool, waiter: Waiter) -> String {
        let Situation {
            subscriptions,
            connected,
            missing,
            ..
        } = situation;
        if subscriptions.is_empty() {
            return "this subscriber is subscribed to nothing; call subscribe(\"room1\"), or make it \
                    without topics= to receive everything"
                .into();
        }
        if taken > 0 {
            let messages = if taken == 1 { "message" } else { "messages" };
            return format!(
                "{taken} {messages} arrived meanwhile, and another consumer of this subscriber took \
                 {them} (a watch, a listen, another thread or task); use one consumer, or a \
                 subscriber for each",
                them = if taken == 1 { "it" } else { "them" },
            );
        }
        if connected.is_empty() {
            if !missing.is_empty() {
                return self.not_connected(&missing, waiter);
            }
            if self.endpoints().is_empty() {
                return "this subscriber is connected to nothing; call connect with the address of \
                        a publisher"
                    .into();
            }
            let at = self.addresses();
            return format!(
                "no publisher has connected to {}; check the address that they use, and the firewall of \
                 this host",
                some(&at)
            );
        }
        let mut text = format!(
            "connected to {}, but {}",
            some(&connected),
            sent(&subscriptions)
        );
        if others {
            text.push_str(
                "; another consumer (a watch, a listen, another thread or task) waits as well, and \
                 each message goes to one of them",
            );
        }
        if !missing.is_empty() {
            text.push_str("; ");
            text.push_str(&self.not_connected(&missing, waiter));
        }
        text
    }

    fn not_connected(&self, missing: &[Missing], waiter: Waiter) -> String {
        let reasons = self.reasons(missing, waiter.probe());
        let places: Vec<String> = missing
            .iter()
            .zip(&reasons)
            .map(|(missing, reason)| format!("{} ({})", missing.typed, reason.as_str()))
            .collect();
        let remedy = match reasons.first() {
            Some(first) if reasons.iter().all(|reason| reason == first) => first.remedy(),
            _ => "check addresses, ports and firewalls",
        };
        format!("not connected to {}: {remedy}", some(&places))
    }

    /// Why each of them is missing, from attempts that take no longer than `within` together.
    fn reasons(&self, missing: &[Missing], within: Duration) -> Vec<Reason> {
        // Not locked during the attempts: another thread may have less time.
        let known = std::mem::take(&mut *self.known_reasons());
        let fresh = known.0.filter(|(at, _)| at.elapsed() < FRESH);
        let (at, mut found) = fresh.unwrap_or_else(|| (Instant::now(), Vec::new()));
        let ends = Instant::now() + within;
        let reasons = missing
            .iter()
            .map(|missing| {
                let Some(endpoint) = &missing.endpoint else {
                    return Reason::NotResolved;
                };
                if let Some((_, reason)) = found.iter().find(|(known, _)| known == endpoint) {
                    return *reason;
                }
                let reason = reason(endpoint, ends.saturating_duration_since(Instant::now()));
                found.push((endpoint.clone(), reason));
                reason
            })
            .collect();
        self.known_reasons().0 = Some((at, found));
        reasons
    }

    fn known_reasons(&self) -> MutexGuard<'_, Known> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no connection to `endpoint`, from an attempt that takes no longer than `within`.
fn reason(endpoint: &Endpoint, within: Duration) -> Reason {
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
    let place = match host {
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
    match TcpStream::connect_timeout(&place, within) {
        // TCP may by chance connect a socket to itself, where no program listens.
        Ok(stream) if stream.local_addr().ok() == Some(place) => Reason::Refused,
        Ok(_) => Reason::NoHandshake,
        // A refusal may be on its way.
        Err(error) if error.kind() == ErrorKind::TimedOut && within < PROBE => Reason::Unknown,
        Err(error) => Reason::of(&error),
    }
}

/// The first of them, and how many more there are.
pub(crate) fn some(all: &[String]) -> String {
    let text = all[..all.len().min(NAMED)].join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

/// What was not sent, although it was subscribed to.
fn sent(subscriptions: &[Subscription]) -> String {
    let is_all =
        |one: &Subscription| matches!(one, Subscription::Prefix(prefix) if prefix.is_empty());
    if subscriptions.iter().any(is_all) {
        return "no message was sent there".into();
    }
    let named: Vec<String> = subscriptions
        .iter()
        .map(|one| match one {
            Subscription::Topic(topic) => quote(topic),
            Subscription::Prefix(prefix) => {
                format!("the prefix {}", quote(&String::from_utf8_lossy(prefix)))
            }
        })
        .collect();
    let exact = subscriptions
        .iter()
        .any(|one| matches!(one, Subscription::Topic(_)));
    let hint = if exact { " (topics match exactly)" } else { "" };
    format!("nothing arrived for {}{hint}", some(&named))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{reason, sent, some, Reason, Waiter};
    use crate::wire::endpoint::{parse, Role};
    use crate::wire::subscription::Subscription;
    use std::net::TcpListener;
    use std::time::Duration;

    fn reason_of(address: &str) -> Reason {
        reason(
            &parse(address, Role::Connect).unwrap(),
            Duration::from_secs(5),
        )
    }

    #[test]
    fn an_attempt_gives_the_reason() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        assert_eq!(reason_of(&address), Reason::NoHandshake);
        drop(listener);
        assert_eq!(reason_of(&address), Reason::Refused);
        assert_eq!(reason_of("inproc://timeout-cause"), Reason::NotBound);
        assert_eq!(reason_of("ipc:///nowhere/at/all"), Reason::NoFile);
    }

    #[test]
    fn attempts_take_a_small_part_of_the_wait() {
        let after = |milliseconds| Waiter::Thread(Duration::from_millis(milliseconds)).probe();
        assert_eq!(after(0), Duration::from_millis(1));
        assert_eq!(after(200), Duration::from_millis(10));
        assert_eq!(after(60_000), Duration::from_millis(50));
        assert_eq!(Waiter::Task.probe(), Duration::from_millis(1));
    }

    #[test]
    fn long_lists_are_cut() {
        let all: Vec<String> = (0..7).map(|number| number.to_string()).collect();
        assert_eq!(some(&all), "0, 1, 2, 3, 4 and 2 more");
        assert_eq!(some(&all[..1]), "0");
    }

    #[test]
    fn subscriptions_are_named() {
        let topic = Subscription::Topic("room1".into());
        let prefix = Subscription::Prefix(b"log".to_vec());
        assert_eq!(
            sent(&[topic.clone(), prefix.clone()]),
            "nothing arrived for 'room1', the prefix 'log' (topics match exactly)"
        );
        assert_eq!(sent(&[prefix]), "nothing arrived for the prefix 'log'");
        assert_eq!(
            sent(&[topic, Subscription::Prefix(Vec::new())]),
            "no message was sent there"
        );
    }
}
