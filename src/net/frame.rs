//! One ZeroMQ frame.
//!
//! The crate's own `Message` cannot be sent a second time after EAGAIN (it is used up), tells no
//! descriptor, and zeroes memory that is about to be written; hence this thin owner of a
//! `zmq_msg_t`. A received frame may point into the read buffer of its connection and keep all of
//! it alive: what outlives the hand-out must own a copy of the bytes.

use super::sys::{Errno, DONTWAIT, SNDMORE};
use std::ffi::c_int;
use zmq_sys::zmq_msg_t;

/// `ZMQ_SRCFD`, which libzmq calls deprecated and `zmq_sys` leaves out.
const SRCFD: c_int = 2;

/// An initialised `zmq_msg_t`, closed when dropped.
pub struct Frame(zmq_msg_t);

// SAFETY: libzmq counts references to shared message memory atomically, and a message may be
// used and closed by any one thread at a time.
unsafe impl Send for Frame {}

impl Frame {
    /// An empty frame, to receive into.
    pub(crate) fn empty() -> Self {
        let mut raw = zmq_msg_t::default();
        // SAFETY: initialises the message; cannot fail.
        unsafe { zmq_sys::zmq_msg_init(&raw mut raw) };
        Self(raw)
    }

    /// A frame that holds these parts, one after the other.
    pub(crate) fn concat(parts: &[&[u8]]) -> Result<Self, Errno> {
        let mut frame = Self::empty();
        frame.fill(parts)?;
        Ok(frame)
    }

    /// Puts these parts into an empty frame.
    #[inline]
    pub(crate) fn fill(&mut self, parts: &[&[u8]]) -> Result<(), Errno> {
        let size = parts.iter().map(|part| part.len()).sum();
        // SAFETY: an empty message owns nothing, so that it may be initialised again; on failure
        // it is made empty once more. On success it owns `size` writable bytes, which the parts
        // fill exactly; they cannot overlap memory that was just allocated.
        unsafe {
            if zmq_sys::zmq_msg_init_size(&raw mut self.0, size) == -1 {
                let errno = Errno::last();
                zmq_sys::zmq_msg_init(&raw mut self.0);
                return Err(errno);
            }
            let mut to = zmq_sys::zmq_msg_data(&raw mut self.0).cast::<u8>();
            for part in parts {
                std::ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
                to = to.add(part.len());
            }
        }
        Ok(())
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        let raw = std::ptr::from_ref(&self.0).cast_mut();
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

    /// Whether more frames of the same message follow.
    pub(crate) fn more(&self) -> bool {
        // SAFETY: reads an initialised message.
        unsafe { zmq_sys::zmq_msg_more(std::ptr::from_ref(&self.0).cast_mut()) != 0 }
    }

    /// The descriptor of the connection that brought it; `None` for inproc and for what libzmq
    /// made up itself, such as the notices of a departure.
    pub(crate) fn source(&self) -> Option<i32> {
        let raw = std::ptr::from_ref(&self.0).cast_mut();
        // SAFETY: reads an initialised message.
        let fd = unsafe { zmq_sys::zmq_msg_get(raw, SRCFD) };
        (fd >= 0).then_some(fd)
    }

    /// Sends without waiting. The frame is emptied when it was sent and untouched when not.
    pub(crate) fn send(&mut self, socket: &mut zmq::Socket, more: bool) -> Result<(), Errno> {
        let flags = if more { DONTWAIT | SNDMORE } else { DONTWAIT };
        // SAFETY: an initialised message and an open socket under its owner's lock.
        if unsafe { zmq_sys::zmq_msg_send(&raw mut self.0, socket.as_mut_ptr(), flags) } == -1 {
            return Err(Errno::last());
        }
        Ok(())
    }

    /// Receives without waiting, in place of what the frame held.
    pub(crate) fn receive(&mut self, socket: &mut zmq::Socket) -> Result<(), Errno> {
        // SAFETY: as in `send`.
        if unsafe { zmq_sys::zmq_msg_recv(&raw mut self.0, socket.as_mut_ptr(), DONTWAIT) } == -1 {
            return Err(Errno::last());
        }
        Ok(())
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        // SAFETY: closes an initialised message once; fails only for an invalid one.
        unsafe { zmq_sys::zmq_msg_close(&raw mut self.0) };
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

#[cfg(test)]
mod tests {
    use super::Frame;

    #[test]
    fn parts_stand_one_after_the_other() {
        for size in [0, 1, 33, 34, 100_000] {
            let payload = vec![b'x'; size];
            let frame = Frame::concat(&[b"room1", b":", &payload]).expect("memory");
            assert_eq!(frame.bytes(), [b"room1:".as_slice(), &payload].concat());
            assert!(!frame.more());
            assert_eq!(frame.source(), None);
        }
        assert_eq!(Frame::empty().bytes(), b"");
    }
}
