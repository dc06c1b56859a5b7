//! A publisher sends each message to the peers that subscribe to it. Its socket is an XPUB, which
//! reports the subscriptions of its peers.
//!
//! | file | contents |
//! |---|---|
//! | `handle` | `Publisher`, which a user holds |
//! | `state` | what is kept beside the socket: subscriptions of peers, sequence numbers, stamps |

pub(crate) mod handle;
pub(crate) mod state;

pub use crate::net::zmq::options::OnFull;
pub use handle::{Config, Publisher, Stats};
