//! The open objects of the process, and the monitors of sockets that are closing.

use crate::net::runtime::notebook_cell::CellRun;
use crate::net::zmq::monitor::Monitor;
use crate::util::sync::lock;
use std::sync::{Arc, Mutex, Weak};

/// What maintenance has to wait for after it maintained an object.
#[derive(Debug, Default)]
pub(crate) struct PollInterest {
    /// The object is in use: maintain it again soon.
    pub(crate) busy: bool,
    /// Some input was left unread: maintain the object again very soon.
    pub(crate) behind: bool,
    /// Descriptors to poll until then.
    pub(crate) descriptors: [Option<zmq_sys::RawFd>; 2],
}

/// An object as the maintenance thread and the end of the process use it.
pub(crate) trait Managed: Send + Sync {
    /// Processes what libzmq reports, unless the object is in use.
    fn maintain(&self) -> PollInterest;
    /// Closes the object without waiting.
    fn close_at_exit(&self);
    /// A description of the object for an error, if it is bound to this endpoint.
    fn holder_of(&self, endpoint: &str) -> Option<String>;
    /// Closes the object if it is bound to this endpoint and an earlier run of that cell made it.
    fn close_if_superseded(&self, endpoint: &str, run: &CellRun) -> bool;
}

/// All open objects. Owns none of them.
#[derive(Default)]
pub(crate) struct Registry {
    objects: Mutex<Vec<Weak<dyn Managed>>>,
    /// Monitors of closed sockets that libzmq still reports to.
    closing: Mutex<Vec<Monitor>>,
}

impl Registry {
    /// Adds an object.
    pub(crate) fn add(&self, object: Weak<dyn Managed>) {
        let mut objects = lock(&self.objects);
        if objects.len() == objects.capacity() {
            objects.retain(|known| known.strong_count() > 0);
        }
        objects.push(object);
    }

    /// The objects that still exist.
    pub(crate) fn objects(&self) -> Vec<Arc<dyn Managed>> {
        let objects = lock(&self.objects);
        objects.iter().filter_map(Weak::upgrade).collect()
    }

    /// Closes one object that is bound to this endpoint and that an earlier run of this cell made;
    /// false if there is none.
    pub(crate) fn evict_superseded(&self, endpoint: &str, run: &CellRun) -> bool {
        let objects = self.objects();
        objects
            .iter()
            .any(|object| object.close_if_superseded(endpoint, run))
    }

    /// A description of the object that is bound to this endpoint.
    pub(crate) fn holder_of(&self, endpoint: &str) -> Option<String> {
        let objects = self.objects();
        objects.iter().find_map(|object| object.holder_of(endpoint))
    }

    /// Keeps the monitor of a closed socket until libzmq has stopped reporting to it.
    pub(crate) fn drain_until_stopped(&self, monitor: Monitor) {
        lock(&self.closing).push(monitor);
    }

    /// How many sockets are closing.
    pub(crate) fn closing_count(&self) -> usize {
        lock(&self.closing).len()
    }

    /// Reads the reports of closing sockets. Drops the monitors that receive no more reports, and
    /// returns the descriptors of the remaining ones.
    pub(crate) fn drain_closing(&self) -> Vec<zmq_sys::RawFd> {
        let mut closing = lock(&self.closing);
        closing.retain_mut(|monitor| !monitor.drain_until_stopped());
        closing.iter().map(Monitor::descriptor).collect()
    }

    /// Drops all monitors of closing sockets; libzmq must not report to them any more.
    pub(crate) fn drop_closing(&self) {
        lock(&self.closing).clear();
    }
}
