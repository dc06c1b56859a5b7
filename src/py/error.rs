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
    "The network or the operating system reported an error.\n\n\
     `errno` is the system's error number. `strerror` says what failed, why, and what to do.\n\n\
     The subclasses of `ZmqChatError` (an `OSError`) are `ClosedError` and `QueueFullError`. A \
     timeout raises the builtin `TimeoutError`, an invalid argument `ValueError` or `TypeError`."
);
create_exception!(
    zmqchat_rs,
    ClosedError,
    ZmqChatError,
    "The object is closed: by `close`, by leaving its `with` block, or at the end of the program.\n\n\
     In a daemon thread, the end of the program raises `SystemExit` instead, which ends the thread \
     without a message."
);
create_exception!(
    zmqchat_rs,
    QueueFullError,
    ZmqChatError,
    "A subscriber's queue is full, with `on_full=\"raise\"`. `errno` is `EAGAIN`.\n\n\
     `sent` is the number of messages that the same call sent before. After `send_many`, \
     `payloads[error.sent:]` are the remaining ones."
);

impl From<Error> for PyErr {
    fn from(error: Error) -> Self {
        match error {
            Error::Value(message) => PyValueError::new_err(message),
            Error::Timeout(message) => PyTimeoutError::new_err(message),
            Error::Closed(_) if net::ended() && is_daemon_thread() => PySystemExit::new_err(()),
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
            // `detached` replaces it by the exception of the signal handler.
            Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// Whether the interpreter is finalized, though it still calls finalizers. PyO3 then panics when it
/// inspects an error, because it detaches and attaches again.
pub(crate) fn is_finalized(py: Python<'_>) -> bool {
    py.detach(|| Python::try_attach(|_| ()).is_none())
}

/// Whether the error is of this class; false once the interpreter is finalized.
pub(crate) fn is<T: PyTypeInfo>(py: Python<'_>, error: &PyErr) -> bool {
    !is_finalized(py) && error.is_instance_of::<T>(py)
}

/// Imports a module. `ClosedError` if it cannot be imported because the program is ending.
pub(crate) fn import<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyModule>> {
    py.import(name).map_err(|error| {
        if !is_finalized(py) {
            return error;
        }
        let text = format!("the module {name} cannot be imported: the program is ending");
        Error::Closed(text).into()
    })
}

/// Whether this is a daemon thread, which outlives the program's main thread. The error would only be
/// printed at exit. The thread must end nevertheless, because a function that runs at exit may join it.
fn is_daemon_thread() -> bool {
    static CURRENT_THREAD: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    Python::try_attach(|py| -> PyResult<bool> {
        let current = CURRENT_THREAD.import(py, "threading", "current_thread")?;
        current.call0()?.getattr(intern!(py, "daemon"))?.is_truthy()
    })
    // False if the interpreter is finalized already.
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
