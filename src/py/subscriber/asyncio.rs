//! `Subscriber` in asyncio: each call has the name of its twin that blocks, after an `a`.

use crate::net::Interest;
use crate::py::asyncio::coroutine::Coroutine;
use crate::py::asyncio::operation::{Count, Operation, RecvAs};
use crate::py::asyncio::waiter::{self, Readiness};
use crate::py::convert::args::{self, Seconds, Whole};
use crate::py::error::import;
use crate::py::subscriber::Subscriber;
use pyo3::intern;
use pyo3::prelude::*;

impl Subscriber {
    fn receive(slf: Py<Self>, form: RecvAs, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        let timeout = args::waits("timeout", timeout)?;
        Ok(Coroutine::new(Operation::Receive(slf, form), timeout))
    }
}

#[pymethods]
impl Subscriber {
    /// `recv` for asyncio: waits for the next message while other tasks run.
    ///
    /// Several tasks and loops may wait; each message goes to one of them. When it is cancelled, you get
    /// the message, or it is still queued: nothing is lost. Where messages are queued already it
    /// does not go round the loop, except every 5 ms, so that other tasks get their turn.
    #[pyo3(signature = (timeout = None))]
    fn arecv(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        Self::receive(slf, RecvAs::Message, timeout)
    }

    /// `recv_text` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_text(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        Self::receive(slf, RecvAs::Text, timeout)
    }

    /// `recv_bytes` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_bytes(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        Self::receive(slf, RecvAs::Bytes, timeout)
    }

    /// `recv_many` for asyncio; see `arecv`. Cancelled, it has taken no message.
    #[pyo3(
        signature = (max_count = Whole(256), *, timeout = None),
        text_signature = "($self, max_count=256, *, timeout=None)"
    )]
    fn arecv_many(
        slf: Py<Self>,
        max_count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<Coroutine> {
        let max_count = args::count("max_count", max_count, 1)?;
        let timeout = args::waits("timeout", timeout)?;
        Ok(Coroutine::new(
            Operation::ReceiveMany(slf, max_count),
            timeout,
        ))
    }

    /// `wait_connected` for asyncio.
    #[pyo3(
        signature = (count = Whole(1), *, timeout = None),
        text_signature = "($self, count=1, *, timeout=None)"
    )]
    fn await_connected(
        slf: Py<Self>,
        count: Whole,
        timeout: Option<Seconds>,
    ) -> PyResult<Coroutine> {
        let wanted = args::count("count", count, 0)?;
        let timeout = args::waits("timeout", timeout)?;
        let count = Count { wanted, seen: 0 };
        Ok(Coroutine::new(
            Operation::WaitConnected(slf, count),
            timeout,
        ))
    }

    /// `close` for asyncio: closes it in a thread, because that may take a moment.
    fn aclose<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "close"), (slf,))
    }

    /// The subscriber itself: `async for` gives its messages until somebody closes it.
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__(slf: Py<Self>) -> Coroutine {
        Coroutine::new(Operation::Receive(slf, RecvAs::Next), None)
    }

    /// The subscriber itself; leaving the `async with` block closes it.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method1(intern!(py, "enter"), (slf,))
    }

    /// Closes it.
    fn __aexit__<'py>(
        slf: &Bound<'py, Self>,
        exc_type: &Bound<'py, PyAny>,
        exc: &Bound<'py, PyAny>,
        traceback: &Bound<'py, PyAny>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (exc_type, exc, traceback);
        Self::aclose(slf)
    }

    /// For `_loops`: what tells a line when to look again.
    #[pyo3(signature = (line, *, messages))]
    fn _watch(&self, line: &Bound<'_, PyAny>, messages: bool) -> PyResult<Readiness> {
        let want = if messages {
            Interest::Message
        } else {
            Interest::Change
        };
        let tell = waiter::teller(line)?;
        Ok(Readiness::new(
            line.py().detach(|| self.core.watch(want, tell))?,
        ))
    }
}
