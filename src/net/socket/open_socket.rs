//! An open socket with its monitor, its listeners and its connections.

use crate::error::{Error, Result};
use crate::net::connection::bind::BindTarget;
use crate::net::connection::ipc::Obstacle;
use crate::net::connection::listeners::Listeners;
use crate::net::connection::reporter::Reporter;
use crate::net::runtime::event_queue::{self, EventKind};
use crate::net::runtime::notebook_cell::{self, CellRun};
use crate::net::runtime::process;
use crate::net::socket::connections::Connections;
use crate::net::zmq::ffi::{self, Errno};
use crate::net::zmq::monitor::{Monitor, MonitorEvent};
use crate::net::zmq::options::{self, SocketOptions};
use crate::util::time::Checkpoint;
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// How many reports of the monitor one call reads at most.
const MAX_EVENTS: usize = 1_000;

/// How long `close` waits for its port to be free.
pub(crate) const LISTENER_TIMEOUT: Duration = Duration::from_millis(500);

/// When more closed sockets than this exist, a close or a drop waits for its own socket.
const MAX_CLOSING: usize = 64;
const CLOSING_TIMEOUT: Duration = Duration::from_millis(50);

/// An open socket.
pub(crate) struct OpenSocket {
    /// Declared before the socket, and stopped first: see `Drop`.
    monitor: Option<Monitor>,
    pub(crate) socket: zmq::Socket,
    pub(crate) descriptor: RawFd,
    /// The last call left reports of the monitor unread.
    behind: bool,
    pub(crate) listeners: Listeners,
    pub(crate) connections: Connections,
    pub(crate) linger: Duration,
    /// The run of a notebook cell that created the object.
    pub(crate) cell: Option<CellRun>,
}

impl OpenSocket {
    pub(crate) fn open(kind: zmq::SocketType, options: &SocketOptions) -> Result<Self> {
        let process = process::process();
        process.check_not_ended()?;
        let open = || -> std::result::Result<Self, Errno> {
            let mut socket = process.context.socket(kind)?;
            options::apply(&mut socket, options)?;
            let descriptor = socket.get_fd()?;
            let monitor = Monitor::start(&process.context, &mut socket)?;
            let reporter = Reporter {
                number: options
                    .event_owner
                    .unwrap_or_else(event_queue::next_object_number),
                side: "",
                has_handler: options.event_owner.is_some(),
            };
            let longest_pause = options.connection.reconnect_max;
            Ok(Self {
                monitor: Some(monitor),
                socket,
                descriptor,
                behind: false,
                listeners: Listeners::default(),
                connections: Connections::new(reporter, kind == zmq::XPUB, longest_pause),
                linger: options.linger,
                cell: notebook_cell::current(),
            })
        };
        retry_while_sockets_close(open).map_err(|errno| {
            // The reservation of threads is the only source of EAGAIN.
            if errno.would_block() {
                return Error::no_thread("of ZeroMQ", &std::io::Error::from_raw_os_error(errno.0));
            }
            let what = if errno.0 == libc::EMFILE {
                "cannot open another socket; close those you no longer need, or raise the limit (ulimit -n)"
            } else {
                "cannot open a socket"
            };
            errno.during(what)
        })
    }

