//! The relay that a user holds.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::state::Peer;
use crate::net::relay::config::Config;
use crate::net::relay::forwarder::Forwarder;
use crate::net::relay::frontend::Frontend;
use crate::net::relay::setup::{check_apart, check_no_loop, open_backend, open_frontend, start};
use crate::net::socket::connections;
use crate::net::socket::shared_socket::SharedSocket;
use crate::net::subscription::table::sum_by_prefix;
use crate::net::subscription::tracker;
use crate::net::zmq::options::OnFull;
use crate::util::time::{unix_ns, Checkpoint, Deadline};
use crate::util::wakeup::Wakeup;
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use crate::wire::topic;
use std::sync::Arc;
use std::time::Duration;

/// What a relay has done so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    /// Messages passed on.
    pub messages: u64,
    /// The bytes of all their frames.
    pub bytes: u64,
    /// How often a subscriber's queue was full, and it lost a message at least.
    pub overflows: u64,
    /// Connections that messages come from.
    pub publishers: usize,
    /// Peers that subscribe to anything now.
    pub subscribers: usize,
    /// Topics of which the latest message is kept.
    pub cached: usize,
    /// Latest messages that newcomers did not get: others would have got them again, or their queue
    /// was full.
    pub replays_skipped: u64,
    /// Whether messages wait.
    pub paused: bool,
    /// When it was made, in Unix nanoseconds.
    pub since_ns: i64,
}

/// What a user holds; any threads may share it.
pub struct Relay {
    hub: Arc<Forwarder>,
    frontend: Vec<String>,
    backend: Vec<String>,
    since_ns: i64,
}

