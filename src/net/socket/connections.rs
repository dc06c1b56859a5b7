//! The connections that a user asked for, by what was typed.
//!
//! Two names may lead to one address. Two connections there would bring every message twice, so
//! links to one address share a connection, which ends with the last of them.
//!
//! libzmq reconnects by itself, except after a handshake that failed and after a breach of protocol,
//! to which it counts a message above the limit. Such a connection is made anew here, with pauses
//! that grow until one lasts.
//!
//! A name may have several addresses. One of them is connected to at a time; when an attempt fails,
//! the next one is tried.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::resolver::{judge, ResolveAction, Resolver};
use crate::net::connection::state::{OutageTimer, Peer, State};
use crate::net::runtime::process;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::{SharedSocket, SocketHandler};
use crate::net::zmq::options::RECONNECT;
use crate::wire::endpoint::{self, Endpoint, Host, Role};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// libzmq says at once that it will try again; after this time it will not.
const SILENCE: Duration = Duration::from_millis(500);

/// A connection that lasted for so long ends the count of failed attempts.
const LASTING: Duration = Duration::from_secs(2);

/// One wish to be connected.
pub(crate) struct Link {
    /// Tells it from one that was taken back and asked for again.
    number: u64,
    wanted: Endpoint,
    /// What libzmq was told; `None` while the name is not found, or has no owner (`inproc`).
    pub(crate) connected: Option<Endpoint>,
    /// The addresses of its name; the one typed where it is not a name. Tried in turn.
    candidates: Vec<Endpoint>,
    /// How many attempts failed since a connection lasted.
    failures: u32,
    /// When to make the next attempt, where libzmq does not.
    retry: Option<Instant>,
    /// Whether all attempts are made here: the connection was made with other addresses to try.
    own_attempts: bool,
    /// It was lost, and the next attempt is the first since.
    resuming: bool,
    /// Since when it is connected, if it is, or was at this address.
    stood: Option<Instant>,
    /// How it stands.
    pub(crate) peer: Peer,
    /// While it stands: its descriptor, by which notices name it.
    pub(crate) descriptor: Option<i32>,
    /// When the connection was lost, until libzmq says that it tries again.
    pub(crate) lost: Option<Instant>,
    /// What was said of waiting for it in vain.
    pub(crate) silence: OutageTimer,
    /// How its name is looked up, if it has one.
    pub(crate) lookup: Option<Resolver>,
    /// The binding that it is connected to, over `inproc`.
    pub(crate) binding: Option<u64>,
}

impl Link {
    fn new(wanted: Endpoint) -> Self {
        static NUMBERS: AtomicU64 = AtomicU64::new(1);
        let state = match wanted {
            Endpoint::Tcp {
                host: Host::Name(_),
                ..
            } => State::Resolving,
            _ => State::ConnectionOptions,
        };
        let mut peer = Peer::new(wanted.typed(), state);
        if matches!(wanted, Endpoint::Inproc(_)) {
            // Nothing is tried before its name has an owner.
            peer.attempts = 0;
        }
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            peer,
            candidates: vec![wanted.clone()],
            wanted,
            connected: None,
            failures: 0,
            retry: None,
            own_attempts: false,
            resuming: false,
            stood: None,
            descriptor: None,
            lost: None,
            silence: OutageTimer::default(),
            lookup: None,
            binding: None,
        }
    }

    /// Whether this is a link that libzmq's report is about.
    pub(crate) fn leads_to(&self, remote: &str) -> bool {
        matches!(&self.connected, Some(endpoint) if endpoint.to_string() == remote)
    }

    pub(crate) fn wanted(&self) -> &Endpoint {
        &self.wanted
    }

    /// The name within the process that it leads to.
    pub(crate) fn inproc(&self) -> Option<String> {
        match &self.wanted {
            Endpoint::Inproc(name) => Some(name.clone()),
            _ => None,
        }
    }

    /// It stands.
    pub(crate) fn mark_connected(&mut self) {
        self.lost = None;
        self.retry = None;
        self.stood = Some(Instant::now());
        self.peer.turn(State::Connected);
        self.peer.attempts = 0;
    }

    /// Its connection is gone. Says whether it stood.
    pub(crate) fn mark_disconnected(&mut self) -> bool {
        self.descriptor = None;
        if self.peer.state != State::Connected {
            return false;
        }
        if self.stood.is_some_and(|since| since.elapsed() >= LASTING) {
            self.failures = 0;
        }
        self.resuming = true;
        self.peer.turn(State::Reconnecting);
        if let Some(lookup) = &mut self.lookup {
            lookup.lost();
        }
        true
    }

    /// libzmq is about to try again, unless all attempts are made here: then the one before, if there
    /// was one since the loss, failed.
    pub(crate) fn retries(&mut self, longest: Duration) {
        self.lost = None;
        if !self.own_attempts {
            self.peer.attempts += 1;
            self.resuming = false;
        } else if self.resuming {
            self.retry = Instant::now().checked_add(RECONNECT);
        } else {
            self.failed(longest);
        }
    }

    /// An attempt failed. The next address of the name is due at once; after all of them, there is a
    /// pause.
    pub(crate) fn failed(&mut self, longest: Duration) {
        if self.retry.is_none() {
            self.failures = self.failures.saturating_add(1);
            let count = u32::try_from(self.candidates.len()).unwrap_or(u32::MAX);
            self.retry = Instant::now().checked_add(pause(self.failures, count, longest));
        }
    }

    /// Whether the next attempt is to be made here.
    pub(crate) fn awaits_attempt(&self) -> bool {
        self.retry.is_some()
    }

    /// Where the next attempt goes: after a loss, to the address that worked.
    fn next(&self) -> Option<Endpoint> {
        if self.resuming && self.connected.is_some() {
            return self.connected.clone();
        }
        let mut tried = self.candidates.iter();
        let current = tried.position(|one| Some(one) == self.connected.as_ref());
        let next = current.map_or(0, |place| (place + 1) % self.candidates.len());
        self.candidates.get(next).cloned()
    }
}

