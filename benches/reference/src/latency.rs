//! Latency: a message goes to another process and back, over two connections.

use crate::socket::Context;
use crate::{say, wait_for_word, Failure, Job};
use serde_json::json;
use std::time::Instant;

/// Sends, waits for the answer, and says half of each round trip's time in microseconds.
pub fn ping(job: &Job) -> Result<(), Failure> {
    let count = job.number("count")?;
    let (message, end) = job.messages()?;
    let context = Context::new()?;
    let there = context.publisher(job.text("endpoint")?)?;
    let back = context.subscriber(job.text("back")?, [""])?;
    say(&json!({ "endpoint": there.endpoint()? }))?;
    wait_for_word()?;
    there.wait_for_subscriptions(1)?;
    let mut buffer = vec![0_u8; message.len()];
    // The first word is the other side's: it has its subscriber, too.
    back.receive(&mut buffer)?;
    let warm_up = count / 10;
    let mut times = Vec::with_capacity(count);
    for turn in 0..count + warm_up {
        let began = Instant::now();
        there.send(&message)?;
        let intact = back.receive(&mut buffer)? == message;
        let seconds = began.elapsed().as_secs_f64();
        if !intact {
            return Err("what came back is not what was sent".into());
        }
        if turn >= warm_up {
            times.push(seconds / 2.0 * 1e6);
        }
    }
    there.send(&end)?;
    say(&json!({ "us": times }))?;
    wait_for_word()?;
    Ok(())
}

/// Sends back what comes, up to the end mark.
pub fn pong(job: &Job) -> Result<(), Failure> {
    let (message, end) = job.messages()?;
    let context = Context::new()?;
    let back = context.publisher(job.text("endpoint")?)?;
    say(&json!({ "endpoint": back.endpoint()? }))?;
    let there = context.subscriber(&wait_for_word()?, [""])?;
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
    say(&json!({ "ready": true }))?;
    wait_for_word()?;
    Ok(())
}
