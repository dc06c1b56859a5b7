//! What a C program gets out of libzmq: the reference of the benchmarks.
//!
//! It makes the calls of libzmq's C interface, and nothing but these, in the loops that count: a C
//! compiler would make no other code of them. libzmq itself is the package's own, built by the same
//! rules. The jobs and the lines that they say are those of `benches.worker`; see ../README.md.

mod calls;
mod latency;
mod memory;
mod relay;
mod socket;
mod stream;

use serde_json::{json, Value};
use std::io::{BufRead, Write};
use std::process::ExitCode;

/// What went wrong; the harness shows it.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The end of the subscription list of a run with topics, and what its end mark is sent under.
pub const LAST_TOPIC: &str = "end";

/// What the harness asks for.
pub struct Job(Value);

impl Job {
    /// A number that must be there.
    pub fn number(&self, key: &str) -> Result<usize, Failure> {
        let number = self.0[key]
            .as_u64()
            .ok_or_else(|| format!("the job lacks {key}"))?;
        Ok(usize::try_from(number)?)
    }

    /// A number, or what it is unless the job says so.
    pub fn number_or(&self, key: &str, usual: usize) -> Result<usize, Failure> {
        if self.0[key].is_null() {
            return Ok(usual);
        }
        self.number(key)
    }

    /// A text that must be there.
    pub fn text(&self, key: &str) -> Result<&str, Failure> {
        self.0[key]
            .as_str()
            .ok_or_else(|| format!("the job lacks {key}").into())
    }

    /// A message and the end mark.
    pub fn messages(&self) -> Result<(Vec<u8>, Vec<u8>), Failure> {
        let size = self.number("size")?;
        Ok((vec![b'x'; size], vec![b'.'; size]))
    }
}

/// Prints a line for the harness.
pub fn say(words: &Value) -> Result<(), Failure> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{words}")?;
    output.flush()?;
    Ok(())
}

/// Returns the harness's next line; ends with the harness.
pub fn wait_for_word() -> Result<String, Failure> {
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        return Err("the harness is gone".into());
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
        "together" => stream::together(&job),
        "ping" => latency::ping(&job),
        "pong" => latency::pong(&job),
        "send" => calls::send(&job),
        "receive" => calls::receive(&job),
        "look" => calls::look(&job),
        "relay" => relay::relay(&job),
        "stand" => memory::stand(&job),
        "attend" => memory::attend(&job),
        "versions" => say(&json!({ "versions": { "libzmq": socket::version() } })),
        unknown => Err(format!("no job is called {unknown}").into()),
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
