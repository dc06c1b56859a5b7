//! The Python face: a file a class. It converts, lets go of the interpreter, and delegates.

// The docs here are Python's: names stand in them as Python spells them.
#![allow(clippy::doc_markdown, clippy::needless_pass_by_value)]

mod asyncio;
mod convert;
mod error;
mod functions;
mod message;
mod publisher;
mod relay;
mod runtime;
mod stats;
mod subscriber;
mod table;
mod transcript;

use pyo3::prelude::*;

/// The native part of zmqchat_rs; import the package instead.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<crate::py::message::Message>()?;
    module.add_class::<crate::py::publisher::Publisher>()?;
    module.add_class::<crate::py::subscriber::Subscriber>()?;
    module.add_class::<crate::py::relay::Relay>()?;
    module.add_class::<crate::py::relay::stats::RelayStats>()?;
    module.add_class::<crate::py::transcript::Transcript>()?;
    module.add_class::<crate::py::transcript::reader::TranscriptReader>()?;
    module.add_class::<table::MessageTable>()?;
    module.add_class::<crate::py::stats::Peer>()?;
    module.add_class::<crate::py::stats::PublisherStats>()?;
    module.add_class::<crate::py::stats::SubscriberStats>()?;
    error::add_to(module)?;
    crate::py::runtime::events::prepare();
    module.add_function(wrap_pyfunction!(
        crate::py::runtime::events::_ending,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::runtime::events::_next_event,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::runtime::events::_stop_reading,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::functions::parse_address,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::build_info, module)?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::functions::local_addresses,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::sanitize, module)?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::functions::_leading_topic,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::use_color, module)?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::paint, module)?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::_wrap, module)?)?;
    module.add_function(wrap_pyfunction!(crate::py::functions::_shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::transcript::reader::read_transcript,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::transcript::transcript_line,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::message::repr::_html_block,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(crate::py::message::repr::_tail, module)?)?;
    module.add_function(wrap_pyfunction!(
        crate::py::message::_restore_message,
        module
    )?)
}
