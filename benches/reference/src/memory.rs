//! Memory: a publisher with idle subscribers.

use crate::socket::Context;
use crate::{read_line, write_line, Failure, Job};
use serde_json::json;

/// Binds a publisher and reports its resident memory once all subscribers are connected.
pub fn publisher_memory(job: &Job) -> Result<(), Failure> {
    let socket = Context::new()?.publisher(job.text("endpoint")?)?;
    write_line(&json!({ "endpoint": socket.endpoint()? }))?;
    read_line()?;
    socket.wait_for_subscriptions(job.number("subscribers")?)?;
    write_line(&json!({ "mib": resident_mib()? }))?;
    read_line()?;
    Ok(())
}

/// Connects idle subscribers.
pub fn idle_subscribers(job: &Job) -> Result<(), Failure> {
    let context = Context::new()?;
    let endpoint = job.text("endpoint")?;
    let sockets = (0..job.number("subscribers")?)
        .map(|_| context.subscriber(endpoint, [""]))
        .collect::<Result<Vec<_>, _>>()?;
    write_line(&json!({ "ready": true }))?;
    read_line()?;
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
