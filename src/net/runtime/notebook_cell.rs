//! The notebook cell in which an object is created. Running the cell again replaces the object.
//!
//! A cell that runs again creates its objects while those of the earlier run are still open: the
//! variables change only after the new objects exist, and `Out` and `_` keep references. So a bound
//! object of an earlier run of the same cell is closed. All other objects keep their addresses.
//!
//! The cell is stored per thread, so that constructors need not pass it on.

use std::cell::RefCell;

/// One run of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRun {
    /// Identifies the cell.
    pub cell: String,
    /// Identifies the run.
    pub run: String,
}

impl CellRun {
    /// Whether `newer` is another run of the same cell, which replaces the objects of this one.
    pub(crate) fn is_superseded_by(&self, newer: &Self) -> bool {
        self.cell == newer.cell && self.run != newer.run
    }
}

thread_local! {
    static CURRENT: RefCell<Option<CellRun>> = const { RefCell::new(None) };
}

/// Until it is dropped, objects that this thread creates belong to a cell run.
#[must_use = "the scope ends when it is dropped"]
pub struct CellScope(Option<CellRun>);

/// Begins a scope for this cell run; `None` if no cell is running.
pub fn enter(run: Option<CellRun>) -> CellScope {
    CellScope(CURRENT.with(|current| current.replace(run)))
}

impl Drop for CellScope {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// The cell run that owns the objects which this thread creates now.
pub(crate) fn current() -> Option<CellRun> {
    CURRENT.with(|current| current.borrow().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_run_of_the_same_cell_supersedes() {
        let at = |cell: &str, run: &str| CellRun {
            cell: cell.into(),
            run: run.into(),
        };
        assert!(at("a", "1").is_superseded_by(&at("a", "2")));
        assert!(!at("a", "1").is_superseded_by(&at("a", "1")));
        assert!(!at("a", "1").is_superseded_by(&at("b", "2")));
    }

    #[test]
    fn scopes_nest() {
        let here = CellRun {
            cell: "c".into(),
            run: "1".into(),
        };
        assert_eq!(current(), None);
        let outer = enter(Some(here.clone()));
        {
            let _inner = enter(None);
            assert_eq!(current(), None);
        }
        assert_eq!(current(), Some(here));
        drop(outer);
        assert_eq!(current(), None);
    }
}
