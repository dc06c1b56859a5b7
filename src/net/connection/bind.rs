//! From a parsed address to a bound or connected socket, with errors that say what to do.

use crate::error::{Error, Result};
use crate::net::connection::interfaces::{self, Kind};
use crate::net::connection::ipc::{self, Obstacle};
use crate::net::runtime::{event_queue, notebook_cell, process};
use crate::net::socket::open_socket::{self, OpenSocket};
use crate::net::zmq::ffi::{self, uninterrupted, Attach, Errno};
use crate::net::zmq::monitor::MonitorEvent;
use crate::net::zmq::options;
use crate::util::thread;
use crate::util::time::{Checkpoint, SLICE};
use crate::wire::endpoint::{self, Endpoint, Host, Port, Role};
use crate::wire::quote;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// Refuses what cannot be an address, before any of them is used.
pub(crate) fn check(bind: &[String], connect: &[String]) -> Result<()> {
    for text in bind {
        endpoint::parse(text, Role::Bind)?;
    }
    for text in connect {
        endpoint::parse(text, Role::Connect)?;
    }
    Ok(())
}

/// Binds to all of them, or to none: when one fails, the ports of the others are free again.
pub(crate) fn bind_all(
    mut live: OpenSocket,
    texts: &[String],
    checkpoint: Checkpoint<'_>,
) -> Result<OpenSocket> {
    let mut bind_one = |text: &String| bind(&mut live, text, checkpoint);
    match texts.iter().try_for_each(&mut bind_one) {
        Ok(()) => Ok(live),
        Err(error) => {
            live.close(Duration::ZERO, Some(open_socket::LISTENER_PATIENCE));
            Err(error)
        }
    }
}

/// Binds `live` to what was typed, and notes the endpoint that came of it.
fn bind(live: &mut OpenSocket, text: &str, checkpoint: Checkpoint<'_>) -> Result<()> {
    let wanted = endpoint::parse(text, Role::Bind)?;
    let (endpoint, host_name) = resolve_for_bind(&wanted, checkpoint)?;
    let address = match &endpoint {
        // As libzmq will report it.
        Endpoint::Tcp {
            host: Host::Any,
            port,
        } => format!("tcp://0.0.0.0:{port}"),
        _ => endpoint.to_string(),
    };
    use_ipv6(live, &endpoint)?;
    let process = process::process();
    let attach = |live: &mut OpenSocket| -> std::result::Result<(), Obstacle> {
        if let Endpoint::Ipc(path) = &endpoint {
            return ipc::bind(live, path, &address);
        }
        let mut attach = || uninterrupted(|| ffi::attach(&mut live.socket, Attach::Bind, &address));
        match &endpoint {
            Endpoint::Inproc(name) => Ok(process.inproc.bind(name, attach)?),
            _ => Ok(attach()?),
        }
    };
    let mut outcome = attach(live);
    if let Some(origin) = notebook_cell::current() {
        while outcome.as_ref().is_err_and(Obstacle::is_in_use)
            && process.registry.evict_superseded(&address, &origin)
        {
            outcome = attach(live);
        }
    }
    if let Err(obstacle) = outcome {
        let obstacle = reported(live).map_or(obstacle, Obstacle::System);
        return Err(why_not_bound(live, &obstacle, &wanted, &address));
    }
    let resolved = match live.socket.get_last_endpoint() {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(_)) => address,
        Err(error) => return Err(Errno::from(error).during("cannot read the bound address")),
    };
    live.bound.push(resolved);
    if let Some(name) = host_name {
        warn_of_loopback(live, name, &endpoint);
    }
    if matches!(endpoint, Endpoint::Inproc(_)) {
        // Those who wait for the name connect now, so that what is sent next reaches them.
        process.maintain_all();
        live.run_commands();
    }
    Ok(())
}

