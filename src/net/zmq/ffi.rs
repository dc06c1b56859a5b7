//! The raw calls of libzmq: those that the crate `zmq` does not have, and those in which it panics on
//! an errno that it does not list. All `unsafe` calls of libzmq are here, in `frame` and in `context`.

use crate::error::Error;
use std::ffi::{c_char, c_int, c_void, CStr, CString};
use zmq_sys::RawFd;

/// `ZMQ_BACKLOG`, `ZMQ_POLLIN` and the like are in `zmq_sys` as `u32`; the calls take `c_int`.
#[allow(clippy::cast_possible_wrap)]
const fn int(constant: u32) -> c_int {
    constant as c_int
}

pub(crate) const XPUB_NODROP: c_int = int(zmq_sys::ZMQ_XPUB_NODROP);
pub(crate) const XPUB_VERBOSER: c_int = int(zmq_sys::ZMQ_XPUB_VERBOSER);
pub(crate) const XPUB_MANUAL: c_int = int(zmq_sys::ZMQ_XPUB_MANUAL);
// In the stable API since 4.3, but missing in `zmq_sys`.
pub(crate) const XPUB_MANUAL_LAST_VALUE: c_int = 98;
pub(crate) const USE_FD: c_int = int(zmq_sys::ZMQ_USE_FD);
pub(crate) const TCP_MAXRT: c_int = int(zmq_sys::ZMQ_TCP_MAXRT);
// Draft options, which are missing in `zmq_sys`.
pub(crate) const IN_BATCH_SIZE: c_int = 101;
pub(crate) const OUT_BATCH_SIZE: c_int = 102;
// A draft option, too: after a failed handshake, libzmq does not reconnect.
pub(crate) const RECONNECT_STOP: c_int = 109;
pub(crate) const STOP_HANDSHAKE_FAILED: c_int = 2;
pub(crate) const DONTWAIT: c_int = int(zmq_sys::ZMQ_DONTWAIT);
pub(crate) const SNDMORE: c_int = int(zmq_sys::ZMQ_SNDMORE);

extern "C" {
    // A draft call, which is missing in `zmq_sys`. Its second event format contains both addresses.
    fn zmq_socket_monitor_versioned(
        socket: *mut c_void,
        endpoint: *const c_char,
        events: u64,
        version: c_int,
        kind: c_int,
    ) -> c_int;
    // From libsodium, which is linked in for CURVE.
    fn sodium_version_string() -> *const c_char;
}

/// A system error number, as libzmq reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Errno(pub(crate) i32);

impl Errno {
    pub(crate) fn last() -> Self {
        // SAFETY: reads a thread-local number.
        Self(unsafe { zmq_sys::zmq_errno() })
    }

    pub(crate) fn would_block(self) -> bool {
        self.0 == libc::EAGAIN
    }

    pub(crate) fn interrupted(self) -> bool {
        self.0 == libc::EINTR
    }

    /// The system's description.
    pub(crate) fn text(self) -> String {
        // SAFETY: libzmq returns a static text, or one of the C library. It is copied at once.
        unsafe { CStr::from_ptr(zmq_sys::zmq_strerror(self.0)) }
            .to_string_lossy()
            .into_owned()
    }

    /// An error that names the operation.
    pub(crate) fn during(self, what: &str) -> Error {
        Error::Os {
            errno: self.0,
            message: format!("{what}: {}", self.text()),
        }
    }
}

impl From<zmq::Error> for Errno {
    fn from(error: zmq::Error) -> Self {
        Self(error.to_raw())
    }
}

/// Repeats a call that a signal interrupted.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(errno) if errno.interrupted() => {}
            outcome => return outcome,
        }
    }
}

fn check(rc: c_int) -> Result<(), Errno> {
    if rc == -1 {
        Err(Errno::last())
    } else {
        Ok(())
    }
}

/// The calls that take an endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Attach {
    Bind,
    Unbind,
    Connect,
    Disconnect,
}

/// Binds, unbinds, connects or disconnects. `endpoint` has passed the parser, so it contains no NUL.
pub(crate) fn attach(socket: &mut zmq::Socket, how: Attach, endpoint: &str) -> Result<(), Errno> {
    let endpoint = CString::new(endpoint).map_err(|_| Errno(libc::EINVAL))?;
    let socket = socket.as_mut_ptr();
    // SAFETY: the socket is open, and the exclusive borrow excludes other threads. The text ends in
    // a NUL.
    check(unsafe {
        match how {
            Attach::Bind => zmq_sys::zmq_bind(socket, endpoint.as_ptr()),
            Attach::Unbind => zmq_sys::zmq_unbind(socket, endpoint.as_ptr()),
            Attach::Connect => zmq_sys::zmq_connect(socket, endpoint.as_ptr()),
            Attach::Disconnect => zmq_sys::zmq_disconnect(socket, endpoint.as_ptr()),
        }
    })
}

