//! The relay that a user holds.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::bound_endpoint;
use crate::net::connection::state::ConnectionInfo;
use crate::net::relay::config::Config;
use crate::net::relay::forwarder::Forwarder;
use crate::net::relay::frontend::Frontend;
use crate::net::relay::setup::{check_apart, check_no_loop, open_backend, open_frontend, start};
use crate::net::socket::shared_socket::SharedSocket;
use crate::net::subscription::table::sum_by_prefix;
use crate::net::subscription::tracker;
use crate::net::zmq::options::OnFull;
use crate::util::time::{unix_ns, Checkpoint, Deadline};
use crate::util::wakeup::Wakeup;
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use std::sync::Arc;
use std::time::Duration;

/// What a relay has forwarded so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages that were forwarded.
    pub messages: u64,
    /// The bytes of all their frames.
    pub bytes: u64,
    /// Messages that at least one subscriber lost, because its queue was full.
    pub overflows: u64,
    /// Connections of the frontend.
    pub publishers: usize,
    /// Peers that have a subscription now.
    pub subscribers: usize,
    /// Topics whose latest message is kept.
    pub cached: usize,
    /// Latest messages that a new subscriber was not sent: others would have received them again, or its
    /// queue was full.
    pub replays_skipped: u64,
    /// Whether it is paused.
    pub paused: bool,
    /// When it was created, in Unix nanoseconds.
    pub since_ns: i64,
}

/// A relay; threads may share it.
pub struct Relay {
    forwarder: Arc<Forwarder>,
    frontend: Vec<String>,
    backend: Vec<String>,
    since_ns: i64,
}

