//! Connections as libzmq reports them.
//!
//! Invariant: the reading end has no limit and outlives the reports, because libzmq's I/O thread
//! blocks on a report that it cannot place. It is parsed here: the crate `zmq` panics on an event
//! that it does not know.

use super::frame::Frame;
use super::sys::{self, Errno};
use super::{context, socket};
use std::sync::atomic::{AtomicU64, Ordering};
use zmq_sys::RawFd;

/// What happened, as far as anybody here asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Happening {
    /// A connection stands, made by either side; its descriptor.
    Opened(i32),
    /// The connection with this descriptor is gone.
    Gone(i32),
    /// A listener was closed: its port is free.
    ListenerClosed,
    /// Anything else.
    Other,
}

/// The reading end of one socket's reports.
pub(crate) struct Monitor {
    pair: zmq::Socket,
    descriptor: RawFd,
}

impl Monitor {
    /// Starts watching a socket that is neither bound nor connected yet.
    pub(crate) fn start(
        process: &context::Process,
        watched: &mut zmq::Socket,
    ) -> Result<Self, Errno> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let endpoint = format!(
            "inproc://zmqchat-monitor-{}",
            NUMBER.fetch_add(1, Ordering::Relaxed)
        );
        let mut pair = sys::socket(process.context(), zmq::PAIR)?;
        pair.set_rcvhwm(0)?;
        pair.set_linger(0)?;
        sys::start_monitor(watched, &endpoint)?;
        if let Err(errno) = sys::attach(&mut pair, sys::Attach::Connect, &endpoint) {
            sys::stop_monitor(watched);
            return Err(errno);
        }
        let descriptor = pair.get_fd()?;
        Ok(Self { pair, descriptor })
    }

    /// Stops the reports of `watched`, then gives up the reading end.
    pub(crate) fn stop(self, watched: &mut zmq::Socket) {
        sys::stop_monitor(watched);
        drop(self);
    }

    pub(crate) fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    /// The next report, or `None` when there is none now.
    pub(crate) fn next(&mut self) -> Option<Happening> {
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
        while last.more() {
            last = self.frame()?;
        }
        let descriptor = i32::try_from(value).unwrap_or(-1);
        Some(match u32::try_from(event).unwrap_or(0) {
            zmq_sys::ZMQ_EVENT_CONNECTED | zmq_sys::ZMQ_EVENT_ACCEPTED => {
                Happening::Opened(descriptor)
            }
            zmq_sys::ZMQ_EVENT_DISCONNECTED => Happening::Gone(descriptor),
            zmq_sys::ZMQ_EVENT_CLOSED | zmq_sys::ZMQ_EVENT_CLOSE_FAILED => {
                Happening::ListenerClosed
            }
            _ => Happening::Other,
        })
    }

    fn frame(&mut self) -> Option<Frame> {
        let mut frame = Frame::empty();
        socket::uninterrupted(|| frame.receive(&mut self.pair)).ok()?;
        Some(frame)
    }
}

fn number(frame: &Frame) -> Option<u64> {
    frame.bytes().try_into().ok().map(u64::from_ne_bytes)
}
