//! The exceptions, and the one way from the core's error to them.

use super::waiting::is_main_thread;
use crate::error::Error;
use crate::net;
use pyo3::create_exception;
use pyo3::exceptions::{PyOSError, PyTimeoutError, PyValueError};
use pyo3::prelude::*;

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
    "The object was closed: by `close`, by leaving its `with` block, or because the program ends."
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
            Error::Closed(message) => {
                stay_at_the_end();
                ClosedError::new_err((libc::EBADF, message))
            }
            Error::Os { errno, message } => ZmqChatError::new_err((errno, message)),
            Error::Full { sent, message } => Python::attach(|py| {
                let error = QueueFullError::new_err((libc::EAGAIN, message));
                match error.value(py).setattr("sent", sent) {
                    Ok(()) => error,
                    Err(other) => other,
                }
            }),
            // `waiting::detached` puts the signal handler's own exception in its place.
            Error::Interrupted => pyo3::exceptions::PyKeyboardInterrupt::new_err(()),
        }
    }
}

/// At the end of the program a daemon thread that goes on sending or receiving stays here: what it
/// would raise is no news to anybody, and would be printed.
fn stay_at_the_end() {
    if net::ended() {
        Python::attach(|py| {
            if let Ok(false) = is_main_thread(py) {
                py.detach(|| loop {
                    std::thread::park();
                });
            }
        });
    }
}

pub(super) fn add_to(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let full = py.get_type::<QueueFullError>();
    full.setattr("sent", 0)?;
    module.add("ZmqChatError", py.get_type::<ZmqChatError>())?;
    module.add("ClosedError", py.get_type::<ClosedError>())?;
    module.add("QueueFullError", full)
}
