//! The interpreter: detaching from it, calling its functions, and what runs at its end.

pub(crate) mod at_exit;
pub(crate) mod detach;
pub(crate) mod events;
pub(crate) mod notebook_cell;
pub(crate) mod package;
