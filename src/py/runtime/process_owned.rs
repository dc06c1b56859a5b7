//! A value that belongs to the process that made it.
//!
//! Invariant: a forked child neither reads nor drops the inherited value. Another thread of the parent
//! may have been changing it, or have held its lock, during the fork.

use crate::util::fork;

/// A value that is not accessible in a forked child.
pub(crate) struct ProcessOwned<T> {
    generation: u64,
    value: Option<T>,
}

impl<T> ProcessOwned<T> {
    pub(crate) fn new(value: T) -> Self {
        fork::watch();
        Self {
            generation: fork::generation(),
            value: Some(value),
        }
    }

    /// The value; `None` in a forked child.
    pub(crate) fn get(&self) -> Option<&T> {
        let is_owner = self.generation == fork::generation();
        self.value.as_ref().filter(|_| is_owner)
    }
}

impl<T> Drop for ProcessOwned<T> {
    fn drop(&mut self) {
        if self.generation != fork::generation() {
            std::mem::forget(self.value.take());
        }
    }
}
