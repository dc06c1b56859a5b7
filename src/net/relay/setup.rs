//! How a relay comes to stand: its sockets, its thread, and what it refuses.

use crate::error::{Error, Result};
use crate::net::connection::{bind, interfaces};
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
    wake: &Arc<Wakeup>,
    hears_all: bool,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<SharedSocket<Frontend>>> {
    let limit = config.max_message_bytes.max(stamp::MAX_BYTES);
    let mut live = OpenSocket::open(
        zmq::XSUB,
        &SocketOptions {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: i64::try_from(limit).unwrap_or(i64::MAX),
            // Nothing leaves it but subscriptions.
            linger: Duration::ZERO,
            connecting: config.connection.clone(),
            tell: config.event_owner,
        },
    )?;
    live.side = "frontend";
    options::apply_subscriber(&mut live.socket, &config.connection)
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let mut intake = Frontend::new(Arc::clone(wake));
    if hears_all {
        intake.ask(&mut live, &Arc::from(&b""[..]), true);
    }
    let live = bind::bind_all(live, &config.frontend, checkpoint)?;
    SharedSocket::new(live, intake)
}

pub(crate) fn open_backend(
    config: &Config,
    wake: &Arc<Wakeup>,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<SharedSocket<Backend>>> {
    let mut live = OpenSocket::open(
        zmq::XPUB,
        &SocketOptions {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: MAX_INBOUND_BYTES,
            linger: config.linger,
            connecting: config.connection.clone(),
            tell: config.event_owner,
        },
    )?;
    live.side = "backend";
    let keeps_all = config.on_full == OnFull::Block;
    let connects = !config.publish_to.is_empty();
    options::apply_publisher(&mut live.socket, keeps_all, connects, &config.connection)
        // Where messages may be lost, too: that a queue is full is otherwise told by nobody.
        .and_then(|()| ffi::set_int(&mut live.socket, ffi::XPUB_NODROP, 1))
        .and_then(|()| {
            let manual = i32::from(config.cached_topics > 0);
            ffi::set_int(&mut live.socket, ffi::XPUB_MANUAL, manual)
        })
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let live = bind::bind_all(live, &config.backend, checkpoint)?;
    SharedSocket::new(
        live,
        Backend::new(
            Arc::clone(wake),
            config.cached_topics,
            config.max_subscriptions,
        ),
    )
}

pub(crate) fn start(hub: &Arc<Forwarder>) -> Result<()> {
    let running = Arc::clone(hub);
    let started = thread::spawn("zmqchat-relay", move || running.run());
    started.map(drop).map_err(|error| {
        let _ = hub.backend.close(Some(Duration::ZERO));
        Error::no_thread("for the relay", &error)
    })
}

/// Refuses a frontend and a backend at the same port.
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
            if !free && bind::same_port(&first.to_string(), &second.to_string()) {
                return Err(Error::Value(format!(
                    "publishers ({one}) and subscribers ({other}) need ports of their own: for \
                     example frontend=\"*:5556\", backend=\"*:5555\""
                )));
            }
        }
    }
    Ok(())
}

/// Refuses to connect a relay to itself, where each message would go round for ever.
pub(crate) fn check_no_loop(
    connect: &[String],
    bound: &[String],
    what: &str,
    side: &str,
) -> Result<()> {
    for text in connect {
        let wanted = endpoint::parse(text, Role::Connect)?;
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
        if is_here && bound.iter().any(|bound| bind::same_port(bound, &wanted)) {
            return Err(Error::Value(format!(
                "{what}={text:?} is this relay's own {side}: its messages would go round for ever; \
                 connect to another relay, or to a publisher"
            )));
        }
    }
    Ok(())
}