/// The pause after this number of failed attempts in a row, at `count` addresses in turn.
fn pause(failures: u32, count: u32, longest: Duration) -> Duration {
    if count == 0 || failures % count != 0 {
        return Duration::ZERO;
    }
    let doublings = (failures / count).saturating_sub(1).min(16);
    (RECONNECT * 2_u32.pow(doublings)).min(longest.max(RECONNECT))
}

/// Connects to all of them, or gives the whole object up.
pub(crate) fn connect_all<R: SocketHandler>(
    owner: &Arc<SharedSocket<R>>,
    texts: &[String],
) -> Result<()> {
    let outcome = texts.iter().try_for_each(|text| connect(owner, text));
    if outcome.is_err() {
        owner.close(None)?;
    }
    outcome
}

/// Connects to what was typed. Asking twice for the same address changes nothing.
pub(crate) fn connect<R: SocketHandler>(owner: &Arc<SharedSocket<R>>, text: &str) -> Result<()> {
    let wanted = endpoint::parse(text, Role::Connect)?;
    let mut entered = owner.enter()?;
    let (live, _) = entered.parts()?;
    if live.links.iter().any(|link| link.wanted == wanted) {
        return Ok(());
    }
    let mut link = Link::new(wanted.clone());
    if let Endpoint::Tcp {
        host: Host::Name(name),
        ..
    } = &wanted
    {
        let lookup = Resolver::start(owner, link.number, name)
            .map_err(|error| Error::no_thread(&format!("to look up '{text}'"), &error))?;
        link.lookup = Some(lookup);
        live.links.push(link);
        return Ok(());
    }
    let place = live.links.len();
    live.links.push(link);
    let outcome = match &wanted {
        Endpoint::Inproc(name) => follow_one(live, place, name).map(drop),
        _ => attach(live, place, wanted),
    };
    if outcome.is_err() {
        live.links.truncate(place);
    }
    outcome
}

/// Lets every connection to an `inproc://` name follow the changes of the names since the last call.
/// True if anything changed.
pub(crate) fn follow(live: &mut OpenSocket) -> bool {
    let latest = process::process().inproc.changes();
    if live.followed == latest {
        return false;
    }
    live.followed = latest;
    let mut followed = false;
    for place in 0..live.links.len() {
        if let Some(name) = live.links[place].inproc() {
            match follow_one(live, place, &name) {
                Ok(changed) => followed |= changed,
                // The next call tries again.
                Err(_) => live.followed = u64::MAX,
            }
        }
    }
    followed
}

