//! The errors of the core. Users see the texts unchanged, so each one contains the problem and a remedy.

use std::fmt;

/// The result of a function of the core.
pub type Result<T> = std::result::Result<T, Error>;

/// An error of the core. The Python binding converts each variant to one exception class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An invalid argument: `ValueError`.
    Value(String),
    /// A timeout: `TimeoutError`.
    Timeout(String),
    /// The object is closed: `ClosedError`.
    Closed(String),
    /// A subscriber's queue is full under `on_full="raise"`: `QueueFullError`.
    Full {
        /// How many messages the call sent before this one.
        sent: usize,
        /// The text of the error.
        message: String,
    },
    /// An error of the operating system or of libzmq: `ZmqChatError` with this `errno`.
    Os {
        /// The error number of the system or of libzmq.
        errno: i32,
        /// The text of the error.
        message: String,
    },
    /// Not enough memory to copy a message: `MemoryError`.
    NoMemory,
    /// The checkpoint ended the wait. In Python, a signal handler raised an exception.
    Interrupted,
}

impl Error {
    /// The error for a thread that cannot be started. `purpose` continues "a thread": "that connects".
    #[must_use]
    pub fn no_thread(purpose: &str, error: &std::io::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" (os error").next().unwrap_or(&text);
        Self::Os {
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            message: format!(
                "cannot start a thread {purpose}: {reason}; close unused sockets, or raise the limit \
                 (ulimit -u, or the pids limit of the container)"
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(message)
            | Self::Timeout(message)
            | Self::Closed(message)
            | Self::Full { message, .. }
            | Self::Os { message, .. } => f.write_str(message),
            Self::NoMemory => f.write_str("not enough memory for a message"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
