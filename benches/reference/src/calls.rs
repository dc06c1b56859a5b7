//! What one call costs, in one process.

use crate::socket::Context;
use crate::{say, wait_for_word, Failure, Job};
use serde_json::json;
use std::time::{Duration, Instant};

/// How often a batch is repeated; the median counts.
const BATCHES: usize = 9;

/// Keeps the manners of a run around a measurement, and says the nanoseconds of one call.
fn measure(
    calls: usize,
    mut batch: impl FnMut() -> Result<Duration, Failure>,
) -> Result<(), Failure> {
    say(&json!({ "ready": true }))?;
    wait_for_word()?;
    batch()?;
    let mut times = (0..BATCHES)
        .map(|_| batch())
        .collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    let calls = u32::try_from(calls)?;
    say(&json!({ "ns": times[BATCHES / 2].as_secs_f64() * 1e9 / f64::from(calls) }))?;
    wait_for_word()?;
    Ok(())
}

/// Times the sending of messages that nobody hears.
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

/// Times the receiving of messages that are queued; the end mark must come right after them.
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
            return Err("the end mark was not where it belongs".into());
        }
        Ok(elapsed)
    })
}

/// Times looking for a message where none is.
pub fn look(job: &Job) -> Result<(), Failure> {
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
                return Err("a message came where none was sent".into());
            }
        }
        Ok(began.elapsed())
    })
}
