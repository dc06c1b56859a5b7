//! Frames and received messages.
//!
//! The `Message` of the crate `zmq` cannot be sent again after EAGAIN, does not give the connection's
//! descriptor, and zeroes memory that is about to be overwritten. `Frame` is a thin owner of a
//! `zmq_msg_t` without these limits. A received frame may point into the read buffer of its connection
//! and keep the whole buffer alive. Data that is kept must be copied.

use crate::net::zmq::ffi::{self, uninterrupted, Errno, DONTWAIT, SNDMORE};
use std::cell::UnsafeCell;
use std::ffi::{c_void, CStr};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use zmq_sys::zmq_msg_t;

/// The property that replaces `ZMQ_SRCFD`, which is deprecated.
const SRCFD: &CStr = c"__fd";

/// The connection from which a frame was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its descriptor, whose number may belong to another connection by now.
    pub(crate) descriptor: i32,
    /// Identifies the connection as long as any of its frames exists.
    pub(crate) token: usize,
}

/// Shared bytes that do not move or change.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A payload to send.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// The same bytes, if they need not be copied. libzmq drops its reference in its network thread,
    /// so dropping the last one must not block.
    pub shared: Option<&'a SharedBytes>,
    /// The kind of the message, which its stamp contains; `None` for an ordinary message.
    pub kind: Option<&'a str>,
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            shared: None,
            kind: None,
        }
    }
}

/// An initialised `zmq_msg_t`, which is closed when it is dropped. It is in a cell because libzmq
/// changes a message when its content is shared.
pub struct Frame(UnsafeCell<zmq_msg_t>);

// SAFETY: libzmq counts references to shared message memory atomically. Any thread may use or close a
// message, one at a time.
unsafe impl Send for Frame {}

/// A frame that cannot be changed.
pub struct SharedFrame(Frame);

// SAFETY: the only method reads, and nothing else has access to the frame.
unsafe impl Sync for SharedFrame {}

impl SharedFrame {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Frame {
    /// An empty frame, to receive into. It owns nothing, so all of them are copies of one. Creating it
    /// byte by byte and moving it takes several times as long.
    #[inline]
    pub(crate) fn empty() -> Self {
        static EMPTY: LazyLock<zmq_msg_t> = LazyLock::new(|| {
            let mut raw = zmq_msg_t::default();
            // SAFETY: initialises the message; cannot fail.
            unsafe { zmq_sys::zmq_msg_init(&raw mut raw) };
            raw
        });
        Self(UnsafeCell::new(*EMPTY))
    }

    /// A frame that contains these parts, one after the other.
    pub(crate) fn concat(parts: &[&[u8]]) -> Result<Self, Errno> {
        let mut raw = zmq_msg_t::default();
        fill(&mut raw, parts)?;
        Ok(Self(UnsafeCell::new(raw)))
    }

    /// A frame that contains this payload.
    pub(crate) fn of(payload: Payload<'_>) -> Result<Self, Errno> {
        match payload.shared {
            Some(shared) => Self::borrow(shared),
            None => Self::concat(&[payload.bytes]),
        }
    }

    /// A frame that points to shared bytes.
    fn borrow(shared: &SharedBytes) -> Result<Self, Errno> {
        unsafe extern "C" fn release(_: *mut c_void, hint: *mut c_void) {
            // SAFETY: libzmq calls this once, with the pointer that is passed below.
            drop(unsafe { Box::from_raw(hint.cast::<SharedBytes>()) });
        }
        let bytes = (**shared).as_ref();
        let hint = Box::into_raw(Box::new(Arc::clone(shared)));
        let mut raw = zmq_msg_t::default();
        // SAFETY: `shared` keeps the bytes in place. libzmq only reads them, and holds a reference until
        // it calls `release`. If the call fails, libzmq has not taken the pointer.
        unsafe {
            let data = bytes.as_ptr().cast_mut().cast();
            let done = zmq_sys::zmq_msg_init_data(
                &raw mut raw,
                data,
                bytes.len(),
                Some(release),
                hint.cast(),
            );
            if done == -1 {
                drop(Box::from_raw(hint));
                return Err(Errno::last());
            }
        }
        Ok(Self(UnsafeCell::new(raw)))
    }

