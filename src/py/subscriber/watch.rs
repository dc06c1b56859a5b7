//! `Subscriber.watch`: checked here, done in Python, which shows.

use crate::py::convert::args::{self, Whole};
use crate::py::convert::objects;
use crate::py::error::import;
use crate::py::subscriber::Subscriber;
use pyo3::intern;
use pyo3::prelude::*;

#[pymethods]
impl Subscriber {
    /// Shows messages as they come, in the background, and returns at once.
    ///
    /// In a notebook they appear below the cell that called it, the newest in sight, and stay there
    /// whatever other cells do; the display changes at most 10 times a second. In a terminal they
    /// are printed, above the prompt where there is one. The subscriber goes on to be watched until
    /// `ReadinessCallback.stop`, until it is closed, or until something takes over: the same cell when it is run
    /// again, or another `watch` of the same subscriber. The stop button ends the cell that runs,
    /// and no watch.
    ///
    /// What it takes, `recv` and other readers of the subscriber do not get: each message goes to
    /// one of them.
    ///
    /// Args:
    ///     max_rows: How many messages a notebook shows, the newest ones.
    ///     keep: How many `ReadinessCallback.messages` holds, the newest ones; 0 for none, None for all.
    ///     color: "auto" (NO_COLOR, FORCE_COLOR, TERM and a terminal decide), "always" or "never";
    ///         True and False mean the last two.
    ///     timestamps: "time", "iso", "delta" or "none"; see `Message.render`.
    ///     log: Where to keep the messages, too: a `Transcript`, which stays open, or the path of
    ///         one; None for nowhere. A log that fails is a warning, and messages go on.
    ///
    /// Returns:
    ///     The `ReadinessCallback`, which stops it, and has the messages. Its `with` block stops it at the end.
    ///
    /// Raises:
    ///     ValueError: If an argument is none of its choices.
    ///     ClosedError: If the subscriber is closed.
    ///     OSError: If the log cannot be opened.
    #[pyo3(
        signature = (*, max_rows = Whole(200), keep = Some(Whole(10_000)), color = None, timestamps = "time", log = None),
        text_signature = "($self, *, max_rows=200, keep=10000, color='auto', timestamps='time', log=None)"
    )]
    fn watch<'py>(
        slf: &Bound<'py, Self>,
        max_rows: Whole,
        keep: Option<Whole>,
        color: Option<Bound<'py, PyAny>>,
        timestamps: &str,
        log: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        slf.get().core.check_open()?;
        let keep = keep.map(|keep| args::count("keep", keep, 0)).transpose()?;
        let color = color.unwrap_or_else(|| intern!(py, "auto").clone().into_any());
        let how = objects::dict(py)?;
        let max_rows = args::count("max_rows", max_rows, 1)?;
        how.set_item(intern!(py, "max_rows"), max_rows)?;
        how.set_item(intern!(py, "keep"), keep)?;
        how.set_item(intern!(py, "color"), color)?;
        how.set_item(intern!(py, "timestamps"), timestamps)?;
        how.set_item(intern!(py, "log"), log)?;
        import(py, intern!(py, "zmqchat_rs.display.watch"))?.call_method(
            intern!(py, "watch"),
            (slf,),
            Some(&how),
        )
    }
}
