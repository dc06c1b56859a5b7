//! One connection that the user requested.
//!
//! libzmq reconnects by itself, except after a failed handshake and after the peer violated the
//! protocol, which includes a message above the size limit. Then the next attempt is made here, with
//! pauses that grow until a connection lasts.
//!
//! A name may have several addresses. One of them is tried at a time. When an attempt fails, the next
//! address is tried.

use crate::net::connection::resolver::Resolver;
use crate::net::connection::state::{ConnectionInfo, ConnectionState, OutageTimer};
use crate::net::zmq::options::RECONNECT;
use crate::wire::endpoint::{Endpoint, Host};
use std::time::{Duration, Instant};

/// A connection that lasted this long resets the count of failed attempts.
const LASTING: Duration = Duration::from_secs(2);

/// A connection that the user requested.
pub(crate) struct OutgoingConnection {
    /// The endpoint as the user requested it.
    requested: Endpoint,
    /// The endpoint that libzmq was given; `None` while the name is unknown or not bound (`inproc`).
    pub(crate) endpoint: Option<Endpoint>,
    /// The addresses of the name, which are tried in turn; the requested one if it is not a name.
    candidates: Vec<Endpoint>,
    /// How many attempts have failed since a connection lasted.
    failures: u32,
    /// When the next attempt is due, if libzmq does not make it.
    retry_at: Option<Instant>,
    /// Whether all attempts are made here, because there are other addresses to try.
    own_attempts: bool,
    /// The connection was lost, and no attempt has been made since.
    resuming: bool,
    /// When it was last established at this endpoint.
    established: Option<Instant>,
    pub(crate) info: ConnectionInfo,
    /// The descriptor of the established connection, which subscription messages name.
    pub(crate) descriptor: Option<i32>,
    /// When the connection was lost, until libzmq reports that it retries.
    lost_at: Option<Instant>,
    pub(crate) outage: OutageTimer,
    /// Resolves the host name, if the endpoint has one.
    pub(crate) resolver: Option<Resolver>,
    /// The binding of the `inproc` name that it is connected to.
    pub(crate) inproc_binding: Option<u64>,
}

impl OutgoingConnection {
    pub(crate) fn new(requested: Endpoint) -> Self {
        let state = match requested {
            Endpoint::Tcp {
                host: Host::Name(_),
                ..
            } => ConnectionState::Resolving,
            _ => ConnectionState::Connecting,
        };
        let mut info = ConnectionInfo::new(requested.typed(), state);
        if matches!(requested, Endpoint::Inproc(_)) {
            // No attempt is made before the name is bound.
            info.attempts = 0;
        }
        Self {
            info,
            candidates: vec![requested.clone()],
            requested,
            endpoint: None,
            failures: 0,
            retry_at: None,
            own_attempts: false,
            resuming: false,
            established: None,
            descriptor: None,
            lost_at: None,
            outage: OutageTimer::default(),
            resolver: None,
            inproc_binding: None,
        }
    }

    pub(crate) fn requested(&self) -> &Endpoint {
        &self.requested
    }

    /// Whether it is connected to the endpoint of a report.
    pub(crate) fn leads_to(&self, remote: &str) -> bool {
        matches!(&self.endpoint, Some(endpoint) if endpoint.to_string() == remote)
    }

