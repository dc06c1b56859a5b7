//! The connections that a user asked for, by what was typed.
//!
//! Two names may lead to one address. Two connections there would bring every message twice, so
//! links to one address share a connection, which ends with the last of them.
//!
//! libzmq reconnects by itself, except after a breach of protocol, to which it counts a message
//! above the limit: then it falls silent for ever. Such a connection is made anew here.

use super::live::Live;
use super::lookup::{judge, Lookup, Verdict};
use super::peers::{Peer, Silence, State};
use super::socket::{Owner, Room};
use super::{address, inproc};
use crate::error::{Error, Result};
use crate::wire::endpoint::{self, Endpoint, Host, Role};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// libzmq says at once that it will try again; after this time it will not.
const SILENCE: Duration = Duration::from_millis(500);

/// One wish to be connected.
pub(crate) struct Link {
    /// Tells it from one that was taken back and asked for again.
    number: u64,
    wanted: Endpoint,
    /// What libzmq was told; `None` while the name is not found, or has no owner (`inproc`).
    pub(crate) connected: Option<Endpoint>,
    /// How it stands.
    pub(crate) peer: Peer,
    /// While it stands: its descriptor, by which notices name it.
    pub(crate) descriptor: Option<i32>,
    /// When the connection was lost, until libzmq says that it tries again.
    pub(crate) lost: Option<Instant>,
    /// Whether it stood when it was lost.
    broke: bool,
    /// That libzmq gave it up was told.
    given_up: bool,
    /// What was said of waiting for it in vain.
    pub(crate) silence: Silence,
    /// How its name is looked up, if it has one.
    pub(crate) lookup: Option<Lookup>,
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
            _ => State::Connecting,
        };
        let mut peer = Peer::new(wanted.typed(), state);
        if matches!(wanted, Endpoint::Inproc(_)) {
            // Nothing is tried before its name has an owner.
            peer.attempts = 0;
        }
        Self {
            number: NUMBERS.fetch_add(1, Ordering::Relaxed),
            peer,
            wanted,
            connected: None,
            descriptor: None,
            lost: None,
            broke: false,
            given_up: false,
            silence: Silence::default(),
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
    pub(crate) fn stands(&mut self) {
        self.lost = None;
        self.given_up = false;
        self.peer.turn(State::Connected);
        self.peer.attempts = 0;
    }

    /// Its connection is gone. Says whether it stood.
    pub(crate) fn fell(&mut self) -> bool {
        self.descriptor = None;
        self.broke = self.peer.state == State::Connected;
        if !self.broke {
            return false;
        }
        self.peer.turn(State::Reconnecting);
        if let Some(lookup) = &mut self.lookup {
            lookup.lost();
        }
        true
    }
}

/// Connects to all of them, or gives the whole object up.
pub(crate) fn connect_all<R: Room>(owner: &Arc<Owner<R>>, texts: &[String]) -> Result<()> {
    let outcome = texts.iter().try_for_each(|text| connect(owner, text));
    if outcome.is_err() {
        owner.close(None)?;
    }
    outcome
}

/// Connects to what was typed. Asking twice for the same address changes nothing.
pub(crate) fn connect<R: Room>(owner: &Arc<Owner<R>>, text: &str) -> Result<()> {
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
        let lookup = Lookup::start(owner, link.number, name).map_err(|error| Error::Os {
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            message: format!("cannot start a thread to look up '{text}': {error}"),
        })?;
        link.lookup = Some(lookup);
        live.links.push(link);
        return Ok(());
    }
    let place = live.links.len();
    live.links.push(link);
    let outcome = match &wanted {
        Endpoint::Inproc(name) => inproc::follow_one(live, place, name).map(drop),
        _ => attach(live, place, wanted),
    };
    if outcome.is_err() {
        live.links.truncate(place);
    }
    outcome
}

/// Another link that shares the connection to `endpoint`.
fn sharing(live: &Live, place: usize, endpoint: &Endpoint) -> Option<usize> {
    let shares = |(other, link): (usize, &Link)| {
        (other != place && link.connected.as_ref() == Some(endpoint)).then_some(other)
    };
    live.links.iter().enumerate().find_map(shares)
}

/// Connects a link that is not, or lets it share the connection that is there.
fn attach(live: &mut Live, place: usize, endpoint: Endpoint) -> Result<()> {
    let Some(other) = sharing(live, place, &endpoint) else {
        address::connect(live, &endpoint)?;
        let link = &mut live.links[place];
        link.connected = Some(endpoint);
        if link.peer.state == State::Resolving {
            link.peer = Peer::new(link.wanted.typed(), State::Connecting);
        }
        return Ok(());
    };
    let other = &live.links[other];
    let (peer, descriptor, lost) = (other.peer.clone(), other.descriptor, other.lost);
    let link = &mut live.links[place];
    link.connected = Some(endpoint);
    link.descriptor = descriptor;
    link.lost = lost;
    let address = std::mem::take(&mut link.peer.address);
    link.peer = Peer { address, ..peer };
    if link.peer.state == State::Connected {
        live.stands(place);
    }
    Ok(())
}