/// Warns if a name that other hosts may use leads to loopback here, as the host's own name does on
/// Debian (127.0.1.1).
fn warn_of_loopback(live: &OpenSocket, name: &str, endpoint: &Endpoint) {
    let (Endpoint::Tcp { host, .. }, Some(bound)) = (endpoint, live.bound.last()) else {
        return;
    };
    if host.is_loopback() && !endpoint::is_localhost(name) {
        let address = bound.trim_start_matches("tcp://");
        live.tell(event_queue::EventKind::Loopback(name.to_owned()), address);
    }
}

/// Why binding failed last, by the report of it: sending that may leave another errno behind.
fn reported(live: &mut OpenSocket) -> Option<Errno> {
    std::iter::from_fn(|| live.next_happening())
        .filter_map(|happening| match happening {
            MonitorEvent::NotBound(errno) => Some(Errno(errno)),
            _ => None,
        })
        .last()
}

/// How long a peer may take for its handshake, in milliseconds: libzmq's own limit, and where its
/// name has other addresses to try.
const HANDSHAKE_MS: [i32; 2] = [30_000, 5_000];

/// Longer than any connection is waited for, in milliseconds.
const NEVER_MS: i32 = 1_000_000_000;

/// Connects `live` to an address whose host is not a name. Where there are `others` to try, a peer
/// that does not answer is given up early, and libzmq makes one attempt alone: a second one might
/// connect in the moment in which the next address takes its place.
pub(crate) fn connect(live: &mut OpenSocket, endpoint: &Endpoint, others: bool) -> Result<()> {
    use_ipv6(live, endpoint)?;
    live.socket
        .set_handshake_ivl(HANDSHAKE_MS[usize::from(others)])
        .map_err(|error| Errno::from(error).during("cannot limit the handshake"))?;
    options::set_pauses(
        &mut live.socket,
        if others {
            [NEVER_MS, 0]
        } else {
            [
                options::milliseconds(options::RECONNECT),
                options::milliseconds(live.reconnect_max),
            ]
        },
    )
    .map_err(|errno| errno.during("cannot choose the pauses between attempts"))?;
    let address = endpoint.to_string();
    uninterrupted(|| ffi::attach(&mut live.socket, Attach::Connect, &address))
        .map_err(|errno| errno.during(&format!("cannot connect to {}", endpoint.typed())))
}

/// Takes a connection back.
pub(crate) fn disconnect(live: &mut OpenSocket, endpoint: &Endpoint) -> Result<()> {
    let address = endpoint.to_string();
    uninterrupted(|| ffi::attach(&mut live.socket, Attach::Disconnect, &address))
        .map_err(|errno| errno.during(&format!("cannot disconnect from {}", endpoint.typed())))
}

/// IPv6 sockets only where an IPv6 address asks for one: with the option on, libzmq would bind and
/// resolve everything else as IPv6, too.
fn use_ipv6(live: &mut OpenSocket, endpoint: &Endpoint) -> Result<()> {
    let wanted = matches!(
        endpoint,
        Endpoint::Tcp {
            host: Host::V6 { .. },
            ..
        }
    );
    live.socket
        .set_ipv6(wanted)
        .map_err(|error| Errno::from(error).during("cannot choose the IP version"))
}

