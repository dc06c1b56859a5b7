//! Who is connected, as far as the monitor tells; the other half of `links`.

use crate::net::connection::bind;
use crate::net::connection::disconnect_reason::{self, DisconnectWitness};
use crate::net::runtime::event_queue::{Event, EventKind, SilenceCause};
use crate::net::runtime::process;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::zmq::descriptor_limit;
use crate::net::zmq::monitor::{Failure, MonitorEvent};
use crate::util::time::unix_ns;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a peer must be missing before that is reported, in milliseconds. A constant in programs.
static SILENCE_MS: AtomicU64 = AtomicU64::new(3_000);

/// Changes that time. For the tests of this package: at 3 s each they would take minutes.
pub fn set_silence(silence: Duration) {
    let milliseconds = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
    SILENCE_MS.store(milliseconds, Ordering::Relaxed);
}

fn silence() -> Duration {
    Duration::from_millis(SILENCE_MS.load(Ordering::Relaxed))
}

/// What was said of somebody's waiting in vain: once an outage.
#[derive(Debug, Default)]
pub(crate) struct OutageTimer {
    since: Option<Instant>,
    told: bool,
}

impl OutageTimer {
    /// Somebody waits in vain; true when that is to be told now.
    fn lasts(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= silence() && !std::mem::replace(&mut self.told, true)
    }

    /// It is over; true when it was told.
    fn ends(&mut self) -> bool {
        std::mem::take(self).told
    }
}

/// How long failed handshakes of one host are not reported again, and of how many hosts they are.
const FAILED: Duration = Duration::from_secs(60);
const FAILED_HOSTS: usize = 16;

/// How long it is not said again that there is no room for more.
const FULL: Duration = Duration::from_secs(60);

/// How long connections from the address of a peer that was cut off are refused. Many peers may
/// share an address, behind a router; all programs of this host share the loopback address.
const REFUSAL: Duration = Duration::from_secs(10);
const LOOPBACK_REFUSAL: Duration = Duration::from_secs(2);

/// Addresses that are refused at most at a time; beyond, the one whose time is over first is admitted.
const REFUSED: usize = 1_024;

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its name is being looked up.
    Resolving,
    /// It has never stood yet.
    ConnectionOptions,
    /// Messages can flow.
    Connected,
    /// It stood, was lost, and is tried again.
    Reconnecting,
}

impl State {
    /// The name that Python sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::ConnectionOptions => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
        }
    }
}

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// As a person would type it.
    pub address: String,
    /// How it stands.
    pub state: State,
    /// Since when, in Unix nanoseconds.
    pub since_ns: i64,
    /// How often it was tried since it last stood; 0 for one that came from the other side.
    pub attempts: u64,
}

impl Peer {
    pub(crate) fn new(address: String, state: State) -> Self {
        Self {
            address,
            state,
            since_ns: unix_ns(),
            attempts: u64::from(state == State::ConnectionOptions),
        }
    }

    pub(crate) fn turn(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since_ns = unix_ns();
        }
    }
}

/// Connections that came from the other side, and what was said of silence.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    accepted: HashMap<i32, Peer>,
    /// Of those who send: a publisher has too many peers to afford a second descriptor for each.
    witnesses: HashMap<i32, DisconnectWitness>,
    /// Addresses whose connections are refused, and until when.
    refused: HashMap<IpAddr, Instant>,
    /// Tell everything, not only what the log wants.
    tell_all: bool,
    /// Of an object that connects to nobody; links have their own.
    silence: OutageTimer,
    /// How many connections have ended so far.
    pub(crate) interruptions: u64,
    /// When it was said last that there is no room for more.
    no_room: Option<Instant>,
    /// Why handshakes failed of which libzmq said so, until their connections are gone.
    failures: HashMap<String, Failure>,
    /// A peer whose connection ended during its handshake, while none is connected.
    hung_up: Option<String>,
    /// It was reported that no peer has connected.
    said_nobody: bool,
    /// When the failed handshakes of a host were reported last.
    reported: HashMap<String, Instant>,
}

