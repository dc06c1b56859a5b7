//! Operations of event loops, which never wait: try once, and arm a callback.

use crate::error::Result;
use crate::net::runtime::process;
use crate::net::runtime::reactor::{Interest, ReadinessCallback, ReadinessSource};
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SharedSocket;
use crate::util::sync::lock;
use std::sync::{Arc, Weak};

impl<H: SocketHandler> ReadinessSource for SharedSocket<H> {
    fn wake_all(&self) {
        lock(&self.inner).wake_others(None);
    }

    fn disarm(&self, callback: &ReadinessCallback, forced: bool) -> bool {
        let mut inner = lock(&self.inner);
        let ready = forced
            || callback.interest() == Interest::Change
            || inner.handler.has_left()
            // On a closed socket the operation must be tried as well, so that it reports the error.
            || inner.open.as_mut().is_none_or(OpenSocket::run_commands);
        if ready {
            callback.disarm();
            inner.remove_waiter(callback.wakeup());
        }
        ready
    }
}

impl<H: SocketHandler> SharedSocket<H> {
    /// A callback that is not armed yet.
    pub(crate) fn new_callback(
        self: &Arc<Self>,
        interest: Interest,
        on_ready: Box<dyn Fn() + Send + Sync>,
    ) -> Result<Arc<ReadinessCallback>> {
        self.check_fork()?;
        let reactor = process::process().reactor()?;
        let source: Weak<Self> = Arc::downgrade(self);
        Ok(Arc::new(ReadinessCallback::new(
            &reactor, interest, source, on_ready,
        )))
    }

    /// Tries an operation once, and arms the callback where it cannot proceed. The `first` try of a
    /// wait wakes the other waiters, because it may have taken the signal that they need.
    pub(crate) fn try_or_watch<T>(
        &self,
        callback: Option<&Arc<ReadinessCallback>>,
        first: bool,
        attempt: impl FnOnce(&mut OpenSocket, &mut H) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        let mut guard = self.enter()?;
        guard.takes_messages_only();
        let (open, handler) = guard.parts()?;
        let (descriptor, isolated) = (open.descriptor, open.connections.is_isolated());
        let outcome = attempt(open, handler);
        // An operation that waits for a change may have taken the signal of a new message.
        let changes = callback.is_some_and(|callback| callback.interest() == Interest::Change);
        let took = changes && matches!(outcome, Ok(None)) && open.run_commands();
        if first || took || matches!(outcome, Ok(Some(_))) {
            guard
                .inner
                .wake_others(callback.map(|callback| callback.wakeup()));
        }
        if let (Some(callback), Ok(None)) = (callback, &outcome) {
            if callback.arm() {
                guard.inner.waiters.push(Arc::clone(callback.wakeup()));
                drop(guard);
                if isolated {
                    // The maintenance thread may be asleep; it reports that no peer connects.
                    process::process().wake_maintenance();
                }
                process::process().reactor()?.add(callback, descriptor);
            }
        }
        outcome
    }
}
