//! Subscriptions: those of a subscriber, and those of the peers of a publisher.
//!
//! | file | contents |
//! |---|---|
//! | `set` | the subscriptions of a subscriber |
//! | `table` | which connection has which subscriptions; pure |
//! | `prefilter` | whether any peer may subscribe to a message; pure |
//! | `tracker` | reads the subscriptions of an XPUB's peers into the table and the prefilter |

pub(crate) mod prefilter;
pub(crate) mod set;
pub(crate) mod table;
pub(crate) mod tracker;
