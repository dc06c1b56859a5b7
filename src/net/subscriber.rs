//! A subscriber: a SUB whose queue is drained in batches.
//!
//! Invariant: what was unsubscribed is not handed out any more. libzmq checks what it hands over
//! against its own list; what we hold already, and what it holds ready, is checked here.

use super::filter::{Filter, Subscription};
use super::frame::Frame;
use super::live::{uninterrupted, Live};
use super::options::{self, Common};
use super::outbox::unix_nanoseconds;
use super::socket::{Owner, Room};
use super::sys::Errno;
use super::wait::{Checkpoint, Deadline};
use super::{address, links};
use crate::error::{Error, Result};
use crate::wire::message::Framing;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How much is taken from libzmq in one go.
const BATCH_MESSAGES: usize = 256;
const BATCH_BYTES: usize = 1024 * 1024;

/// What a subscriber is made with.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to connect to.
    pub connect: Vec<String>,
    /// Addresses to bind.
    pub bind: Vec<String>,
    /// Exact topics; `None` hears everything unless there are prefixes.
    pub topics: Option<Vec<String>>,
    /// Raw prefixes.
    pub prefixes: Vec<Vec<u8>>,
    /// How received frames are read.
    pub framing: Framing,
    /// Messages queued for each peer; 0 is no limit.
    pub high_water_mark: i32,
    /// A peer that sends a larger frame is cut off.
    pub max_message_bytes: usize,
}

/// A message as it came. It may keep a connection's whole read buffer alive: copy what is kept.
#[derive(Debug)]
pub struct Received {
    /// The first frame.
    pub first: Frame,
    /// The others; mostly none.
    pub rest: Vec<Frame>,
    /// When it was taken from libzmq, in Unix nanoseconds.
    pub at_ns: i64,
}

impl Received {
    fn bytes(&self) -> usize {
        let rest: usize = self.rest.iter().map(|frame| frame.bytes().len()).sum();
        self.first.bytes().len() + rest
    }
}

pub(crate) struct Inbox {
    queue: VecDeque<Received>,
    filter: Filter,
}

impl Room for Inbox {
    const NAME: &'static str = "Subscriber";

    fn tidy(&mut self, live: &mut Live, run_commands: bool) {
        if run_commands {
            live.run_commands();
        }
        // Who is connected is not kept yet; reading keeps the reports from piling up.
        while live.next_happening().is_some() {}
    }

    fn has_left(&self) -> bool {
        !self.queue.is_empty()
    }
}

impl Inbox {
    /// The next message, draining what libzmq has when we hold none.
    fn next(&mut self, live: &mut Live) -> Result<Option<Received>> {
        if self.queue.is_empty() {
            self.drain(live)?;
        }
        Ok(self.queue.pop_front())
    }

    fn drain(&mut self, live: &mut Live) -> Result<()> {
        let mut bytes = 0;
        let mut at_ns = 0;
        while self.queue.len() < BATCH_MESSAGES && bytes < BATCH_BYTES {
            let Some(mut received) = receive(live)? else {
                break;
            };
            if at_ns == 0 {
                at_ns = unix_nanoseconds();
            }
            received.at_ns = at_ns;
            bytes += received.bytes();
            if !self.filter.needs_check() || self.filter.admits(&received) {
                self.queue.push_back(received);
            }
        }
        Ok(())
    }

    /// Changes the subscriptions by `change`, and forgets what is no longer wanted.
    fn change(
        &mut self,
        live: &mut Live,
        change: impl FnOnce(&mut Filter, &mut zmq::Socket) -> std::result::Result<(), Errno>,
    ) -> Result<()> {
        // libzmq may hold one message ready that passed the old list.
        if let Some(mut ready) = receive(live)? {
            ready.at_ns = unix_nanoseconds();
            self.queue.push_back(ready);
        }
        let outcome = change(&mut self.filter, &mut live.socket);
        self.queue.retain(|received| self.filter.admits(received));
        outcome.map_err(|errno| errno.during("cannot change the subscriptions"))
    }
}

/// One message whole, if there is one.
fn receive(live: &mut Live) -> Result<Option<Received>> {
    let mut frame = Frame::empty();
    match uninterrupted(|| frame.receive(&mut live.socket)) {
        Ok(()) => {}
        Err(errno) if errno.would_block() => return Ok(None),
        Err(errno) => return Err(errno.during("cannot receive")),
    }
    let mut received = Received {
        first: frame,
        rest: Vec::new(),
        at_ns: 0,
    };
    let mut more = received.first.more();
    while more {
        // libzmq hands over the frames of a message only when it has them all.
        let mut frame = Frame::empty();
        uninterrupted(|| frame.receive(&mut live.socket))
            .map_err(|errno| errno.during("cannot receive the rest of a message"))?;
        more = frame.more();
        received.rest.push(frame);
    }
    Ok(Some(received))
}

