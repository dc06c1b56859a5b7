//! Who is connected, as far as the monitor tells; the other half of `links`.

use super::context;
use super::events::{Event, Kind};
use super::links::Link;
use super::live::Live;
use super::monitor::Happening;
use super::outbox::unix_nanoseconds;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How long somebody waits for nobody before it is said.
const SILENCE: Duration = Duration::from_secs(3);

/// How a connection stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its name is being looked up.
    Resolving,
    /// It has never stood yet.
    Connecting,
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
            Self::Connecting => "connecting",
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
            since_ns: unix_nanoseconds(),
            attempts: u64::from(state == State::Connecting),
        }
    }

    fn turn(&mut self, state: State) {
        if self.state != state {
            self.state = state;
            self.since_ns = unix_nanoseconds();
        }
    }
}

/// Connections that came from the other side, and what was said of silence.
#[derive(Debug, Default)]
pub(crate) struct Peers {
    accepted: HashMap<i32, Peer>,
    /// Tell everything, not only what the log wants.
    tell_all: bool,
    quiet_since: Option<Instant>,
    told: bool,
}

impl Peers {
    pub(crate) fn new(tell_all: bool) -> Self {
        Self {
            tell_all,
            ..Self::default()
        }
    }
}

/// `tcp://1.2.3.4:5` as a person types it.
fn typed(remote: &str) -> &str {
    remote.strip_prefix("tcp://").unwrap_or(remote)
}

impl Live {
    fn tell(&self, kind: Kind, address: &str) {
        context::process().events().push(Event {
            owner: self.number,
            kind,
            address: address.to_owned(),
            at_ns: unix_nanoseconds(),
        });
    }

    /// Tells who asked for it.
    pub(crate) fn tell_if_asked(&self, kind: Kind, address: &str) {
        if self.peers.tell_all {
            self.tell(kind, address);
        }
    }

    /// Takes in what became of a connection.
    pub(crate) fn note(&mut self, happening: &Happening) {
        match happening {
            Happening::Opened(connection) => {
                if let Some(link) = self.link(&connection.remote) {
                    link.descriptor = Some(connection.descriptor);
                } else {
                    let peer = Peer::new(typed(&connection.remote).to_owned(), State::Connecting);
                    self.peers.accepted.insert(connection.descriptor, peer);
                }
            }
            Happening::Ready(remote) => self.ready(remote),
            Happening::Gone(connection) => {
                let gone = if let Some(link) = self.link(&connection.remote) {
                    let stood = link.peer.state == State::Connected;
                    link.peer.turn(State::Reconnecting);
                    link.lost = Some(Instant::now());
                    link.descriptor = None;
                    stood.then(|| link.peer.address.clone())
                } else {
                    let peer = self.peers.accepted.remove(&connection.descriptor);
                    peer.filter(|peer| peer.state == State::Connected)
                        .map(|peer| peer.address)
                };
                if let Some(address) = gone {
                    self.tell_if_asked(Kind::Disconnected, &address);
                }
            }
            Happening::Retrying(remote) => {
                if let Some(link) = self.link(remote) {
                    link.lost = None;
                    link.peer.attempts += 1;
                }
            }
            Happening::ListenerClosed | Happening::Stopped | Happening::Other => {}
        }
    }

    fn ready(&mut self, remote: &str) {
        let address = if let Some(link) = self.link(remote) {
            link.lost = None;
            link.peer.turn(State::Connected);
            link.peer.attempts = 0;
            link.peer.address.clone()
        } else {
            let Some(peer) = self
                .peers
                .accepted
                .values_mut()
                .find(|peer| peer.state == State::Connecting && peer.address == typed(remote))
            else {
                return;
            };
            peer.turn(State::Connected);
            peer.attempts = 0;
            peer.address.clone()
        };
        self.peers.quiet_since = None;
        if std::mem::take(&mut self.peers.told) {
            self.tell(Kind::Connected, &address);
        } else {
            self.tell_if_asked(Kind::Connected, &address);
        }
    }

    fn link(&mut self, remote: &str) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.leads_to(remote))
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

    /// How many connections stand.
    pub(crate) fn connected(&self) -> usize {
        let asked = self.links.iter().map(|link| &link.peer);
        asked
            .chain(self.peers.accepted.values())
            .filter(|peer| peer.state == State::Connected)
            .count()
    }

    /// Says, once an outage, that somebody waits and nobody is there.
    pub(crate) fn watch_silence(&mut self, somebody_waits: bool) {
        if !somebody_waits || self.peers.told || self.links.is_empty() || self.connected() > 0 {
            return;
        }
        let since = *self.peers.quiet_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= SILENCE {
            self.peers.told = true;
            for link in &self.links {
                let publishes = self.publishes;
                self.tell(Kind::Silent { publishes }, &link.peer.address);
            }
        }
    }

    /// Says that a peer broke a rule.
    pub(crate) fn cut_off(&self, address: &str) {
        self.tell(Kind::CutOff, address);
    }

    /// Says that messages are missing.
    pub(crate) fn lost(&self, sender: &str, count: u64) {
        self.tell(Kind::Lost(count), sender);
    }
}