/// Lets one connection follow. True if anything changed.
fn follow_one(live: &mut OpenSocket, place: usize, name: &str) -> Result<bool> {
    let mut lost = false;
    let outcome = process::process().inproc.with_binding(name, |binding| {
        if live.links[place].binding == binding {
            return Ok(None);
        }
        lost = live.links[place].binding.take().is_some();
        if lost {
            // It ended with the socket that was bound.
            let _ = detach(live, place);
        }
        let endpoint = live.links[place].wanted().clone();
        if binding.is_some() {
            bind::connect(live, &endpoint, false)?;
        }
        Ok(Some((endpoint, binding)))
    });
    if lost {
        live.mark_disconnected(place);
    }
    let Some((endpoint, binding)) = outcome? else {
        return Ok(false);
    };
    if binding.is_some() {
        let link = &mut live.links[place];
        link.connected = Some(endpoint);
        link.binding = binding;
        live.mark_connected(place);
    }
    Ok(true)
}

/// Another link that shares the connection to `endpoint`.
fn sharing(live: &OpenSocket, place: usize, endpoint: &Endpoint) -> Option<usize> {
    let shares = |(other, link): (usize, &Link)| {
        (other != place && link.connected.as_ref() == Some(endpoint)).then_some(other)
    };
    live.links.iter().enumerate().find_map(shares)
}

/// Connects a link that is not, or lets it share the connection that is there.
fn attach(live: &mut OpenSocket, place: usize, endpoint: Endpoint) -> Result<()> {
    let Some(other) = sharing(live, place, &endpoint) else {
        let others = live.links[place].candidates.len() > 1;
        bind::connect(live, &endpoint, others)?;
        let link = &mut live.links[place];
        link.connected = Some(endpoint);
        link.own_attempts = others;
        if link.peer.state == State::Resolving {
            link.peer = Peer::new(link.wanted.typed(), State::ConnectionOptions);
        }
        return Ok(());
    };
    let other = &live.links[other];
    let (peer, descriptor, lost) = (other.peer.clone(), other.descriptor, other.lost);
    let (own_attempts, resuming, retry) = (other.own_attempts, other.resuming, other.retry);
    let link = &mut live.links[place];
    (link.own_attempts, link.resuming, link.retry) = (own_attempts, resuming, retry);
    link.connected = Some(endpoint);
    link.descriptor = descriptor;
    link.lost = lost;
    let address = std::mem::take(&mut link.peer.address);
    link.peer = Peer { address, ..peer };
    if link.peer.state == State::Connected {
        live.mark_connected(place);
    }
    Ok(())
}

/// Ends a link's connection unless another link shares it.
pub(crate) fn detach(live: &mut OpenSocket, place: usize) -> Result<()> {
    let Some(connected) = live.links[place].connected.clone() else {
        return Ok(());
    };
    if sharing(live, place, &connected).is_none() {
        match bind::disconnect(live, &connected) {
            // It was gone already.
            Err(Error::Os {
                errno: libc::ENOENT,
                ..
            })
            | Ok(()) => {}
            Err(error) => return Err(error),
        }
    }
    let link = &mut live.links[place];
    link.connected = None;
    link.descriptor = None;
    link.lost = None;
    link.retry = None;
    link.resuming = false;
    link.stood = None;
    Ok(())
}

/// Takes in what became of looking up a link's name. Says whether there is nothing more to do.
pub(crate) fn settle<R: SocketHandler>(
    live: &mut OpenSocket,
    room: &mut R,
    number: u64,
    found: &[Host],
) -> bool {
    let Some(place) = live.links.iter().position(|link| link.number == number) else {
        return true;
    };
    let link = &mut live.links[place];
    let Endpoint::Tcp { port, .. } = link.wanted else {
        return true;
    };
    let at = |host: &Host| Endpoint::Tcp {
        host: host.clone(),
        port,
    };
    if !found.is_empty() {
        link.candidates = found.iter().map(at).collect();
    }
    let current = match &link.connected {
        Some(Endpoint::Tcp { host, .. }) => Some(host),
        _ => None,
    };
    let settled = link.peer.state == State::Connected
        || match judge(current, found) {
            ResolveAction::Stay => true,
            ResolveAction::Wait => false,
            ResolveAction::Move(host) => move_to(live, room, place, at(host)).is_ok(),
        };
    if settled {
        if let Some(lookup) = &mut live.links[place].lookup {
            lookup.done();
        }
    }
    settled
}