impl Peers {
    pub(crate) fn new(tell_all: bool) -> Self {
        Self {
            tell_all,
            ..Self::default()
        }
    }

    fn refuse(&mut self, ip: IpAddr, time: Duration) {
        let now = Instant::now();
        self.refused.retain(|_, until| *until > now);
        if self.refused.len() >= REFUSED {
            let first = self.refused.iter().min_by_key(|(_, until)| **until);
            if let Some(first) = first.map(|(ip, _)| *ip) {
                self.refused.remove(&first);
            }
        }
        self.refused.insert(ip, now + time);
    }

    fn is_refused(&self, ip: IpAddr) -> bool {
        let until = self.refused.get(&ip);
        until.is_some_and(|until| *until > Instant::now())
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

impl OpenSocket {
    pub(crate) fn tell(&self, kind: EventKind, address: &str) {
        process::events().push(Event {
            owner: self.number,
            side: self.side,
            kind,
            address: address.to_owned(),
            at_ns: unix_ns(),
        });
    }

    /// Tells who asked for it.
    pub(crate) fn tell_if_asked(&self, kind: EventKind, address: &str) {
        if self.peers.tell_all {
            self.tell(kind, address);
        }
    }

    /// Takes in what became of a connection.
    pub(crate) fn note(&mut self, happening: &MonitorEvent) {
        match happening {
            MonitorEvent::Opened(connection) => {
                if connection.accepted {
                    if descriptor_limit::is_running_out(connection.descriptor) {
                        self.no_room();
                    }
                    let remote = typed(&connection.remote);
                    let witness = (!self.publishes)
                        .then(|| DisconnectWitness::of(connection.descriptor, remote));
                    if let Some(witness) = witness.flatten() {
                        self.peers.witnesses.insert(connection.descriptor, witness);
                    }
                    let peer = Peer::new(remote.to_owned(), State::ConnectionOptions);
                    self.peers.accepted.insert(connection.descriptor, peer);
                } else {
                    // It may have been taken back meanwhile; nothing follows.
                    for place in self.links_to(&connection.remote) {
                        self.links[place].descriptor = Some(connection.descriptor);
                    }
                }
            }
            MonitorEvent::Ready(remote) => self.ready(remote),
            MonitorEvent::Gone(connection) => {
                for place in self.links_to(&connection.remote) {
                    // Or it is the predecessor's end.
                    if self.links[place].descriptor == Some(connection.descriptor) {
                        if self.links[place].peer.state == State::Connected {
                            self.links[place].lost = Some(Instant::now());
                        } else {
                            // libzmq does not try again.
                            self.links[place].failed(self.reconnect_max);
                            self.attempt_if_due(place);
                        }
                        self.mark_disconnected(place);
                    }
                }
                let failure = self.peers.failures.remove(typed(&connection.remote));
                let gone = self.peers.accepted.remove(&connection.descriptor);
                let witness = self.peers.witnesses.remove(&connection.descriptor);
                match gone {
                    Some(Peer {
                        address,
                        state: State::Connected,
                        ..
                    }) => {
                        self.peers.interruptions += 1;
                        self.tell_if_asked(EventKind::Disconnected, &address);
                        if witness.is_some_and(|witness| witness.saw_a_cut()) {
                            self.cut_off(&address);
                        }
                    }
                    Some(Peer { address, .. }) => self.handshake_failed(&address, failure),
                    None => {}
                }
            }
            MonitorEvent::Failed(remote, failure) => {
                // Its end follows, which takes this away.
                let failures = &mut self.peers.failures;
                failures.insert(typed(remote).to_owned(), *failure);
            }
            MonitorEvent::Retrying(remote) => {
                for place in self.links_to(remote) {
                    self.links[place].retries(self.reconnect_max);
                    self.attempt_if_due(place);
                }
            }
            MonitorEvent::NoRoom => self.no_room(),
            MonitorEvent::NotBound(_)
            | MonitorEvent::ListenerClosed
            | MonitorEvent::Stopped
            | MonitorEvent::Other => {}
        }
    }

    /// Wakes the housekeeping thread, which makes the attempts that libzmq does not: another thread may
    /// have read the report for which it would wake.
    fn attempt_if_due(&self, place: usize) {
        if self.links[place].awaits_attempt() {
            process::process().wake_maintenance();
        }
    }

    /// Reports a peer that connected here and whose handshake failed. One that merely hung up may be a
    /// port scanner: it is named only when silence is reported.
    fn handshake_failed(&mut self, address: &str, failure: Option<Failure>) {
        let why = match failure {
            Some(Failure::Ended) => {
                self.peers.hung_up = Some(address.to_owned());
                if std::mem::take(&mut self.peers.said_nobody) {
                    // More is known by now.
                    self.peers.silence = OutageTimer::default();
                }
                return;
            }
            Some(Failure::Mechanism) => "mechanism",
            Some(Failure::Protocol) => "protocol",
            // What libzmq does not report.
            None => "version",
        };
        // That no peer has connected would be wrong.
        self.peers.silence.told = true;
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let reported = &mut self.peers.reported;
        if reported.len() >= FAILED_HOSTS {
            reported.retain(|_, at| at.elapsed() < FAILED);
        }
        let known = reported.get(host).is_some_and(|at| at.elapsed() < FAILED);
        if known || reported.len() >= FAILED_HOSTS {
            return;
        }
        reported.insert(host.to_owned(), Instant::now());
        let publishes = self.publishes;
        self.tell(EventKind::HandshakeFailed { publishes, why }, address);
    }

    fn ready(&mut self, remote: &str) {
        let asked = self.links_to(remote);
        if !asked.is_empty() {
            for place in asked {
                self.mark_connected(place);
            }
            return;
        }
        let new = |peer: &&mut Peer| {
            peer.state == State::ConnectionOptions && peer.address == typed(remote)
        };
        let Some(peer) = self.peers.accepted.values_mut().find(new) else {
            return;
        };
        peer.turn(State::Connected);
        peer.attempts = 0;
        let address = peer.address.clone();
        self.peers.hung_up = None;
        self.peers.said_nobody = false;
        let missed = self.peers.silence.ends();
        self.tell_connected(&address, missed);
    }

    /// A connection that was asked for stands.
    pub(crate) fn mark_connected(&mut self, place: usize) {
        let link = &mut self.links[place];
        link.mark_connected();
        let missed = link.silence.ends();
        let address = link.peer.address.clone();
        self.tell_connected(&address, missed);
    }

    /// A connection that was asked for is gone.
    pub(crate) fn mark_disconnected(&mut self, place: usize) {
        let link = &mut self.links[place];
        if link.mark_disconnected() {
            let address = link.peer.address.clone();
            self.peers.interruptions += 1;
            self.tell_if_asked(EventKind::Disconnected, &address);
        }
    }

    fn tell_connected(&self, address: &str, missed: bool) {
        if missed {
            self.tell(EventKind::Connected, address);
        } else {
            self.tell_if_asked(EventKind::Connected, address);
        }
    }

    /// The links that libzmq's report is about: several names may lead to one address.
    fn links_to(&self, remote: &str) -> Vec<usize> {
        let links = self.links.iter().enumerate();
        links
            .filter_map(|(place, link)| link.leads_to(remote).then_some(place))
            .collect()
    }

    /// The peer at this descriptor, as a person would type it.
    pub(crate) fn address_of(&self, descriptor: i32) -> Option<&str> {
        let asked = self.links.iter();
        let peer = asked
            .filter(|link| link.descriptor == Some(descriptor))
            .map(|link| &link.peer)
            .next()
            .or_else(|| self.peers.accepted.get(&descriptor))?;
        Some(peer.address.as_str())
    }

    /// All connections, those asked for first.
    pub(crate) fn all_peers(&self) -> Vec<Peer> {
        let mut accepted: Vec<_> = self.peers.accepted.values().cloned().collect();
        accepted.sort_by_key(|peer| peer.since_ns);
        let asked = self.links.iter().map(|link| link.peer.clone());
        asked.chain(accepted).collect()
    }

    /// How many connections stand. Names of one address share one.
    pub(crate) fn connected(&self) -> usize {
        let mark_connected = |peer: &Peer| peer.state == State::Connected;
        let asked = self.links.iter().filter(|link| mark_connected(&link.peer));
        let places: HashSet<_> = asked.map(|link| &link.connected).collect();
        let accepted = self.peers.accepted.values();
        places.len() + accepted.filter(|peer| mark_connected(peer)).count()
    }

    /// Whether it is connected to nobody and has asked for nobody.
    pub(crate) fn is_alone(&self) -> bool {
        let mut accepted = self.peers.accepted.values();
        self.links.is_empty() && !accepted.any(|peer| peer.state == State::Connected)
    }

    /// Whether a connection that was asked for does not stand.
    pub(crate) fn is_away(&self) -> bool {
        let mut links = self.links.iter();
        links.any(|link| link.peer.state != State::Connected)
    }

    /// That it is connected to nobody is no news.
    pub(crate) fn suppress_idle_warning(&mut self) {
        self.peers.silence.told = true;
    }

    /// Says, once an outage, that somebody is not there: whoever a connection was asked for, while the
    /// object is `in_use`; or, where none was, anybody at all, while somebody `waits`.
    pub(crate) fn watch_silence(&mut self, in_use: bool, waits: bool) {
        let mut silent = Vec::new();
        for link in &mut self.links {
            if in_use && link.peer.state != State::Connected && link.silence.lasts() {
                silent.push((SilenceCause::Link, link.peer.address.clone()));
            }
        }
        if waits && self.is_alone() && self.peers.silence.lasts() {
            let reachable = self.bound.iter().flat_map(|bound| bind::reachable(bound));
            let addresses: Vec<String> = reachable.collect();
            silent.push(match &self.peers.hung_up {
                Some(peer) => (SilenceCause::Refused, peer.clone()),
                None if addresses.is_empty() => (SilenceCause::Nobody, String::new()),
                None => {
                    self.peers.said_nobody = true;
                    (SilenceCause::Anybody, addresses.join(", "))
                }
            });
        }
        let publishes = self.publishes;
        for (awaited, address) in silent {
            self.tell(EventKind::Silent { publishes, awaited }, &address);
        }
    }

    /// Says now and then that peers are turned away, or soon will be: they try again all the time.
    fn no_room(&mut self) {
        let told = self.peers.no_room.is_some_and(|at| at.elapsed() < FULL);
        if !told {
            self.peers.no_room = Some(Instant::now());
            let bound = self.bound.iter();
            let reachable: Vec<String> = bound.flat_map(|bound| bind::reachable(bound)).collect();
            self.tell(EventKind::NoRoom, &reachable.join(", "));
        }
    }

    /// Ends a connection, and refuses its address for a while; false where that cannot be done.
    pub(crate) fn cut(&mut self, descriptor: i32, mut reason: String) -> bool {
        let Some(address) = self.address_of(descriptor).map(ToOwned::to_owned) else {
            return false;
        };
        if !disconnect_reason::shut(descriptor, &address, &self.bound) {
            return false;
        }
        if let Some(ip) = ip_of(&address).filter(|_| self.peers.accepted.contains_key(&descriptor))
        {
            let refusal = if ip.is_loopback() {
                LOOPBACK_REFUSAL
            } else {
                REFUSAL
            };
            let seconds = refusal.as_secs();
            let _ = write!(
                reason,
                ". New connections from {ip} are refused for {seconds} s"
            );
            self.peers.refuse(ip, refusal);
        }
        self.tell(EventKind::CutOff(reason), &address);
        true
    }

    /// Ends a new connection from an address that is refused; true when it was one.
    pub(crate) fn refuses(&self, happening: &MonitorEvent) -> bool {
        let MonitorEvent::Opened(connection) = happening else {
            return false;
        };
        let remote = typed(&connection.remote);
        connection.accepted
            && ip_of(remote).is_some_and(|ip| self.peers.is_refused(ip))
            && disconnect_reason::shut(connection.descriptor, remote, &[])
    }

    /// Says that a peer broke a rule.
    pub(crate) fn cut_off(&self, address: &str) {
        self.tell(EventKind::CutOff(String::new()), address);
    }
}
