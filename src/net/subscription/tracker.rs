//! Tracks which peers subscribe to an XPUB: reads its subscription messages and its monitor, in the order
//! that the subscription table needs.
//!
//! Invariant: one call reads a bounded number of messages and events, however fast peers send. The rest is
//! read by the next call, or soon by the maintenance thread (`is_behind`). A peer that sends too many
//! frames, or has too many subscriptions, is disconnected.

use crate::error::Error;
use crate::net::runtime::event_queue::EventKind;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::subscription::prefilter::TopicPrefilter;
use crate::net::subscription::table::SubscriptionTable;
use crate::net::zmq::ffi::uninterrupted;
use crate::net::zmq::frame::{Frame, Source};
use crate::net::zmq::monitor::MonitorEvent;
use crate::net::zmq::options::PEER_QUEUE;
use crate::wire::message::Framing;
use crate::wire::subscription::Subscription;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The prefix with which `zmqchat doctor` tests whether it can subscribe. No topic begins with it.
const DOCTOR_PREFIX: &[u8] = b"zmqchat doctor";

/// The most subscription messages that one call reads.
pub(crate) const MAX_MESSAGES: usize = 2_000;

/// A peer's subscriptions arrive a few at a time ([`PEER_QUEUE`]), without a mark after the last one. The
/// pauses between them are about 0.05 ms, and longer while the processors are busy.
const QUIET_TIME: Duration = Duration::from_millis(10);

/// How long a wait for subscribers waits at most for the rest of their subscriptions, while other peers
/// keep changing theirs.
pub(crate) const MAX_SETTLE: Duration = Duration::from_millis(500);

/// Frames that one connection may send within [`WINDOW`] without adding a subscription: it subscribes and
/// unsubscribes, repeats a subscription, or sends something else. Twice its largest number of
/// subscriptions is allowed on top, so that it may remove all of them and add them again.
const UNPRODUCTIVE_FRAMES: u64 = 50_000;
const WINDOW: Duration = Duration::from_secs(10);

/// The subscriptions of the peers of one socket.
pub(crate) struct SubscriptionTracker {
    pub(crate) table: SubscriptionTable,
    pub(crate) prefilter: TopicPrefilter,
    framing: Framing,
    /// The most subscriptions of one peer, and of all peers together. 0: no limit.
    max_subscriptions: usize,
    /// See [`UNPRODUCTIVE_FRAMES`].
    unproductive_frames: u64,
    /// Subscription messages that were read, and are applied once all monitor events have been read.
    unapplied: Vec<Frame>,
    /// Whether the caller of `read` inspects each message before it is applied.
    inspects: bool,
    /// The last call left messages unread.
    behind: bool,
    /// How many messages the last call read.
    last_read: usize,
    /// When a call last read at least `PEER_QUEUE` messages: a peer's queue may have been full then.
    last_burst: Option<Instant>,
    meters: HashMap<i32, FrameMeter>,
}

/// Counts the frames that one connection sends.
struct FrameMeter {
    token: usize,
    window_start: Instant,
    /// Frames since then that did not add a subscription.
    unproductive: u64,
    /// The largest number of subscriptions that the connection had.
    peak: usize,
}

impl FrameMeter {
    fn new(token: usize, now: Instant) -> Self {
        Self {
            token,
            window_start: now,
            unproductive: 0,
            peak: 0,
        }
    }

    /// Counts one frame, after which the connection has `total` subscriptions. Returns whether the
    /// connection has exceeded its limit.
    fn count(&mut self, now: Instant, total: usize, unproductive_frames: u64) -> bool {
        if total > self.peak {
            self.peak = total;
            return false;
        }
        if now.duration_since(self.window_start) > WINDOW {
            self.window_start = now;
            self.unproductive = 0;
        }
        self.unproductive += 1;
        self.unproductive > self.limit(unproductive_frames)
    }

    fn limit(&self, unproductive_frames: u64) -> u64 {
        unproductive_frames + 2 * self.peak as u64
    }

