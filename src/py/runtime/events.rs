//! Delivery of events to Python: to an object's `on_event`, and to `logging`.
//!
//! A Python thread reads them (`_event_delivery.py`), so that neither libzmq nor the maintenance
//! thread ever waits for the interpreter.

use crate::net::runtime::event_queue::{self, EventKind, SilenceCause};
use crate::net::{self, begin_detached_wait, ended, Subscription};
use crate::py::convert::objects;
use crate::py::error::import;
use crate::py::runtime::detach::detached;
use pyo3::exceptions::PyValueError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::Duration;

/// The `on_event` of each object, by the object's number.
static CALLBACKS: LazyLock<Mutex<HashMap<u64, Py<PyAny>>>> = LazyLock::new(Mutex::default);

fn callbacks() -> std::sync::MutexGuard<'static, HashMap<u64, Py<PyAny>>> {
    CALLBACKS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Called detached from the interpreter when there is an event and no thread reads.
fn start_reader() {
    // The end of the program waits until this is dropped.
    let Ok(_waiting) = begin_detached_wait() else {
        return;
    };
    // If it fails, the next event tries again.
    let started = Python::try_attach(|py| {
        import(py, intern!(py, "zmqchat_rs._event_delivery"))?
            .call_method0(intern!(py, "start"))
            .map(drop)
    });
    if !matches!(started, Some(Ok(()))) {
        net::events().reader_ended();
    }
}

pub(crate) fn prepare() {
    event_queue::set_reader_starter(start_reader);
}

/// An object's `on_event`, registered until this is dropped or the object is closed.
pub(crate) struct Callback {
    number: Option<u64>,
}

impl Callback {
    /// Registers the callback, if there is one.
    pub(crate) fn new(callback: Option<Py<PyAny>>) -> Self {
        let number = callback.map(|callback| {
            let number = event_queue::next_object_number();
            // The old value is dropped after the lock, because that may run Python code.
            let old = callbacks().insert(number, callback);
            drop(old);
            number
        });
        Self { number }
    }

    /// The number under which the core reports events.
    pub(crate) fn number(&self) -> Option<u64> {
        self.number
    }

    /// Unregisters the callback.
    pub(crate) fn forget(&self) {
        if let Some(number) = self.number {
            let old = callbacks().remove(&number);
            drop(old);
        }
    }
}

impl Drop for Callback {
    fn drop(&mut self) {
        self.forget();
    }
}

fn subscription<'py>(py: Python<'py>, subscription: &Subscription) -> PyResult<Bound<'py, PyAny>> {
    Ok(match subscription {
        Subscription::Topic(topic) => objects::text(py, topic)?.into_any(),
        Subscription::Prefix(prefix) => objects::bytes(py, prefix)?.into_any(),
    })
}

/// Whether the program is ending.
#[pyfunction]
pub(crate) fn _is_shutting_down() -> bool {
    ended()
}

/// Reports that the reading thread has ended: the next event starts another one.
#[pyfunction]
pub(crate) fn _event_reader_stopped() {
    net::events().reader_ended();
}

/// Sets how long a peer must be missing before it is reported (default: 3 s), for tests.
#[pyfunction]
pub(crate) fn _set_silence(seconds: f64) -> PyResult<()> {
    let silence = Duration::try_from_secs_f64(seconds)
        .map_err(|error| PyValueError::new_err(format!("invalid time {seconds} s: {error}")))?;
    net::peers::set_silence(silence);
    Ok(())
}

/// The next event, as the arguments of `deliver` in `_event_delivery.py`; None at the end of the
/// program.
#[pyfunction]
pub(crate) fn _next_event(py: Python<'_>) -> PyResult<Option<Bound<'_, PyTuple>>> {
    let Some(event) = detached(py, |_| Ok(net::events().next()))? else {
        return Ok(None);
    };
    let details = objects::dict(py)?;
    details.set_item("address", &event.address)?;
    let kind = match &event.kind {
        EventKind::Connected => "connected",
        EventKind::Disconnected => "disconnected",
        EventKind::Silent { publishes, cause } => {
            details.set_item("publishes", publishes)?;
            let awaited = match cause {
                SilenceCause::NotConnected => "not connected",
                SilenceCause::NoPeer => "no peer",
                SilenceCause::NoAddress => "no address",
                SilenceCause::HandshakeEnded => "handshake ended",
            };
            details.set_item("cause", awaited)?;
            "silent"
        }
        EventKind::OutOfDescriptors => "no room",
        EventKind::HandshakeFailed { publishes, why } => {
            details.set_item("publishes", publishes)?;
            details.set_item("why", why)?;
            "handshake failed"
        }
        EventKind::Loopback(name) => {
            details.set_item("why", name)?;
            "loopback"
        }
        EventKind::CutOff(why) => {
            details.set_item("why", why)?;
            "cut off"
        }
        EventKind::Subscribed(what) => {
            details.set_item("subscription", subscription(py, what)?)?;
            "subscribed"
        }
        EventKind::Unsubscribed(what) => {
            details.set_item("subscription", subscription(py, what)?)?;
            "unsubscribed"
        }
        EventKind::Lost { count, interrupted } => {
            details.set_item("count", count)?;
            details.set_item("interrupted", interrupted)?;
            "lost"
        }
        EventKind::Overflow(count) => {
            details.set_item("count", count)?;
            "overflow"
        }
        EventKind::NotLogged(why) => {
            details.set_item("why", why)?;
            "not logged"
        }
    };
    if !event.side.is_empty() {
        details.set_item("side", event.side)?;
    }
    if net::events().take_dropped() {
        details.set_item("dropped", true)?;
    }
    details.set_item("kind", kind)?;
    details.set_item("at_ns", event.at_ns)?;
    let callback = callbacks()
        .get(&event.owner)
        .map(|callback| callback.clone_ref(py));
    Ok(Some((callback, details).into_pyobject(py)?))
}