    /// The `inproc` name that it connects to.
    pub(crate) fn inproc_name(&self) -> Option<String> {
        match &self.requested {
            Endpoint::Inproc(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// Whether there are several addresses to try.
    pub(crate) fn has_alternatives(&self) -> bool {
        self.candidates.len() > 1
    }

    /// Whether it was established at the current endpoint, so that messages may have been received.
    pub(crate) fn was_established(&self) -> bool {
        self.established.is_some()
    }

    /// Sets the addresses of the name. If there are none, the previous ones are kept.
    pub(crate) fn set_hosts(&mut self, hosts: &[Host]) {
        if !hosts.is_empty() {
            self.candidates = hosts.iter().filter_map(|host| self.at(host)).collect();
        }
    }

    /// The requested port at this host.
    pub(crate) fn at(&self, host: &Host) -> Option<Endpoint> {
        match self.requested {
            Endpoint::Tcp { port, .. } => Some(Endpoint::Tcp {
                host: host.clone(),
                port,
            }),
            _ => None,
        }
    }

    /// The host that it is connected to, or tries to connect to.
    pub(crate) fn current_host(&self) -> Option<&Host> {
        match &self.endpoint {
            Some(Endpoint::Tcp { host, .. }) => Some(host),
            _ => None,
        }
    }

    /// Records that libzmq connects to this endpoint.
    pub(crate) fn attach(&mut self, endpoint: Endpoint) {
        self.endpoint = Some(endpoint);
        self.own_attempts = self.has_alternatives();
        if self.info.state == ConnectionState::Resolving {
            self.info = ConnectionInfo::new(self.requested.typed(), ConnectionState::Connecting);
        }
    }

    /// Shares the connection of `other`, which leads to the same endpoint.
    pub(crate) fn share(&mut self, other: &Shared) {
        self.endpoint = Some(other.endpoint.clone());
        self.own_attempts = other.own_attempts;
        self.resuming = other.resuming;
        self.retry_at = other.retry_at;
        self.descriptor = other.descriptor;
        self.lost_at = other.lost_at;
        let address = std::mem::take(&mut self.info.address);
        self.info = ConnectionInfo {
            address,
            ..other.info.clone()
        };
    }

    /// What another connection to the same endpoint shares with this one.
    pub(crate) fn shared(&self) -> Option<Shared> {
        Some(Shared {
            endpoint: self.endpoint.clone()?,
            own_attempts: self.own_attempts,
            resuming: self.resuming,
            retry_at: self.retry_at,
            descriptor: self.descriptor,
            lost_at: self.lost_at,
            info: self.info.clone(),
        })
    }

    /// Records that libzmq has been disconnected from the endpoint.
    pub(crate) fn detach(&mut self) {
        self.endpoint = None;
        self.descriptor = None;
        self.lost_at = None;
        self.retry_at = None;
        self.resuming = false;
        self.established = None;
    }

    /// Records that libzmq connects to the same endpoint again.
    pub(crate) fn renew(&mut self, own_attempts: bool) {
        self.lost_at = None;
        self.retry_at = None;
        self.own_attempts = own_attempts;
        self.resuming = false;
        self.established = None;
        self.info.attempts += 1;
    }

    /// Records that the connection was established.
    pub(crate) fn mark_connected(&mut self) {
        self.lost_at = None;
        self.retry_at = None;
        self.established = Some(Instant::now());
        self.info.set_state(ConnectionState::Connected);
        self.info.attempts = 0;
    }

    /// Records that the connection ended. True if it was established.
    pub(crate) fn mark_disconnected(&mut self) -> bool {
        self.descriptor = None;
        if !self.info.is_connected() {
            return false;
        }
        if self
            .established
            .is_some_and(|since| since.elapsed() >= LASTING)
        {
            self.failures = 0;
        }
        self.resuming = true;
        self.info.set_state(ConnectionState::Reconnecting);
        if let Some(resolver) = &mut self.resolver {
            resolver.connection_lost();
        }
        true
    }

    /// Records that the descriptor of the connection was closed. libzmq retries an established
    /// connection. After a failed handshake, the next attempt is made here.
    pub(crate) fn closed(&mut self, longest_pause: Duration) {
        if self.info.is_connected() {
            self.lost_at = Some(Instant::now());
        } else {
            self.attempt_failed(longest_pause);
        }
    }

    /// Records that libzmq is about to retry. If all attempts are made here, this means that the
    /// previous attempt, if there was one since the loss, failed.
    pub(crate) fn retries(&mut self, longest_pause: Duration) {
        self.lost_at = None;
        if !self.own_attempts {
            self.info.attempts += 1;
            self.resuming = false;
        } else if self.resuming {
            self.retry_at = Instant::now().checked_add(RECONNECT);
        } else {
            self.attempt_failed(longest_pause);
        }
    }

    /// Records that an attempt failed. The next address of the name is tried at once. After all of them,
    /// there is a pause.
    pub(crate) fn attempt_failed(&mut self, longest_pause: Duration) {
        if self.retry_at.is_none() {
            self.failures = self.failures.saturating_add(1);
            let count = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
            let pause = pause(self.failures, count, longest_pause);
            self.retry_at = Instant::now().checked_add(pause);
        }
    }

    /// Whether the connection was lost at least this long ago, and libzmq has not retried. True
    /// once.
    pub(crate) fn take_abandoned(&mut self, after: Duration) -> bool {
        let abandoned = self.lost_at.is_some_and(|lost| lost.elapsed() >= after);
        if abandoned {
            self.lost_at = None;
        }
        abandoned
    }

    /// Whether the next attempt is made here.
    pub(crate) fn awaits_attempt(&self) -> bool {
        self.retry_at.is_some()
    }

    /// Whether an attempt is due now.
    pub(crate) fn is_attempt_due(&self) -> bool {
        self.retry_at.is_some_and(|due| due <= Instant::now())
    }

    /// Records that the attempt was made.
    pub(crate) fn attempted(&mut self) {
        self.retry_at = None;
    }

    /// Whether an attempt may be due here later.
    pub(crate) fn is_pending(&self) -> bool {
        self.lost_at.is_some() || self.retry_at.is_some()
    }

    /// The endpoint of the next attempt. After a loss, this is the endpoint that worked.
    pub(crate) fn next_endpoint(&self) -> Option<Endpoint> {
        if self.resuming && self.endpoint.is_some() {
            return self.endpoint.clone();
        }
        let mut candidates = self.candidates.iter();
        let current = candidates.position(|one| Some(one) == self.endpoint.as_ref());
        let next = current.map_or(0, |index| (index + 1) % self.candidates.len());
        self.candidates.get(next).cloned()
    }
}

/// The part of the state that connections to one endpoint share.
pub(crate) struct Shared {
    endpoint: Endpoint,
    own_attempts: bool,
    resuming: bool,
    retry_at: Option<Instant>,
    descriptor: Option<i32>,
    lost_at: Option<Instant>,
    info: ConnectionInfo,
}

/// The pause after this number of failed attempts in a row, made at `count` addresses in turn.
fn pause(failures: u32, count: u32, longest: Duration) -> Duration {
    if count == 0 || failures % count != 0 {
        return Duration::ZERO;
    }
    let doublings = (failures / count).saturating_sub(1).min(16);
    (RECONNECT * 2_u32.pow(doublings)).min(longest.max(RECONNECT))
}

#[cfg(test)]
impl OutgoingConnection {
    /// Makes an attempt due now.
    pub(crate) fn make_due(&mut self) {
        self.retry_at = Some(Instant::now());
    }

    pub(crate) fn set_candidates(&mut self, candidates: Vec<Endpoint>) {
        self.candidates = candidates;
    }

    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::{pause, OutgoingConnection, LASTING};
    use crate::net::zmq::options::RECONNECT;
    use crate::wire::endpoint::Endpoint;
    use std::time::{Duration, Instant};

    const LONGEST: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_to_the_longest() {
        let milliseconds = |failures| pause(failures, 1, LONGEST).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 1_000_000, u32::MAX].map(milliseconds),
            [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]
        );
        assert_eq!(pause(7, 1, Duration::ZERO), RECONNECT);
        // Each of three addresses is tried before a pause.
        let of_three = |failures| pause(failures, 3, LONGEST).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 6].map(of_three), [0, 0, 100, 0, 0, 200]);
    }

    #[test]
    fn a_lasting_connection_resets_the_count_of_failures() {
        let mut connection = OutgoingConnection::new(Endpoint::Ipc("outgoing-test".into()));
        connection.attempt_failed(LONGEST);
        connection.mark_connected();
        assert_eq!(connection.retry_at, None);
        connection.mark_disconnected();
        assert_eq!(connection.failures, 1);
        connection.mark_connected();
        connection.established = Instant::now().checked_sub(LASTING);
        connection.mark_disconnected();
        assert_eq!(connection.failures, 0);
    }
}
