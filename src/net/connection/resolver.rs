//! Resolving host names.
//!
//! libzmq resolves names in its network thread, where a slow name server would stall every socket. So
//! a thread of the package resolves names, and libzmq gets addresses. While a name is unknown, the
//! thread tries again: the host may join the network later. When a connection stays lost, its name
//! is resolved again: the host may have another address now.
//!
//! The thread only posts answers. Maintenance applies them.
//!
//! Invariant: a thread runs only while its connection is requested and not established, and for as
//! long as the system's resolver needs.

use crate::error::{Error, Result};
use crate::net::connection::interfaces;
use crate::net::runtime::process;
use crate::util::thread;
use crate::util::time::{Checkpoint, SLICE};
use crate::wire::endpoint::Host;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

/// The pause between two attempts to resolve an unknown name.
const RETRY_PAUSE: Duration = Duration::from_secs(2);

/// How long a connection stays lost before its name is resolved again.
const REFRESH_AFTER: Duration = Duration::from_secs(5);

/// A thread that resolves a name.
struct Lookup {
    answers: Receiver<Vec<Host>>,
    /// No value is ever sent through it. Dropping it ends the thread.
    _stop: Sender<()>,
}

/// Resolves the host name of a connection.
pub(crate) struct Resolver {
    name: String,
    running: Option<Lookup>,
    /// When the name was resolved last, or when the connection was lost after that.
    since: Instant,
}

impl Resolver {
    /// Starts to resolve a name.
    pub(crate) fn start(name: &str) -> io::Result<Self> {
        let mut resolver = Self {
            name: name.to_owned(),
            running: None,
            since: Instant::now(),
        };
        resolver.restart()?;
        Ok(resolver)
    }

    fn restart(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        let (post, answers) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let name = self.name.clone();
        thread::spawn("zmqchat-resolve", move || run(&name, &post, &stopped))?;
        self.running = Some(Lookup {
            answers,
            _stop: stop,
        });
        Ok(())
    }

    /// Resolves the name again if the connection has been lost for a long time.
    pub(crate) fn restart_if_due(&mut self) {
        if self.running.is_none() && self.since.elapsed() >= REFRESH_AFTER {
            // If no thread can be started, the next call tries again after another pause.
            let _ = self.restart();
        }
    }

    /// The latest answer that was not taken yet: the addresses of the name, best first; none if the
    /// name is unknown.
    pub(crate) fn take_answer(&mut self) -> Option<Vec<Host>> {
        self.running.as_ref()?.answers.try_iter().last()
    }

    /// Records that the connection was established, and was lost.
    pub(crate) fn connection_lost(&mut self) {
        self.since = Instant::now();
    }

    /// Ends the thread: its answer was applied.
    pub(crate) fn finish(&mut self) {
        self.since = Instant::now();
        self.running = None;
    }
}

/// Resolves the name, again and again, until it is stopped.
fn run(name: &str, answers: &Sender<Vec<Host>>, stopped: &Receiver<()>) {
    while answers.send(look_up(name)).is_ok() {
        process::process().wake_maintenance();
        if stopped.recv_timeout(RETRY_PAUSE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// The addresses of a host name, IPv4 first; none if it is unknown. Waits for the system's resolver.
fn look_up(name: &str) -> Vec<Host> {
    let Ok(found) = (name, 0_u16).to_socket_addrs() else {
        return Vec::new();
    };
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.into_iter()
        .map(|found| match found {
            SocketAddr::V4(found) => Host::V4(*found.ip()),
            SocketAddr::V6(found) => Host::V6 {
                address: *found.ip(),
                // Link-local addresses, which names on a local network have (mDNS), need a zone.
                zone: (found.scope_id() != 0).then(|| interfaces::zone(found.scope_id())),
            },
        })
        .collect()
}

/// As `look_up`, but waits in slices between which the checkpoint runs: the system's resolver cannot
/// be interrupted.
pub(crate) fn look_up_interruptibly(name: &str, checkpoint: Checkpoint<'_>) -> Result<Vec<Host>> {
    let (post, answers) = mpsc::channel();
    let asked = name.to_owned();
    thread::spawn("zmqchat-resolve", move || {
        // Fails if the wait was interrupted: the receiver was dropped.
        let _ = post.send(look_up(&asked));
    })
    .map_err(|error| Error::no_thread(&format!("to resolve '{name}'"), &error))?;
    loop {
        match answers.recv_timeout(SLICE) {
            Ok(found) => return Ok(found),
            Err(RecvTimeoutError::Timeout) => checkpoint()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
        }
    }
}

/// What to do with a connection when its name was resolved.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResolveAction<'a> {
    /// Keep the address.
    Keep,
    /// Connect to this host instead.
    MoveTo(&'a Host),
    /// The name is unknown, and the connection has no address yet: resolve the name again.
    Retry,
}

/// Decides from the address of the connection, if any, and the addresses of its name, best first.
pub(crate) fn resolve_action<'a>(current: Option<&Host>, found: &'a [Host]) -> ResolveAction<'a> {
    match (current, found.first()) {
        // A name server may return the addresses in any order.
        (Some(current), _) if found.contains(current) => ResolveAction::Keep,
        (_, Some(first)) => ResolveAction::MoveTo(first),
        // The name server may be unreachable while the host is not.
        (Some(_), None) => ResolveAction::Keep,
        (None, None) => ResolveAction::Retry,
    }
}

#[cfg(test)]
mod tests {
    use super::{resolve_action, ResolveAction};
    use crate::wire::endpoint::Host;

    #[test]
    fn a_connection_moves_when_its_name_does() {
        let [old, new] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|bytes| Host::V4(bytes.into()));
        let name = [new.clone(), old.clone()];
        assert_eq!(resolve_action(None, &[]), ResolveAction::Retry);
        assert_eq!(resolve_action(None, &name), ResolveAction::MoveTo(&new));
        assert_eq!(resolve_action(Some(&old), &name), ResolveAction::Keep);
        let moved = ResolveAction::MoveTo(&new);
        assert_eq!(resolve_action(Some(&old), &name[..1]), moved);
        assert_eq!(resolve_action(Some(&old), &[]), ResolveAction::Keep);
    }
}
