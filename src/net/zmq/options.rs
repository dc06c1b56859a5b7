//! The options of sockets.

use crate::error::Error;
use crate::net::zmq::ffi::{self, Errno};
use std::time::Duration;

/// The pause before the first attempt to reconnect.
pub(crate) const RECONNECT: Duration = Duration::from_millis(100);

/// The largest frame that a peer may send to a publisher: subscriptions are short.
pub(crate) const MAX_INBOUND_BYTES: i64 = 8 * 1024;

/// What a send does if a subscriber's queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFull {
    /// That subscriber loses the message.
    Drop,
    /// The send waits for the slowest subscriber.
    Block,
    /// The send fails.
    Raise,
}

impl OnFull {
    /// The value that Python writes as this text.
    pub fn parse(text: &str) -> Result<Self, Error> {
        match text {
            "drop" => Ok(Self::Drop),
            "block" => Ok(Self::Block),
            "raise" => Ok(Self::Raise),
            _ => Err(Error::Value(format!(
                "invalid on_full={text:?}: expected \"drop\", \"block\" or \"raise\""
            ))),
        }
    }
}

/// The options of connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// TCP keep-alive: idle seconds before the first probe, seconds between probes, and the number of
    /// unanswered probes that ends the connection; `None` is off.
    pub keepalive: Option<(i32, i32, i32)>,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// How many bytes the network thread reads or writes at a time.
    pub batch_bytes: i32,
}

/// The options of all kinds of sockets.
#[derive(Debug, Clone)]
pub(crate) struct SocketOptions {
    /// The number of messages queued per peer; 0 means no limit.
    pub(crate) high_water_mark: i32,
    /// A peer that sends a larger frame is disconnected.
    pub(crate) max_inbound_bytes: i64,
    /// How long a closed socket keeps sending its queued messages.
    pub(crate) linger: Duration,
    pub(crate) connection: ConnectionOptions,
    /// The number of the object whose handler receives the events; `None` if there is no handler.
    pub(crate) event_owner: Option<u64>,
}

/// The duration in milliseconds, as libzmq's options have it.
pub(crate) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

/// Sets the options of a new socket.
pub(crate) fn apply(socket: &mut zmq::Socket, options: &SocketOptions) -> Result<(), Errno> {
    socket.set_linger(milliseconds(options.linger))?;
    socket.set_sndhwm(options.high_water_mark)?;
    socket.set_rcvhwm(options.high_water_mark)?;
    socket.set_maxmsgsize(options.max_inbound_bytes)?;
    // A host that is suspended closes no connection. By default, probes detect this after
    // 5 + 3 * 4 s. ZMTP heartbeats would disconnect slow subscribers, or abort the program
    // (zeromq/libzmq#3937, #4767).
    if let Some((idle, interval, count)) = options.connection.keepalive {
        socket.set_tcp_keepalive(1)?;
        socket.set_tcp_keepalive_idle(idle)?;
        socket.set_tcp_keepalive_intvl(interval)?;
        socket.set_tcp_keepalive_cnt(count)?;
    } else {
        socket.set_tcp_keepalive(0)?;
    }
    // With a ZAP domain that has no handler, libzmq rejects peers that use a protocol before ZMTP 3
    // (ZeroMQ 4.0, 2013). It takes anything that is not a greeting for such a peer, for example an
    // HTTP request. Without a domain, that peer would be subscribed to everything, and would abort the
    // program if it connected during a close (zmtp_engine.cpp, process_routing_id_msg).
    socket.set_zap_domain("zmqchat")?;
    // An unanswered attempt ends after 5 s. The system's limit is about two minutes.
    socket.set_connect_timeout(5_000)?;
    // libzmq resets its pauses at each TCP connection: a port that accepts connections and closes
    // them would be tried ten times a second. `socket/reconnect` makes these attempts instead.
    ffi::set_int(socket, ffi::RECONNECT_STOP, ffi::STOP_HANDSHAKE_FAILED)?;
    // Hundreds of peers may connect in the same second.
    socket.set_backlog(1_024)?;
    Ok(())
}

/// Sets how long libzmq waits before it reconnects, at first and at most, in milliseconds.
pub(crate) fn set_pauses(socket: &mut zmq::Socket, [first, most]: [i32; 2]) -> Result<(), Errno> {
    socket.set_reconnect_ivl(first)?;
    socket.set_reconnect_ivl_max(most)?;
    Ok(())
}

/// How many subscription messages of one peer libzmq queues. libzmq reads the queue until it is empty,
/// into a list without limit. With 10, the network thread refills the queue meanwhile, and the list of
/// ten flooding peers grew by 10 MB a second. With 2, the list stays short. Further messages wait in
/// the network.
pub(crate) const PEER_QUEUE: usize = 2;

/// Sets the options of an XPUB: it reports every subscription of every peer.
pub(crate) fn apply_publisher(
    socket: &mut zmq::Socket,
    drops_nothing: bool,
    connects: bool,
    connection: &ConnectionOptions,
) -> Result<(), Errno> {
    socket.set_rcvhwm(i32::try_from(PEER_QUEUE).unwrap_or(i32::MAX))?;
    ffi::set_int(socket, ffi::XPUB_VERBOSER, 1)?;
    // Not for input: each connection has such a buffer, and subscriptions are few and short.
    ffi::set_int(socket, ffi::OUT_BATCH_SIZE, connection.batch_bytes)?;
    if drops_nothing {
        ffi::set_int(socket, ffi::XPUB_NODROP, 1)?;
    } else if cfg!(target_os = "linux") {
        // Keep-alive sends no probes while data is unacknowledged. This option ends the connection
        // after that time. On Linux it also ends the connection of a peer that is alive but does not
        // read, and such a peer must be able to pause for a while. With `drops_nothing`, it may pause
        // for any time.
        ffi::set_int(socket, ffi::TCP_MAXRT, 60_000)?;
    }
    // Otherwise a publisher that connects fills the queue of a peer that is not connected.
    socket.set_immediate(connects)?;
    Ok(())
}

/// Sets the options of a SUB: the default high-water mark would drop its subscriptions beyond 1,000.
pub(crate) fn apply_subscriber(
    socket: &mut zmq::Socket,
    connection: &ConnectionOptions,
) -> Result<(), Errno> {
    socket.set_sndhwm(0)?;
    ffi::set_int(socket, ffi::IN_BATCH_SIZE, connection.batch_bytes)?;
    Ok(())
}
