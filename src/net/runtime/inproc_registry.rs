//! The `inproc://` names of the process and the sockets that are bound to them.
//!
//! libzmq connects a socket to an `inproc://` name once. It does not connect the socket again when
//! another socket binds the name, does not report that the bound socket was closed, and cannot close
//! a socket that waits for a name to be bound. So our connections to a name are made when the name
//! is bound, and made again when it is bound anew.
//!
//! Invariant: sockets bind these names, unbind them and connect to them under one lock, and no other
//! lock is taken while it is held. No socket connects to a name that is not bound.

use crate::net::zmq::ffi::Errno;
use crate::util::sync::lock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Mutex;

/// The names that sockets of this process are bound to, each with the number of its binding.
#[derive(Default)]
pub(crate) struct InprocRegistry {
    bindings: Mutex<HashMap<String, u64>>,
    changes: AtomicU64,
}

impl InprocRegistry {
    /// Runs `bind`, and registers the name if it succeeds.
    pub(crate) fn bind(
        &self,
        name: &str,
        bind: impl FnOnce() -> Result<(), Errno>,
    ) -> Result<(), Errno> {
        let mut bindings = lock(&self.bindings);
        bind()?;
        let number = self.changes.fetch_add(1, Ordering::AcqRel) + 1;
        bindings.insert(name.to_owned(), number);
        Ok(())
    }

    /// Runs `unbind`, and removes the name.
    pub(crate) fn unbind(&self, name: &str, unbind: impl FnOnce()) {
        let mut bindings = lock(&self.bindings);
        unbind();
        bindings.remove(name);
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// A number that grows with each change.
    #[inline]
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Runs `connect` with the number of the name's binding, which cannot change meanwhile.
    pub(crate) fn with_binding<T>(&self, name: &str, connect: impl FnOnce(Option<u64>) -> T) -> T {
        let bindings = lock(&self.bindings);
        connect(bindings.get(name).copied())
    }
}
