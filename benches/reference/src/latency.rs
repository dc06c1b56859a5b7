//! Latency: round trips of a message between two processes, over two connections.

use crate::socket::Context;
use crate::{read_line, write_line, Failure, Job};
use serde_json::json;
use std::time::Instant;

/// Sends, waits for the answer, and reports half of each round trip in microseconds.
pub fn ping(job: &Job) -> Result<(), Failure> {
    let count = job.number("count")?;
    let (message, end) = job.messages()?;
    let context = Context::new()?;
    let there = context.publisher(job.text("endpoint")?)?;
    let back = context.subscriber(job.text("back")?, [""])?;
    write_line(&json!({ "endpoint": there.endpoint()? }))?;
    read_line()?;
    there.wait_for_subscriptions(1)?;
    let mut buffer = vec![0_u8; message.len()];
    // The other side sends first, once its subscriber is connected.
    back.receive(&mut buffer)?;
    let warm_up = count / 10;
    let mut times = Vec::with_capacity(count);
    for turn in 0..count + warm_up {
        let began = Instant::now();
        there.send(&message)?;
        let intact = back.receive(&mut buffer)? == message;
        let seconds = began.elapsed().as_secs_f64();
        if !intact {
            return Err("the returned message differs from the sent one".into());
        }
        if turn >= warm_up {
            times.push(seconds / 2.0 * 1e6);
        }
    }
    there.send(&end)?;
    write_line(&json!({ "us": times }))?;
    read_line()?;
    Ok(())
}

/// Sends each received message back, up to the end mark.
pub fn pong(job: &Job) -> Result<(), Failure> {
    let (message, end) = job.messages()?;
    let context = Context::new()?;
    let back = context.publisher(job.text("endpoint")?)?;
    write_line(&json!({ "endpoint": back.endpoint()? }))?;
    let there = context.subscriber(&read_line()?, [""])?;
    back.wait_for_subscriptions(1)?;
    back.send(&message)?;
    let mut buffer = vec![0_u8; message.len()];
    loop {
        let received = there.receive(&mut buffer)?;
        if received == end {
            break;
        }
        back.send(received)?;
    }
    write_line(&json!({ "ready": true }))?;
    read_line()?;
    Ok(())
}
