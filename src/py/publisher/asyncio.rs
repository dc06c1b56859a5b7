//! `Publisher` in asyncio: each call has the name of its twin that blocks, after an `a`.

use crate::net::Interest;
use crate::py::asyncio::coroutine::Coroutine;
use crate::py::asyncio::operation::{Count, Operation, Sending};
use crate::py::asyncio::waiter::{self, Readiness};
use crate::py::convert::args::{self, Seconds, Whole};
use crate::py::convert::near_miss::{self, Topic};
use crate::py::convert::objects;
use crate::py::error::import;
use crate::py::publisher::batch::Batch;
use crate::py::publisher::Publisher;
use crate::wire::topic::validate;
use pyo3::intern;
use pyo3::prelude::*;

#[pymethods]
impl Publisher {
    /// `send` for asyncio: waits for room, under `on_full="block"`, while other tasks run.
    ///
    /// Without "block" it never waits, and `send` does as well. When it is cancelled, the message was
    /// not sent. Where there is room it does not go round the loop, except every 5 ms, so that other
    /// tasks get their turn.
    #[pyo3(
        signature = (payload, unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, payload, *, topic=None, timeout=None)"
    )]
    fn asend(
        slf: &Bound<'_, Self>,
        payload: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<Coroutine> {
        near_miss::unnamed(unnamed, "asend", "payload")?;
        let topic = topic.map(|Topic(topic)| topic);
        let timeout = args::waits("timeout", timeout)?;
        let sending = Sending {
            payload: Some(slf.get().payload(payload, topic)?),
            topic: topic.map(Into::into),
            sent: 0,
            full_since: None,
        };
        let deed = Operation::Send(slf.clone().unbind(), Box::new(sending));
        Ok(Coroutine::new(deed, timeout))
    }

    /// `send_many` for asyncio; see `asend`.
    ///
    /// When it is cancelled, each payload that it took from `payloads` was sent, but for the last,
    /// which waited for room.
    #[pyo3(
        signature = (payloads, unnamed = None, *, topic = None, topics = None, timeout = None),
        text_signature = "($self, payloads, *, topic=None, topics=None, timeout=None)"
    )]
    fn asend_many(
        slf: &Bound<'_, Self>,
        payloads: &Bound<'_, PyAny>,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        topics: Option<&Bound<'_, PyAny>>,
        timeout: Option<Seconds>,
    ) -> PyResult<Coroutine> {
        near_miss::unnamed(unnamed, "asend_many", "payloads")?;
        let topic = topic.map(|Topic(topic)| topic);
        let timeout = args::waits("timeout", timeout)?;
        if let Some(topic) = topic {
            validate(topic)?;
        }
        let batch = Batch::new(payloads, topic, topics)?;
        let sending = Sending {
            payload: None,
            topic: topic.map(Into::into),
            sent: 0,
            full_since: None,
        };
        let deed = Operation::SendMany(slf.clone().unbind(), Box::new(sending), batch);
        Ok(Coroutine::new(deed, timeout))
    }

    /// `wait_for_subscribers` for asyncio.
    #[pyo3(
        signature = (count = Whole(1), unnamed = None, *, topic = None, timeout = None),
        text_signature = "($self, count=1, *, topic=None, timeout=None)"
    )]
    fn await_for_subscribers(
        slf: Py<Self>,
        count: Whole,
        unnamed: Option<&Bound<'_, PyAny>>,
        topic: Option<Topic<'_>>,
        timeout: Option<Seconds>,
    ) -> PyResult<Coroutine> {
        near_miss::unnamed(unnamed, "await_for_subscribers", "count")?;
        let topic = topic.map(|Topic(topic)| topic);
        let wanted = args::count("count", count, 0)?;
        let timeout = args::waits("timeout", timeout)?;
        if let Some(topic) = topic {
            validate(topic)?;
        }
        let count = Count { wanted, seen: 0 };
        let deed = Operation::WaitForSubscribers(slf, count, topic.map(Into::into));
        Ok(Coroutine::new(deed, timeout))
    }

    /// `close` for asyncio: closes it in a thread, because that may take a moment.
    #[pyo3(signature = (linger = None))]
    fn aclose<'py>(slf: &Bound<'py, Self>, linger: Option<Seconds>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(linger) = linger {
            args::linger(linger)?;
        }
        let how = objects::dict(py)?;
        how.set_item(
            intern!(py, "linger"),
            linger.map(|Seconds(seconds)| seconds),
        )?;
        import(py, intern!(py, "zmqchat_rs._asyncio"))?.call_method(
            intern!(py, "close"),
            (slf,),
            Some(&how),
        )
    }

    /// The publisher itself; leaving the `async with` block closes it.
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
        Self::aclose(slf, None)
    }

    /// For `_loops`: what tells a line when to look again.
    #[pyo3(signature = (line, *, messages))]
    fn _watch(&self, line: &Bound<'_, PyAny>, messages: bool) -> PyResult<Readiness> {
        let _ = messages;
        let tell = waiter::teller(line)?;
        Ok(Readiness::new(
            line.py()
                .detach(|| self.core.watch(Interest::Change, tell))?,
        ))
    }
}
