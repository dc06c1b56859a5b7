//! One ZeroMQ frame.
//!
//! The crate's own `Message` cannot be sent a second time after EAGAIN (it is used up), tells no
//! descriptor, and zeroes memory that is about to be written; hence this thin owner of a
//! `zmq_msg_t`. A received frame may point into the read buffer of its connection and keep all of
//! it alive: what outlives the hand-out must own a copy of the bytes.

use crate::net::zmq::ffi::{self, uninterrupted, Errno, DONTWAIT, SNDMORE};
use std::cell::UnsafeCell;
use std::ffi::{c_void, CStr};
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use zmq_sys::zmq_msg_t;

/// The property by which libzmq answers for `ZMQ_SRCFD`, which it calls deprecated.
const SRCFD: &CStr = c"__fd";

/// The connection that brought a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Source {
    /// Its descriptor, which another connection may have by now.
    pub(crate) descriptor: i32,
    /// Its own number, which no other connection gets as long as any frame of it is kept.
    pub(crate) token: usize,
}

/// Bytes that stay where they are, unaltered, as long as somebody holds this.
pub type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// What is sent: bytes to copy, their lender where they need not be, and what kind of message it is.
#[derive(Clone, Copy)]
pub struct Payload<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Whoever lends them: libzmq then sends them from where they are, and lets go of the lender in
    /// a thread of its own, which must not be held up.
    pub lender: Option<&'a SharedBytes>,
    /// What its stamp says of its kind, if it is no ordinary one.
    pub kind: Option<&'a str>,
}

impl<'a> From<&'a [u8]> for Payload<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            lender: None,
            kind: None,
        }
    }
}

/// An initialised `zmq_msg_t`, closed when dropped. In a cell, because to share its content libzmq
/// marks it.
pub struct Frame(UnsafeCell<zmq_msg_t>);

// SAFETY: libzmq counts references to shared message memory atomically, and a message may be
// used and closed by any one thread at a time.
unsafe impl Send for Frame {}

/// A frame that can only be read.
pub struct SharedFrame(Frame);

// SAFETY: its one method only reads, and nothing else reaches the frame.
unsafe impl Sync for SharedFrame {}

impl SharedFrame {
    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }
}

impl Frame {
    /// An empty frame, to receive into. It owns nothing, so that each may be a copy of one: to make it
    /// byte by byte, and move it at once, takes several times as long.
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

    /// A frame that holds these parts, one after the other.
    pub(crate) fn concat(parts: &[&[u8]]) -> Result<Self, Errno> {
        let mut raw = zmq_msg_t::default();
        fill(&mut raw, parts)?;
        Ok(Self(UnsafeCell::new(raw)))
    }

    /// A frame of this payload alone.
    pub(crate) fn of(payload: Payload<'_>) -> Result<Self, Errno> {
        match payload.lender {
            Some(lender) => Self::lent(lender),
            None => Self::concat(&[payload.bytes]),
        }
    }

    /// A frame that points at what somebody lends.
    fn lent(lender: &SharedBytes) -> Result<Self, Errno> {
        unsafe extern "C" fn close_nowait(_: *mut c_void, hint: *mut c_void) {
            // SAFETY: libzmq calls this once, with the pointer that it was given below.
            drop(unsafe { Box::from_raw(hint.cast::<SharedBytes>()) });
        }
        let bytes = (**lender).as_ref();
        let hint = Box::into_raw(Box::new(Arc::clone(lender)));
        let mut raw = zmq_msg_t::default();
        // SAFETY: the lender keeps the bytes in place, and libzmq, which only reads them, keeps the
        // lender until it has called `close_nowait`. On failure it has not taken the pointer.
        unsafe {
            let data = bytes.as_ptr().cast_mut().cast();
            let done = zmq_sys::zmq_msg_init_data(
                &raw mut raw,
                data,
                bytes.len(),
                Some(close_nowait),
                hint.cast(),
            );
            if done == -1 {
                drop(Box::from_raw(hint));
                return Err(Errno::last());
            }
        }
        Ok(Self(UnsafeCell::new(raw)))
    }

