//! The exceptions, and the one way from the core's error to them.

use crate::error::Error;
use crate::net;
use pyo3::create_exception;
use pyo3::exceptions::{PyMemoryError, PyOSError, PySystemExit, PyTimeoutError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyString;
use pyo3::PyTypeInfo;

create_exception!(
    zmqchat_rs,
    ZmqChatError,
    PyOSError,
    "The network or the operating system refused.\n\n\
     `errno` holds the system's number, `strerror` the text: what was tried, why it failed, and \
     what to do next.\n\n\
     The tree: `ZmqChatError` (an `OSError`) > `ClosedError`, `QueueFullError`. A time that ran \
     out is the builtin `TimeoutError`; an argument that can never work is a `ValueError` or a \
     `TypeError`."
);
create_exception!(
    zmqchat_rs,
    ClosedError,
    ZmqChatError,
    "The object was closed: by `close`, by leaving its `with` block, or because the program ends.\n\n\
     In a daemon thread the end of the program is a `SystemExit` instead, which ends the thread \
     without a word."
);
create_exception!(
    zmqchat_rs,
    QueueFullError,
    ZmqChatError,
    "A subscriber's queue is full, under `on_full=\"raise\"`; `errno` is `EAGAIN`.\n\n\
     `sent` counts the messages of the same call that went out before, so that \
     `payloads[error.sent:]` is what remains after `send_many`."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Value(message) => PyValueError::new_err(message),
            Error::Timeout(message) => PyTimeoutError::new_err(message),
            Error::Closed(_) if net::ended() && in_a_daemon() => PySystemExit::new_err(()),
            Error::Closed(message) => ClosedError::new_err((libc::EBADF, message)),
            Error::Os { errno, message } => ZmqChatError::new_err((errno, message)),
            Error::Full { sent, message } => {
                let error = QueueFullError::new_err((libc::EAGAIN, message));
                // Not attached once the interpreter is finalized; `sent` is then 0.
                let set = Python::try_attach(|py| error.value(py).setattr("sent", sent));
                match set {
                    Some(Err(other)) => other,
                    Some(Ok(())) | None => error,
                }
            }
            Error::NoMemory => PyMemoryError::new_err(()),
            // `waiting::detached` puts the signal handler's own exception in its place.
            Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// Whether the interpreter counts as ended, though it still calls finalizers. PyO3 panics then where
/// it looks into an error of ours: it detaches and attaches again.
pub(crate) fn is_finalized(py: Python<'_>) -> bool {
    py.detach(|| Python::try_attach(|_| ()).is_none())
}

/// Whether the error is of this kind; false once the interpreter is finalized.
pub(crate) fn is<T: PyTypeInfo>(py: Python<'_>, error: &PyErr) -> bool {
    !is_finalized(py) && error.is_instance_of::<T>(py)
}

/// Imports a module; `ClosedError` where a program that ends has no modules any more.
pub(crate) fn import<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyModule>> {
    py.import(name).map_err(|error| {
        if !is_finalized(py) {
            return error;
        }
        let text = format!("the program is ending: the module {name} cannot be imported any more");
        Error::Closed(text).into()
    })
}

/// Whether this thread is one that a program leaves behind when it ends. That all is closed then is
/// no news to anybody, and would be printed; but some function that runs at exit may join it.
fn in_a_daemon() -> bool {
    static CURRENT_THREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::try_attach(|py| -> PyResult<bool> {
        let current = CURRENT_THREAD.import(py, "threading", "current_thread")?;
        current.call0()?.getattr(intern!(py, "daemon"))?.is_truthy()
    })
    // Python calls finalizers until after the interpreter counts as ended.
    .is_some_and(|daemon| daemon.unwrap_or(false))
}

pub(crate) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let full = py.get_type::<QueueFullError>();
    full.setattr("sent", 0)?;
    module.add("ZmqChatError", py.get_type::<ZmqChatError>())?;
    module.add("ClosedError", py.get_type::<ClosedError>())?;
    module.add("QueueFullError", full)
}
