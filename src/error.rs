//! Everything that can go wrong, as the core sees it. Each text names what was tried and what to
//! do next, because it is shown to a student as it stands.

use std::fmt;

/// The core's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. The Python face turns each kind into one exception class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// An argument that can never work: `ValueError`.
    Value(String),
    /// The time given ran out: `TimeoutError`.
    Timeout(String),
    /// The object was closed, by its user or at exit: `ClosedError`.
    Closed(String),
    /// A subscriber's queue is full under `on_full="raise"`: `QueueFullError`.
    Full {
        /// How many messages of the call went out before this one.
        sent: usize,
        /// The text.
        message: String,
    },
    /// The operating system or libzmq refused: `ZmqChatError` with this `errno`.
    Os {
        /// The system's error number, or one of libzmq's own.
        errno: i32,
        /// The text.
        message: String,
    },
    /// There is no memory for a copy of a message: `MemoryError`.
    NoMemory,
    /// The caller's checkpoint ended the wait; it knows why (for Python: a signal handler raised).
    Interrupted,
}

impl Error {
    /// No thread could be started, for what its purpose says.
    #[must_use]
    pub fn no_thread(purpose: &str, error: &std::io::Error) -> Self {
        let text = error.to_string();
        let words = text.split(" (os error").next().unwrap_or(&text);
        Self::Os {
            errno: error.raw_os_error().unwrap_or(libc::EAGAIN),
            message: format!(
                "cannot start a thread {purpose}: {words}; close what you no longer need, or raise \
                 the limit (ulimit -u, or the container's limit of pids)"
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
            Self::NoMemory => f.write_str("no memory for a message"),
            Self::Interrupted => f.write_str("interrupted"),
        }
    }
}

impl std::error::Error for Error {}