    /// Sends a message of one frame, which holds these parts, without waiting. The frame stays
    /// where it is made: moving its 64 bytes costs as much as sending them.
    #[inline]
    pub(crate) fn send_parts(socket: &mut zmq::Socket, parts: &[&[u8]]) -> Result<(), Errno> {
        let mut raw = zmq_msg_t::default();
        fill(&mut raw, parts)?;
        loop {
            // SAFETY: an initialised message and an open socket under its owner's lock.
            if unsafe { zmq_sys::zmq_msg_send(&raw mut raw, socket.as_mut_ptr(), DONTWAIT) } != -1 {
                // libzmq took the content: what is left is empty and needs no close.
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
        // SAFETY: the message is initialised, both calls only read it, and its data stays where it
        // is as long as the borrow lasts.
        unsafe {
            let size = zmq_sys::zmq_msg_size(raw);
            if size == 0 {
                return &[];
            }
            std::slice::from_raw_parts(zmq_sys::zmq_msg_data(raw).cast::<u8>(), size)
        }
    }

    /// Another frame with the same content, which is not copied; `None` when that fails.
    #[must_use]
    pub fn share(&self) -> Option<SharedFrame> {
        let mut raw = zmq_msg_t::default();
        // SAFETY: an initialised message to copy into, and one to copy from, which libzmq marks as
        // shared: in a cell, and, as this type is not `Sync`, by this thread alone.
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

    /// The connection that brought it; `None` for inproc and for what libzmq
    /// made up itself, such as the notices of a departure.
    pub(crate) fn source(&self) -> Option<Source> {
        // SAFETY: reads an initialised message; what it gives ends with a NUL and lives as long as
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
            // libzmq keeps one text for each connection, as long as any of its messages is kept.
            token: text.as_ptr() as usize,
        })
    }

    /// The IP address of the peer that sent it; `None` where it did not come over TCP.
    #[must_use]
    pub fn peer_address(&self) -> Option<String> {
        // SAFETY: reads an initialised message; what it gives ends with a NUL and lives as long as
        // the message.
        let found = unsafe {
            let found = zmq_sys::zmq_msg_gets(self.0.get(), c"Peer-Address".as_ptr());
            if found.is_null() {
                return None;
            }
            CStr::from_ptr(found)
        };
        // Over ipc it is made of other things.
        let address: IpAddr = found.to_str().ok()?.parse().ok()?;
        Some(address.to_string())
    }

    /// Sends without waiting. The frame is emptied when it was sent and untouched when not.
    pub(crate) fn send(&mut self, socket: &mut zmq::Socket, more: bool) -> Result<(), Errno> {
        let flags = if more { DONTWAIT | SNDMORE } else { DONTWAIT };
        // SAFETY: an initialised message and an open socket under its owner's lock.
        if unsafe { zmq_sys::zmq_msg_send(self.0.get(), socket.as_mut_ptr(), flags) } == -1 {
            return Err(Errno::last());
        }
        Ok(())
    }

    /// Receives without waiting, in place of what the frame held; its size.
    #[inline]
    pub(crate) fn receive(&mut self, socket: &mut zmq::Socket) -> Result<usize, Errno> {
        // SAFETY: as in `send`.
        let size = unsafe { zmq_sys::zmq_msg_recv(self.0.get(), socket.as_mut_ptr(), DONTWAIT) };
        match usize::try_from(size) {
            // libzmq tells no more than an int can.
            Ok(size) if size < i32::MAX as usize => Ok(size),
            Ok(_) => Ok(self.bytes().len()),
            Err(_) => Err(Errno::last()),
        }
    }
}

/// Makes a message of these parts out of one that owns nothing.
#[inline]
fn fill(raw: &mut zmq_msg_t, parts: &[&[u8]]) -> Result<(), Errno> {
    let size = parts.iter().map(|part| part.len()).sum();
    // SAFETY: what owns nothing may be initialised; on failure it still owns nothing. On success it
    // owns `size` writable bytes, which the parts fill exactly; they cannot overlap memory that was
    // just allocated.
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
        // SAFETY: closes an initialised message once; fails only for an invalid one.
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
    fn what_is_lent_is_let_go_of_when_the_frame_is() {
        let lender: super::SharedBytes = std::sync::Arc::new(vec![b'x'; 100_000]);
        let payload = super::Payload {
            bytes: (*lender).as_ref(),
            lender: Some(&lender),
            kind: None,
        };
        let frame = Frame::of(payload).expect("memory");
        assert_eq!(frame.bytes().as_ptr(), payload.bytes.as_ptr());
        assert_eq!(std::sync::Arc::strong_count(&lender), 2);
        drop(frame);
        assert_eq!(std::sync::Arc::strong_count(&lender), 1);
    }

    #[test]
    fn parts_stand_one_after_the_other() {
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
