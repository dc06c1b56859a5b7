//! Functions: what was built in, this machine's addresses, and how the terminal is treated.

use crate::net;
use crate::net::connection::interfaces;
use crate::py::convert::objects;
use crate::render::sanitize as escapes;
use crate::render::style::{self, ColorMode, Sink};
use crate::render::wrap;
use crate::wire::endpoint::{self, Endpoint, Port, Role};
use crate::wire::topic;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};

/// Versions and capabilities of what is built in.
///
/// Returns:
///     A dict: `version` of this package, `libzmq`, `libsodium` (their versions), `curve`
///     (encryption), `draft` (libzmq's draft API), `ipc` (`ipc://` addresses), `event_signal` (how
///     threads are woken: "eventfd", "pipe" or "none"), `tcp_keepalive`, `interface_names` (binding
///     `eth0:5555`), `fork_guard`.
#[pyfunction]
pub(crate) fn build_info(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let has = net::capabilities();
    let info = objects::dict(py)?;
    info.set_item("version", env!("CARGO_PKG_VERSION"))?;
    info.set_item("libzmq", has.libzmq)?;
    info.set_item("libsodium", has.libsodium)?;
    info.set_item("curve", has.curve)?;
    info.set_item("draft", has.draft)?;
    info.set_item("ipc", has.ipc)?;
    // What libzmq/src/lib.rs defines for each system.
    let signal = if cfg!(target_os = "linux") {
        "eventfd"
    } else if cfg!(unix) {
        "pipe"
    } else {
        "none"
    };
    info.set_item("event_signal", signal)?;
    info.set_item("tcp_keepalive", true)?;
    info.set_item("interface_names", cfg!(unix))?;
    info.set_item("fork_guard", cfg!(unix))?;
    Ok(info)
}

/// The IPv4 addresses of this machine, those that other laptops can probably reach first.
///
/// Returns:
///     Dicts of `address`, `interface` (such as "eth0") and `kind`: "lan", "virtual" (Docker, VPN,
///     virtual machines) or "loopback".
#[pyfunction]
pub(crate) fn local_addresses(py: Python<'_>) -> PyResult<Vec<Bound<'_, PyDict>>> {
    py.detach(interfaces::local)
        .into_iter()
        .map(|local| {
            let row = objects::dict(py)?;
            row.set_item("address", local.address.to_string())?;
            row.set_item("interface", local.interface)?;
            row.set_item("kind", local.kind.as_str())?;
            Ok(row)
        })
        .collect()
}

/// An address as a person types it, taken apart, by the same strict rules as everywhere.
///
/// Args:
///     text: Such as "192.168.1.12", "lab-pc:6000", "[::1]:5555", "ipc:///tmp/chat".
///     bind: Whether it is to be bound: allows "*" and port 0.
///
/// Returns:
///     The transport ("tcp", "ipc" or "inproc"), the host, path or name, and the port (5555 where
///     none is given, 0 for a free one and where there are no ports).
///
/// Raises:
///     ValueError: If it is not an address; the text says what to type instead.
#[pyfunction]
#[pyo3(signature = (text, *, bind = false))]
pub(crate) fn parse_address(text: &str, bind: bool) -> PyResult<(&'static str, String, u16)> {
    let role = if bind { Role::Bind } else { Role::Connect };
    Ok(match endpoint::parse(text, role)? {
        Endpoint::Tcp { host, port } => {
            let port = match port {
                Port::Number(number) => number,
                Port::Free => 0,
            };
            ("tcp", host.to_string(), port)
        }
        Endpoint::Ipc(path) => ("ipc", path, 0),
        Endpoint::Inproc(name) => ("inproc", name, 0),
    })
}

/// The topic that a frame may start with: what a subscriber could name to receive it.
#[pyfunction]
pub(crate) fn _leading_topic(frame: &[u8]) -> Option<&str> {
    topic::split(frame).map(|(topic, _)| topic)
}

/// Text made safe for a terminal: control characters, line breaks and bidirectional overrides are
/// shown escaped, such as `\x1b`.
///
/// Args:
///     text: Any text, from anybody.
///
/// Returns:
///     The same text on one line, harmless.
#[pyfunction]
pub(crate) fn sanitize(text: &str) -> String {
    escapes::sanitize(text).into_owned()
}

/// Whether to colour what goes to a stream.
///
/// The argument decides, then NO_COLOR (if not empty: off), FORCE_COLOR and CLICOLOR_FORCE (on),
/// TERM=dumb (off), a Jupyter kernel (on), then the stream itself.
///
/// Args:
///     color: "auto", "always" or "never"; True and False mean the last two.
///     isatty: Whether the stream is a terminal: its `isatty()`.
///     jupyter: Whether a Jupyter kernel shows the stream.
///
/// Returns:
///     True for colours.
///
/// Raises:
///     ValueError: If `color` is none of the choices.
///     TypeError: If `color` is neither a str nor a bool.
#[pyfunction]
#[pyo3(signature = (color, *, isatty, jupyter = false))]
pub(crate) fn use_color(color: &Bound<'_, PyAny>, isatty: bool, jupyter: bool) -> PyResult<bool> {
    let choice = if let Ok(choice) = color.cast::<PyBool>() {
        return Ok(choice.is_true());
    } else if let Ok(choice) = color.cast::<PyString>() {
        ColorMode::parse(choice.to_str()?)?
    } else {
        return Err(PyTypeError::new_err(
            "color is \"auto\", \"always\", \"never\", True or False",
        ));
    };
    let sink = Sink {
        terminal: isatty,
        jupyter,
    };
    Ok(style::use_color(choice, sink, |name| {
        std::env::var(name).ok()
    }))
}

/// Text with ANSI colours, whatever the stream: ask `use_color` first.
///
/// Args:
///     text: What to colour; sanitise it first if it is not yours.
///     key: A topic or name, whose stable colour to use; None for none.
///     style: "dim" or "bold"; None for neither.
///
/// Returns:
///     The text with escape codes.
///
/// Raises:
///     ValueError: If `style` is neither.
#[pyfunction]
#[pyo3(signature = (text, *, key = None, style = None))]
pub(crate) fn paint(text: &str, key: Option<&str>, style: Option<&str>) -> PyResult<String> {
    let colored = key.map_or_else(|| text.to_owned(), |key| style::paint(text, key));
    match style {
        None => Ok(colored),
        Some("dim") => Ok(style::dim(&colored)),
        Some("bold") => Ok(style::bold(&colored)),
        Some(other) => Err(PyValueError::new_err(format!(
            "style is \"dim\" or \"bold\", not {other:?}"
        ))),
    }
}

/// A finished line, wrapped at words for a terminal of `width` columns; the lines after the first are
/// indented by `indent`. Colour sequences take no columns.
#[pyfunction]
#[pyo3(signature = (line, *, width, indent))]
pub(crate) fn _wrap(line: &str, width: usize, indent: usize) -> String {
    wrap::wrap(line, width, indent).into_owned()
}

/// Closes all that is open, and ends within the longest linger and half a second; the package
/// registers it with `atexit`.
#[pyfunction]
pub(crate) fn _shutdown(py: Python<'_>) {
    py.detach(net::shut_down);
}
