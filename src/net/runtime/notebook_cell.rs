//! Which cell of a notebook an object is made in, so that running the cell again can replace it.
//!
//! A cell that is run again makes its objects anew while the old ones still stand: their variables
//! are bound to the new ones only when those are made, and `Out` and `_` hold on to more. A listener
//! from an earlier run of the same cell therefore gives way; any other keeps its address.
//!
//! It is told to the thread that makes the object, not to each constructor on the way down.

use std::cell::RefCell;

/// One run of one cell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CellRun {
    /// The cell: the same in each of its runs, and no other's.
    pub cell: String,
    /// The run: another one each time.
    pub run: String,
}

impl CellRun {
    /// Whether this is an earlier run of the same cell: what is left of it may be replaced.
    pub(crate) fn gives_way_to(&self, other: &Self) -> bool {
        self.cell == other.cell && self.run != other.run
    }
}

thread_local! {
    static CURRENT: RefCell<Option<CellRun>> = const { RefCell::new(None) };
}

/// While it lives, what this thread makes has that origin.
#[must_use = "it holds as long as it lives"]
pub struct CellScope(Option<CellRun>);

/// What this thread makes from now on is made there.
pub fn making(origin: Option<CellRun>) -> CellScope {
    CellScope(CURRENT.with(|current| current.replace(origin)))
}

impl Drop for CellScope {
    fn drop(&mut self) {
        CURRENT.with(|current| current.replace(self.0.take()));
    }
}

/// The origin of what this thread makes now.
pub(crate) fn current() -> Option<CellRun> {
    CURRENT.with(|current| current.borrow().clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_run_of_the_same_cell_gives_way() {
        let at = |cell: &str, run: &str| CellRun {
            cell: cell.into(),
            run: run.into(),
        };
        assert!(at("a", "1").gives_way_to(&at("a", "2")));
        assert!(!at("a", "1").gives_way_to(&at("a", "1")));
        assert!(!at("a", "1").gives_way_to(&at("b", "2")));
    }

    #[test]
    fn an_origin_holds_for_its_block() {
        let here = CellRun {
            cell: "c".into(),
            run: "1".into(),
        };
        assert_eq!(current(), None);
        let outer = making(Some(here.clone()));
        {
            let _inner = making(None);
            assert_eq!(current(), None);
        }
        assert_eq!(current(), Some(here));
        drop(outer);
        assert_eq!(current(), None);
    }
}