/// Sets an option that the crate `zmq` does not have.
pub(crate) fn set_int(socket: &mut zmq::Socket, option: c_int, value: c_int) -> Result<(), Errno> {
    // SAFETY: the option is an int, whose address and size are passed.
    check(unsafe {
        zmq_sys::zmq_setsockopt(
            socket.as_mut_ptr(),
            option,
            std::ptr::from_ref(&value).cast(),
            size_of::<c_int>(),
        )
    })
}

/// Starts to report the events of the socket's connections at this `inproc` endpoint.
pub(crate) fn start_monitor(socket: &mut zmq::Socket, endpoint: &str) -> Result<(), Errno> {
    let endpoint = CString::new(endpoint).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: as in `attach`.
    check(unsafe {
        zmq_socket_monitor_versioned(
            socket.as_mut_ptr(),
            endpoint.as_ptr(),
            u64::from(zmq_sys::ZMQ_EVENT_ALL),
            2,
            int(zmq_sys::ZMQ_PAIR),
        )
    })
}

/// Stops the reports. Must be called before their reading end is closed: otherwise libzmq's I/O thread
/// blocks forever on a report.
pub(crate) fn stop_monitor(socket: &mut zmq::Socket) {
    // SAFETY: the socket is open, and a null endpoint stops the monitor.
    unsafe {
        zmq_socket_monitor_versioned(
            socket.as_mut_ptr(),
            std::ptr::null(),
            0,
            2,
            int(zmq_sys::ZMQ_PAIR),
        );
    }
}

/// A new socket of the context.
pub(crate) fn socket(context: *mut c_void, kind: zmq::SocketType) -> Result<zmq::Socket, Errno> {
    let raw = match kind {
        zmq::PAIR => zmq_sys::ZMQ_PAIR,
        zmq::SUB => zmq_sys::ZMQ_SUB,
        zmq::XPUB => zmq_sys::ZMQ_XPUB,
        zmq::XSUB => zmq_sys::ZMQ_XSUB,
        _ => return Err(Errno(libc::EINVAL)),
    };
    // SAFETY: the context is valid until the process ends. The wrapper owns the socket, and closes it
    // once.
    unsafe {
        let pointer = zmq_sys::zmq_socket(context, int(raw));
        if pointer.is_null() {
            return Err(Errno::last());
        }
        Ok(zmq::Socket::from_raw(pointer))
    }
}

/// Runs the socket's commands; true when a message can be received.
#[inline]
pub(crate) fn run_commands(socket: &mut zmq::Socket) -> bool {
    uninterrupted(|| socket.get_events().map_err(Errno::from))
        .is_ok_and(|events| events.contains(zmq::POLLIN))
}

/// The result of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ready {
    /// The first descriptor is readable.
    pub(crate) first: bool,
    /// Any other descriptor is readable.
    pub(crate) others: bool,
}

impl Ready {
    fn of(mut readable: impl Iterator<Item = bool>) -> Self {
        Self {
            first: readable.next().unwrap_or(false),
            others: readable.any(|readable| readable),
        }
    }
}

/// Waits until one of the descriptors is readable, for at most `milliseconds` (-1 waits forever).
/// `Err(EINTR)` if a signal ended the wait. A descriptor that was closed counts as readable.
#[cfg(unix)]
pub(crate) fn poll(descriptors: &[RawFd], milliseconds: i64) -> Result<Ready, Errno> {
    let item = |&fd: &RawFd| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // A waiter polls two descriptors. Only the maintenance thread needs the heap.
    let (mut few, mut many);
    let items: &mut [libc::pollfd] = if let [one, other] = descriptors {
        few = [item(one), item(other)];
        &mut few
    } else {
        many = descriptors.iter().map(item).collect::<Vec<_>>();
        &mut many
    };
    let count = libc::nfds_t::try_from(items.len()).map_err(|_| Errno(libc::EINVAL))?;
    let milliseconds = c_int::try_from(milliseconds).unwrap_or(c_int::MAX);
    // SAFETY: the array outlives the call.
    if unsafe { libc::poll(items.as_mut_ptr(), count, milliseconds) } == -1 {
        return Err(Errno(
            std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EINTR),
        ));
    }
    Ok(Ready::of(items.iter().map(|item| item.revents != 0)))
}

