//! The listeners of a bound socket.

use crate::net::connection::bound_endpoint;
use crate::net::connection::ipc::SocketFile;

/// The endpoints that a socket is bound to.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    /// As libzmq reports them, with the actual ports.
    pub(crate) endpoints: Vec<String>,
    /// The files of `ipc://` listeners, which are removed when the socket is closed.
    pub(crate) files: Vec<SocketFile>,
}

impl Listeners {
    /// The listener that would collide with this endpoint.
    pub(crate) fn holding(&self, endpoint: &str) -> Option<&str> {
        let mut bound = self.endpoints.iter();
        let same = bound.find(|bound| bound_endpoint::same_listener(bound, endpoint));
        same.map(String::as_str).or_else(|| {
            let path = endpoint.strip_prefix("ipc://")?;
            let file = self.files.iter().find(|file| file.is_at(path))?;
            Some(file.endpoint())
        })
    }

    /// What a person types on another host to connect.
    pub(crate) fn reachable(&self) -> Vec<String> {
        let bound = self.endpoints.iter();
        bound
            .flat_map(|bound| bound_endpoint::reachable(bound))
            .collect()
    }

    /// Removes the files of `ipc://` listeners.
    pub(crate) fn remove_files(&self) {
        self.files.iter().for_each(SocketFile::remove);
    }
}
