//! The cost of one call, in one process.

use crate::socket::Context;
use crate::{read_line, write_line, Failure, Job};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often a batch is repeated; the result is the median.
const BATCHES: usize = 9;

/// Follows the protocol of a run, measures, and reports the nanoseconds per call.
fn measure(
    calls: usize,
    mut batch: impl FnMut() -> Result<Duration, Failure>,
) -> Result<(), Failure> {
    write_line(&json!({ "ready": true }))?;
    read_line()?;
    batch()?;
    let mut times = (0..BATCHES)
        .map(|_| batch())
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    let calls = u32::try_from(calls)?;
    write_line(&json!({ "ns": times[BATCHES / 2].as_secs_f64() * 1e9 / f64::from(calls) }))?;
    read_line()?;
    Ok(())
}

/// Times sending messages without a subscriber.
pub fn send(job: &Job) -> Result<(), Failure> {
    let count = job.number("count")?;
    let (message, _) = job.messages()?;
    let socket = Context::new()?.publisher(job.text("endpoint")?)?;
    measure(count, || {
        let began = Instant::now();
        for _ in 0..count {
            socket.send(&message)?;
        }
        Ok(began.elapsed())
    })
}

/// Times receiving queued messages; the end mark must follow them directly.
pub fn receive(job: &Job) -> Result<(), Failure> {
    let count = job.number("count")?;
    let (message, end) = job.messages()?;
    let context = Context::new()?;
    let publisher = context.publisher(job.text("endpoint")?)?;
    let subscriber = context.subscriber(&publisher.endpoint()?, [""])?;
    publisher.wait_for_subscriptions(1)?;
    let mut buffer = vec![0_u8; message.len()];
    measure(count, || {
        for _ in 0..count {
            publisher.send(&message)?;
        }
        publisher.send(&end)?;
        let began = Instant::now();
        for _ in 0..count {
            subscriber.receive(&mut buffer)?;
        }
        let elapsed = began.elapsed();
        if subscriber.receive(&mut buffer)? != end {
            return Err("received another message instead of the end mark".into());
        }
        Ok(elapsed)
    })
}

/// Times a non-blocking receive from an empty queue.
pub fn receive_empty(job: &Job) -> Result<(), Failure> {
    let count = job.number("count")?;
    let context = Context::new()?;
    let publisher = context.publisher(job.text("endpoint")?)?;
    let subscriber = context.subscriber(&publisher.endpoint()?, [""])?;
    publisher.wait_for_subscriptions(1)?;
    let mut buffer = [0_u8; 64];
    measure(count, || {
        let began = Instant::now();
        for _ in 0..count {
            if !subscriber.is_empty(&mut buffer) {
                return Err("received a message although none was sent".into());
            }
        }
        Ok(began.elapsed())
    })
}
