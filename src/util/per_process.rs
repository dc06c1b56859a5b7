//! A value that each process has once, where a forked child counts as another process.

use crate::util::fork;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

struct Made<T> {
    generation: u64,
    value: T,
}

/// A value that is made on first use, and made anew in a forked child. It is never dropped.
///
/// Invariant: a child reads nothing of the inherited value except the generation. Another thread of
/// the parent may have been changing the rest during the fork.
pub(crate) struct PerProcess<T>(AtomicPtr<Made<T>>);

impl<T: Sync> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// The value of this process, if it was made.
    #[inline]
    pub(crate) fn get(&self) -> Option<&T> {
        // SAFETY: the pointer is null, or `get_or_make` leaked the value behind it.
        let made = unsafe { self.0.load(Ordering::Acquire).as_ref() }?;
        (made.generation == fork::generation()).then_some(&made.value)
    }

    /// The value of this process; the first call makes it.
    #[inline]
    pub(crate) fn get_or_make(&self, make: impl FnOnce() -> T) -> &T {
        match self.get() {
            Some(value) => value,
            None => self.make(make()),
        }
    }

    #[cold]
    fn make(&self, value: T) -> &T {
        let generation = fork::generation();
        let made = Box::into_raw(Box::new(Made { generation, value }));
        let mut current = self.0.load(Ordering::Acquire);
        loop {
            // SAFETY: as in `get`.
            if let Some(first) = unsafe { current.as_ref() } {
                if first.generation == generation {
                    // Another thread was first.
                    // SAFETY: only this thread knows the box that was made above.
                    drop(unsafe { Box::from_raw(made) });
                    return &first.value;
                }
            }
            match self
                .0
                .compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire)
            {
                // SAFETY: leaked from now on.
                Ok(_) => return unsafe { &(*made).value },
                Err(other) => current = other,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::PerProcess;

    #[test]
    fn the_first_value_stays() {
        static VALUE: PerProcess<u8> = PerProcess::new();
        assert_eq!(VALUE.get(), None);
        assert_eq!(VALUE.get_or_make(|| 1), &1);
        assert_eq!(VALUE.get_or_make(|| 2), &1);
        assert_eq!(VALUE.get(), Some(&1));
    }
}
