//! The interpreter: detaching from it, calling its functions, what runs at its end, and forks.

pub(crate) mod at_exit;
pub(crate) mod detach;
pub(crate) mod events;
pub(crate) mod notebook_cell;
pub(crate) mod package;
pub(crate) mod process_owned;
