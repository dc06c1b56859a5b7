//! Connections as libzmq reports them.
//!
//! Invariant: the reading end has no limit and outlives the reports, because libzmq's I/O thread
//! blocks on a report that it cannot place. A closed socket reports until it is gone, so that its
//! monitor goes to the housekeeping thread. Reports are parsed here: the crate `zmq` panics on an
//! event that it does not know.

use crate::net::zmq::context::Context;
use crate::net::zmq::ffi::{self, uninterrupted, Errno};
use crate::net::zmq::frame::Frame;
use std::sync::atomic::{AtomicU64, Ordering};
use zmq_sys::RawFd;

/// What happened, as far as anybody here asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MonitorEvent {
    /// The network connection stands, made by either side.
    Opened(ReportedConnection),
    /// Both sides have agreed on the protocol: messages can flow.
    Ready(String),
    /// The handshake with this peer failed. A connection that is gone without it, and was never ready,
    /// failed as well: libzmq does not report a peer of an old version or of another socket type.
    Failed(String, Failure),
    /// A connection is gone.
    Gone(ReportedConnection),
    /// libzmq is going to try again to connect to this endpoint.
    Retrying(String),
    /// Whoever came was turned away: this process has no descriptor left.
    NoRoom,
    /// Binding failed, with this errno.
    NotBound(i32),
    /// A listener was closed: its port is free.
    ListenerClosed,
    /// The socket is gone; nothing follows.
    Stopped,
    /// Anything else.
    Other,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection ended, or nothing came.
    Ended,
    /// The two sides have different security mechanisms.
    Mechanism,
    /// The peer broke the protocol.
    Protocol,
}

// Not in `zmq_sys`.
const MECHANISM_MISMATCH: u64 = 0x1100_0002;

/// One connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedConnection {
    /// Its descriptor, which may be used again as soon as it is gone.
    pub(crate) descriptor: i32,
    /// The other side: what was connected to, or where it came from.
    pub(crate) remote: String,
    /// Whether it came from the other side.
    pub(crate) accepted: bool,
}

/// The reading end of one socket's reports.
pub(crate) struct Monitor {
    pair: zmq::Socket,
    descriptor: RawFd,
}

impl Monitor {
    /// Starts watching a socket that is neither bound nor connected yet.
    pub(crate) fn start(context: &Context, watched: &mut zmq::Socket) -> Result<Self, Errno> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let endpoint = format!(
            "inproc://zmqchat-monitor-{}",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let mut pair = context.socket(zmq::PAIR)?;
        pair.set_rcvhwm(0)?;
        pair.set_linger(0)?;
        ffi::start_monitor(watched, &endpoint)?;
        if let Err(errno) = ffi::attach(&mut pair, ffi::Attach::Connect, &endpoint) {
            ffi::stop_monitor(watched);
            return Err(errno);
        }
        let descriptor = pair.get_fd()?;
        Ok(Self { pair, descriptor })
    }

    /// Reads on after the socket was closed; true when nothing follows.
    pub(crate) fn drain_until_stopped(&mut self) -> bool {
        while let Some(happening) = self.next() {
            if happening == MonitorEvent::Stopped {
                return true;
            }
        }
        false
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The next report, or `None` when there is none now.
    pub(crate) fn next(&mut self) -> Option<MonitorEvent> {
        // An event number, a count, so many values, the local and the remote address.
        let event = number(&self.frame()?)?;
        let mut value = 0;
        let mut last = self.frame()?;
        let values = number(&last)?;
        for index in 0..values {
            last = self.frame()?;
            if index == 0 {
                value = number(&last)?;
            }
        }
        let local = self.frame()?;
        last = self.frame()?;
        while last.more() {
            last = self.frame()?;
        }
        let remote = String::from_utf8_lossy(last.bytes()).into_owned();
        let peer = ReportedConnection {
            // Or an errno.
            descriptor: i32::try_from(value).unwrap_or(-1),
            remote,
            accepted: event == u64::from(zmq_sys::ZMQ_EVENT_ACCEPTED),
        };
        Some(match u32::try_from(event).unwrap_or(0) {
            zmq_sys::ZMQ_EVENT_CONNECTED | zmq_sys::ZMQ_EVENT_ACCEPTED => {
                MonitorEvent::Opened(peer)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => MonitorEvent::Ready(peer.remote),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => {
                MonitorEvent::Failed(peer.remote, Failure::Ended)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL if value == MECHANISM_MISMATCH => {
                MonitorEvent::Failed(peer.remote, Failure::Mechanism)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => {
                MonitorEvent::Failed(peer.remote, Failure::Protocol)
            }
            zmq_sys::ZMQ_EVENT_DISCONNECTED => MonitorEvent::Gone(peer),
            // A connection attempt that is given up has no local address.
            zmq_sys::ZMQ_EVENT_CLOSED | zmq_sys::ZMQ_EVENT_CLOSE_FAILED
                if !local.bytes().is_empty() =>
            {
                MonitorEvent::ListenerClosed
            }
            zmq_sys::ZMQ_EVENT_ACCEPT_FAILED
                if matches!(peer.descriptor, libc::EMFILE | libc::ENFILE) =>
            {
                MonitorEvent::NoRoom
            }
            zmq_sys::ZMQ_EVENT_BIND_FAILED => MonitorEvent::NotBound(peer.descriptor),
            zmq_sys::ZMQ_EVENT_CONNECT_RETRIED => MonitorEvent::Retrying(peer.remote),
            zmq_sys::ZMQ_EVENT_MONITOR_STOPPED => MonitorEvent::Stopped,
            _ => MonitorEvent::Other,
        })
    }

    fn frame(&mut self) -> Option<Frame> {
        let mut frame = Frame::empty();
        uninterrupted(|| frame.receive(&mut self.pair)).ok()?;
        Some(frame)
    }
}

fn number(frame: &Frame) -> Option<u64> {
    frame.bytes().try_into().ok().map(u64::from_ne_bytes)
}
