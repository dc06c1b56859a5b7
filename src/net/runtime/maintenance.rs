//! The one thread that looks after sockets nobody waits on.
//!
//! libzmq runs a socket's commands only when its owner calls in. Without this thread an idle
//! subscriber would never send its subscription, and a publisher whose user sits at a prompt would
//! never notice who comes and goes. It reads monitors and notices; messages stay where they are.
//!
//! A socket in use is looked at every 50 ms; one at rest only when its descriptor says that there
//! is something to do, so that a program at rest costs nothing.

use crate::net::runtime::process::{self, Process};
use crate::net::zmq::ffi;
use crate::util::thread;
use crate::util::time::SLICE;
use crate::util::wakeup::Wakeup;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Duration;

/// How soon to look again where input was left. Nothing waits for it meanwhile, so that peers which
/// send without pause do not take a whole CPU.
const SOON: Duration = Duration::from_millis(10);

/// What the look at one object found.
#[derive(Debug, Default)]
pub(crate) struct PollInterest {
    /// It is in use: look again soon.
    pub(crate) busy: bool,
    /// Input is left that this look did not read: look again very soon.
    pub(crate) behind: bool,
    /// What to watch until then.
    pub(crate) descriptors: [Option<zmq_sys::RawFd>; 2],
}

/// The handle to the thread.
pub(crate) struct Maintenance {
    wake: Wakeup,
    stop: AtomicBool,
}

impl Maintenance {
    pub(crate) fn start() -> std::io::Result<Arc<Self>> {
        let this = Arc::new(Self {
            wake: Wakeup::new(),
            stop: AtomicBool::new(false),
        });
        let running = Arc::clone(&this);
        thread::spawn("zmqchat-maint", move || {
            running.run(process::process());
        })?;
        Ok(this)
    }

    /// Looks now: an object came or went.
    pub(crate) fn look(&self) {
        self.wake.set();
    }

    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake.set();
    }

    fn run(&self, process: &Process) {
        let mut descriptors = Vec::new();
        while !self.stop.load(Ordering::Acquire) {
            descriptors.clear();
            descriptors.extend(self.wake.descriptor());
            // Without a wake-up of our own, look at regular times.
            let mut busy = descriptors.is_empty();
            let mut behind = false;
            // The objects are let go of before the wait: whoever drops the last handle closes them.
            for object in process.housed() {
                let look = object.maintain();
                busy |= look.busy;
                behind |= look.behind;
                descriptors.extend(look.descriptors.into_iter().flatten());
            }
            descriptors.extend(process.read_orphans());
            let patience = if behind {
                i64::try_from(SOON.as_millis()).unwrap_or(i64::MAX)
            } else if busy {
                i64::try_from(SLICE.as_millis()).unwrap_or(i64::MAX)
            } else {
                -1
            };
            if ffi::poll(&descriptors, patience).is_err() {
                std::thread::sleep(SLICE);
            }
            self.wake.clear();
        }
    }
}
