//! The thread that maintains sockets on which no thread waits.
//!
//! libzmq runs a socket's commands only when a thread calls into the socket. Without maintenance, an
//! idle subscriber would never send its subscriptions, and an idle publisher would not notice
//! connects and disconnects. Maintenance reads monitors and subscriptions. It takes no messages.
//!
//! A socket in use is maintained every 50 ms. An idle socket is maintained when its descriptor
//! reports something, so that an idle program uses no CPU.

use crate::net::runtime::registry::Registry;
use crate::net::zmq::ffi;
use crate::util::thread;
use crate::util::time::SLICE;
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// The pause before input is read that was left unread. No thread waits for that input, and peers
/// that send without pause must not use a whole CPU.
const PAUSE_BEHIND: Duration = Duration::from_millis(10);

/// A handle to the thread.
pub(crate) struct Maintenance {
    wakeup: Wakeup,
    stop: AtomicBool,
}

impl Maintenance {
    pub(crate) fn start(registry: &'static Registry) -> std::io::Result<Arc<Self>> {
        let this = Arc::new(Self {
            wakeup: Wakeup::new(),
            stop: AtomicBool::new(false),
        });
        let running = Arc::clone(&this);
        thread::spawn("zmqchat-maint", move || running.run(registry))?;
        Ok(this)
    }

    /// Maintains all objects now.
    pub(crate) fn wake(&self) {
        self.wakeup.set();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wakeup.set();
    }

    fn run(&self, registry: &Registry) {
        let mut descriptors = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            descriptors.clear();
            descriptors.extend(self.wakeup.descriptor());
            // Without a descriptor, nothing ends the wait early.
            let mut busy = descriptors.is_empty();
            let mut behind = false;
            // The last handle to an object closes it, so none is kept during the wait.
            for object in registry.objects() {
                let interest = object.maintain();
                busy |= interest.busy;
                behind |= interest.behind;
                descriptors.extend(interest.descriptors.into_iter().flatten());
            }
            descriptors.extend(registry.drain_closing());
            let timeout = if behind {
                i64::try_from(PAUSE_BEHIND.as_millis()).unwrap_or(i64::MAX)
            } else if busy {
                i64::try_from(SLICE.as_millis()).unwrap_or(i64::MAX)
            } else {
                -1
            };
            if ffi::poll(&descriptors, timeout).is_err() {
                std::thread::sleep(SLICE);
            }
            self.wakeup.clear();
        }
    }
}