    /// Binds to all these addresses. If one fails, closes the socket, so that no port stays taken.
    pub(crate) fn bind_all(
        mut self,
        addresses: &[String],
        checkpoint: Checkpoint<'_>,
    ) -> Result<Self> {
        let mut bind = |text: &String| self.bind(text, checkpoint);
        match addresses.iter().try_for_each(&mut bind) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.close(Duration::ZERO, Some(LISTENER_TIMEOUT));
                Err(error)
            }
        }
    }

    fn bind(&mut self, text: &str, checkpoint: Checkpoint<'_>) -> Result<()> {
        let target = BindTarget::resolve(text, checkpoint)?;
        target.prepare(&mut self.socket)?;
        let mut outcome = target.bind(&mut self.socket, &mut self.listeners);
        let process = process::process();
        if let Some(run) = notebook_cell::current() {
            while outcome.as_ref().is_err_and(Obstacle::is_in_use)
                && process.registry.evict_superseded(&target.address, &run)
            {
                outcome = target.bind(&mut self.socket, &mut self.listeners);
            }
        }
        if let Err(obstacle) = outcome {
            let obstacle = self.last_bind_error().map_or(obstacle, Obstacle::System);
            let own = self.listeners.holding(&target.address);
            return Err(target.error(self.class(), own, &obstacle));
        }
        let bound = match self.socket.get_last_endpoint() {
            Ok(Ok(bound)) => bound,
            Ok(Err(_)) => target.address.clone(),
            Err(error) => return Err(Errno::from(error).during("cannot read the bound address")),
        };
        if let Some(name) = target.loopback_name() {
            let kind = EventKind::Loopback(name.to_owned());
            self.report(kind, bound.trim_start_matches("tcp://"));
        }
        self.listeners.endpoints.push(bound);
        if target.is_inproc() {
            // Sockets that wait for the name connect now, so that they receive the next message.
            process.maintain_all();
            self.run_commands();
        }
        Ok(())
    }

    /// The errno of the last bind that failed, as the monitor reports it: the call's own errno may
    /// have been overwritten when the report was sent.
    fn last_bind_error(&mut self) -> Option<Errno> {
        std::iter::from_fn(|| self.next_event())
            .filter_map(|event| match event {
                MonitorEvent::BindFailed(errno) => Some(Errno(errno)),
                _ => None,
            })
            .last()
    }

    /// The class of the object, for an error.
    fn class(&self) -> &'static str {
        match (self.connections.reporter.side, self.connections.publishes) {
            ("", true) => "Publisher",
            ("", false) => "Subscriber",
            _ => "Relay",
        }
    }

    /// Connects to the address that the user typed.
    pub(crate) fn connect(&mut self, text: &str) -> Result<()> {
        self.connections.connect(&mut self.socket, text)
    }

    /// Ends the connection to the address that the user typed.
    pub(crate) fn disconnect(&mut self, text: &str) -> Result<()> {
        // Later reports about this connection would be taken for those of the next one.
        while self.next_event().is_some() {}
        self.connections.disconnect(&mut self.socket, text)
    }

    /// Reports an event of this object.
    pub(crate) fn report(&self, kind: EventKind, address: &str) {
        self.connections.reporter.report(kind, address);
    }

    /// Runs the socket's commands; true when a message can be received.
    #[inline]
    pub(crate) fn run_commands(&mut self) -> bool {
        ffi::run_commands(&mut self.socket)
    }

    /// The descriptor to poll for reports.
    pub(crate) fn monitor_descriptor(&self) -> Option<RawFd> {
        self.monitor.as_ref().map(Monitor::descriptor)
    }

    /// Reads reports of the monitor, a bounded number: peers may connect and disconnect faster than
    /// the reports can be read. True if there was one.
    pub(crate) fn read_events(&mut self, mut each: impl FnMut(&MonitorEvent)) -> bool {
        self.behind = false;
        for count in 0..MAX_EVENTS {
            let Some(event) = self.next_event() else {
                return count > 0;
            };
            each(&event);
        }
        self.behind = true;
        true
    }

    /// Whether the last call left reports unread.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// The next report, after it was processed.
    fn next_event(&mut self) -> Option<MonitorEvent> {
        if self.connections.follow_inproc(&mut self.socket) {
            return Some(MonitorEvent::Other);
        }
        let event = self.monitor.as_mut()?.next()?;
        if self.connections.shut_down_if_refused(&event) {
            return Some(MonitorEvent::Other);
        }
        self.connections.process_event(&event, &self.listeners);
        Some(event)
    }

    /// Reports missing peers.
    pub(crate) fn report_outages(&mut self, in_use: bool, waited_on: bool) {
        self.connections
            .report_outages(in_use, waited_on, &self.listeners);
    }

    /// Ends a connection, and refuses its address for a while. False if the connection cannot be
    /// ended.
    pub(crate) fn cut_off(&mut self, descriptor: i32, reason: String) -> bool {
        self.connections
            .cut_off(descriptor, reason, &self.listeners)
    }

    /// Closes. With a timeout, returns when the listeners are closed: otherwise binding the same port
    /// again at once fails now and then. (Unbinding before the close would have the same effect, but
    /// libzmq then drops the unsent messages of accepted connections.)
    pub(crate) fn close(mut self, linger: Duration, timeout: Option<Duration>) {
        let process = process::process();
        let _ = self.socket.set_linger(options::milliseconds(linger));
        process.note_linger(linger);
        for bound in &self.listeners.endpoints {
            if let Some(name) = bound.strip_prefix("inproc://") {
                process.inproc.unbind(name, || {
                    let _ = ffi::attach(&mut self.socket, ffi::Attach::Unbind, bound);
                });
                process.wake_maintenance();
            }
        }
        let Some(mut monitor) = self.monitor.take() else {
            return;
        };
        let listeners = self
            .listeners
            .endpoints
            .iter()
            .filter(|endpoint| !endpoint.starts_with("inproc:"))
            .count();
        // Hands the socket to libzmq's reaper; does not wait.
        drop(self);
        // Without linger, the socket is closed within microseconds. If nothing waited for that, a
        // program that opens and closes sockets in a loop could exhaust its descriptors.
        let crowded = process.registry.closing_count() > MAX_CLOSING;
        let whole = linger.is_zero() || crowded;
        let timeout = timeout.or(crowded.then_some(CLOSING_TIMEOUT));
        let closed =
            timeout.is_some_and(|timeout| wait_closed(&mut monitor, listeners, whole, timeout));
        if !closed {
            process.drain_until_stopped(monitor);
        }
    }
}

impl Drop for OpenSocket {
    /// Removes the socket files while the socket is still bound. Stops the reports before their reader
    /// is dropped, if the socket was never shared.
    fn drop(&mut self) {
        self.listeners.remove_files();
        if let Some(monitor) = self.monitor.take() {
            ffi::stop_monitor(&mut self.socket);
            drop(monitor);
        }
    }
}

/// Waits until this number of listeners is closed, or until the `whole` socket is closed. True in the
/// latter case.
fn wait_closed(
    monitor: &mut Monitor,
    mut listeners: usize,
    whole: bool,
    timeout: Duration,
) -> bool {
    let end = Instant::now() + timeout;
    while whole || listeners > 0 {
        match monitor.next() {
            Some(MonitorEvent::ListenerClosed) => listeners = listeners.saturating_sub(1),
            Some(MonitorEvent::Stopped) => return true,
            Some(_) => {}
            None => {
                let left = end.saturating_duration_since(Instant::now());
                let Ok(left @ 1..) = i64::try_from(left.as_millis()) else {
                    break;
                };
                let _ = ffi::poll(&[monitor.descriptor()], left);
            }
        }
    }
    false
}

/// Opens a socket. Retries for a moment when the process has no descriptors or sockets left but some
/// sockets are closing.
fn retry_while_sockets_close<T>(
    mut open: impl FnMut() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Errno> {
    for _ in 0..10 {
        match open() {
            Err(errno)
                if errno.0 == libc::EMFILE && process::process().registry.closing_count() > 0 =>
            {
                std::thread::sleep(CLOSING_TIMEOUT);
            }
            outcome => return outcome,
        }
    }
    open()
}
