//! The state that exists once per process: the registry of objects, the event queue and their threads.

pub mod event_queue;
pub(crate) mod inproc_registry;
pub(crate) mod maintenance;
pub mod notebook_cell;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod registry;
