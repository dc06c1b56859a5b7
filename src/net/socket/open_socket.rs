//! An open socket with what belongs to it: its monitor, the addresses it is bound and connected to.

use crate::error::{Error, Result};
use crate::net::connection::bind;
use crate::net::connection::ipc::SocketFile;
use crate::net::connection::state::Peers;
use crate::net::runtime::notebook_cell::{self, CellRun};
use crate::net::runtime::{event_queue, process};
use crate::net::socket::connections::{self, Link};
use crate::net::zmq::ffi::{self, Errno};
use crate::net::zmq::monitor::{Monitor, MonitorEvent};
use crate::net::zmq::options::{self, SocketOptions};
use std::time::{Duration, Instant};
use zmq_sys::RawFd;

/// Reports of connections that one call reads at most.
const HAPPENINGS: usize = 1_000;

/// How long `close` waits for its port to be free.
pub(crate) const LISTENER_PATIENCE: Duration = Duration::from_millis(500);

/// So many closed sockets may be on their way out before a close, or a drop, waits for its own.
const CROWD: usize = 64;
const CROWD_PATIENCE: Duration = Duration::from_millis(50);

/// An open socket with its monitor.
pub(crate) struct OpenSocket {
    /// Declared before the socket, and stopped first: see `Drop`.
    monitor: Option<Monitor>,
    pub(crate) socket: zmq::Socket,
    pub(crate) descriptor: RawFd,
    /// Reports are left that the last call did not read.
    behind: bool,
    /// The endpoints that it is bound to, as libzmq resolved them.
    pub(crate) bound: Vec<String>,
    /// The files of its `ipc://` listeners, which are removed when it closes.
    pub(crate) socket_files: Vec<SocketFile>,
    /// The connections asked for.
    pub(crate) links: Vec<Link>,
    /// How far its links followed the names of this process.
    pub(crate) followed: u64,
    /// Who is connected.
    pub(crate) peers: Peers,
    /// Tells this object from all others of the process.
    pub(crate) number: u64,
    /// The longest pause between two attempts to connect.
    pub(crate) reconnect_max: Duration,
    /// A publisher's.
    pub(crate) publishes: bool,
    /// Which side of a relay it is; empty for all else.
    pub(crate) side: &'static str,
    pub(crate) linger: Duration,
    /// The notebook's cell that made it.
    pub(crate) origin: Option<CellRun>,
}

impl OpenSocket {
    pub(crate) fn open(kind: zmq::SocketType, common: &SocketOptions) -> Result<Self> {
        let process = process::process();
        process.check_not_ended()?;
        let open = || -> std::result::Result<Self, Errno> {
            let mut socket = process.context.socket(kind)?;
            options::apply(&mut socket, common)?;
            let descriptor = socket.get_fd()?;
            let monitor = Monitor::start(&process.context, &mut socket)?;
            Ok(Self {
                monitor: Some(monitor),
                socket,
                descriptor,
                behind: false,
                bound: Vec::new(),
                socket_files: Vec::new(),
                links: Vec::new(),
                followed: 0,
                peers: Peers::new(common.tell.is_some()),
                number: common.tell.unwrap_or_else(event_queue::next_object_number),
                reconnect_max: common.connecting.reconnect_max,
                publishes: kind == zmq::XPUB,
                side: "",
                linger: common.linger,
                origin: notebook_cell::current(),
            })
        };
        retrying(open).map_err(|errno| {
            // Nothing else in there gives this one.
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

    /// Runs the socket's commands; true when a message can be received.
    pub(crate) fn run_commands(&mut self) -> bool {
        ffi::run_commands(&mut self.socket)
    }

    /// Which of its listeners would collide with this endpoint.
    pub(crate) fn holding(&self, endpoint: &str) -> Option<&str> {
        let mut bound = self.bound.iter();
        let same = bound.find(|bound| bind::same_port(bound, endpoint));
        same.map(String::as_str).or_else(|| {
            let path = endpoint.strip_prefix("ipc://")?;
            let file = self.socket_files.iter().find(|file| file.is_at(path))?;
            Some(file.endpoint())
        })
    }

    /// What to watch for reports.
    pub(crate) fn monitor_descriptor(&self) -> Option<RawFd> {
        self.monitor.as_ref().map(Monitor::descriptor)
    }

    /// Reads reports of its connections, a bounded number: peers may connect and leave faster than
    /// they can be read. True when there was one.
    pub(crate) fn read_happenings(&mut self, mut each: impl FnMut(&MonitorEvent)) -> bool {
        self.behind = false;
        for count in 0..HAPPENINGS {
            let Some(happening) = self.next_happening() else {
                return count > 0;
            };
            each(&happening);
        }
        self.behind = true;
        true
    }

    /// Whether reports are left that the last call did not read.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind
    }

    /// The next report of its connections.
    pub(crate) fn next_happening(&mut self) -> Option<MonitorEvent> {
        if connections::follow(self) {
            return Some(MonitorEvent::Other);
        }
        let happening = self.monitor.as_mut()?.next()?;
        if self.refuses(&happening) {
            return Some(MonitorEvent::Other);
        }
        self.note(&happening);
        Some(happening)
    }

    /// Closes. With `patience`, returns when the listeners are closed, or when it runs out:
    /// otherwise binding the same port again at once fails now and then. (Unbinding before the
    /// close would tell as much, but libzmq then drops what accepted connections have yet to send.)
    pub(crate) fn close(mut self, linger: Duration, patience: Option<Duration>) {
        let process = process::process();
        let _ = self.socket.set_linger(options::milliseconds(linger));
        process.note_linger(linger);
        for bound in &self.bound {
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
            .bound
            .iter()
            .filter(|endpoint| !endpoint.starts_with("inproc:"))
            .count();
        // Hands the socket to libzmq's reaper; does not wait.
        drop(self);
        // Where nothing lingers, the rest is a matter of microseconds. Not to wait for it would let
        // a program that opens and closes in a loop run out of descriptors.
        let crowded = process.registry.closing_count() > CROWD;
        let whole = linger.is_zero() || crowded;
        let patience = patience.or(crowded.then_some(CROWD_PATIENCE));
        let gone =
            patience.is_some_and(|patience| read_until(&mut monitor, listeners, whole, patience));
        if !gone {
            process.drain_until_stopped(monitor);
        }
    }
}

impl Drop for OpenSocket {
    /// Removes its socket files while the sockets are still bound. For one that was never in use: its
    /// reports end before their reader does.
    fn drop(&mut self) {
        self.socket_files.iter().for_each(SocketFile::remove);
        if let Some(monitor) = self.monitor.take() {
            ffi::stop_monitor(&mut self.socket);
            drop(monitor);
        }
    }
}

/// Returns when so many listeners were closed, or when the `whole` socket is gone; true when it is.
fn read_until(
    monitor: &mut Monitor,
    mut listeners: usize,
    whole: bool,
    patience: Duration,
) -> bool {
    let end = Instant::now() + patience;
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

/// Tries again for a moment when descriptors or sockets have run out: those that were closed last
/// may be on their way out.
fn retrying<T>(
    mut open: impl FnMut() -> std::result::Result<T, Errno>,
) -> std::result::Result<T, Errno> {
    for _ in 0..10 {
        match open() {
            Err(errno)
                if errno.0 == libc::EMFILE && process::process().registry.closing_count() > 0 =>
            {
                std::thread::sleep(CROWD_PATIENCE);
            }
            outcome => return outcome,
        }
    }
    open()
}
