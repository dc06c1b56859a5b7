//! A subscriber receives the messages of the publishers that it is connected to. Its socket is a SUB.
//!
//! | file | contents |
//! |---|---|
//! | `handle` | `Subscriber`, which a user holds |
//! | `queue` | what is kept beside the socket: received messages, subscriptions, loss |
//! | `loss` | lost messages, counted by the sequence numbers of their stamps |
//! | `timeout_cause` | why a receive timed out |

pub(crate) mod handle;
pub(crate) mod loss;
pub(crate) mod queue;
pub(crate) mod timeout_cause;

pub use handle::{Config, ReceiveWaiter, RecvOutcome, Stats, Subscriber, TryRead};
pub use timeout_cause::WaitKind;