/// Connects a link to another address.
fn move_to<R: SocketHandler>(
    live: &mut OpenSocket,
    room: &mut R,
    place: usize,
    endpoint: Endpoint,
) -> Result<()> {
    if live.links[place].stood.is_some() {
        room.take_unread(live);
    }
    detach(live, place)?;
    attach(live, place, endpoint)
}

/// Connects anew to the address of a link, which others may share.
fn renew<R: SocketHandler>(
    live: &mut OpenSocket,
    room: &mut R,
    endpoint: &Endpoint,
    others: bool,
) -> Result<()> {
    let shared = |link: &&mut Link| link.connected.as_ref() == Some(endpoint);
    if live
        .links
        .iter_mut()
        .any(|link| shared(&link) && link.stood.is_some())
    {
        room.take_unread(live);
    }
    // The old one may be gone already, which is harmless.
    let _ = bind::disconnect(live, endpoint);
    bind::connect(live, endpoint, others)?;
    for link in live.links.iter_mut().filter(shared) {
        link.lost = None;
        link.retry = None;
        link.own_attempts = others;
        link.resuming = false;
        link.stood = None;
        link.peer.attempts += 1;
    }
    Ok(())
}

/// Makes the attempts that libzmq does not make, and has names looked up again. Says whether it
/// made one, and whether one may have to be made later.
pub(crate) fn reconnect_abandoned<R: SocketHandler>(
    live: &mut OpenSocket,
    room: &mut R,
) -> (bool, bool) {
    let longest = live.reconnect_max;
    let mut given_up = Vec::new();
    for link in &mut live.links {
        let away = link.connected.is_some() && link.peer.state != State::Connected;
        if let (true, Some(lookup)) = (away, &mut link.lookup) {
            lookup.again_if_due();
        }
        // It was connected, and libzmq does not try again: the peer broke a rule.
        if link.lost.is_some_and(|lost| lost.elapsed() >= SILENCE) {
            link.lost = None;
            link.failed(longest);
            given_up.push(link.peer.address.clone());
        }
    }
    for address in given_up {
        live.cut_off(&address);
    }
    let mut mended = false;
    for place in 0..live.links.len() {
        let link = &mut live.links[place];
        if link.retry.is_none_or(|due| due > Instant::now()) {
            continue;
        }
        mended = true;
        let others = link.candidates.len() > 1;
        let (current, next) = (link.connected.clone(), link.next());
        let outcome = match (current, next) {
            (Some(current), Some(next)) if current != next => {
                move_to(live, room, place, next).map(|()| live.links[place].peer.attempts += 1)
            }
            (Some(current), _) => renew(live, room, &current, others),
            (None, Some(next)) => attach(live, place, next),
            (None, None) => Ok(()),
        };
        let link = &mut live.links[place];
        link.retry = None;
        if outcome.is_err() {
            link.failed(longest);
        }
    }
    let mut links = live.links.iter();
    let pending = links.any(|link| link.lost.is_some() || link.retry.is_some());
    (mended, pending)
}

/// Takes back what `connect` was asked for.
pub(crate) fn disconnect(live: &mut OpenSocket, text: &str) -> Result<()> {
    let wanted = endpoint::parse(text, Role::Connect)?;
    // What is reported of the connection later would be taken for its successor's.
    while live.next_happening().is_some() {}
    let Some(place) = live.links.iter().position(|link| link.wanted == wanted) else {
        let known = typed(live);
        return Err(Error::Value(format!(
            "not connected to {}; {}",
            wanted.typed(),
            if known.is_empty() {
                "there are no connections to take back".to_owned()
            } else {
                format!("the connections are: {}", known.join(", "))
            }
        )));
    };
    detach(live, place)?;
    let link = live.links.swap_remove(place);
    live.peers.interruptions += u64::from(link.peer.state == State::Connected);
    Ok(())
}

