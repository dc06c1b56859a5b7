//! The Python face: a file a class. It converts, lets go of the interpreter, and delegates.

// The docs here are Python's: names stand in them as Python spells them.
#![allow(clippy::doc_markdown, clippy::needless_pass_by_value)]

mod arguments;
mod batch;
mod body;
mod breath;
mod cell;
mod copies;
mod coroutine;
mod deed;
mod error;
mod events;
mod information;
mod lending;
mod line;
mod message;
mod message_kind;
mod near_miss;
mod notebook;
mod objects;
mod publisher;
mod publisher_async;
mod publisher_state;
mod receiving;
mod relay;
mod relay_parts;
mod relay_state;
mod sending;
mod showing;
mod state;
mod subscriber;
mod subscriber_async;
mod subscriber_state;
mod table;
mod transcript;
mod transcript_reader;
mod view;
mod waiting;
mod watching;

use pyo3::prelude::*;

/// The native part of zmqchat_rs; import the package instead.
#[pymodule]
fn _core(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<message::Message>()?;
    module.add_class::<publisher::Publisher>()?;
    module.add_class::<subscriber::Subscriber>()?;
    module.add_class::<relay::Relay>()?;
    module.add_class::<relay_state::RelayStats>()?;
    module.add_class::<transcript::Transcript>()?;
    module.add_class::<transcript_reader::TranscriptReader>()?;
    module.add_class::<table::MessageTable>()?;
    module.add_class::<state::Peer>()?;
    module.add_class::<state::PublisherStats>()?;
    module.add_class::<state::SubscriberStats>()?;
    error::add_to(module)?;
    events::prepare();
    module.add_function(wrap_pyfunction!(events::_ending, module)?)?;
    module.add_function(wrap_pyfunction!(events::_next_event, module)?)?;
    module.add_function(wrap_pyfunction!(events::_stop_reading, module)?)?;
    module.add_function(wrap_pyfunction!(information::parse_address, module)?)?;
    module.add_function(wrap_pyfunction!(information::build_info, module)?)?;
    module.add_function(wrap_pyfunction!(information::local_addresses, module)?)?;
    module.add_function(wrap_pyfunction!(information::sanitize, module)?)?;
    module.add_function(wrap_pyfunction!(information::_leading_topic, module)?)?;
    module.add_function(wrap_pyfunction!(information::use_color, module)?)?;
    module.add_function(wrap_pyfunction!(information::paint, module)?)?;
    module.add_function(wrap_pyfunction!(information::_wrap, module)?)?;
    module.add_function(wrap_pyfunction!(information::_shutdown, module)?)?;
    module.add_function(wrap_pyfunction!(
        transcript_reader::read_transcript,
        module
    )?)?;
    module.add_function(wrap_pyfunction!(transcript::transcript_line, module)?)?;
    module.add_function(wrap_pyfunction!(notebook::_html_block, module)?)?;
    module.add_function(wrap_pyfunction!(notebook::_tail, module)?)?;
    module.add_function(wrap_pyfunction!(message::_restore_message, module)?)
}
