//! The state of one connection, and how long a peer has been missing.

use crate::util::time::unix_ns;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long no peer must be connected before that is reported, in milliseconds. Programs do not change
/// it.
static SILENCE_MS: AtomicU64 = AtomicU64::new(3_000);

/// Changes that time. For the tests of this package: at 3 s each they would take minutes.
pub fn set_silence(silence: Duration) {
    let milliseconds = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
    SILENCE_MS.store(milliseconds, Ordering::Relaxed);
}

fn silence() -> Duration {
    Duration::from_millis(SILENCE_MS.load(Ordering::Relaxed))
}

/// The state of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionState {
    /// Its host name is being resolved.
    Resolving,
    /// It has not been established yet.
    Connecting,
    /// Messages can be exchanged.
    Connected,
    /// It was established, was lost, and is retried.
    Reconnecting,
}

impl ConnectionState {
    /// The name that Python uses.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Reconnecting => "reconnecting",
        }
    }
}

/// One connection, as it is reported to users.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConnectionInfo {
    /// The peer's address, as a person would type it.
    pub address: String,
    /// Its state.
    pub state: ConnectionState,
    /// Since when it has been in this state, in Unix nanoseconds.
    pub since_ns: i64,
    /// The number of attempts since it was last established; 0 for a connection that the peer made.
    pub attempts: u64,
}

impl ConnectionInfo {
    pub(crate) fn new(address: String, state: ConnectionState) -> Self {
        Self {
            address,
            state,
            since_ns: unix_ns(),
            attempts: u64::from(state == ConnectionState::Connecting),
        }
    }

    /// Changes the state, and notes the time if it is another one.
    pub(crate) fn set_state(&mut self, state: ConnectionState) {
        if self.state != state {
            self.state = state;
            self.since_ns = unix_ns();
        }
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.state == ConnectionState::Connected
    }
}

/// Measures for how long no peer has been connected. Each outage is reported once.
#[derive(Debug, Default)]
pub(crate) struct OutageTimer {
    since: Option<Instant>,
    reported: bool,
}

impl OutageTimer {
    /// Records that the outage continues. True if it is to be reported now.
    pub(crate) fn continues(&mut self) -> bool {
        let since = *self.since.get_or_insert_with(Instant::now);
        since.elapsed() >= silence() && !std::mem::replace(&mut self.reported, true)
    }

    /// Records that the outage is over. True if it was reported.
    pub(crate) fn end(&mut self) -> bool {
        std::mem::take(self).reported
    }

    /// Prevents the report.
    pub(crate) fn suppress(&mut self) {
        self.reported = true;
    }
}
