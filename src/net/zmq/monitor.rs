//! The events of connections, as libzmq reports them.
//!
//! Invariant: the reading end has no limit and outlives the reports, because libzmq's I/O thread
//! blocks while it cannot queue a report. A closed socket reports until libzmq has removed it, so its
//! monitor is handed to the maintenance thread. Reports are parsed here, because the crate `zmq`
//! panics on unknown events.

use crate::net::zmq::context::Context;
use crate::net::zmq::ffi::{self, uninterrupted, Errno};
use crate::net::zmq::frame::Frame;
use std::sync::atomic::{AtomicU64, Ordering};
use zmq_sys::RawFd;

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MonitorEvent {
    /// A network connection was opened, by either side.
    Opened(ReportedConnection),
    /// The handshake with this peer succeeded: messages can be exchanged.
    HandshakeSucceeded(String),
    /// The handshake with this peer failed. libzmq does not report this for peers with an old protocol
    /// version or an unsuitable socket type: their connections only end.
    HandshakeFailed(String, Failure),
    /// A connection ended.
    Disconnected(ReportedConnection),
    /// libzmq is about to retry to connect to this endpoint.
    Retrying(String),
    /// A peer was rejected because this process has no descriptors left.
    OutOfDescriptors,
    /// Binding failed, with this errno.
    BindFailed(i32),
    /// A listener was closed: its port is free.
    ListenerClosed,
    /// libzmq has removed the socket. This is the last event.
    Stopped,
    /// Any other event.
    Other,
}

/// Why a handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The connection ended, or the peer sent nothing.
    Disconnected,
    /// The two sides use different security mechanisms.
    Mechanism,
    /// The peer violated the protocol.
    Protocol,
}

// Not in `zmq_sys`.
const MECHANISM_MISMATCH: u64 = 0x1100_0002;

/// A connection in an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReportedConnection {
    /// Its descriptor, whose number may be reused as soon as the connection has ended.
    pub(crate) descriptor: i32,
    /// The peer: the endpoint that was connected to, or the address that the peer connected from.
    pub(crate) remote: String,
    /// Whether the peer made the connection.
    pub(crate) accepted: bool,
}

/// The reading end of a socket's reports.
pub(crate) struct Monitor {
    pair: zmq::Socket,
    descriptor: RawFd,
}

impl Monitor {
    /// Starts to monitor a socket that is neither bound nor connected yet.
    pub(crate) fn start(context: &Context, monitored: &mut zmq::Socket) -> Result<Self, Errno> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let endpoint = format!(
            "inproc://zmqchat-monitor-{}",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let mut pair = context.socket(zmq::PAIR)?;
        pair.set_rcvhwm(0)?;
        pair.set_linger(0)?;
        ffi::start_monitor(monitored, &endpoint)?;
        if let Err(errno) = ffi::attach(&mut pair, ffi::Attach::Connect, &endpoint) {
            ffi::stop_monitor(monitored);
            return Err(errno);
        }
        let descriptor = pair.get_fd()?;
        Ok(Self { pair, descriptor })
    }

    /// Reads the reports of a closed socket; true after the last one.
    pub(crate) fn drain_until_stopped(&mut self) -> bool {
        while let Some(event) = self.next() {
            if event == MonitorEvent::Stopped {
                return true;
            }
        }
        false
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The next event, or `None` if there is none now.
    pub(crate) fn next(&mut self) -> Option<MonitorEvent> {
        // The frames: event number, count of values, the values, local address, remote address.
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
            // In some events, an errno.
            descriptor: i32::try_from(value).unwrap_or(-1),
            remote,
            accepted: event == u64::from(zmq_sys::ZMQ_EVENT_ACCEPTED),
        };
        Some(match u32::try_from(event).unwrap_or(0) {
            zmq_sys::ZMQ_EVENT_CONNECTED | zmq_sys::ZMQ_EVENT_ACCEPTED => {
                MonitorEvent::Opened(peer)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_SUCCEEDED => MonitorEvent::HandshakeSucceeded(peer.remote),
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL => {
                MonitorEvent::HandshakeFailed(peer.remote, Failure::Disconnected)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL if value == MECHANISM_MISMATCH => {
                MonitorEvent::HandshakeFailed(peer.remote, Failure::Mechanism)
            }
            zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL
            | zmq_sys::ZMQ_EVENT_HANDSHAKE_FAILED_AUTH => {
                MonitorEvent::HandshakeFailed(peer.remote, Failure::Protocol)
            }
            zmq_sys::ZMQ_EVENT_DISCONNECTED => MonitorEvent::Disconnected(peer),
            // Abandoned connection attempts are reported in the same way, without a local address.
            zmq_sys::ZMQ_EVENT_CLOSED | zmq_sys::ZMQ_EVENT_CLOSE_FAILED
                if !local.bytes().is_empty() =>
            {
                MonitorEvent::ListenerClosed
            }
            zmq_sys::ZMQ_EVENT_ACCEPT_FAILED
                if matches!(peer.descriptor, libc::EMFILE | libc::ENFILE) =>
            {
                MonitorEvent::OutOfDescriptors
            }
            zmq_sys::ZMQ_EVENT_BIND_FAILED => MonitorEvent::BindFailed(peer.descriptor),
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