    /// Why the connection is ended.
    fn reason(&self, now: Instant, unproductive_frames: u64) -> String {
        let seconds = now
            .duration_since(self.window_start)
            .as_secs_f64()
            .max(0.001);
        #[allow(clippy::cast_precision_loss)] // for people
        let rate = self.unproductive as f64 / seconds;
        format!(
            "it sent {} frames within {seconds:.1} s ({rate:.0} per second) that added no \
             subscription; the limit is {} within {} s",
            self.unproductive,
            self.limit(unproductive_frames),
            WINDOW.as_secs()
        )
    }
}

impl SubscriptionTracker {
    /// A tracker without peers. Subscriptions are reported as topics of this framing.
    pub(crate) fn new(
        framing: Framing,
        table: SubscriptionTable,
        prefilter: TopicPrefilter,
        inspects: bool,
        max_subscriptions: usize,
    ) -> Self {
        Self {
            table,
            prefilter,
            framing,
            max_subscriptions,
            unproductive_frames: UNPRODUCTIVE_FRAMES,
            unapplied: Vec::new(),
            inspects,
            behind: false,
            last_read: 0,
            last_burst: None,
            meters: HashMap::new(),
        }
    }

    /// Whether the last call left messages unread.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Whether probably no peer has more subscriptions on the way. A peer's queue that was not full held
    /// all of them.
    pub(crate) fn is_quiet(&self) -> bool {
        self.last_burst
            .is_none_or(|burst| burst.elapsed() >= QUIET_TIME)
    }

    /// How many messages the last call read.
    pub(crate) fn last_read(&self) -> usize {
        self.last_read
    }

    /// Whether all messages that were read have been applied to the table.
    pub(crate) fn is_up_to_date(&self) -> bool {
        self.unapplied.is_empty()
    }

    /// Reads subscription messages and monitor events, within limits. `inspect` is called with each
    /// message as soon as it is read, and with the table before the message, if the tracker was created
    /// so. Returns whether an event was reported. The table's documentation explains the order.
    pub(crate) fn read(
        &mut self,
        socket: &mut OpenSocket,
        mut inspect: impl FnMut(&mut OpenSocket, &SubscriptionTable, &Frame),
    ) -> bool {
        let mut reported = false;
        let mut all_read = false;
        let before = self.unapplied.len();
        while self.unapplied.len() < MAX_MESSAGES {
            let mut message = Frame::empty();
            if self.inspects {
                // If libzmq processed a disconnection later, `inspect` could no longer send to the
                // subscriber of the message alone.
                socket.run_commands();
            }
            if uninterrupted(|| message.receive(&mut socket.socket)).is_err() {
                all_read = true;
                break;
            }
            if self.inspects {
                if self.repeats_subscription(&message) {
                    // Or the descriptor is another connection's by now, which an event reports.
                    reported |= self.read_monitor(socket);
                }
                inspect(socket, &self.table, &message);
            }
            self.unapplied.push(message);
        }
        self.last_read = self.unapplied.len() - before;
        if self.last_read >= PEER_QUEUE {
            self.last_burst = Some(Instant::now());
        }
        reported |= self.read_monitor(socket);
        self.behind = !all_read;
        if socket.is_behind() {
            // The messages are applied once it is known which connections they belong to.
            self.behind = true;
            return reported;
        }
        let now = Instant::now();
        for message in std::mem::take(&mut self.unapplied) {
            self.apply(socket, &message, now);
        }
        if all_read {
            self.table.all_read();
        }
        self.enforce_limit(socket);
        self.prefilter.rebuild_if_stale(&self.table);
        reported
    }

    fn apply(&mut self, socket: &mut OpenSocket, message: &Frame, now: Instant) {
        let source = message.source();
        if let [1, prefix @ ..] = message.bytes() {
            self.prefilter.add(prefix);
        }
        let pin = || message.share();
        match SubscriptionMessage::of(message) {
            SubscriptionMessage::Subscribe(prefix) => {
                if self.table.subscribe(source, prefix, pin) {
                    report(socket, self.framing, source, prefix, EventKind::Subscribed);
                }
            }
            SubscriptionMessage::Unsubscribe(prefix) => {
                if self.table.unsubscribe(source, prefix, pin) {
                    report(
                        socket,
                        self.framing,
                        source,
                        prefix,
                        EventKind::Unsubscribed,
                    );
                }
            }
            SubscriptionMessage::Other => {}
        }
        let Some(source) = source else { return };
        let new = || FrameMeter::new(source.token, now);
        let meter = self.meters.entry(source.descriptor).or_insert_with(new);
        if meter.token != source.token {
            *meter = new();
        }
        let total = self.table.total_of(source);
        if meter.count(now, total, self.unproductive_frames) {
            let reason = meter.reason(now, self.unproductive_frames);
            // If the disconnection fails, the next attempt follows after as many more frames.
            *meter = new();
            self.disconnect(socket, source.descriptor, reason);
        }
    }

