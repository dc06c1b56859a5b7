//! The connections that a user asked for, by what was typed.
//!
//! libzmq looks names up in its one I/O thread, where a slow resolver stalls every socket, and
//! never learns that a name is unknown. So a thread of our own looks a name up, and hands libzmq
//! the address; it keeps trying, because the other laptop may come to the network later.
//!
//! libzmq reconnects by itself, except after a breach of protocol, to which it counts a message
//! above the limit: then it falls silent for ever. Such a connection is made anew here.

use super::address;
use super::live::Live;
use super::peers::{Peer, State};
use super::socket::{Owner, Room};
use crate::error::{Error, Result};
use crate::wire::endpoint::{self, Endpoint, Host, Role};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Between two attempts to look up a name.
const PAUSE: Duration = Duration::from_secs(2);

/// libzmq says at once that it will try again; after this time it will not.
const SILENCE: Duration = Duration::from_millis(500);

/// One wish to be connected.
#[derive(Debug)]
pub(crate) struct Link {
    wanted: Endpoint,
    /// What libzmq was told; `None` while the name is not found.
    connected: Option<Endpoint>,
    /// How it stands.
    pub(crate) peer: Peer,
    /// While it stands: its descriptor, by which notices name it.
    pub(crate) descriptor: Option<i32>,
    /// When the connection was lost, until libzmq says that it tries again.
    pub(crate) lost: Option<Instant>,
}

impl Link {
    /// Whether this is the link that libzmq's report is about.
    pub(crate) fn leads_to(&self, remote: &str) -> bool {
        matches!(&self.connected, Some(endpoint) if endpoint.to_string() == remote)
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

/// Connects to what was typed. Asking twice for the same address changes nothing: two connections
/// would bring every message twice.
pub(crate) fn connect<R: Room>(owner: &Arc<Owner<R>>, text: &str) -> Result<()> {
    let wanted = endpoint::parse(text, Role::Connect)?;
    let mut entered = owner.enter()?;
    let (live, _) = entered.parts()?;
    if live.links.iter().any(|link| link.wanted == wanted) {
        return Ok(());
    }
    let named = matches!(
        wanted,
        Endpoint::Tcp {
            host: Host::Name(_),
            ..
        }
    );
    let connected = if named {
        let (owner, wanted) = (Arc::downgrade(owner), wanted.clone());
        std::thread::Builder::new()
            .name("zmqchat-name".into())
            .spawn(move || {
                super::wake::block_signals();
                find(&owner, &wanted);
            })
            .map_err(|error| Error::Os {
                errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
                message: format!("cannot start a thread to look up '{text}': {error}"),
            })?;
        None
    } else {
        address::connect(live, &wanted)?;
        Some(wanted.clone())
    };
    let state = match wanted {
        // No network, hence nothing that could fail or be reported.
        Endpoint::Inproc(_) => State::Connected,
        _ if connected.is_none() => State::Resolving,
        _ => State::Connecting,
    };
    live.links.push(Link {
        peer: Peer::new(wanted.typed(), state),
        wanted,
        connected,
        descriptor: None,
        lost: None,
    });
    Ok(())
}

/// Looks the name up until it is found or nobody wants it any more.
fn find<R: Room>(owner: &Weak<Owner<R>>, wanted: &Endpoint) {
    let Endpoint::Tcp {
        host: Host::Name(name),
        port,
    } = wanted
    else {
        return;
    };
    loop {
        let host = address::look_up(name);
        {
            let Some(owner) = owner.upgrade() else { return };
            let Ok(mut entered) = owner.enter() else {
                return;
            };
            let Ok((live, _)) = entered.parts() else {
                return;
            };
            let Some(place) = live
                .links
                .iter()
                .position(|link| link.wanted == *wanted && link.connected.is_none())
            else {
                return;
            };
            if let Some(host) = host {
                let found = Endpoint::Tcp { host, port: *port };
                if address::connect(live, &found).is_ok() {
                    let link = &mut live.links[place];
                    link.connected = Some(found);
                    link.peer = Peer::new(link.wanted.typed(), State::Connecting);
                    return;
                }
            }
        }
        std::thread::sleep(PAUSE);
    }
}

/// Makes connections anew that libzmq gave up. Says whether it did, and whether one may have to be
/// later.
pub(crate) fn mend(live: &mut Live) -> (bool, bool) {
    let given_up: Vec<Endpoint> = live
        .links
        .iter_mut()
        .filter(|link| link.lost.is_some_and(|lost| lost.elapsed() >= SILENCE))
        .filter_map(|link| {
            link.lost = None;
            link.connected.clone()
        })
        .collect();
    let mended = !given_up.is_empty();
    for endpoint in given_up {
        live.cut_off(&endpoint.typed());
        // The old one may be gone already, which is no harm.
        let _ = address::disconnect(live, &endpoint);
        let _ = address::connect(live, &endpoint);
    }
    (mended, live.links.iter().any(|link| link.lost.is_some()))
}

/// Takes back what `connect` was asked for.
pub(crate) fn disconnect(live: &mut Live, text: &str) -> Result<()> {
    let wanted = endpoint::parse(text, Role::Connect)?;
    let Some(place) = live.links.iter().position(|link| link.wanted == wanted) else {
        let known: Vec<String> = live.links.iter().map(|link| link.wanted.typed()).collect();
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
    if let Some(connected) = live.links.swap_remove(place).connected {
        address::disconnect(live, &connected)?;
    }
    Ok(())
}

/// The addresses asked for.
pub(crate) fn typed(live: &Live) -> Vec<String> {
    live.links.iter().map(|link| link.wanted.typed()).collect()
}
