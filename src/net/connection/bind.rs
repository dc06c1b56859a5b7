//! Binding a socket to an address that a user typed, with errors that say what to do.

use crate::error::{Error, Result};
use crate::net::connection::connect::set_ip_version;
use crate::net::connection::interfaces::{self, InterfaceKind};
use crate::net::connection::ipc::{self, Obstacle};
use crate::net::connection::listeners::Listeners;
use crate::net::connection::resolver::look_up_interruptibly;
use crate::net::runtime::process;
use crate::net::zmq::ffi::{self, uninterrupted, Attach, Errno};
use crate::util::time::Checkpoint;
use crate::wire::endpoint::{self, Endpoint, Host, Port, Role};
use crate::wire::quote;

/// Rejects invalid addresses, before any of them is used.
pub(crate) fn check(bind: &[String], connect: &[String]) -> Result<()> {
    for text in bind {
        endpoint::parse(text, Role::Bind)?;
    }
    for text in connect {
        endpoint::parse(text, Role::Connect)?;
    }
    Ok(())
}

/// Where a socket is to be bound.
pub(crate) struct BindTarget {
    /// As the user typed it.
    requested: Endpoint,
    /// With an address in place of the name of a host or an interface.
    endpoint: Endpoint,
    /// The text of `endpoint` as libzmq will report it.
    pub(crate) address: String,
    /// The name of the host, if the user typed one.
    host_name: Option<String>,
}

impl BindTarget {
    /// Parses what the user typed, and resolves names: libzmq knows neither hosts nor interfaces
    /// here.
    pub(crate) fn resolve(text: &str, checkpoint: Checkpoint<'_>) -> Result<Self> {
        let requested = endpoint::parse(text, Role::Bind)?;
        let (endpoint, host_name) = resolve(&requested, checkpoint)?;
        let address = match &endpoint {
            Endpoint::Tcp {
                host: Host::Any,
                port,
            } => format!("tcp://0.0.0.0:{port}"),
            _ => endpoint.to_string(),
        };
        Ok(Self {
            requested,
            endpoint,
            address,
            host_name,
        })
    }

    /// Sets the options of the socket that this endpoint needs.
    pub(crate) fn prepare(&self, socket: &mut zmq::Socket) -> Result<()> {
        set_ip_version(socket, &self.endpoint)
    }

    /// Binds the socket.
    pub(crate) fn bind(
        &self,
        socket: &mut zmq::Socket,
        listeners: &mut Listeners,
    ) -> std::result::Result<(), Obstacle> {
        if let Endpoint::Ipc(path) = &self.endpoint {
            return ipc::bind(socket, path, &self.address, &mut listeners.files);
        }
        let mut bind = || uninterrupted(|| ffi::attach(socket, Attach::Bind, &self.address));
        match &self.endpoint {
            Endpoint::Inproc(name) => Ok(process::process().inproc.bind(name, bind)?),
            _ => Ok(bind()?),
        }
    }

    pub(crate) fn is_inproc(&self) -> bool {
        matches!(self.endpoint, Endpoint::Inproc(_))
    }

    /// The name that the user typed, if it leads to a loopback address although other hosts may use
    /// it, as the host's own name does on Debian (127.0.1.1).
    pub(crate) fn loopback_name(&self) -> Option<&str> {
        let name = self.host_name.as_deref()?;
        let Endpoint::Tcp { host, .. } = &self.endpoint else {
            return None;
        };
        (host.is_loopback() && !endpoint::is_localhost(name)).then_some(name)
    }

    /// The error for an address that could not be bound. `class` is the class of the object, and
    /// `own` its listener that collides with the address.
    pub(crate) fn error(&self, class: &str, own: Option<&str>, obstacle: &Obstacle) -> Error {
        let typed = self.requested.typed();
        let (errno, message) = match obstacle {
            Obstacle::System(errno) => (*errno, self.system_error(class, own, *errno)),
            Obstacle::NotASocket(what) => (
                Errno(libc::EEXIST),
                format!(
                    "cannot bind {typed}: {what} has this path, and a socket would replace it; bind \
                     a path that does not exist"
                ),
            ),
            Obstacle::Link(target) => (
                Errno(libc::EEXIST),
                format!(
                    "cannot bind {typed}: this path is a symbolic link to {}; bind that path, or \
                     remove the link",
                    quote(&target.to_string_lossy())
                ),
            ),
            Obstacle::Stale(errno) => (
                *errno,
                format!(
                    "cannot bind {typed}: a socket file of an ended program is in the way and cannot \
                     be removed ({}); delete it, or bind another path",
                    errno.text()
                ),
            ),
        };
        Error::Os {
            errno: errno.0,
            message,
        }
    }