impl Relay {
    /// Binds and connects, and begins to pass messages on.
    pub fn new(config: &Config, checkpoint: Checkpoint<'_>) -> Result<Self> {
        if config.on_full == OnFull::Raise {
            return Err(Error::Value(
                "a relay's on_full is \"drop\" or \"block\": there is nobody to raise an error for"
                    .into(),
            ));
        }
        bind::check(&config.frontend, &config.connect)?;
        bind::check(&config.backend, &config.publish_to)?;
        check_apart(&config.frontend, &config.backend)?;
        let wake = Arc::new(Wakeup::new());
        let hears_all = config.cached_topics > 0 || config.capture.is_some();
        let frontend = open_frontend(config, &wake, hears_all, checkpoint)?;
        let bound = |owner: &SharedSocket<Frontend>| {
            owner.enter()?.parts().map(|(live, _)| live.bound.clone())
        };
        let finish = |checkpoint: Checkpoint<'_>| {
            let frontend_endpoints = bound(&frontend)?;
            check_no_loop(
                &config.publish_to,
                &frontend_endpoints,
                "publish_to",
                "frontend",
            )?;
            connections::connect_all(&frontend, &config.connect)?;
            let backend = open_backend(config, &wake, checkpoint)?;
            let backend_endpoints = backend.enter()?.parts()?.0.bound.clone();
            let outcome = check_no_loop(&config.connect, &backend_endpoints, "connect", "backend")
                .and_then(|()| connections::connect_all(&backend, &config.publish_to));
            if let Err(error) = outcome {
                backend.close(None)?;
                return Err(error);
            }
            let hub = Arc::new(Forwarder::new(
                Arc::clone(&frontend),
                backend,
                Arc::clone(&wake),
                config.on_full,
                config.capture.clone(),
                hears_all,
            ));
            start(&hub)?;
            Ok(Self {
                hub,
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

    /// Lets messages wait; no further one is passed on when this returns.
    pub fn pause(&self) -> Result<()> {
        self.set_paused(true)
    }

    /// Goes on passing messages on.
    pub fn resume(&self) -> Result<()> {
        self.set_paused(false)
    }

    /// Whether messages wait.
    pub fn is_paused(&self) -> Result<bool> {
        let _caller = self.hub.call();
        let mut entered = self.hub.frontend.enter()?;
        let (_, intake) = entered.parts()?;
        Ok(intake.paused)
    }

    fn set_paused(&self, paused: bool) -> Result<()> {
        let _caller = self.hub.call();
        let mut entered = self.hub.frontend.enter()?;
        let (_, intake) = entered.parts()?;
        intake.paused = paused;
        Ok(())
    }

    /// What it has done so far.
    pub fn stats(&self) -> Result<Stats> {
        let _caller = self.hub.call();
        let (messages, bytes, publishers, paused) = self.hub.frontend.look_at(|live, intake| {
            (
                intake.messages,
                intake.bytes,
                live.connected(),
                intake.paused,
            )
        })?;
        self.hub.backend.look_at(|_, outlet| {
            let late = outlet.late.as_ref();
            Stats {
                messages,
                bytes,
                overflows: outlet.overflows,
                publishers,
                subscribers: outlet.audience.table.count(None),
                cached: late.map_or(0, |late| late.cache.len()),
                replays_skipped: late.map_or(0, |late| late.skipped),
                paused,
                since_ns: self.since_ns,
            }
        })
    }

    /// How many peers subscribe to anything.
    pub fn subscriber_count(&self) -> Result<usize> {
        let _caller = self.hub.call();
        let backend = &self.hub.backend;
        backend.look_at(|_, outlet| outlet.audience.table.count(None))
    }

    /// Each subscription that peers have, and how many have it.
    pub fn topics(&self) -> Result<Vec<(Subscription, usize)>> {
        let _caller = self.hub.call();
        let backend = &self.hub.backend;
        let prefixes = backend.look_at(|_, outlet| outlet.audience.table.prefixes())?;
        Ok(sum_by_prefix(prefixes)
            .into_iter()
            .map(|(prefix, count)| (Subscription::from_wire(&prefix, Framing::Plain), count))
            .collect())
    }

    /// The connections that messages come from, those asked for first.
    pub fn publishers(&self) -> Result<Vec<Peer>> {
        let _caller = self.hub.call();
        self.hub.frontend.look_at(|live, _| live.all_peers())
    }

    /// The connections that messages go to, those asked for first.
    pub fn subscribers(&self) -> Result<Vec<Peer>> {
        let _caller = self.hub.call();
        self.hub.backend.look_at(|live, _| live.all_peers())
    }

    /// Waits until so many connections that messages come from stand; how many there are then.
    pub fn wait_connected(
        &self,
        count: usize,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let frontend = &self.hub.frontend;
        let seen = frontend.wait_connected(count, deadline, checkpoint)?;
        if seen < count {
            return Err(Error::Timeout(format!(
                "{seen} of {count} connections established within the timeout; check address, port \
                 and firewall (see peers)"
            )));
        }
        Ok(seen)
    }

    /// Waits until `count` peers hear `topic` (`None`: anything at all); how many there are then.
    pub fn wait_for_subscribers(
        &self,
        count: usize,
        topic: Option<&str>,
        deadline: Deadline,
        checkpoint: Checkpoint<'_>,
    ) -> Result<usize> {
        let start = match topic {
            Some(topic) => {
                topic::validate(topic)?;
                Some(topic::prefix(topic))
            }
            None => None,
        };
        let mut seen = 0;
        let found = self
            .hub
            .backend
            .wait(deadline, checkpoint, |live, outlet| {
                outlet.read_notices(live);
                seen = outlet.audience.table.count(start.as_deref());
                Ok((seen >= count).then_some(seen))
            })?;
        let found = found.ok_or_else(|| {
            let what = topic.map_or(String::new(), |topic| format!(" of topic '{topic}'"));
            Error::Timeout(format!(
                "{seen} of {count} subscribers{what} connected within the timeout; check that they use one of these \
                 addresses, and that no firewall is in the way: {}",
                self.backend_addresses().join(", ")
            ))
        })?;
        self.hub
            .backend
            .settle(tracker::MAX_SETTLE, |live, outlet| {
                outlet.read_notices(live);
                outlet.audience.is_quiet()
            })?;
        Ok(found)
    }

    /// Where publishers come, as libzmq writes it.
    #[must_use]
    pub fn frontend(&self) -> &[String] {
        &self.frontend
    }

    /// Where subscribers come, as libzmq writes it.
    #[must_use]
    pub fn backend(&self) -> &[String] {
        &self.backend
    }

    /// What a publisher elsewhere can type.
    #[must_use]
    pub fn frontend_addresses(&self) -> Vec<String> {
        let bound = self.frontend.iter();
        bound
            .flat_map(|endpoint| bind::reachable(endpoint))
            .collect()
    }

    /// What a subscriber elsewhere can type.
    #[must_use]
    pub fn backend_addresses(&self) -> Vec<String> {
        let bound = self.backend.iter();
        bound
            .flat_map(|endpoint| bind::reachable(endpoint))
            .collect()
    }

    /// Whether it can be used: it is open, and not another process's.
    pub fn check_open(&self) -> Result<()> {
        self.hub.frontend.check_open()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.hub.frontend.is_closed()
    }

    /// Closes without waiting for anything, as its user lets go of it.
    pub fn close_nowait(&self) {
        let _caller = self.hub.call();
        self.hub.frontend.close_nowait();
        self.hub.backend.close_nowait();
    }

    /// Whether a forked child inherited it from its parent: then there is nothing to close.
    #[must_use]
    pub fn is_inherited(&self) -> bool {
        self.hub.frontend.is_inherited()
    }

    /// Closes; `None` lingers as the constructor was told.
    pub fn close(&self, linger: Option<Duration>) -> Result<()> {
        let _caller = self.hub.call();
        self.hub.frontend.close(None)?;
        self.hub.backend.close(linger)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.close_nowait();
    }
}
