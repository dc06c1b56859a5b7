//! Sets a relay up: opens its sockets, starts its thread, and refuses configurations that cannot work.

use crate::error::{Error, Result};
use crate::net::connection::bound_endpoint;
use crate::net::connection::interfaces;
use crate::net::relay::backend::Backend;
use crate::net::relay::config::Config;
use crate::net::relay::forwarder::Forwarder;
use crate::net::relay::frontend::Frontend;
use crate::net::socket::open_socket::OpenSocket;
use crate::net::socket::shared_socket::SharedSocket;
use crate::net::zmq::ffi;
use crate::net::zmq::options::{self, OnFull, SocketOptions, MAX_INBOUND_BYTES};
use crate::util::thread;
use crate::util::time::Checkpoint;
use crate::util::wakeup::Wakeup;
use crate::wire::endpoint::{self, Endpoint, Host, Port, Role};
use crate::wire::stamp;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn open_frontend(
    config: &Config,
    wakeup: &Arc<Wakeup>,
    subscribes_to_all: bool,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<SharedSocket<Frontend>>> {
    let limit = config.max_message_bytes.max(stamp::MAX_BYTES);
    let mut socket = OpenSocket::open(
        zmq::XSUB,
        &SocketOptions {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: i64::try_from(limit).unwrap_or(i64::MAX),
            // The frontend sends nothing but subscriptions.
            linger: Duration::ZERO,
            connection: config.connection.clone(),
            event_owner: config.event_owner,
        },
    )?;
    socket.connections.reporter.side = "frontend";
    options::apply_subscriber(&mut socket.socket, &config.connection)
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let mut handler = Frontend::new(Arc::clone(wakeup));
    if subscribes_to_all {
        handler.set_subscribed(&mut socket, &Arc::from(&b""[..]), true);
    }
    let socket = socket.bind_all(&config.frontend, checkpoint)?;
    SharedSocket::new(socket, handler)
}

pub(crate) fn open_backend(
    config: &Config,
    wakeup: &Arc<Wakeup>,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<SharedSocket<Backend>>> {
    let mut socket = OpenSocket::open(
        zmq::XPUB,
        &SocketOptions {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: MAX_INBOUND_BYTES,
            linger: config.linger,
            connection: config.connection.clone(),
            event_owner: config.event_owner,
        },
    )?;
    socket.connections.reporter.side = "backend";
    let keeps_all = config.on_full == OnFull::Block;
    let connects = !config.publish_to.is_empty();
    options::apply_publisher(&mut socket.socket, keeps_all, connects, &config.connection)
        // Under `Drop`, too: otherwise libzmq does not report that a queue is full.
        .and_then(|()| ffi::set_int(&mut socket.socket, ffi::XPUB_NODROP, 1))
        .and_then(|()| {
            let manual = i32::from(config.cached_topics > 0);
            ffi::set_int(&mut socket.socket, ffi::XPUB_MANUAL, manual)
        })
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let socket = socket.bind_all(&config.backend, checkpoint)?;
    SharedSocket::new(
        socket,
        Backend::new(
            Arc::clone(wakeup),
            config.cached_topics,
            config.max_subscriptions,
        ),
    )
}

pub(crate) fn start(forwarder: &Arc<Forwarder>) -> Result<()> {
    let running = Arc::clone(forwarder);
    let started = thread::spawn("zmqchat-relay", move || running.run());
    started.map(drop).map_err(|error| {
        let _ = forwarder.backend.close(Some(Duration::ZERO));
        Error::no_thread("for the relay", &error)
    })
}

/// Refuses a frontend and a backend with the same port.
pub(crate) fn check_apart(frontend: &[String], backend: &[String]) -> Result<()> {
    for one in frontend {
        for other in backend {
            let (first, second) = (
                endpoint::parse(one, Role::Bind)?,
                endpoint::parse(other, Role::Bind)?,
            );
            let free = matches!(
                first,
                Endpoint::Tcp {
                    port: Port::Free,
                    ..
                }
            );
            if !free && bound_endpoint::same_listener(&first.to_string(), &second.to_string()) {
                return Err(Error::Value(format!(
                    "frontend={one:?} and backend={other:?} have the same port: expected two \
                     different ones, e.g. frontend=\"*:5556\", backend=\"*:5555\""
                )));
            }
        }
    }
    Ok(())
}

/// Refuses to connect a relay to itself: each message would be forwarded forever.
pub(crate) fn check_no_loop(
    connect: &[String],
    bound: &[String],
    what: &str,
    side: &str,
) -> Result<()> {
    for address in connect {
        let wanted = endpoint::parse(address, Role::Connect)?;
        let is_here = match &wanted {
            Endpoint::Tcp {
                host: Host::V4(address),
                ..
            } => {
                let own = || {
                    interfaces::local()
                        .into_iter()
                        .any(|local| local.address == *address)
                };
                address.is_loopback() || own()
            }
            Endpoint::Tcp {
                host: Host::V6 { address, .. },
                ..
            } => address.is_loopback(),
            Endpoint::Tcp {
                host: Host::Name(name),
                ..
            } => name == "localhost",
            _ => true,
        };
        let wanted = wanted.to_string();
        if is_here
            && bound
                .iter()
                .any(|bound| bound_endpoint::same_listener(bound, &wanted))
        {
            return Err(Error::Value(format!(
                "{what}={address:?} is this relay's own {side}: each message would be forwarded \
                 forever; connect to another relay, or to a publisher"
            )));
        }
    }
    Ok(())
}
