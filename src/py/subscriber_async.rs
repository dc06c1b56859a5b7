//! `Subscriber` in asyncio: each call has the name of its twin that blocks, after an `a`.

use super::arguments::{self, Seconds, Whole};
use super::coroutine::Coroutine;
use super::deed::{Count, Deed, Form};
use super::error::import;
use super::line::{self, LineWatch};
use super::subscriber::Subscriber;
use crate::net::Want;
use pyo3::intern;
use pyo3::prelude::*;

impl Subscriber {
    fn receive(slf: Py<Self>, form: Form, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        let timeout = arguments::waits("timeout", timeout)?;
        Ok(Coroutine::new(Deed::Receive(slf, form), timeout))
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
        Self::receive(slf, Form::Message, timeout)
    }

    /// `recv_text` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_text(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        Self::receive(slf, Form::Text, timeout)
    }

    /// `recv_bytes` for asyncio; see `arecv`.
    #[pyo3(signature = (timeout = None))]
    fn arecv_bytes(slf: Py<Self>, timeout: Option<Seconds>) -> PyResult<Coroutine> {
        Self::receive(slf, Form::Bytes, timeout)
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
        let max_count = arguments::count("max_count", max_count, 1)?;
        let timeout = arguments::waits("timeout", timeout)?;
        Ok(Coroutine::new(Deed::ReceiveMany(slf, max_count), timeout))
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
        let wanted = arguments::count("count", count, 0)?;
        let timeout = arguments::waits("timeout", timeout)?;
        let count = Count { wanted, seen: 0 };
        Ok(Coroutine::new(Deed::WaitConnected(slf, count), timeout))
    }

    /// `close` for asyncio: closes it in a thread, because that may take a moment.
    fn aclose<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._loops"))?.call_method1(intern!(py, "close"), (slf,))
    }

    /// The subscriber itself: `async for` gives its messages until somebody closes it.
    fn __aiter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[inline]
    fn __anext__(slf: Py<Self>) -> Coroutine {
        Coroutine::new(Deed::Receive(slf, Form::Next), None)
    }

    /// The subscriber itself; leaving the `async with` block closes it.
    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        import(py, intern!(py, "zmqchat_rs._loops"))?.call_method1(intern!(py, "enter"), (slf,))
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
    fn _watch(&self, line: &Bound<'_, PyAny>, messages: bool) -> PyResult<LineWatch> {
        let want = if messages {
            Want::Message
        } else {
            Want::Change
        };
        let tell = line::teller(line)?;
        Ok(LineWatch::new(
            line.py().detach(|| self.core.watch(want, tell))?,
        ))
    }
}
