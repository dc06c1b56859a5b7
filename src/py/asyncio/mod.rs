//! Waiting in asyncio: coroutines, the operations that they perform, and readiness.

pub(crate) mod coroutine;
pub(crate) mod fairness;
pub(crate) mod operation;
pub(crate) mod waiter;
