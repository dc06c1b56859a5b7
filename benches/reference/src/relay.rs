//! A relay: libzmq's own `zmq_proxy`, between an XSUB that connects and an XPUB that is bound.

use crate::socket::Context;
use crate::{say, wait_for_word, Failure, Job};
use serde_json::json;
use std::thread;

/// Passes on what comes from `upstream` until the word to end.
pub fn relay(job: &Job) -> Result<(), Failure> {
    let context = Context::new()?;
    let frontend = context.frontend(job.text("upstream")?)?;
    let backend = context.publisher(job.text("endpoint")?)?;
    say(&json!({ "endpoint": backend.endpoint()? }))?;
    // It ends with the process: libzmq's proxy knows no other end but that of its context.
    thread::spawn(move || frontend.proxy(&backend));
    wait_for_word()?;
    Ok(())
}
