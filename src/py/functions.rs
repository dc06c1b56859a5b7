//! Functions: build information, local addresses, parsing of addresses, and terminal output.

use crate::net;
use crate::net::connection::interfaces;
use crate::py::convert::args::type_name;
use crate::py::convert::objects;
use crate::render::sanitize as escapes;
use crate::render::style::{self, ColorMode, Sink};
use crate::render::wrap;
use crate::wire::endpoint::{self, Endpoint, Port, Role};
use crate::wire::topic;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyString};

/// Versions and capabilities of the libraries that are built in.
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
    // As defined in libzmq/src/lib.rs for each system.
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

/// The IPv4 addresses of this host, those first that other hosts can probably reach.
///
/// Returns:
///     A list of dicts with `address`, `interface` (such as "eth0") and `kind`: "lan", "virtual"
///     (Docker, VPN, virtual machines) or "loopback".
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

/// The parts of an address, by the same strict rules as everywhere.
///
/// Args:
///     text: The address, such as "192.168.1.12", "lab-pc:6000", "[::1]:5555", "ipc:///tmp/chat".
///     bind: Whether it is an address to bind, which allows "*" and port 0.
///
/// Returns:
///     The transport ("tcp", "ipc" or "inproc"), the host, path or name, and the port. The default
///     port is 5555. The port is 0 for a free port, and for transports without ports.
///
/// Raises:
///     ValueError: If it is not an address. The error says what to type.
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

/// The topic at the start of a frame, to which a subscriber could subscribe; None without one.
#[pyfunction]
pub(crate) fn _leading_topic(frame: &[u8]) -> Option<&str> {
    topic::split(frame).map(|(topic, _)| topic)
}

/// Text that is safe for a terminal: control characters, line breaks and bidirectional overrides
/// are escaped, such as `\x1b`.
///
/// Args:
///     text: Any text, from any sender.
///
/// Returns:
///     The escaped text on one line.
#[pyfunction]
pub(crate) fn sanitize(text: &str) -> String {
    escapes::sanitize(text).into_owned()
}

/// Whether to colour the output to a stream.
///
/// The argument decides first. Then follow NO_COLOR (if not empty: off), FORCE_COLOR and
/// CLICOLOR_FORCE (on), TERM=dumb (off), a Jupyter kernel (on), and the stream itself.
///
/// Args:
///     color: "auto", "always" or "never". True and False mean the last two.
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
        return Err(PyTypeError::new_err(format!(
            "color is \"auto\", \"always\", \"never\", True or False, not {}",
            type_name(color)
        )));
    };
    let sink = Sink {
        terminal: isatty,
        jupyter,
    };
    Ok(style::use_color(choice, sink, |name| {
        std::env::var(name).ok()
    }))
}

/// Text with ANSI colours, for any stream; call `use_color` first.
///
/// Args:
///     text: The text. Sanitise received text first.
///     key: A topic or name, whose stable colour to use. None uses no colour.
///     style: "dim" or "bold". None uses neither.
///
/// Returns:
///     The text with escape sequences.
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
            "invalid style {other:?}: expected \"dim\" or \"bold\""
        ))),
    }
}

/// A finished line, wrapped at words for a terminal of `width` columns. Continuation lines are
/// indented by `indent`. Colour sequences have no width.
#[pyfunction]
#[pyo3(signature = (line, *, width, indent))]
pub(crate) fn _wrap(line: &str, width: usize, indent: usize) -> String {
    wrap::wrap(line, width, indent).into_owned()
}

/// Closes all open objects, within the longest linger and half a second. The package registers it
/// with `atexit`.
#[pyfunction]
pub(crate) fn _shutdown(py: Python<'_>) {
    py.detach(net::shut_down);
}
