//! A relay: libzmq's own `zmq_proxy`, between an XSUB that connects and an XPUB that is bound.

use crate::socket::Context;
use crate::{read_line, write_line, Failure, Job};
use serde_json::json;
use std::thread;

/// Forwards messages from `upstream` until the harness ends the job.
pub fn relay(job: &Job) -> Result<(), Failure> {
    let context = Context::new()?;
    let frontend = context.frontend(job.text("upstream")?)?;
    let backend = context.publisher(job.text("endpoint")?)?;
    write_line(&json!({ "endpoint": backend.endpoint()? }))?;
    // The proxy ends with the process: only the end of its context stops it.
    thread::spawn(move || frontend.proxy(&backend));
    read_line()?;
    Ok(())
}
