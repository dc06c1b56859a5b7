//! A C program's use of libzmq: the reference of the benchmarks.
//!
//! The measured loops contain only calls of libzmq's C interface; a C compiler would produce the same
//! code. libzmq is the package's own, built by the same rules. The jobs and their lines of JSON are
//! those of `benches.worker`; see ../README.md.

mod calls;
mod latency;
mod memory;
mod relay;
mod socket;
mod stream;

use serde_json::{json, Value};
use std::io::{BufRead, Write};
use std::process::ExitCode;

/// Any error; the harness prints it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The topic of the end mark in a run with many topics; subscribers subscribe to it last.
pub const LAST_TOPIC: &str = "end";

/// The job that the harness requests.
pub struct Job(Value);

impl Job {
    /// A required number.
    pub fn number(&self, key: &str) -> Result<usize, Failure> {
        let number = self.0[key]
            .as_u64()
            .ok_or_else(|| format!("the job has no {key}"))?;
        Ok(usize::try_from(number)?)
    }

    /// A number, or its default if the job does not have it.
    pub fn number_or(&self, key: &str, default: usize) -> Result<usize, Failure> {
        if self.0[key].is_null() {
            return Ok(default);
        }
        self.number(key)
    }

    /// A required text.
    pub fn text(&self, key: &str) -> Result<&str, Failure> {
        self.0[key]
            .as_str()
            .ok_or_else(|| format!("the job has no {key}").into())
    }

    /// A message and the end mark.
    pub fn messages(&self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let size = self.number("size")?;
        Ok((vec![b'x'; size], vec![b'.'; size]))
    }
}

/// Writes a line of JSON for the harness.
pub fn write_line(fields: &Value) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{fields}")?;
    output.flush()?;
    Ok(())
}

/// Returns the next line from the harness; fails if the harness has ended.
pub fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("the harness has ended".into());
    }
    Ok(line.trim().into())
}

fn run() -> Result<(), Failure> {
    let text = std::env::args()
        .nth(1)
        .ok_or("usage: reference '{\"do\": …}'")?;
    let job = Job(serde_json::from_str(&text)?);
    match job.text("do")? {
        "publish" => stream::publish(&job),
        "subscribe" => stream::subscribe(&job),
        "publish_and_subscribe" => stream::publish_and_subscribe(&job),
        "ping" => latency::ping(&job),
        "pong" => latency::pong(&job),
        "send" => calls::send(&job),
        "receive" => calls::receive(&job),
        "receive_empty" => calls::receive_empty(&job),
        "relay" => relay::relay(&job),
        "publisher_memory" => memory::publisher_memory(&job),
        "idle_subscribers" => memory::idle_subscribers(&job),
        "versions" => write_line(&json!({ "versions": { "libzmq": socket::version() } })),
        unknown => Err(format!("unknown job {unknown}").into()),
    }
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("reference: {failure}");
            ExitCode::FAILURE
        }
    }
}
