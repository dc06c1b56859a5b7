//! The settings every socket starts with.

use crate::error::Error;
use crate::net::zmq::ffi::{self, Errno};
use std::time::Duration;

/// The pause before the first attempt to connect again.
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

/// How connections are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionOptions {
    /// TCP keep-alive: seconds of silence before the first probe, seconds between probes, and how
    /// many may stay unanswered; `None` is off.
    pub keepalive: Option<(i32, i32, i32)>,
    /// The longest pause between two attempts to connect.
    pub reconnect_max: Duration,
    /// How much the network thread reads or writes at a time, in bytes.
    pub batch_bytes: i32,
}

/// What the two kinds of socket set alike.
#[derive(Debug, Clone)]
pub(crate) struct SocketOptions {
    /// Messages queued for each peer; 0 is no limit.
    pub(crate) high_water_mark: i32,
    /// A peer that sends a larger frame is cut off.
    pub(crate) max_inbound_bytes: i64,
    /// How long unsent messages outlive the close.
    pub(crate) linger: Duration,
    pub(crate) connecting: ConnectionOptions,
    /// The number to tell all events under; `None` tells only what the log wants.
    pub(crate) tell: Option<u64>,
}

pub(crate) fn milliseconds(time: Duration) -> i32 {
    i32::try_from(time.as_millis()).unwrap_or(i32::MAX)
}

pub(crate) fn apply(socket: &mut zmq::Socket, common: &SocketOptions) -> Result<(), Errno> {
    socket.set_linger(milliseconds(common.linger))?;
    socket.set_sndhwm(common.high_water_mark)?;
    socket.set_rcvhwm(common.high_water_mark)?;
    socket.set_maxmsgsize(common.max_inbound_bytes)?;
    // A laptop that closes its lid says nothing: by default probes find out within 5 + 3 * 4 s.
    // Heartbeats of ZMTP would cut off or even abort slow subscribers (zeromq/libzmq#3937, #4767).
    if let Some((idle, interval, count)) = common.connecting.keepalive {
        socket.set_tcp_keepalive(1)?;
        socket.set_tcp_keepalive_idle(idle)?;
        socket.set_tcp_keepalive_intvl(interval)?;
        socket.set_tcp_keepalive_cnt(count)?;
    } else {
        socket.set_tcp_keepalive(0)?;
    }
    // With a ZAP domain, and nobody who answers for it, libzmq turns away whoever speaks less than
    // ZMTP 3 (before ZeroMQ 4.0, of 2013). To it that is anything that does not begin like a greeting,
    // such as an HTTP request, which became a subscriber to everything, and aborted the program when
    // it came during a close (zmtp_engine.cpp, process_routing_id_msg).
    socket.set_zap_domain("zmqchat")?;
    // An attempt that nobody answers ends after 5 s, where the system's own limit is about two
    // minutes.
    socket.set_connect_timeout(5_000)?;
    // libzmq starts its pauses anew at each TCP connection, so that a port that accepts and hangs
    // up would be tried ten times a second. `links` makes these attempts.
    ffi::set_int(socket, ffi::RECONNECT_STOP, ffi::STOP_HANDSHAKE_FAILED)?;
    // A whole classroom may connect in the same second.
    socket.set_backlog(1_024)?;
    Ok(())
}

/// How long libzmq waits before it connects again, at first and at most, in milliseconds.
pub(crate) fn set_pauses(socket: &mut zmq::Socket, [first, most]: [i32; 2]) -> Result<(), Errno> {
    socket.set_reconnect_ivl(first)?;
    socket.set_reconnect_ivl_max(most)?;
    Ok(())
}

/// How many notices of one peer wait in libzmq's queue. libzmq reads the queue until it is empty, and
/// lists what it finds without limit. With 10 the network's thread refills the queue meanwhile, and the
/// list of ten flooding peers grew by 10 MB a second; with 2 it stays short. What follows waits on the
/// network.
pub(crate) const PEER_QUEUE: usize = 2;

/// An XPUB that reports every subscription of every peer.
pub(crate) fn apply_publisher(
    socket: &mut zmq::Socket,
    keeps_all: bool,
    connects: bool,
    connecting: &ConnectionOptions,
) -> Result<(), Errno> {
    socket.set_rcvhwm(i32::try_from(PEER_QUEUE).unwrap_or(i32::MAX))?;
    ffi::set_int(socket, ffi::XPUB_VERBOSER, 1)?;
    // Only one way each: each connection owns such a buffer, and subscriptions are few and short.
    ffi::set_int(socket, ffi::OUT_BATCH_SIZE, connecting.batch_bytes)?;
    if keeps_all {
        ffi::set_int(socket, ffi::XPUB_NODROP, 1)?;
    } else if cfg!(target_os = "linux") {
        // Keep-alive is silent while data is under way: after so long without an acknowledgement the
        // peer is gone. Linux counts a live peer that takes nothing, too, which must be able to
        // pause. Not where messages must wait.
        ffi::set_int(socket, ffi::TCP_MAXRT, 60_000)?;
    }
    // Without it a connecting publisher keeps the queue of a dead peer, and fills it.
    socket.set_immediate(connects)?;
    Ok(())
}

/// A SUB that never drops subscriptions of its own: the default mark cut off all beyond 1,000.
pub(crate) fn apply_subscriber(
    socket: &mut zmq::Socket,
    connecting: &ConnectionOptions,
) -> Result<(), Errno> {
    socket.set_sndhwm(0)?;
    ffi::set_int(socket, ffi::IN_BATCH_SIZE, connecting.batch_bytes)?;
    Ok(())
}