    fn disconnect(&mut self, socket: &mut OpenSocket, descriptor: i32, reason: String) -> bool {
        let is_disconnected = socket.cut_off(descriptor, reason);
        if is_disconnected {
            // Its further messages no longer count for an open connection.
            self.table.connection_closed(descriptor);
        }
        is_disconnected
    }

    /// Disconnects the peer with the most subscriptions while there are too many.
    fn enforce_limit(&mut self, socket: &mut OpenSocket) {
        let limit = self.max_subscriptions;
        while limit > 0 && self.table.total() > limit {
            let Some((descriptor, count)) = self.table.largest() else {
                return;
            };
            let remedy =
                format!("raise max_subscriptions={limit} if that is intended; 0 means no limit");
            let reason = if count > limit {
                format!("it has {count} subscriptions: {remedy}")
            } else {
                format!(
                    "all peers together have {} subscriptions, and it has the most, {count}: {remedy}",
                    self.table.total()
                )
            };
            if !self.disconnect(socket, descriptor, reason) {
                return;
            }
        }
    }

    /// Whether a connection subscribes to a prefix that it has subscribed to already.
    fn repeats_subscription(&self, message: &Frame) -> bool {
        match (SubscriptionMessage::of(message), message.source()) {
            (SubscriptionMessage::Subscribe(prefix), Some(source)) => {
                self.table.contains(source, prefix)
            }
            _ => false,
        }
    }

    /// Reads which connections were opened and closed; returns whether an event was reported.
    pub(crate) fn read_monitor(&mut self, socket: &mut OpenSocket) -> bool {
        let Self { table, meters, .. } = self;
        socket.read_events(|event| match event {
            MonitorEvent::Opened(peer) => {
                meters.remove(&peer.descriptor);
                table.connection_opened(peer.descriptor);
            }
            MonitorEvent::Disconnected(peer) => {
                meters.remove(&peer.descriptor);
                table.connection_closed(peer.descriptor);
            }
            _ => {}
        })
    }
}

