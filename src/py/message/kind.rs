//! `Message`: of what kind it is, and where it came from; what a chat asks for.

use crate::py::convert::objects::Text;
use crate::py::message::Message;
use crate::wire::stamp;
use pyo3::prelude::*;

impl Message {
    /// The same, from there.
    pub(crate) fn coming_from(mut self, address: Option<String>) -> Self {
        self.address = address.map(String::into_boxed_str);
        self
    }
}

impl Message {
    fn kind_of_stamp(&self, py: Python<'_>) -> Option<&str> {
        if self.rest.is_empty() {
            return None;
        }
        self.stamp(py)?.kind.as_deref()
    }
}

#[pymethods]
impl Message {
    /// What kind of message its stamp says it is; None for an ordinary one.
    ///
    /// "come", "here" and "go" are a `Chat`'s presence, without text, which `Subscriber.listen`
    /// leaves out; "action" is what somebody does ("waves"). Others may come to be.
    #[getter]
    fn kind(&self, py: Python<'_>) -> Option<Text<&str>> {
        self.kind_of_stamp(py).map(Text)
    }

    /// Whether it is a chat's presence, which no listener shows.
    #[getter]
    fn _presence(&self, py: Python<'_>) -> bool {
        let kind = self.kind_of_stamp(py);
        kind.is_some() && stamp::is_presence(kind, !self.payload(py).is_empty())
    }

    /// The IP address that it came from, which is a relay's where there is one. Known of what a
    /// `Chat` received over TCP; None elsewhere.
    #[getter]
    fn address(&self) -> Option<Text<&str>> {
        self.address.as_deref().map(Text)
    }
}