/// The addresses asked for.
pub(crate) fn typed(live: &OpenSocket) -> Vec<String> {
    live.links.iter().map(|link| link.wanted.typed()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{pause, reconnect_abandoned, settle, Instant, Link, OpenSocket, State, LASTING};
    use crate::net::subscriber::queue::ReceiveQueue;
    use crate::net::subscription::set::SubscriptionSet;
    use crate::net::zmq::options::{ConnectionOptions, SocketOptions, RECONNECT};
    use crate::wire::endpoint::{self, Endpoint, Host, Role};
    use crate::wire::message::Framing;
    use std::time::Duration;

    const LONGEST: Duration = Duration::from_secs(1);

    fn open() -> (OpenSocket, ReceiveQueue) {
        let common = SocketOptions {
            high_water_mark: 1,
            max_inbound_bytes: 1,
            linger: Duration::ZERO,
            connecting: ConnectionOptions {
                keepalive: None,
                reconnect_max: LONGEST,
                batch_bytes: 8_192,
            },
            tell: None,
        };
        let live = OpenSocket::open(zmq::SUB, &common).unwrap();
        (
            live,
            ReceiveQueue::new(SubscriptionSet::new(Framing::Plain, false)),
        )
    }

    fn due(link: &mut Link) {
        link.retry = Some(Instant::now());
    }

    #[test]
    fn a_connection_that_cannot_be_made_anew_is_tried_again() {
        let (mut live, mut inbox) = open();
        // libzmq refuses it: no path of a socket is so long.
        let mut link = Link::new(Endpoint::Ipc("x".repeat(200)));
        link.connected = Some(link.wanted.clone());
        live.links.push(link);
        for failures in 1..4 {
            due(&mut live.links[0]);
            assert_eq!(reconnect_abandoned(&mut live, &mut inbox), (true, true));
            assert_eq!(live.links[0].failures, failures);
        }
        let good = Endpoint::Ipc("links-test".into());
        live.links[0].candidates = vec![good.clone()];
        live.links[0].connected = Some(good);
        due(&mut live.links[0]);
        assert_eq!(reconnect_abandoned(&mut live, &mut inbox), (true, false));
    }

    #[test]
    fn pauses_grow_to_the_longest() {
        let milliseconds = |failures| pause(failures, 1, LONGEST).as_millis();
        assert_eq!(
            [1, 2, 3, 4, 5, 6, 1_000_000, u32::MAX].map(milliseconds),
            [100, 200, 400, 800, 1_000, 1_000, 1_000, 1_000]
        );
        assert_eq!(pause(7, 1, Duration::ZERO), RECONNECT);
        // Of three addresses, each is tried before a pause.
        let of_three = |failures| pause(failures, 3, LONGEST).as_millis();
        assert_eq!([1, 2, 3, 4, 5, 6].map(of_three), [0, 0, 100, 0, 0, 200]);
    }

    #[test]
    fn a_lasting_connection_ends_the_count_of_failures() {
        let mut link = Link::new(Endpoint::Ipc("links-test".into()));
        link.failed(LONGEST);
        link.mark_connected();
        assert_eq!(link.retry, None);
        link.mark_disconnected();
        assert_eq!(link.failures, 1);
        link.mark_connected();
        link.stood = Instant::now().checked_sub(LASTING);
        link.mark_disconnected();
        assert_eq!(link.failures, 0);
    }

    #[test]
    fn failed_attempts_go_through_the_addresses_of_a_name() {
        let (mut live, mut inbox) = open();
        let wanted = endpoint::parse("lab-pc:1", Role::Connect).unwrap();
        live.links.push(Link::new(wanted));
        let number = live.links[0].number;
        let hosts = [1, 2, 3].map(|last| Host::V4([127, 0, 0, last].into()));
        assert!(settle(&mut live, &mut inbox, number, &hosts));
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(live.links[0].connected.as_ref().unwrap().typed());
            assert_eq!(live.links[0].peer.state, State::ConnectionOptions);
            live.links[0].retries(LONGEST);
            due(&mut live.links[0]);
            reconnect_abandoned(&mut live, &mut inbox);
        }
        assert_eq!(
            seen,
            ["127.0.0.1:1", "127.0.0.2:1", "127.0.0.3:1", "127.0.0.1:1"]
        );
        // The address that worked is tried first after a loss, then the next one.
        live.links[0].mark_connected();
        live.links[0].mark_disconnected();
        live.links[0].retries(LONGEST);
        for expected in ["127.0.0.2:1", "127.0.0.3:1"] {
            due(&mut live.links[0]);
            reconnect_abandoned(&mut live, &mut inbox);
            let connected = live.links[0].connected.as_ref().unwrap();
            assert_eq!(connected.typed(), expected);
            live.links[0].retries(LONGEST);
        }
        // A name that leads elsewhere by now.
        let moved = [Host::V4([127, 0, 0, 9].into())];
        assert!(settle(&mut live, &mut inbox, number, &moved));
        assert_eq!(
            live.links[0].connected.as_ref().unwrap().typed(),
            "127.0.0.9:1"
        );
    }
}
