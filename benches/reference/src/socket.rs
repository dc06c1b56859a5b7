//! The calls of libzmq, as a C program makes them: `zmq_send` from a buffer, `zmq_recv` into one.
//!
//! The only options set are the high-water marks (no limit, as for all peers) and, for the wait
//! before a run, verbose subscription messages and a timeout.

use crate::Failure;
use std::ffi::{c_int, c_void, CStr, CString};
use zmq_sys as sys;

/// How long a wait for subscribers may take.
const WAIT_TIMEOUT_MS: c_int = 30_000;

/// A libzmq context.
pub struct Context(*mut c_void);

/// A libzmq socket.
pub struct Socket(*mut c_void);

// SAFETY: a socket may move to another thread after a full fence, which spawning a thread is.
unsafe impl Send for Socket {}

fn failed(doing: &str) -> Failure {
    // SAFETY: `zmq_strerror` returns a static text for every number.
    let reason = unsafe { CStr::from_ptr(sys::zmq_strerror(sys::zmq_errno())) };
    format!("{doing}: {}", reason.to_string_lossy()).into()
}

/// The constants of `zmq_sys` are unsigned, libzmq's parameters are not.
fn int(constant: u32) -> c_int {
    c_int::try_from(constant).expect("libzmq's constants are small")
}

impl Context {
    /// A context that is never terminated.
    pub fn new() -> Result<Self, Failure> {
        // SAFETY: returns a context or null.
        let context = unsafe { sys::zmq_ctx_new() };
        if context.is_null() {
            return Err(failed("zmq_ctx_new"));
        }
        Ok(Self(context))
    }

    fn socket(&self, kind: u32) -> Result<Socket, Failure> {
        // SAFETY: the context is valid and is never terminated.
        let socket = Socket(unsafe { sys::zmq_socket(self.0, int(kind)) });
        if socket.0.is_null() {
            return Err(failed("zmq_socket"));
        }
        socket.set(sys::ZMQ_SNDHWM, 0)?;
        socket.set(sys::ZMQ_RCVHWM, 0)?;
        Ok(socket)
    }

    /// An XPUB, which sends as a PUB does (libzmq's `pub_t` is an `xpub_t`) and receives subscriptions.
    pub fn publisher(&self, endpoint: &str) -> Result<Socket, Failure> {
        let socket = self.socket(sys::ZMQ_XPUB)?;
        socket.set(sys::ZMQ_XPUB_VERBOSE, 1)?;
        let text = CString::new(endpoint)?;
        // SAFETY: a valid socket and a C string.
        if unsafe { sys::zmq_bind(socket.0, text.as_ptr()) } != 0 {
            return Err(failed(endpoint));
        }
        Ok(socket)
    }

    /// An XSUB that a proxy receives from.
    pub fn frontend(&self, upstream: &str) -> Result<Socket, Failure> {
        let socket = self.socket(sys::ZMQ_XSUB)?;
        let text = CString::new(upstream)?;
        // SAFETY: a valid socket and a C string.
        if unsafe { sys::zmq_connect(socket.0, text.as_ptr()) } != 0 {
            return Err(failed(upstream));
        }
        Ok(socket)
    }

    /// A SUB with these prefixes.
    pub fn subscriber<P: AsRef<[u8]>>(
        &self,
        endpoint: &str,
        prefixes: impl IntoIterator<Item = P>,
    ) -> Result<Socket, Failure> {
        let socket = self.socket(sys::ZMQ_SUB)?;
        for prefix in prefixes {
            socket.set_bytes(sys::ZMQ_SUBSCRIBE, prefix.as_ref())?;
        }
        let text = CString::new(endpoint)?;
        // SAFETY: a valid socket and a C string.
        if unsafe { sys::zmq_connect(socket.0, text.as_ptr()) } != 0 {
            return Err(failed(endpoint));
        }
        Ok(socket)
    }
}

impl Socket {
    fn set(&self, option: u32, value: c_int) -> Result<(), Failure> {
        self.set_bytes(option, &value.to_ne_bytes())
    }

