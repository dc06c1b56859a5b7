//! Looking up the names of computers.
//!
//! libzmq looks names up in its one I/O thread, where a slow resolver stalls every socket; so a
//! thread of our own does, and libzmq gets addresses. It keeps trying while a name is unknown,
//! because the other laptop may come to the network later. When a connection stays away, the name
//! is looked up again: the other laptop may have come back under another address.
//!
//! Invariant: a thread runs only while its link is there and not connected, but for the resolver's
//! own time.

use crate::net::connection::bind;
use crate::net::socket::connections;
use crate::net::socket::shared_socket::{SharedSocket, SocketHandler};
use crate::util::thread;
use crate::wire::endpoint::Host;
use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Between two attempts to look up a name that is unknown.
const PAUSE: Duration = Duration::from_secs(2);

/// How long a connection stays away before its name is looked up again.
const AWAY: Duration = Duration::from_secs(5);

/// Never sent: the other end learns that it is dropped.
type Wanted = Sender<()>;

/// How a link's name is looked up.
pub(crate) struct Resolver {
    start: Box<dyn Fn(Receiver<()>) -> io::Result<()> + Send>,
    /// While a thread is at it. Dropped with the link, which ends the thread.
    running: Option<Wanted>,
    /// When it was looked up last, or when the connection was lost after that.
    since: Instant,
}

impl Resolver {
    /// Starts looking `name` up for the link with this number.
    pub(crate) fn start<R: SocketHandler>(
        owner: &Arc<SharedSocket<R>>,
        number: u64,
        name: &str,
    ) -> io::Result<Self> {
        let (owner, name) = (Arc::downgrade(owner), name.to_owned());
        let start = move |wanted| {
            let (owner, name) = (Weak::clone(&owner), name.clone());
            thread::spawn("zmqchat-name", move || find(&owner, number, &name, &wanted)).map(drop)
        };
        let mut lookup = Self {
            start: Box::new(start),
            running: None,
            since: Instant::now(),
        };
        lookup.again()?;
        Ok(lookup)
    }

    fn again(&mut self) -> io::Result<()> {
        self.since = Instant::now();
        let (running, wanted) = mpsc::channel();
        (self.start)(wanted)?;
        self.running = Some(running);
        Ok(())
    }

    /// Looks the name up again if the connection has been away for long.
    pub(crate) fn again_if_due(&mut self) {
        if self.running.is_none() && self.since.elapsed() >= AWAY {
            // Should no thread start, there is a next time.
            let _ = self.again();
        }
    }

    /// The connection stood, and was lost.
    pub(crate) fn lost(&mut self) {
        self.since = Instant::now();
    }

    /// The thread is done.
    pub(crate) fn done(&mut self) {
        self.since = Instant::now();
        self.running = None;
    }
}

/// Looks the name up until that settles its link, or until the link is gone.
fn find<R: SocketHandler>(
    owner: &Weak<SharedSocket<R>>,
    number: u64,
    name: &str,
    wanted: &Receiver<()>,
) {
    loop {
        let hosts = bind::look_up(name);
        {
            let Some(owner) = owner.upgrade() else { return };
            let Ok(mut entered) = owner.enter() else {
                return;
            };
            let Ok((live, room)) = entered.parts() else {
                return;
            };
            // The connection may have come back meanwhile.
            room.process_monitor(live, true);
            if connections::settle(live, room, number, &hosts) {
                return;
            }
        }
        if wanted.recv_timeout(PAUSE) != Err(RecvTimeoutError::Timeout) {
            return;
        }
    }
}

/// What to do about the address that a link has, now that its name was looked up.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ResolveAction<'a> {
    /// Keep it.
    Stay,
    /// Go there instead.
    Move(&'a Host),
    /// There is none yet; look the name up again in a while.
    Wait,
}

/// Decides from the address it has, if any, and the addresses that its name has, best first.
pub(crate) fn judge<'a>(current: Option<&Host>, found: &'a [Host]) -> ResolveAction<'a> {
    match (current, found.first()) {
        // A resolver may give several addresses in any order.
        (Some(current), _) if found.contains(current) => ResolveAction::Stay,
        (_, Some(first)) => ResolveAction::Move(first),
        // A name server may be away for a while, and the other laptop not.
        (Some(_), None) => ResolveAction::Stay,
        (None, None) => ResolveAction::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::{judge, ResolveAction};
    use crate::wire::endpoint::Host;

    #[test]
    fn a_link_moves_when_its_name_does() {
        let [old, new] = [[10, 0, 0, 1], [10, 0, 0, 2]].map(|bytes| Host::V4(bytes.into()));
        let name = [new.clone(), old.clone()];
        assert_eq!(judge(None, &[]), ResolveAction::Wait);
        assert_eq!(judge(None, &name), ResolveAction::Move(&new));
        assert_eq!(judge(Some(&old), &name), ResolveAction::Stay);
        assert_eq!(judge(Some(&old), &name[..1]), ResolveAction::Move(&new));
        assert_eq!(judge(Some(&old), &[]), ResolveAction::Stay);
    }
}
