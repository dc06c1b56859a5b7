//! What publishers, subscribers and relays add to a shared socket.

use crate::net::socket::open_socket::OpenSocket;
use crate::util::wakeup::Wakeup;

/// The state that an object keeps beside its socket, under the same lock.
pub(crate) trait SocketHandler: Send + 'static {
    /// The class of the object, for messages.
    const NAME: &'static str;

    /// Processes what the monitor reports. With `run_commands`, also runs the socket's commands, which
    /// a thread that waits on the socket does anyway. Takes no messages. True if there was a report.
    fn process_monitor(&mut self, open: &mut OpenSocket, run_commands: bool) -> bool;

    /// Whether messages are left that another waiting thread could take.
    fn has_left(&self) -> bool;

    /// Whether the last call left input of peers unread: each call reads a bounded amount.
    fn is_behind(&self) -> bool {
        false
    }

    /// Whether the last call read input of a peer, so that more may follow.
    fn has_just_read(&self) -> bool {
        false
    }

    /// Whether a warning is due a little later.
    fn has_pending_warning(&self) -> bool {
        false
    }

    /// The wake-up of the thread that runs the socket's commands as long as the socket is open, if
    /// there is such a thread.
    fn dedicated_wakeup(&self) -> Option<&Wakeup> {
        None
    }

    /// Takes the messages that would be lost when a connection is replaced.
    fn take_unread(&mut self, _open: &mut OpenSocket) {}

    /// Reports what must be reported before the socket is closed.
    fn on_close(&mut self, _open: &mut OpenSocket) {}
}