    fn set_bytes(&self, option: u32, value: &[u8]) -> Result<(), Failure> {
        // SAFETY: a valid socket, and a buffer with its length.
        let code =
            unsafe { sys::zmq_setsockopt(self.0, int(option), value.as_ptr().cast(), value.len()) };
        if code == 0 {
            Ok(())
        } else {
            Err(failed("zmq_setsockopt"))
        }
    }

    /// The bound endpoint.
    pub fn endpoint(&self) -> Result<String, Failure> {
        let mut buffer = [0_u8; 512];
        let mut length = buffer.len();
        // SAFETY: a valid socket, and a buffer with its length.
        let code = unsafe {
            let target = buffer.as_mut_ptr().cast();
            sys::zmq_getsockopt(self.0, int(sys::ZMQ_LAST_ENDPOINT), target, &raw mut length)
        };
        if code != 0 {
            return Err(failed("ZMQ_LAST_ENDPOINT"));
        }
        let text = CStr::from_bytes_until_nul(&buffer)?;
        Ok(text.to_str()?.into())
    }

    /// `zmq_proxy`, from this socket to that one and back; returns when the context ends.
    pub fn proxy(&self, backend: &Self) {
        // SAFETY: two valid sockets that no other thread uses, and no capture.
        unsafe { sys::zmq_proxy(self.0, backend.0, std::ptr::null_mut()) };
    }

    /// Waits for this number of subscriptions.
    pub fn wait_for_subscriptions(&self, count: usize) -> Result<(), Failure> {
        self.set(sys::ZMQ_RCVTIMEO, WAIT_TIMEOUT_MS)?;
        let mut buffer = [0_u8; 256];
        for _ in 0..count {
            if self.receive(&mut buffer)?.first() != Some(&1) {
                return Err("received another message instead of a subscription".into());
            }
        }
        Ok(())
    }

    /// `zmq_send`, which copies the buffer.
    #[inline]
    pub fn send(&self, message: &[u8]) -> Result<(), Failure> {
        self.send_with(message, 0)
    }

    /// Sends a frame that is not the last of its message.
    pub fn send_more(&self, frame: &[u8]) -> Result<(), Failure> {
        self.send_with(frame, int(sys::ZMQ_SNDMORE))
    }

    #[inline]
    fn send_with(&self, frame: &[u8], flags: c_int) -> Result<(), Failure> {
        // SAFETY: a valid socket that no other thread uses, and a buffer with its length.
        let code = unsafe { sys::zmq_send(self.0, frame.as_ptr().cast(), frame.len(), flags) };
        if code < 0 {
            return Err(failed("zmq_send"));
        }
        Ok(())
    }

    /// `zmq_recv`, which copies into the buffer; a message that does not fit is an error.
    #[inline]
    pub fn receive<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8], Failure> {
        // SAFETY: as above.
        let code = unsafe { sys::zmq_recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        let length = usize::try_from(code).map_err(|_| failed("zmq_recv"))?;
        buffer
            .get(..length)
            .ok_or_else(|| "a message is longer than its buffer".into())
    }

    /// Receives without blocking; true if the queue is empty.
    pub fn is_empty(&self, buffer: &mut [u8]) -> bool {
        let flags = int(sys::ZMQ_DONTWAIT);
        // SAFETY: as above.
        let code =
            unsafe { sys::zmq_recv(self.0, buffer.as_mut_ptr().cast(), buffer.len(), flags) };
        // SAFETY: reads this thread's errno.
        code < 0 && unsafe { sys::zmq_errno() } == libc::EAGAIN
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: a valid socket that is not used afterwards.
            unsafe { sys::zmq_close(self.0) };
        }
    }
}

/// libzmq's version.
pub fn version() -> String {
    let (mut major, mut minor, mut patch) = (0, 0, 0);
    // SAFETY: three valid pointers.
    unsafe { sys::zmq_version(&raw mut major, &raw mut minor, &raw mut patch) };
    format!("{major}.{minor}.{patch}")
}
