//! Which topics are subscribed to: by a subscriber itself, and by the peers of a publisher.

pub(crate) mod prefilter;
pub(crate) mod set;
pub(crate) mod table;
pub(crate) mod tracker;
