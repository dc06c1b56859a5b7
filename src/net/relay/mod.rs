//! A relay forwards the messages of many publishers to many subscribers: an XSUB socket and an XPUB
//! socket, with a thread between them.
//!
//! | file | contents |
//! |---|---|
//! | `handle` | `Relay`, which a user holds |
//! | `config` | what a relay is created with |
//! | `capture` | captures the messages that are forwarded |
//! | `setup` | opens both sockets, and refuses configurations that cannot work |
//! | `frontend` | the XSUB socket, which receives from publishers |
//! | `backend` | the XPUB socket, which sends to subscribers |
//! | `forwarder` | the thread between them |
//! | `subscription_changes` | subscriptions to forward upstream, at a limited rate |
//! | `last_value_cache` | the latest message of each topic |
//!
//! `zmq_proxy_steerable` is not used: in libzmq 4.3.5 it cannot be paused.

pub(crate) mod backend;
pub(crate) mod capture;
pub(crate) mod config;
pub(crate) mod forwarder;
pub(crate) mod frontend;
pub(crate) mod handle;
pub(crate) mod last_value_cache;
pub(crate) mod setup;
pub(crate) mod subscription_changes;

pub use capture::{report_not_logged, Capture, Captured};
pub use config::Config;
pub use handle::{Relay, Stats};