    /// Sends a message of one frame, which contains these parts, without waiting. The frame is not
    /// moved: moving its 64 bytes costs as much as sending them.
    #[inline]
    pub(crate) fn send_parts(socket: &mut zmq::Socket, parts: &[&[u8]]) -> Result<(), Errno> {
        let mut raw = zmq_msg_t::default();
        fill(&mut raw, parts)?;
        loop {
            // SAFETY: an initialised message and an open socket, which no other thread uses.
            if unsafe { zmq_sys::zmq_msg_send(&raw mut raw, socket.as_mut_ptr(), DONTWAIT) } != -1 {
                // libzmq has taken the content. The rest is empty and needs no close.
                return Ok(());
            }
            let errno = Errno::last();
            if !errno.interrupted() {
                drop(Self(UnsafeCell::new(raw)));
                return Err(errno);
            }
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let raw = self.0.get();
        // SAFETY: the message is initialised, both calls only read it, and its data does not move while
        // it is borrowed.
        unsafe {
            let size = zmq_sys::zmq_msg_size(raw);
            if size == 0 {
                return &[];
            }
            std::slice::from_raw_parts(zmq_sys::zmq_msg_data(raw).cast::<u8>(), size)
        }
    }

    /// Another frame with the same content, which is not copied; `None` if that fails.
    #[must_use]
    pub fn share(&self) -> Option<SharedFrame> {
        let mut raw = zmq_msg_t::default();
        // SAFETY: both messages are initialised. libzmq marks the source as shared: it is in a cell,
        // and no other thread uses it, because this type is not `Sync`.
        let done = unsafe {
            zmq_sys::zmq_msg_init(&raw mut raw);
            zmq_sys::zmq_msg_copy(&raw mut raw, self.0.get())
        };
        let copy = Self(UnsafeCell::new(raw));
        (done != -1).then_some(SharedFrame(copy))
    }

    /// Whether more frames of the same message follow.
    pub(crate) fn more(&self) -> bool {
        // SAFETY: reads an initialised message.
        unsafe { zmq_sys::zmq_msg_more(self.0.get()) != 0 }
    }

    /// The connection from which the frame was received; `None` over inproc, and for frames that libzmq
    /// generates itself, such as the unsubscriptions of a disconnected peer.
    pub(crate) fn source(&self) -> Option<Source> {
        // SAFETY: reads an initialised message. The returned text ends with a NUL and lives as long as
        // the message.
        let text = unsafe {
            let found = zmq_sys::zmq_msg_gets(self.0.get(), SRCFD.as_ptr());
            if found.is_null() {
                return None;
            }
            CStr::from_ptr(found)
        };
        let descriptor = text.to_str().ok()?.parse().ok()?;
        Some(Source {
            descriptor,
            // libzmq keeps one text per connection, as long as any of its messages exists.
            token: text.as_ptr() as usize,
        })
    }

    /// The IP address of the sender; `None` if the frame was not received over TCP.
    #[must_use]
    pub fn peer_address(&self) -> Option<String> {
        // SAFETY: reads an initialised message. The returned text ends with a NUL and lives as long as
        // the message.
        let found = unsafe {
            let found = zmq_sys::zmq_msg_gets(self.0.get(), c"Peer-Address".as_ptr());
            if found.is_null() {
                return None;
            }
            CStr::from_ptr(found)
        };
        // Over ipc, the property is not an IP address.
        let address: IpAddr = found.to_str().ok()?.parse().ok()?;
        Some(address.to_string())
    }

    /// Sends without waiting. If the frame is sent, it is empty afterwards; otherwise it is unchanged.
    pub(crate) fn send(&mut self, socket: &mut zmq::Socket, more: bool) -> Result<(), Errno> {
        let flags = if more { DONTWAIT | SNDMORE } else { DONTWAIT };
        // SAFETY: an initialised message and an open socket, which no other thread uses.
        if unsafe { zmq_sys::zmq_msg_send(self.0.get(), socket.as_mut_ptr(), flags) } == -1 {
            return Err(Errno::last());
        }
        Ok(())
    }

    /// Receives without waiting, and replaces the content of the frame. Returns the size.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &mut zmq::Socket) -> Result<usize, Errno> {
        // SAFETY: as in `send`.
        let size = unsafe { zmq_sys::zmq_msg_recv(self.0.get(), socket.as_mut_ptr(), DONTWAIT) };
        match usize::try_from(size) {
            // libzmq cannot return a size above the range of an int.
            Ok(size) if size < i32::MAX as usize => Ok(size),
            Ok(_) => Ok(self.bytes().len()),
            Err(_) => Err(Errno::last()),
        }
    }
}

/// Fills a message that owns nothing with these parts.
#[inline]
fn fill(raw: &mut zmq_msg_t, parts: &[&[u8]]) -> Result<(), Errno> {
    let size = parts.iter().map(|part| part.len()).sum();
    // SAFETY: a message that owns nothing may be initialised. If that fails, it still owns nothing.
    // Otherwise it owns `size` writable bytes, which the parts fill exactly. The parts cannot overlap
    // memory that was just allocated.
    unsafe {
        if zmq_sys::zmq_msg_init_size(raw, size) == -1 {
            return Err(Errno::last());
        }
        let mut to = zmq_sys::zmq_msg_data(raw).cast::<u8>();
        for part in parts {
            std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to = to.add(part.len());
        }
    }
    Ok(())
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: closes an initialised message once.
        unsafe { zmq_sys::zmq_msg_close(self.0.get()) };
    }
}

