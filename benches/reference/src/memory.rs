//! Memory: a publisher with peers that do nothing.

use crate::socket::Context;
use crate::{say, wait_for_word, Failure, Job};
use serde_json::json;

/// A publisher that says, when its peers are there, how much of it is resident.
pub fn stand(job: &Job) -> Result<(), Failure> {
    let socket = Context::new()?.publisher(job.text("endpoint")?)?;
    say(&json!({ "endpoint": socket.endpoint()? }))?;
    wait_for_word()?;
    socket.wait_for_subscriptions(job.number("subscribers")?)?;
    say(&json!({ "mib": resident_mib()? }))?;
    wait_for_word()?;
    Ok(())
}

/// The peers.
pub fn attend(job: &Job) -> Result<(), Failure> {
    let context = Context::new()?;
    let endpoint = job.text("endpoint")?;
    let sockets = (0..job.number("subscribers")?)
        .map(|_| context.subscriber(endpoint, [""]))
        .collect::<Result<Vec<_>, _>>()?;
    say(&json!({ "ready": true }))?;
    wait_for_word()?;
    drop(sockets);
    Ok(())
}

fn resident_mib() -> Result<f64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib
        .ok_or("/proc/self/status has no VmRSS")?
        .parse::<f64>()?
        / 1024.0)
}
