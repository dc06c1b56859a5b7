//! The connections that peers made to a bound socket.

use crate::net::connection::disconnect_reason::{self, DisconnectProbe};
use crate::net::connection::state::{ConnectionInfo, ConnectionState};
use crate::net::zmq::monitor::{Failure, ReportedConnection};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// How long failed handshakes of one host are not reported again, and for how many hosts they are
/// reported.
const FAILURE_PERIOD: Duration = Duration::from_secs(60);
const FAILURE_HOSTS: usize = 16;

/// How long connections from the address of a peer that was cut off are refused. Many peers may
/// share an address behind a router. All programs of this host share the loopback address.
const REFUSAL: Duration = Duration::from_secs(10);
const LOOPBACK_REFUSAL: Duration = Duration::from_secs(2);

/// How many addresses are refused at a time. Beyond that, the refusal that ends first is lifted.
const MAX_REFUSED: usize = 1_024;

/// A connection that ended.
pub(crate) enum Ended {
    /// It was established.
    Connection {
        address: String,
        /// libzmq ended it because the peer violated the protocol.
        cut_off: bool,
    },
    /// Its handshake failed; the reason, if libzmq reported one.
    Handshake {
        address: String,
        failure: Option<Failure>,
    },
}

/// The connections that peers made.
#[derive(Debug, Default)]
pub(crate) struct IncomingConnections {
    /// By descriptor.
    accepted: HashMap<i32, ConnectionInfo>,
    /// Of connections that messages are received from. A publisher has too many peers to afford a
    /// second descriptor for each.
    probes: HashMap<i32, DisconnectProbe>,
    /// Addresses whose connections are refused, and until when.
    refused: HashMap<IpAddr, Instant>,
    /// The reasons of failed handshakes, by peer, until their connections end.
    failures: HashMap<String, Failure>,
    /// When the failed handshakes of a host were last reported.
    reported: HashMap<String, Instant>,
}

impl IncomingConnections {
    /// Adds a connection that a peer opened; `probe` keeps a second descriptor.
    pub(crate) fn opened(&mut self, connection: &ReportedConnection, probe: bool) {
        let remote = typed(&connection.remote);
        let descriptor = connection.descriptor;
        if let Some(probe) = probe
            .then(|| DisconnectProbe::of(descriptor, remote))
            .flatten()
        {
            self.probes.insert(descriptor, probe);
        }
        let info = ConnectionInfo::new(remote.to_owned(), ConnectionState::Connecting);
        self.accepted.insert(descriptor, info);
    }

    /// Records that the handshake with a peer succeeded. Returns the peer's address, if it is known.
    pub(crate) fn established(&mut self, remote: &str) -> Option<String> {
        let new = |info: &&mut ConnectionInfo| {
            info.state == ConnectionState::Connecting && info.address == typed(remote)
        };
        let info = self.accepted.values_mut().find(new)?;
        info.set_state(ConnectionState::Connected);
        info.attempts = 0;
        Some(info.address.clone())
    }

    /// Records that the handshake with a peer failed. The end of its connection is reported next.
    pub(crate) fn handshake_failed(&mut self, remote: &str, failure: Failure) {
        self.failures.insert(typed(remote).to_owned(), failure);
    }

    /// Removes a connection that ended; `None` if it is unknown.
    pub(crate) fn closed(&mut self, connection: &ReportedConnection) -> Option<Ended> {
        let failure = self.failures.remove(typed(&connection.remote));
        let probe = self.probes.remove(&connection.descriptor);
        let info = self.accepted.remove(&connection.descriptor)?;
        Some(if info.is_connected() {
            Ended::Connection {
                address: info.address,
                cut_off: probe.is_some_and(|probe| probe.was_cut_off()),
            }
        } else {
            Ended::Handshake {
                address: info.address,
                failure,
            }
        })
    }

    /// Whether a failed handshake with this peer is to be reported. One host is reported once a
    /// period.
    pub(crate) fn reports_failure_of(&mut self, address: &str) -> bool {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let is_recent = |at: &Instant| at.elapsed() < FAILURE_PERIOD;
        if self.reported.len() >= FAILURE_HOSTS {
            self.reported.retain(|_, at| is_recent(at));
        }
        let known = self.reported.get(host).is_some_and(is_recent);
        if known || self.reported.len() >= FAILURE_HOSTS {
            return false;
        }
        self.reported.insert(host.to_owned(), Instant::now());
        true
    }

    pub(crate) fn get(&self, descriptor: i32) -> Option<&ConnectionInfo> {
        self.accepted.get(&descriptor)
    }

    /// All connections, the oldest first.
    pub(crate) fn infos(&self) -> Vec<ConnectionInfo> {
        let mut infos: Vec<_> = self.accepted.values().cloned().collect();
        infos.sort_by_key(|info| info.since_ns);
        infos
    }

    /// How many connections are established.
    pub(crate) fn connected(&self) -> usize {
        let infos = self.accepted.values();
        infos.filter(|info| info.is_connected()).count()
    }

    /// Whether any connection is established.
    pub(crate) fn any_connected(&self) -> bool {
        self.accepted.values().any(ConnectionInfo::is_connected)
    }

    /// Refuses the address of this peer for a while; the address and for how long. `None` for a peer
    /// that did not connect over TCP.
    pub(crate) fn refuse(&mut self, descriptor: i32, address: &str) -> Option<(IpAddr, Duration)> {
        let ip = ip_of(address).filter(|_| self.accepted.contains_key(&descriptor))?;
        let time = if ip.is_loopback() {
            LOOPBACK_REFUSAL
        } else {
            REFUSAL
        };
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        if self.refused.len() >= MAX_REFUSED {
            let first = self.refused.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(ip, _)| *ip) {
                self.refused.remove(&first);
            }
        }
        self.refused.insert(ip, now + time);
        Some((ip, time))
    }

    /// Shuts down a new connection if its address is refused; true if it was.
    pub(crate) fn shut_down_if_refused(&self, connection: &ReportedConnection) -> bool {
        let remote = typed(&connection.remote);
        let is_refused = |ip: IpAddr| {
            let until = self.refused.get(&ip);
            until.is_some_and(|until| *until > Instant::now())
        };
        connection.accepted
            && ip_of(remote).is_some_and(is_refused)
            && disconnect_reason::shut_down(connection.descriptor, remote, &[])
    }
}

/// The host of a numeric TCP address.
fn ip_of(address: &str) -> Option<IpAddr> {
    let address: SocketAddr = address.parse().ok()?;
    Some(address.ip().to_canonical())
}

/// `tcp://1.2.3.4:5` as a person types it.
fn typed(remote: &str) -> &str {
    remote.strip_prefix("tcp://").unwrap_or(remote)
}
