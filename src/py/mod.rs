//! The Python binding: it converts arguments, detaches from the interpreter, and calls the core.

// The docs are shown by help() in Python, with names as Python spells them.
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
    module.add_class::<message::Message>()?;
    module.add_class::<publisher::Publisher>()?;
    module.add_class::<subscriber::Subscriber>()?;
    module.add_class::<relay::Relay>()?;
    module.add_class::<stats::RelayStats>()?;
    module.add_class::<transcript::writer::Transcript>()?;
    module.add_class::<transcript::reader::TranscriptReader>()?;
    module.add_class::<table::MessageTable>()?;
    module.add_class::<stats::Peer>()?;
    module.add_class::<stats::PublisherStats>()?;
    module.add_class::<stats::SubscriberStats>()?;
    error::add_to(module)?;
    runtime::events::prepare();
    module.add_function(wrap_pyfunction!(
        runtime::events::_is_shutting_down,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(runtime::events::_next_event, module)?)?;
    module.add_function(wrap_pyfunction!(
        runtime::events::_event_reader_stopped,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(runtime::events::_set_silence, module)?)?;
    module.add_function(wrap_pyfunction!(functions::parse_address, module)?)?;
    module.add_function(wrap_pyfunction!(functions::build_info, module)?)?;
    module.add_function(wrap_pyfunction!(functions::local_addresses, module)?)?;
    module.add_function(wrap_pyfunction!(functions::sanitize, module)?)?;
    module.add_function(wrap_pyfunction!(functions::_leading_topic, module)?)?;
    module.add_function(wrap_pyfunction!(functions::use_color, module)?)?;
    module.add_function(wrap_pyfunction!(functions::paint, module)?)?;
    module.add_function(wrap_pyfunction!(functions::_wrap, module)?)?;
    module.add_function(wrap_pyfunction!(functions::_shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(
        transcript::reader::read_transcript,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(
        transcript::writer::transcript_line,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(message::_html_block, module)?)?;
    module.add_function(wrap_pyfunction!(transcript::reader::_tail, module)?)?;
    module.add_function(wrap_pyfunction!(message::_restore_message, module)?)
}