/// The meaning of a frame that an XPUB receives.
pub(crate) enum SubscriptionMessage<'a> {
    /// A peer subscribes to messages that begin with this prefix.
    Subscribe(&'a [u8]),
    /// A peer unsubscribes, or has disconnected.
    Unsubscribe(&'a [u8]),
    /// An unsolicited message of a peer, or a test by `zmqchat doctor`, which is not a subscriber.
    Other,
}

impl<'a> SubscriptionMessage<'a> {
    pub(crate) fn of(frame: &'a Frame) -> Self {
        match frame.bytes() {
            [_, prefix @ ..] if prefix == DOCTOR_PREFIX => Self::Other,
            [1, prefix @ ..] => Self::Subscribe(prefix),
            [0, prefix @ ..] => Self::Unsubscribe(prefix),
            _ => Self::Other,
        }
    }
}

/// Reports a subscription that was added or removed, if its peer is known.
fn report(
    socket: &OpenSocket,
    framing: Framing,
    source: Option<Source>,
    prefix: &[u8],
    kind: fn(Subscription) -> EventKind,
) {
    if let Some(address) =
        source.and_then(|source| socket.connections.address_of(source.descriptor))
    {
        socket
            .connections
            .reporter
            .report_to_handler(kind(Subscription::from_wire(prefix, framing)), address);
    }
}

/// The error for subscribers that did not connect in time: `seen` of `count` did.
pub(crate) fn too_few_subscribers(
    seen: usize,
    count: usize,
    topic: Option<&str>,
    hint: &str,
) -> Error {
    let of_topic = topic.map_or(String::new(), |topic| format!(" of topic '{topic}'"));
    let plural = if count == 1 { "" } else { "s" };
    Error::Timeout(format!(
        "{seen} of {count} subscriber{plural}{of_topic} connected within the timeout; {hint}"
    ))
}

/// What to check if subscribers do not connect to these addresses.
pub(crate) fn address_hint(addresses: &[String]) -> String {
    format!(
        "check that subscribers connect to one of these addresses, and that no firewall blocks them: {}",
        addresses.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use crate::net::subscription::tracker::*;
    use crate::net::zmq::options::{self, ConnectionOptions, SocketOptions};
    use std::io::{Read, Write};
    use std::net::TcpStream;
    use std::thread::JoinHandle;

    /// Longer than any machine needs.
    const TEST_TIMEOUT: Duration = Duration::from_secs(60);

    fn open() -> (OpenSocket, String) {
        let common = SocketOptions {
            high_water_mark: 1_000,
            max_inbound_bytes: 8_192,
            linger: Duration::ZERO,
            connection: ConnectionOptions {
                keepalive: None,
                reconnect_max: Duration::from_secs(2),
                batch_bytes: 8_192,
            },
            event_owner: None,
        };
        let mut socket = OpenSocket::open(zmq::XPUB, &common).expect("a socket");
        options::apply_publisher(&mut socket.socket, false, false, &common.connection)
            .expect("its options");
        let bind = ["127.0.0.1:0".to_owned()];
        let socket = socket.bind_all(&bind, &mut || Ok(())).expect("a port");
        let endpoint = socket.listeners.endpoints[0].replace("tcp://", "");
        (socket, endpoint)
    }

    /// A connection after its handshake as a subscriber.
    fn connect(endpoint: &str) -> TcpStream {
        let mut greeting = [&b"\xff"[..], &[0; 8], b"\x7f\x03\x01NULL", &[0; 16 + 32]].concat();
        greeting.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
        let mut stream = TcpStream::connect(endpoint).expect("a connection");
        stream.write_all(&greeting).expect("a greeting");
        stream.read_exact(&mut [0; 66]).expect("a greeting");
        stream
    }

    fn frame(body: &[u8]) -> Vec<u8> {
        let size = u8::try_from(body.len()).expect("a short frame");
        [&[0, size], body].concat()
    }

    /// Sends these frames without pause, until the connection ends.
    fn flood(endpoint: &str, frames: Vec<u8>) -> JoinHandle<()> {
        let mut stream = connect(endpoint);
        std::thread::spawn(move || while stream.write_all(&frames).is_ok() {})
    }

    /// Reads until the other side ends the connection.
    fn until_ended(mut stream: TcpStream) -> JoinHandle<()> {
        stream
            .set_read_timeout(Some(TEST_TIMEOUT))
            .expect("a timeout");
        std::thread::spawn(move || while stream.read(&mut [0; 64]).is_ok_and(|size| size > 0) {})
    }

    fn attacks() -> [Vec<u8>; 3] {
        let toggles = |number: u32| {
            let prefix = format!("t{number:06}");
            [
                frame(&[b"\x01", prefix.as_bytes()].concat()),
                frame(&[b"\x00", prefix.as_bytes()].concat()),
            ]
            .concat()
        };
        [
            (0..2_000).flat_map(toggles).collect(),
            frame(b"\x01same").repeat(4_000),
            frame(b"\x02junkjunk!").repeat(4_000),
        ]
    }

    fn tracker(max_subscriptions: usize) -> SubscriptionTracker {
        SubscriptionTracker::new(
            Framing::Plain,
            SubscriptionTable::default(),
            TopicPrefilter::nothing(),
            false,
            max_subscriptions,
        )
    }

    fn read(tracker: &mut SubscriptionTracker, socket: &mut OpenSocket) {
        tracker.read(socket, |_, _, _| {});
        assert!(tracker.last_read() <= MAX_MESSAGES && tracker.unapplied.len() <= MAX_MESSAGES);
    }

    #[test]
    fn a_call_reads_a_bounded_number_of_messages_from_flooding_peers_and_disconnects_each() {
        for frames in attacks() {
            for peers in [1, 10] {
                let (mut socket, endpoint) = open();
                let mut tracker = tracker(20_000);
                tracker.unproductive_frames = 5_000;
                let floods: Vec<_> = (0..peers)
                    .map(|_| flood(&endpoint, frames.clone()))
                    .collect();
                let deadline = Instant::now() + TEST_TIMEOUT;
                // A flood ends with its connection.
                while !floods.iter().all(JoinHandle::is_finished) {
                    read(&mut tracker, &mut socket);
                    assert!(Instant::now() < deadline, "the floods end");
                }
                // The rest is read in calls of the same size.
                while tracker.is_behind() || tracker.table.total() > 0 {
                    read(&mut tracker, &mut socket);
                    assert!(Instant::now() < deadline, "the rest is read");
                }
                assert!(tracker.prefilter.len() <= 2_000);
                socket.close(Duration::ZERO, None);
            }
        }
    }

    #[test]
    fn a_peer_may_remove_twenty_thousand_subscriptions_and_add_them_again() {
        let (mut socket, endpoint) = open();
        let mut tracker = tracker(20_000);
        let mut stream = connect(&endpoint);
        let all = |first: u8| -> Vec<u8> {
            let prefix = |number: u32| frame(&[&[first], format!("{number}:").as_bytes()].concat());
            (0..20_000).flat_map(prefix).collect()
        };
        let burst = [all(1), all(0), all(1), frame(b"\x00nothing")].concat();
        let sending = std::thread::spawn(move || stream.write_all(&burst).map(|()| stream));
        let deadline = Instant::now() + TEST_TIMEOUT;
        while tracker.table.total() < 20_000 || !sending.is_finished() || tracker.is_behind() {
            read(&mut tracker, &mut socket);
            assert!(Instant::now() < deadline, "all subscriptions arrive");
        }
        let stream = sending.join().expect("a thread").expect("still connected");
        drop(stream);
        while tracker.table.total() > 0 {
            read(&mut tracker, &mut socket);
            assert!(Instant::now() < deadline, "the peer disconnects");
        }
        socket.close(Duration::ZERO, None);
    }

    #[test]
    fn the_prefilter_does_not_grow_with_subscriptions_that_ended() {
        let mut tracker = tracker(0);
        let mut number = 0_u32;
        for _ in 0..100 {
            for _ in 0..MAX_MESSAGES {
                number += 1;
                tracker.prefilter.add(format!("{number}:").as_bytes());
            }
            tracker.table.subscribe(None, b"kept:", || None);
            tracker.prefilter.rebuild_if_stale(&tracker.table);
            assert!(tracker.prefilter.len() <= 20_000 + MAX_MESSAGES);
        }
        assert!(tracker.prefilter.may_match([b"kept", b":", b""]));
    }

    #[test]
    fn a_meter_counts_frames_that_add_no_subscription() {
        let now = Instant::now();
        let mut meter = FrameMeter::new(1, now);
        assert!((1..=100_000).all(|total| !meter.count(now, total, 1_000)));
        let limit = meter.limit(1_000);
        assert!((0..limit).all(|_| !meter.count(now, 0, 1_000)));
        assert!(meter.count(now, 0, 1_000));
        // A new window begins at 0.
        assert!(!meter.count(now + 2 * WINDOW, 0, 1_000));
    }

    #[test]
    fn the_peer_with_the_most_subscriptions_is_disconnected_and_its_address_refused() {
        let (mut socket, endpoint) = open();
        let mut tracker = tracker(100);
        let deadline = Instant::now() + TEST_TIMEOUT;
        let mut modest = connect(&endpoint);
        modest.write_all(&frame(b"\x01good")).expect("sent");
        let mut greedy = connect(&endpoint);
        for number in 0..100_u32 {
            let prefix = format!("\u{1}{number}");
            greedy.write_all(&frame(prefix.as_bytes())).expect("sent");
        }
        let ended = until_ended(greedy);
        while !ended.is_finished() {
            read(&mut tracker, &mut socket);
            assert!(Instant::now() < deadline, "the peer is disconnected");
        }
        assert_eq!(tracker.table.total(), 1);
        // New connections of this address end at once; the open one stays.
        let refused = TcpStream::connect(&endpoint).expect("accepted by the system");
        let ended = until_ended(refused);
        while !ended.is_finished() {
            read(&mut tracker, &mut socket);
            assert!(Instant::now() < deadline, "the connection is refused");
        }
        assert_eq!(tracker.table.total(), 1);
        drop(modest);
        socket.close(Duration::ZERO, None);
    }
}