/// Ends a link's connection unless another link shares it.
pub(crate) fn detach(live: &mut Live, place: usize) -> Result<()> {
    let Some(connected) = live.links[place].connected.clone() else {
        return Ok(());
    };
    if sharing(live, place, &connected).is_none() {
        match address::disconnect(live, &connected) {
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
    Ok(())
}

/// Takes in what became of looking up a link's name. Says whether there is nothing more to do.
pub(crate) fn settle(live: &mut Live, number: u64, found: &[Host]) -> bool {
    let Some(place) = live.links.iter().position(|link| link.number == number) else {
        return true;
    };
    let link = &live.links[place];
    let Endpoint::Tcp { port, .. } = link.wanted else {
        return true;
    };
    let current = match &link.connected {
        Some(Endpoint::Tcp { host, .. }) => Some(host),
        _ => None,
    };
    let settled = link.peer.state == State::Connected
        || match judge(current, found) {
            Verdict::Stay => true,
            Verdict::Wait => false,
            Verdict::Move(host) => {
                let endpoint = Endpoint::Tcp {
                    host: host.clone(),
                    port,
                };
                detach(live, place).is_ok() && attach(live, place, endpoint).is_ok()
            }
        };
    if settled {
        if let Some(lookup) = &mut live.links[place].lookup {
            lookup.done();
        }
    }
    settled
}

/// Makes connections anew that libzmq gave up, and has names looked up again. Says whether it made
/// one, and whether one may have to be made later.
pub(crate) fn mend(live: &mut Live) -> (bool, bool) {
    for link in &mut live.links {
        let away = link.connected.is_some() && link.peer.state != State::Connected;
        if let (true, Some(lookup)) = (away, &mut link.lookup) {
            lookup.again_if_due();
        }
    }
    let mut given_up: Vec<Endpoint> = Vec::new();
    for link in &mut live.links {
        if link.lost.is_none_or(|lost| lost.elapsed() < SILENCE) {
            continue;
        }
        // In vain, it is tried again after the same time.
        link.lost = Some(Instant::now());
        if let Some(endpoint) = &link.connected {
            if !given_up.contains(endpoint) {
                given_up.push(endpoint.clone());
            }
        }
    }
    let mended = !given_up.is_empty();
    for endpoint in given_up {
        // The old one may be gone already, which is no harm.
        let _ = address::disconnect(live, &endpoint);
        let made = address::connect(live, &endpoint).is_ok();
        let mut tell = Vec::new();
        for link in &mut live.links {
            if link.connected.as_ref() == Some(&endpoint) {
                if made {
                    link.lost = None;
                }
                // One that never stood broke no rule: whoever is there speaks otherwise, which is told as
                // waiting in vain.
                if !std::mem::replace(&mut link.given_up, !made) && link.broke {
                    tell.push(link.peer.address.clone());
                }
            }
        }
        for address in tell {
            live.cut_off(&address);
        }
    }
    (mended, live.links.iter().any(|link| link.lost.is_some()))
}

/// Takes back what `connect` was asked for.
pub(crate) fn disconnect(live: &mut Live, text: &str) -> Result<()> {
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
pub(crate) fn typed(live: &Live) -> Vec<String> {
    live.links.iter().map(|link| link.wanted.typed()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{mend, Instant, Link, Live, SILENCE};
    use crate::net::options::{Common, Connecting};
    use crate::wire::endpoint::Endpoint;
    use std::time::Duration;

    #[test]
    fn a_connection_that_cannot_be_made_anew_is_tried_again() {
        let common = Common {
            high_water_mark: 1,
            max_inbound_bytes: 1,
            linger: Duration::ZERO,
            connecting: Connecting {
                keepalive: None,
                reconnect_max: Duration::from_secs(1),
                batch_bytes: 8_192,
            },
            tell: None,
        };
        let mut live = Live::open(zmq::SUB, &common).unwrap();
        // libzmq refuses it: no path of a socket is so long.
        let mut link = Link::new(Endpoint::Ipc("x".repeat(200)));
        link.connected = Some(link.wanted.clone());
        live.links.push(link);
        for _ in 0..3 {
            live.links[0].lost = Instant::now().checked_sub(SILENCE);
            assert_eq!(mend(&mut live), (true, true));
            assert!(live.links[0].lost.unwrap().elapsed() < SILENCE);
        }
        live.links[0].connected = Some(Endpoint::Ipc("links-test".into()));
        live.links[0].lost = Instant::now().checked_sub(SILENCE);
        assert_eq!(mend(&mut live), (true, false));
    }
}
