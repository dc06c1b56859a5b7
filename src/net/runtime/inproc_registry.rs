//! Names within the process: who is bound to them, and the links that follow.
//!
//! libzmq joins a socket to a name once. It does not join it to the name's next owner, says nothing
//! when an owner goes, and cannot close a socket that waits for one. So a link is connected when its
//! name has an owner, and again when it has a new one.
//!
//! Invariant: sockets bind to these names, leave them and connect to them under one lock, the
//! innermost: nobody connects to a name without an owner.

use crate::error::Result;
use crate::net::connection::bind;
use crate::net::runtime::process;
use crate::net::socket::connections;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::zmq::ffi::Errno;
use crate::util::sync::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

/// The names that sockets of this process are bound to, each with the number of its binding.
#[derive(Default)]
pub(crate) struct InprocRegistry {
    bound: Mutex<HashMap<String, u64>>,
    changes: AtomicU64,
}

impl InprocRegistry {
    /// Runs `bind`, and notes the name when it succeeds.
    pub(crate) fn bind(
        &self,
        name: &str,
        bind: impl FnOnce() -> std::result::Result<(), Errno>,
    ) -> std::result::Result<(), Errno> {
        let mut bound = lock(&self.bound);
        bind()?;
        let number = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        bound.insert(name.to_owned(), number);
        Ok(())
    }

    /// Runs `unbind`, and forgets the name.
    pub(crate) fn leave(&self, name: &str, unbind: impl FnOnce()) {
        let mut bound = lock(&self.bound);
        unbind();
        bound.remove(name);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }
}

/// Lets every link to a name follow the changes since the last look. Says whether one did.
pub(crate) fn follow(live: &mut OpenSocket) -> bool {
    let names = process::process().names();
    let latest = names.changes.load(Ordering::Acquire);
    if live.followed == latest {
        return false;
    }
    live.followed = latest;
    let mut followed = false;
    for place in 0..live.links.len() {
        if let Some(name) = live.links[place].inproc() {
            match follow_one(live, place, &name) {
                Ok(changed) => followed |= changed,
                // Tries again at the next look.
                Err(_) => live.followed = u64::MAX,
            }
        }
    }
    followed
}

/// Lets one link follow. Says whether anything changed.
pub(crate) fn follow_one(live: &mut OpenSocket, place: usize, name: &str) -> Result<bool> {
    let bound = lock(&process::process().names().bound);
    let owner = bound.get(name).copied();
    if live.links[place].binding == owner {
        return Ok(false);
    }
    let mark_disconnected = live.links[place].binding.take().is_some();
    if mark_disconnected {
        // It is gone already, with its owner.
        let _ = connections::detach(live, place);
    }
    let endpoint = live.links[place].wanted().clone();
    let outcome = match owner {
        Some(_) => bind::connect(live, &endpoint, false),
        None => Ok(()),
    };
    drop(bound);
    if mark_disconnected {
        live.mark_disconnected(place);
    }
    outcome?;
    if owner.is_some() {
        let link = &mut live.links[place];
        link.connected = Some(endpoint);
        link.binding = owner;
        live.mark_connected(place);
    }
    Ok(true)
}
