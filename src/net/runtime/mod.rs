//! What a process has once: the context, the registry of objects, threads and the event queue.

pub mod event_queue;
pub(crate) mod inproc_registry;
pub(crate) mod maintenance;
pub mod notebook_cell;
pub(crate) mod process;
pub(crate) mod reactor;
pub(crate) mod registry;