/// Uses libzmq's poll, which also works on Windows.
#[cfg(not(unix))]
pub(crate) fn poll(descriptors: &[RawFd], milliseconds: i64) -> Result<Ready, Errno> {
    let mut items: Vec<zmq_sys::zmq_pollitem_t> = descriptors
        .iter()
        .map(|&fd| zmq_sys::zmq_pollitem_t {
            socket: std::ptr::null_mut(),
            fd,
            #[allow(clippy::cast_possible_truncation)] // ZMQ_POLLIN is 1
            events: zmq_sys::ZMQ_POLLIN as i16,
            revents: 0,
        })
        .collect();
    let count = c_int::try_from(items.len()).map_err(|_| Errno(libc::EINVAL))?;
    // SAFETY: the items name no sockets, and their array outlives the call.
    check(unsafe {
        zmq_sys::zmq_poll(
            items.as_mut_ptr(),
            count,
            std::ffi::c_long::try_from(milliseconds).unwrap_or(std::ffi::c_long::MAX),
        )
    })?;
    Ok(Ready::of(items.iter().map(|item| item.revents != 0)))
}

/// Waits until a descriptor is readable, and stores all readable ones in `ready`; none after a
/// timeout.
#[cfg(unix)]
pub(crate) fn poll_each(
    descriptors: &[RawFd],
    milliseconds: i64,
    ready: &mut Vec<RawFd>,
) -> Result<(), Errno> {
    ready.clear();
    let mut items: Vec<libc::pollfd> = descriptors
        .iter()
        .map(|&fd| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
        .collect();
    let count = libc::nfds_t::try_from(items.len()).map_err(|_| Errno(libc::EINVAL))?;
    let milliseconds = c_int::try_from(milliseconds).unwrap_or(c_int::MAX);
    // SAFETY: the array outlives the call.
    if unsafe { libc::poll(items.as_mut_ptr(), count, milliseconds) } == -1 {
        return Err(Errno(
            std::io::Error::last_os_error()
                .raw_os_error()
                .unwrap_or(libc::EINTR),
        ));
    }
    ready.extend(
        items
            .iter()
            .filter(|item| item.revents != 0)
            .map(|item| item.fd),
    );
    Ok(())
}

/// On Windows, all descriptors count as readable when one is. Not tested there.
#[cfg(not(unix))]
pub(crate) fn poll_each(
    descriptors: &[RawFd],
    milliseconds: i64,
    ready: &mut Vec<RawFd>,
) -> Result<(), Errno> {
    ready.clear();
    poll(descriptors, milliseconds)?;
    ready.extend(descriptors);
    Ok(())
}

/// Versions and capabilities of the linked libraries.
#[derive(Debug, Clone)]
#[allow(clippy::struct_excessive_bools)] // four independent facts, shown as a table
pub struct Capabilities {
    /// libzmq's version, as `4.3.5`.
    pub libzmq: String,
    /// libsodium's version.
    pub libsodium: String,
    /// Encrypted connections.
    pub curve: bool,
    /// The draft API.
    pub draft: bool,
    /// `ipc://` addresses.
    pub ipc: bool,
}

/// The versions and capabilities that the linked libraries report.
#[must_use]
pub fn capabilities() -> Capabilities {
    let (major, minor, patch) = zmq::version();
    let has = |what| zmq::has(what) == Some(true);
    Capabilities {
        libzmq: format!("{major}.{minor}.{patch}"),
        // SAFETY: a static text.
        libsodium: unsafe { CStr::from_ptr(sodium_version_string()) }
            .to_string_lossy()
            .into_owned(),
        curve: has("curve"),
        draft: has("draft"),
        ipc: has("ipc") && !cfg!(windows),
    }
}

#[cfg(test)]
mod tests {
    // The example keys in libzmq's manual: another implementation derived the public ones.
    const PUBLIC: &str = "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7";
    const SECRET: &str = "JTKVSB%%)wK0E.X)V>+}o?pNmC{O&4W4b!Ni{Lh6";

    #[test]
    fn curve_delivers_messages_to_the_holder_of_the_secret_key() {
        let context = zmq::Context::new();
        let server = context.socket(zmq::PULL).unwrap();
        server.set_curve_server(true).unwrap();
        server
            .set_curve_secretkey(&zmq::z85_decode(SECRET).unwrap())
            .unwrap();
        server.set_rcvtimeo(10_000).unwrap();
        server.bind("tcp://127.0.0.1:*").unwrap();

        let client = context.socket(zmq::PUSH).unwrap();
        let pair = zmq::CurveKeyPair::new().unwrap();
        client.set_curve_publickey(&pair.public_key).unwrap();
        client.set_curve_secretkey(&pair.secret_key).unwrap();
        client
            .set_curve_serverkey(&zmq::z85_decode(PUBLIC).unwrap())
            .unwrap();
        client.set_linger(0).unwrap();
        let endpoint = server.get_last_endpoint().unwrap().unwrap();
        client.connect(&endpoint).unwrap();

        // Short and long: libsodium has different code for several blocks at once.
        for size in [1, 1_000, 1_000_000] {
            let sent: Vec<u8> = (0..size).map(|i: u32| i.to_le_bytes()[1]).collect();
            client.send(&sent, 0).unwrap();
            assert!(server.recv_bytes(0).unwrap() == sent, "{size} bytes");
        }
    }
}