impl Relay {
    /// Binds, connects, and starts to forward messages.
    pub fn new(config: &Config, checkpoint: Checkpoint<'_>) -> Result<Self> {
        if config.on_full == OnFull::Raise {
            return Err(Error::Value(
                "invalid on_full=\"raise\" of a relay: expected \"drop\" or \"block\", as no call could \
                 raise the error"
                    .into(),
            ));
        }
        bind::check(&config.frontend, &config.connect)?;
        bind::check(&config.backend, &config.publish_to)?;
        check_apart(&config.frontend, &config.backend)?;
        let wakeup = Arc::new(Wakeup::new());
        let subscribes_to_all = config.cached_topics > 0 || config.capture.is_some();
        let frontend = open_frontend(config, &wakeup, subscribes_to_all, checkpoint)?;
        let bound = |shared: &SharedSocket<Frontend>| {
            shared
                .enter()?
                .parts()
                .map(|(socket, _)| socket.listeners.endpoints.clone())
        };
        let finish = |checkpoint: Checkpoint<'_>| {
            let frontend_endpoints = bound(&frontend)?;
            check_no_loop(
                &config.publish_to,
                &frontend_endpoints,
                "publish_to",
                "frontend",
            )?;
            frontend.connect_all(&config.connect)?;
            let backend = open_backend(config, &wakeup, checkpoint)?;
            let backend_endpoints = backend.enter()?.parts()?.0.listeners.endpoints.clone();
            let outcome = check_no_loop(&config.connect, &backend_endpoints, "connect", "backend")
                .and_then(|()| backend.connect_all(&config.publish_to));
            if let Err(error) = outcome {
                backend.close(None)?;
                return Err(error);
            }
            let forwarder = Arc::new(Forwarder::new(
                Arc::clone(&frontend),
                backend,
                Arc::clone(&wakeup),
                config.on_full,
                config.capture.clone(),
                subscribes_to_all,
            ));
            start(&forwarder)?;
            Ok(Self {
                forwarder,
                frontend: frontend_endpoints,
                backend: backend_endpoints,
                since_ns: unix_ns(),
            })
        };
        let outcome = finish(checkpoint);
        if outcome.is_err() {
            frontend.close(None)?;
        }
        outcome
    }

    /// Pauses: when this returns, no further message is forwarded.
    pub fn pause(&self) -> Result<()> {
        self.set_paused(true)
    }

    /// Forwards messages again.
    pub fn resume(&self) -> Result<()> {
        self.set_paused(false)
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> Result<bool> {
        let _request = self.forwarder.request_locks();
        let mut entered = self.forwarder.frontend.enter()?;
        let (_, frontend) = entered.parts()?;
        Ok(frontend.paused)
    }

    fn set_paused(&self, paused: bool) -> Result<()> {
        let _request = self.forwarder.request_locks();
        let mut entered = self.forwarder.frontend.enter()?;
        let (_, frontend) = entered.parts()?;
        frontend.paused = paused;
        Ok(())
    }

    /// What was forwarded so far.
    pub fn stats(&self) -> Result<Stats> {
        let _request = self.forwarder.request_locks();
        let (messages, bytes, publishers, paused) =
            self.forwarder.frontend.inspect(|socket, frontend| {
                (
                    frontend.messages,
                    frontend.bytes,
                    socket.connections.connected(),
                    frontend.paused,
                )
            })?;
        self.forwarder.backend.inspect(|_, backend| {
            let replay = backend.replay.as_ref();
            Stats {
                messages,
                bytes,
                overflows: backend.overflows,
                publishers,
                subscribers: backend.subscribers.table.count(None),
                cached: replay.map_or(0, |replay| replay.cache.len()),
                replays_skipped: replay.map_or(0, |replay| replay.skipped),
                paused,
                since_ns: self.since_ns,
            }
        })
    }

    /// How many peers have a subscription.
    pub fn subscriber_count(&self) -> Result<usize> {
        let _request = self.forwarder.request_locks();
        let backend = &self.forwarder.backend;
        backend.inspect(|_, backend| backend.subscribers.table.count(None))
    }

    /// Each subscription of the peers, and how many peers have it.
    pub fn topics(&self) -> Result<Vec<(Subscription, usize)>> {
        let _request = self.forwarder.request_locks();
        let backend = &self.forwarder.backend;
        let prefixes = backend.inspect(|_, backend| backend.subscribers.table.prefixes())?;
        Ok(sum_by_prefix(prefixes)
            .into_iter()
            .map(|(prefix, count)| (Subscription::from_wire(&prefix, Framing::Plain), count))
            .collect())
    }

    /// The connections of the frontend: configured ones first.
    pub fn publishers(&self) -> Result<Vec<ConnectionInfo>> {
        let _request = self.forwarder.request_locks();
        self.forwarder
            .frontend
            .inspect(|socket, _| socket.connections.infos())
    }

    /// The connections of the backend: configured ones first.
    pub fn subscribers(&self) -> Result<Vec<ConnectionInfo>> {
        let _request = self.forwarder.request_locks();
        self.forwarder
            .backend
            .inspect(|socket, _| socket.connections.infos())
    }

    /// Waits until `count` connections of the frontend are established; returns how many are.
    pub fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let frontend = &self.forwarder.frontend;
        let seen = frontend.wait_connected(count, deadline, checkpoint)?;
        if seen < count {
            return Err(Error::Timeout(format!(
                "{seen} of {count} connections established within the timeout; check address, port \
                 and firewall (see publishers)"
            )));
        }
        Ok(seen)
    }

    /// Waits until `count` peers subscribe to `topic` (`None`: to anything); returns how many do.
    pub fn wait_for_subscribers(
        &self,
        count: usize,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let first_bytes = topic
            .map(|topic| Ok::<_, Error>(Subscription::topic(topic)?.wire_prefix(Framing::Plain)))
            .transpose()?;
        let mut seen = 0;
        let found = self
            .forwarder
            .backend
            .wait(deadline, checkpoint, |socket, backend| {
                backend.read_subscriptions(socket);
                seen = backend.subscribers.table.count(first_bytes.as_deref());
                Ok((seen >= count).then_some(seen))
            })?;
        let found = found.ok_or_else(|| {
            let hint = tracker::address_hint(&self.backend_addresses());
            tracker::too_few_subscribers(seen, count, topic, &hint)
        })?;
        self.forwarder
            .backend
            .wait_until_quiet(tracker::MAX_SETTLE, |socket, backend| {
                backend.read_subscriptions(socket);
                backend.subscribers.is_quiet()
            })?;
        Ok(found)
    }

    /// The addresses the frontend is bound to, as libzmq writes them.
    #[must_use]
    pub fn frontend(&self) -> &[String] {
        &self.frontend
    }

    /// The addresses the backend is bound to, as libzmq writes them.
    #[must_use]
    pub fn backend(&self) -> &[String] {
        &self.backend
    }

    /// The addresses at which publishers on other hosts can connect.
    #[must_use]
    pub fn frontend_addresses(&self) -> Vec<String> {
        let bound = self.frontend.iter();
        bound
            .flat_map(|endpoint| bound_endpoint::reachable(endpoint))
            .collect()
    }

    /// The addresses at which subscribers on other hosts can connect.
    #[must_use]
    pub fn backend_addresses(&self) -> Vec<String> {
        let bound = self.backend.iter();
        bound
            .flat_map(|endpoint| bound_endpoint::reachable(endpoint))
            .collect()
    }

    /// Returns an error unless it is open, in the process that created it.
    pub fn check_open(&self) -> Result<()> {
        self.forwarder.frontend.check_open()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.forwarder.frontend.is_closed()
    }

    /// Closes without waiting.
    pub fn close_nowait(&self) {
        let _request = self.forwarder.request_locks();
        self.forwarder.frontend.close_nowait();
        self.forwarder.backend.close_nowait();
    }

    /// Whether a forked child inherited it from its parent: then there is nothing to close.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.forwarder.frontend.is_inherited()
    }

    /// Closes; `linger` replaces the configured time.
    pub fn close(&self, linger: Option<Duration>) -> Result<()> {
        let _request = self.forwarder.request_locks();
        self.forwarder.frontend.close(None)?;
        self.forwarder.backend.close(linger)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close_nowait();
    }
}
