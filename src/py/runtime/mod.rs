//! The interpreter: detaching from it, functions at its end, events for callbacks, the notebook cell that runs.

pub(crate) mod at_exit;
pub(crate) mod detach;
pub(crate) mod display;
pub(crate) mod events;
pub(crate) mod notebook_cell;
