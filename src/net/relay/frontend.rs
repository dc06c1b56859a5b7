//! A relay's frontend: an XSUB socket, which receives from publishers.

use crate::net::relay::last_value_cache::Frames;
use crate::net::relay::subscription_changes::SubscriptionChanges;
use crate::net::socket::handler::SocketHandler;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::zmq::frame::Frame;
use crate::util::wakeup::Wakeup;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// What a relay keeps beside its frontend.
pub(crate) struct Frontend {
    /// Wakes the forwarder.
    pub(crate) wakeup: Arc<Wakeup>,
    /// Messages are not forwarded.
    pub(crate) paused: bool,
    /// The first frame of a message that waits for a full subscriber; the others are unread.
    pub(crate) held: Option<Frame>,
    /// The buffer that frames are received into.
    pub(crate) frame: Frame,
    /// The prefixes that are subscribed to upstream.
    pub(crate) subscribed: HashSet<Arc<[u8]>>,
    /// Changes to them that have not been sent yet.
    pub(crate) changes: SubscriptionChanges,
    /// Messages that were forwarded, and the bytes of all their frames.
    pub(crate) messages: u64,
    pub(crate) bytes: u64,
    /// Copies of the frames of the current message, for the cache or a capture.
    pub(crate) copies: Frames,
}

impl SocketHandler for Frontend {
    const NAME: &'static str = "Relay";

    fn process_monitor(&mut self, socket: &mut OpenSocket, run_commands: bool) -> bool {
        if run_commands {
            socket.run_commands();
        }
        socket.read_events(|_| {})
    }

    fn has_left(&self) -> bool {
        false
    }

    fn dedicated_wakeup(&self) -> Option<&Wakeup> {
        Some(&self.wakeup)
    }
}

impl Frontend {
    pub(crate) fn new(wakeup: Arc<Wakeup>) -> Self {
        Self {
            wakeup,
            paused: false,
            held: None,
            frame: Frame::empty(),
            subscribed: HashSet::new(),
            changes: SubscriptionChanges::default(),
            messages: 0,
            bytes: 0,
            copies: Vec::new(),
        }
    }

    /// Sends the changes of subscriptions upstream, as far as their rate allows. `is_wanted`: whether a
    /// subscriber has this prefix.
    pub(crate) fn send_changes(
        &mut self,
        socket: &mut OpenSocket,
        is_wanted: impl Fn(&[u8]) -> bool,
    ) {
        let mut changes = std::mem::take(&mut self.changes);
        changes.send(Instant::now(), self.subscribed.len(), |prefix| {
            self.set_subscribed(socket, prefix, is_wanted(prefix))
        });
        self.changes = changes;
    }

    /// Subscribes or unsubscribes upstream; returns whether that was a change.
    pub(crate) fn set_subscribed(
        &mut self,
        socket: &mut OpenSocket,
        prefix: &Arc<[u8]>,
        subscribed: bool,
    ) -> bool {
        let is_change = if subscribed {
            self.subscribed.insert(Arc::clone(prefix))
        } else {
            self.subscribed.remove(prefix)
        };
        if is_change {
            // The send queue has no limit, so that this does not fail.
            let _ = Frame::send_parts(&mut socket.socket, &[&[u8::from(subscribed)], prefix]);
        }
        is_change
    }
}