/// An address in place of the name of an interface, or of a host: libzmq knows neither here. Also the
/// name, if it is a host's.
fn resolve_for_bind<'a>(
    endpoint: &'a Endpoint,
    checkpoint: Checkpoint<'_>,
) -> Result<(Endpoint, Option<&'a str>)> {
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
    // The host's own name may lead to loopback and to the network; others come from the network.
    let outside = |host: &&Host| matches!(host, Host::V4(_)) && !host.is_loopback();
    match found.iter().find(outside).or(found.first()) {
        Some(host) => Ok((at(host.clone()), Some(name))),
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

/// The addresses of a host name, IPv4 first; none if it is unknown. May take as long as the
/// resolver does.
pub(crate) fn look_up(name: &str) -> Vec<Host> {
    let Ok(found) = (name, 0_u16).to_socket_addrs() else {
        return Vec::new();
    };
    let mut all: Vec<SocketAddr> = found.collect();
    all.sort_by_key(SocketAddr::is_ipv6);
    all.into_iter()
        .map(|found| match found {
            SocketAddr::V4(found) => Host::V4(*found.ip()),
            SocketAddr::V6(found) => Host::V6 {
                address: *found.ip(),
                // Link-local addresses, which names on a local network have (mDNS), need it.
                zone: (found.scope_id() != 0).then(|| interfaces::zone(found.scope_id())),
            },
        })
        .collect()
}

/// Looks up while the checkpoint runs: nothing else interrupts a resolver.
fn look_up_interruptibly(name: &str, checkpoint: Checkpoint<'_>) -> Result<Vec<Host>> {
    let (tell, told) = mpsc::channel();
    let asked = name.to_owned();
    thread::spawn("zmqchat-name", move || {
        // The receiver is gone if the wait was interrupted.
        let _ = tell.send(look_up(&asked));
    })
    .map_err(|error| Error::no_thread(&format!("to look up '{name}'"), &error))?;
    loop {
        match told.recv_timeout(SLICE) {
            Ok(found) => return Ok(found),
            Err(RecvTimeoutError::Timeout) => checkpoint()?,
            Err(RecvTimeoutError::Disconnected) => return Ok(Vec::new()),
        }
    }
}

fn why_not_bound(
    live: &OpenSocket,
    obstacle: &Obstacle,
    endpoint: &Endpoint,
    address: &str,
) -> Error {
    let typed = endpoint.typed();
    let (errno, message) = match obstacle {
        Obstacle::System(errno) => (*errno, why_refused(live, *errno, endpoint, address)),
        Obstacle::NotASocket(what) => (
            Errno(libc::EEXIST),
            format!(
                "cannot bind {typed}: {what} has this path, and a socket would replace it; bind a \
                 path that does not exist"
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
                "cannot bind {typed}: an ended program left its socket file there, which cannot be \
                 removed ({}); delete it, or bind another path",
                errno.words()
            ),
        ),
    };
    Error::Os {
        errno: errno.0,
        message,
    }
}

/// In words, why the system or libzmq refused to bind.
fn why_refused(live: &OpenSocket, errno: Errno, endpoint: &Endpoint, address: &str) -> String {
    let typed = endpoint.typed();
    let own = live.holding(address);
    match errno.0 {
        libc::EADDRINUSE if own.is_some() => format!(
            "cannot bind {typed}: this {name} is bound to {first} already, which includes it; leave \
             one of the two out",
            name = match (live.side, live.publishes) {
                ("", true) => "Publisher",
                ("", false) => "Subscriber",
                _ => "Relay",
            },
            first = own.unwrap_or_default(),
        ),
        libc::EADDRINUSE => {
            let holder = process::process().registry.holder_of(address)
                .unwrap_or_else(|| "another program".into());
            match endpoint {
                Endpoint::Tcp { port, .. } => format!(
                    "cannot bind {typed}: the port is already in use by {holder}; close that one \
                     first, or bind another port, for example \"*:{}\" (\"*:0\" takes a free one)",
                    match port {
                        Port::Number(number) if *number < u16::MAX => number + 1,
                        _ => endpoint::DEFAULT_PORT,
                    }
                ),
                _ => format!(
                    "cannot bind {typed}: the address is already in use by {holder}; close that \
                     one first, or bind another address"
                ),
            }
        }
        libc::EACCES if matches!(endpoint, Endpoint::Tcp { .. }) => format!(
            "cannot bind {typed}: ports below 1024 are for the administrator; use one from 1024 to \
             65535"
        ),
        libc::EADDRNOTAVAIL | libc::ENODEV => {
            let own: Vec<String> = interfaces::local()
                .into_iter()
                .filter(|local| local.kind != Kind::Virtual)
                .map(|local| local.address.to_string())
                .collect();
            format!(
                "cannot bind {typed}: this machine has no such address; bind \"*\" for all \
                 interfaces, or one of its own: {}",
                own.join(", ")
            )
        }
        libc::EMFILE | libc::ENFILE => format!(
            "cannot bind {typed}: {}; close what you no longer need, or raise the limit (ulimit -n)",
            errno.words()
        ),
        libc::ENOENT if matches!(endpoint, Endpoint::Ipc(_)) => format!("cannot bind {typed}: the folder of this path does not exist; create it first"),
        _ => format!("cannot bind {typed}: {}", errno.words()),
    }
}

/// Whether two endpoints ask for the same listener, as far as the text tells: the same TCP port,
/// unless at two addresses (a wildcard overlaps with any), or the same name.
pub(crate) fn same_port(one: &str, other: &str) -> bool {
    fn split(endpoint: &str) -> Option<(Option<IpAddr>, &str)> {
        let (host, port) = endpoint.strip_prefix("tcp://")?.rsplit_once(':')?;
        let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
        Some((address.filter(|address| !address.is_unspecified()), port))
    }
    match (split(one), split(other)) {
        (Some((Some(one), port)), Some((Some(other), its))) => one == other && port == its,
        (Some((_, port)), Some((_, its))) => port == its,
        _ => one == other,
    }
}

/// The endpoint by which this host connects to a bound one: a wildcard becomes loopback.
#[must_use]
pub fn connectable(bound: &str) -> String {
    for (wildcard, loopback) in [
        ("tcp://0.0.0.0:", "tcp://127.0.0.1:"),
        ("tcp://[::]:", "tcp://[::1]:"),
    ] {
        if let Some(port) = bound.strip_prefix(wildcard) {
            return format!("{loopback}{port}");
        }
    }
    bound.to_owned()
}

/// What somebody else can type to reach a bound endpoint: for a wildcard, each address of this
/// machine that leads somewhere, best first.
pub(crate) fn reachable(bound: &str) -> Vec<String> {
    let Some((host, port)) = bound
        .strip_prefix("tcp://")
        .and_then(|rest| rest.rsplit_once(':'))
    else {
        return vec![bound.to_owned()];
    };
    if host != "0.0.0.0" && host != "[::]" {
        return vec![format!("{host}:{port}")];
    }
    let all = interfaces::local();
    let lan: Vec<_> = all.iter().filter(|local| local.kind == Kind::Lan).collect();
    let chosen = if lan.is_empty() {
        all.iter().collect()
    } else {
        lan
    };
    chosen
        .into_iter()
        .map(|local| format!("{}:{port}", local.address))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{connectable, reachable, same_port};

    #[test]
    fn listeners_collide_by_port() {
        assert!(same_port("tcp://0.0.0.0:5555", "tcp://127.0.0.1:5555"));
        assert!(same_port("tcp://eth0:5555", "tcp://127.0.0.1:5555"));
        assert!(same_port("tcp://[::]:5555", "tcp://127.0.0.1:5555"));
        assert!(same_port("tcp://[::1]:5555", "tcp://[::1]:5555"));
        assert!(!same_port("tcp://127.0.0.2:5555", "tcp://127.0.0.1:5555"));
        assert!(!same_port("tcp://0.0.0.0:5555", "tcp://0.0.0.0:5556"));
        assert!(same_port("inproc://a", "inproc://a"));
        assert!(!same_port("inproc://a", "tcp://127.0.0.1:1"));
    }

    #[test]
    fn this_host_connects_to_a_wildcard_through_loopback() {
        assert_eq!(connectable("tcp://0.0.0.0:6000"), "tcp://127.0.0.1:6000");
        assert_eq!(connectable("tcp://[::]:6000"), "tcp://[::1]:6000");
        assert_eq!(connectable("tcp://10.0.0.1:6000"), "tcp://10.0.0.1:6000");
        assert_eq!(connectable("ipc:///tmp/x"), "ipc:///tmp/x");
    }

    #[test]
    fn a_wildcard_is_spelled_out() {
        assert_eq!(reachable("tcp://192.168.1.12:6000"), ["192.168.1.12:6000"]);
        assert_eq!(reachable("inproc://x"), ["inproc://x"]);
        let all = reachable("tcp://0.0.0.0:6000");
        assert!(!all.is_empty());
        assert!(all
            .iter()
            .all(|one| one.ends_with(":6000") && !one.starts_with("0.0")));
    }
}
