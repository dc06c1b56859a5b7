//! Detaching from the interpreter: the one way from Python into a call that may block.
//!
//! Invariant: no thread waits while attached, and no lock of the core is taken while attached except
//! with `try_lock`.

use crate::error::{Error, Result};
use crate::net::{begin_detached_wait, fork_generation, Checkpoint};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use std::cell::Cell;

/// Runs `wait` detached. On the main thread its checkpoint runs signal handlers. The exception of a
/// handler ends the wait and is raised here, unchanged.
pub(crate) fn detached<T: Send>(
    py: Python<'_>,
    wait: impl FnOnce(Checkpoint<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let begun = begin_detached_wait()
        .map_err(PyErr::from)
        .and_then(|waiting| Ok((waiting, is_main_thread(py)?)));
    // `waiting` is dropped when this thread is attached again.
    let (waiting, handles_signals) = match begun {
        Ok(begun) => begun,
        Err(error) => {
            // `wait` may own a place in the queue of a socket, and gives it back under the lock.
            py.detach(|| drop(wait));
            return Err(error);
        }
    };
    let mut raised = None;
    let outcome = py.detach(|| {
        let outcome = wait(&mut || {
            if !handles_signals {
                return Ok(());
            }
            #[allow(clippy::redundant_closure_for_method_calls)] // the path is not general enough
            match Python::try_attach(|py| py.check_signals()) {
                Some(Ok(())) => Ok(()),
                Some(Err(error)) => {
                    raised = Some(error);
                    Err(Error::Interrupted)
                }
                None => Err(Error::Closed("the interpreter is ending".into())),
            }
        });
        waiting.finish();
        outcome
    });
    drop(waiting);
    match raised {
        Some(error) => Err(error),
        None => Ok(outcome?),
    }
}

/// Runs `work` detached. During long waits its checkpoint runs signal handlers. The exception of a
/// handler ends the work and is raised here, unchanged.
pub(crate) fn detached_io<T: Send>(
    py: Python<'_>,
    work: impl FnOnce(Checkpoint<'_>) -> Result<T> + Send,
) -> PyResult<T> {
    let mut raised = None;
    let outcome = py.detach(|| {
        #[allow(clippy::redundant_closure_for_method_calls)] // the path is not general enough
        work(&mut || match Python::try_attach(|py| py.check_signals()) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => {
                raised = Some(error);
                Err(Error::Interrupted)
            }
            None => Err(Error::Closed("the interpreter is ending".into())),
        })
    });
    match raised {
        Some(error) => Err(error),
        None => Ok(outcome?),
    }
}

/// Whether this is Python's main thread, the only one that runs signal handlers. Other threads need
/// not attach every 50 ms.
///
/// Cached per thread and process: the thread that forks is the main thread of the child.
pub(crate) fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    thread_local! {
        static KNOWN: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
    }
    let generation = fork_generation();
    if let Some((_, known)) = KNOWN.get().filter(|(of, _)| *of == generation) {
        return Ok(known);
    }
    let found = ask_for_main_thread(py)?;
    KNOWN.set(Some((generation, found)));
    Ok(found)
}

fn ask_for_main_thread(py: Python<'_>) -> PyResult<bool> {
    static GET_IDENT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    static MAIN_THREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let mine = GET_IDENT.import(py, "threading", "get_ident")?.call0()?;
    let main = MAIN_THREAD
        .import(py, "threading", "main_thread")?
        .call0()?;
    mine.eq(main.getattr(intern!(py, "ident"))?)
}