    /// The message for an errno of the system or of libzmq.
    fn system_error(&self, class: &str, own: Option<&str>, errno: Errno) -> String {
        let typed = self.requested.typed();
        match errno.0 {
            libc::EADDRINUSE => match own {
                Some(first) => format!(
                    "cannot bind {typed}: this {class} is bound to {first} already, which includes \
                     it; remove one of the two"
                ),
                None => self.address_in_use(),
            },
            libc::EACCES if matches!(self.requested, Endpoint::Tcp { .. }) => format!(
                "cannot bind {typed}: ports below 1024 are reserved for the administrator; use one \
                 from 1024 to 65535"
            ),
            libc::EADDRNOTAVAIL | libc::ENODEV => {
                let own: Vec<String> = interfaces::local()
                    .into_iter()
                    .filter(|local| local.kind != InterfaceKind::Virtual)
                    .map(|local| local.address.to_string())
                    .collect();
                format!(
                    "cannot bind {typed}: this machine has no such address; bind \"*\" for all \
                     interfaces, or one of its own: {}",
                    own.join(", ")
                )
            }
            libc::EMFILE | libc::ENFILE => format!(
                "cannot bind {typed}: {}; close what you no longer need, or raise the limit \
                 (ulimit -n)",
                errno.text()
            ),
            libc::ENOENT if matches!(self.requested, Endpoint::Ipc(_)) => format!(
                "cannot bind {typed}: the folder of this path does not exist; create it first"
            ),
            _ => format!("cannot bind {typed}: {}", errno.text()),
        }
    }

    fn address_in_use(&self) -> String {
        let typed = self.requested.typed();
        let holder = process::process().registry.holder_of(&self.address);
        let holder = holder.unwrap_or_else(|| "another program".into());
        match &self.requested {
            Endpoint::Tcp { port, .. } => format!(
                "cannot bind {typed}: the port is already in use by {holder}; close that one first, \
                 or bind another port, for example \"*:{}\" (\"*:0\" binds a free one)",
                match port {
                    Port::Number(number) if *number < u16::MAX => number + 1,
                    _ => endpoint::DEFAULT_PORT,
                }
            ),
            _ => format!(
                "cannot bind {typed}: the address is already in use by {holder}; close that one \
                 first, or bind another address"
            ),
        }
    }
}

/// The endpoint with an address in place of the name of an interface or a host, and the name of the
/// host, if there is one.
fn resolve(endpoint: &Endpoint, checkpoint: Checkpoint<'_>) -> Result<(Endpoint, Option<String>)> {
    let Endpoint::Tcp {
        host: Host::Name(name),
        port,
    } = endpoint
    else {
        return Ok((endpoint.clone(), None));
    };
    let interface = interfaces::of_interface(name).map_err(|error| Error::Os {
        errno: error.raw_os_error().unwrap_or(libc::EIO),
        message: format!("cannot list the interfaces to bind '{name}': {error}"),
    })?;
    let at = |host: Host| Endpoint::Tcp { host, port: *port };
    if let Some(address) = interface {
        return Ok((at(Host::V4(address)), None));
    }
    let found = look_up_interruptibly(name, checkpoint)?;
    // The host's own name may lead to a loopback address and to one on the network.
    let outside = |host: &&Host| matches!(host, Host::V4(_)) && !host.is_loopback();
    match found.iter().find(outside).or(found.first()) {
        Some(host) => Ok((at(host.clone()), Some(name.clone()))),
        None => Err(Error::Os {
            errno: libc::ENODEV,
            message: format!(
                "cannot bind '{name}': it is neither an interface nor a host name of this machine; \
                 bind \"*:{port}\" to listen on all interfaces",
                port = match port {
                    Port::Number(number) => number.to_string(),
                    Port::Free => "*".into(),
                },
            ),
        }),
    }
}