/// What a user holds; any threads may share it.
pub struct Subscriber {
    owner: Arc<Owner<Inbox>>,
    endpoints: Vec<String>,
    framing: Framing,
}

impl Subscriber {
    /// Subscribes, binds and connects.
    pub fn new(config: Config) -> Result<Self> {
        let wanted = Subscription::all(config.topics.as_deref(), config.prefixes)?;
        let mut live = Live::open(
            zmq::SUB,
            &Common {
                high_water_mark: config.high_water_mark,
                max_inbound_bytes: i64::try_from(config.max_message_bytes).unwrap_or(i64::MAX),
                // Nothing leaves a subscriber but subscriptions.
                linger: Duration::ZERO,
            },
        )?;
        let mut filter = Filter::new(config.framing);
        options::apply_subscriber(&mut live.socket)
            .and_then(|()| filter.begin(&mut live.socket, wanted))
            .map_err(|errno| errno.during("cannot set up a subscriber"))?;
        for text in &config.bind {
            address::bind(&mut live, text)?;
        }
        let endpoints = live.bound.clone();
        let owner = Owner::new(
            live,
            Inbox {
                queue: VecDeque::new(),
                filter,
            },
        )?;
        for text in &config.connect {
            links::connect(&owner, text)?;
        }
        Ok(Self {
            owner,
            endpoints,
            framing: config.framing,
        })
    }

    /// How received frames are read.
    #[must_use]
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// The next message if there is one and no other thread is inside; `None` when one is.
    #[must_use]
    pub fn try_recv(&self) -> Option<Result<Option<Received>>> {
        let entered = self.owner.try_enter()?;
        Some(entered.and_then(|mut entered| {
            entered.only_took();
            let (live, inbox) = entered.parts()?;
            inbox.next(live)
        }))
    }

    /// Waits for a message. `what` says in the error what was waited for.
    pub fn recv(&self, deadline: Deadline, checkpoint: Checkpoint<'_>) -> Result<Received> {
        self.owner
            .wait(deadline, checkpoint, |live, inbox| inbox.next(live))?
            .ok_or_else(|| Error::Timeout(self.nothing_came()))
    }

    /// Takes up to `max_count` messages that are there; waits for none.
    pub fn take(&self, max_count: usize) -> Result<Vec<Received>> {
        let mut entered = self.owner.enter()?;
        entered.only_took();
        let (live, inbox) = entered.parts()?;
        let mut taken = Vec::new();
        while taken.len() < max_count {
            if inbox.queue.is_empty() {
                inbox.drain(live)?;
                if inbox.queue.is_empty() {
                    break;
                }
            }
            let count = inbox.queue.len().min(max_count - taken.len());
            taken.extend(inbox.queue.drain(..count));
        }
        Ok(taken)
    }

    /// The text of a time-out.
    #[must_use]
    pub fn nothing_came(&self) -> String {
        let from = self.connections();
        let listens = if from.is_empty() {
            format!("at {}", self.addresses().join(", "))
        } else {
            format!("from {}", from.join(", "))
        };
        format!(
            "no message came in time {listens}: check that a publisher runs there, that address \
             and port are right, and that it sends what is subscribed to"
        )
    }

    /// Adds a subscription; nothing changes when it is there already.
    pub fn subscribe(&self, subscription: Subscription) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, inbox) = entered.parts()?;
        inbox.change(live, |filter, socket| filter.add(socket, subscription))
    }

    /// Takes a subscription away; nothing changes when it is not there.
    pub fn unsubscribe(&self, subscription: &Subscription) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, inbox) = entered.parts()?;
        inbox.change(live, |filter, socket| filter.remove(socket, subscription))
    }

    /// What it subscribes to.
    pub fn subscriptions(&self) -> Result<Vec<Subscription>> {
        let mut entered = self.owner.enter()?;
        let (_, inbox) = entered.parts()?;
        Ok(inbox.filter.subscriptions())
    }

    /// Connects to one more address, at any time.
    pub fn connect(&self, text: &str) -> Result<()> {
        links::connect(&self.owner, text)
    }

    /// Takes a connection back.
    pub fn disconnect(&self, text: &str) -> Result<()> {
        let mut entered = self.owner.enter()?;
        let (live, _) = entered.parts()?;
        links::disconnect(live, text)
    }

    /// The addresses it connects to; none once it is closed.
    #[must_use]
    pub fn connections(&self) -> Vec<String> {
        let connections = || {
            let mut entered = self.owner.enter()?;
            let (live, _) = entered.parts()?;
            Ok::<_, Error>(links::typed(live))
        };
        connections().unwrap_or_default()
    }

    /// The addresses it is bound to, as libzmq writes them.
    #[must_use]
    pub fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// What another laptop can type to connect to it.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        self.endpoints
            .iter()
            .flat_map(|endpoint| address::reachable(endpoint))
            .collect()
    }

    /// Whether it was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.owner.is_closed()
    }

    /// Closes.
    pub fn close(&self) -> Result<()> {
        self.owner.close(None)
    }
}