impl AsRef<[u8]> for Frame {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

impl std::fmt::Debug for Frame {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Frame({} bytes)", self.bytes().len())
    }
}

/// A received message. It may keep a connection's whole read buffer alive: copy what is kept.
#[derive(Debug)]
pub struct RawMessage {
    /// The first frame.
    pub first: Frame,
    /// The other frames, if any.
    pub rest: Vec<Frame>,
    /// The length of the topic at the start of the first frame, according to the subscriptions at the
    /// time of delivery; 0 if the frame is not split.
    pub topic_len: u8,
    /// When it was taken from libzmq, in Unix nanoseconds.
    pub at_ns: i64,
}

/// Sends one frame of a message; `false` if a queue is full, which only the first frame can find.
pub(crate) fn send_whole(
    socket: &mut zmq::Socket,
    frame: &mut Frame,
    more: bool,
    begun: bool,
) -> Result<bool, Errno> {
    let mut again = false;
    loop {
        match uninterrupted(|| frame.send(socket, more)) {
            Ok(()) => return Ok(true),
            Err(errno) if errno.would_block() => {
                if again && !begun {
                    return Ok(false);
                }
                // A send processes acknowledgements only now and then; the queue may have space.
                ffi::run_commands(socket);
                if again {
                    std::thread::yield_now();
                }
                again = true;
            }
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn a_frame_shares_bytes_until_it_is_dropped() {
        let shared: super::SharedBytes = std::sync::Arc::new(vec![b'x'; 100_000]);
        let payload = super::Payload {
            bytes: (*shared).as_ref(),
            shared: Some(&shared),
            kind: None,
        };
        let frame = Frame::of(payload).expect("memory");
        assert_eq!(frame.bytes().as_ptr(), payload.bytes.as_ptr());
        assert_eq!(std::sync::Arc::strong_count(&shared), 2);
        drop(frame);
        assert_eq!(std::sync::Arc::strong_count(&shared), 1);
    }

    #[test]
    fn parts_are_concatenated() {
        for size in [0, 1, 33, 34, 100_000] {
            let payload = vec![b'x'; size];
            let frame = Frame::concat(&[b"room1", b":", &payload]).expect("memory");
            assert_eq!(frame.bytes(), [b"room1:".as_slice(), &payload].concat());
            assert!(!frame.more());
            assert_eq!(frame.source(), None);
            assert_eq!(frame.peer_address(), None);
        }
        assert_eq!(Frame::empty().bytes(), b"");
    }
}
