//! How a relay comes to stand: its sockets, its thread, and what it refuses.

use super::super::live::Live;
use super::super::options::{self, Common};
use super::super::publisher::{OnFull, MAX_INBOUND_BYTES};
use super::super::socket::Owner;
use super::super::wait::Checkpoint;
use super::super::wake::{self, Wake};
use super::super::{address, interfaces, sys};
use super::intake::Intake;
use super::outlet::Outlet;
use super::pump::Hub;
use super::Config;
use crate::error::{Error, Result};
use crate::wire::endpoint::{self, Endpoint, Host, Port, Role};
use crate::wire::stamp;
use std::sync::Arc;
use std::time::Duration;

pub(super) fn open_frontend(
    config: &Config,
    wake: &Arc<Wake>,
    hears_all: bool,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<Owner<Intake>>> {
    let limit = config.max_message_bytes.max(stamp::MAX_BYTES);
    let mut live = Live::open(
        zmq::XSUB,
        &Common {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: i64::try_from(limit).unwrap_or(i64::MAX),
            // Nothing leaves it but subscriptions.
            linger: Duration::ZERO,
            connecting: config.connecting.clone(),
            tell: config.tell,
        },
    )?;
    live.side = "frontend";
    options::apply_subscriber(&mut live.socket, &config.connecting)
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let mut intake = Intake::new(Arc::clone(wake));
    if hears_all {
        intake.ask(&mut live, &Arc::from(&b""[..]), true);
    }
    let live = address::bind_all(live, &config.frontend, checkpoint)?;
    Owner::new(live, intake)
}

pub(super) fn open_backend(
    config: &Config,
    wake: &Arc<Wake>,
    checkpoint: Checkpoint<'_>,
) -> Result<Arc<Owner<Outlet>>> {
    let mut live = Live::open(
        zmq::XPUB,
        &Common {
            high_water_mark: config.high_water_mark,
            max_inbound_bytes: MAX_INBOUND_BYTES,
            linger: config.linger,
            connecting: config.connecting.clone(),
            tell: config.tell,
        },
    )?;
    live.side = "backend";
    let keeps_all = config.on_full == OnFull::Block;
    let connects = !config.publish_to.is_empty();
    options::apply_publisher(&mut live.socket, keeps_all, connects, &config.connecting)
        // Where messages may be lost, too: that a queue is full is otherwise told by nobody.
        .and_then(|()| sys::set_int(&mut live.socket, sys::XPUB_NODROP, 1))
        .and_then(|()| {
            let manual = i32::from(config.cached_topics > 0);
            sys::set_int(&mut live.socket, sys::XPUB_MANUAL, manual)
        })
        .map_err(|errno| errno.during("cannot set up a relay"))?;
    let live = address::bind_all(live, &config.backend, checkpoint)?;
    Owner::new(
        live,
        Outlet::new(
            Arc::clone(wake),
            config.cached_topics,
            config.max_subscriptions,
        ),
    )
}

pub(super) fn start(hub: &Arc<Hub>) -> Result<()> {
    let running = Arc::clone(hub);
    let started = std::thread::Builder::new()
        .name("zmqchat-relay".into())
        .spawn(move || {
            wake::block_signals();
            running.run();
        });
    started.map(drop).map_err(|error| {
        let _ = hub.backend.close(Some(Duration::ZERO));
        Error::no_thread("for the relay", &error)
    })
}

/// Refuses a frontend and a backend at the same port.
pub(super) fn check_apart(frontend: &[String], backend: &[String]) -> Result<()> {
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
            if !free && address::same_port(&first.to_string(), &second.to_string()) {
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
pub(super) fn check_no_loop(
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
        if is_here && bound.iter().any(|bound| address::same_port(bound, &wanted)) {
            return Err(Error::Value(format!(
                "{what}={text:?} is this relay's own {side}: its messages would go round for ever; \
                 connect to another relay, or to a publisher"
            )));
        }
    }
    Ok(())
}
