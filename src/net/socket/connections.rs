//! The connections of one socket: those that the user requested, and those that peers made.
//!
//! Two names may lead to the same address. Two connections to it would deliver every message twice. So
//! requested connections to one endpoint share libzmq's connection, which ends with the last of them.

use crate::error::{Error, Result};
use crate::net::connection::connect;
use crate::net::connection::disconnect_reason;
use crate::net::connection::incoming::{Ended, IncomingConnections};
use crate::net::connection::listeners::Listeners;
use crate::net::connection::outgoing::OutgoingConnection;
use crate::net::connection::reporter::Reporter;
use crate::net::connection::resolver::Resolver;
use crate::net::connection::state::{ConnectionInfo, OutageTimer};
use crate::net::runtime::event_queue::{EventKind, SilenceCause};
use crate::net::runtime::process;
use crate::net::zmq::descriptor_limit;
use crate::net::zmq::monitor::{Failure, MonitorEvent, ReportedConnection};
use crate::wire::endpoint::{self, Endpoint, Host, Role};
use std::collections::HashSet;
use std::fmt::Write;
use std::time::{Duration, Instant};

/// How long it is not reported again that the process has almost no descriptors left.
const SHORTAGE_PERIOD: Duration = Duration::from_secs(60);

/// The connections of one socket.
pub(crate) struct Connections {
    pub(crate) outgoing: Vec<OutgoingConnection>,
    incoming: IncomingConnections,
    pub(crate) reporter: Reporter,
    /// Whether the socket is a publisher's.
    pub(crate) publishes: bool,
    /// The longest pause between two attempts to connect.
    pub(crate) longest_pause: Duration,
    /// How many connections have ended.
    pub(crate) interruptions: u64,
    /// The last change of the `inproc` names that was applied to the requested connections.
    inproc_changes: u64,
    /// The outage of an object without requested connections; each of these has its own.
    outage: OutageTimer,
    /// The outage was reported as "no peer has connected".
    reported_no_peer: bool,
    /// A peer that disconnected during its handshake, while no peer is connected.
    hung_up: Option<String>,
    /// When a shortage of descriptors was last reported.
    shortage_reported: Option<Instant>,
}

impl Connections {
    pub(crate) fn new(reporter: Reporter, publishes: bool, longest_pause: Duration) -> Self {
        Self {
            outgoing: Vec::new(),
            incoming: IncomingConnections::default(),
            reporter,
            publishes,
            longest_pause,
            interruptions: 0,
            inproc_changes: 0,
            outage: OutageTimer::default(),
            reported_no_peer: false,
            hung_up: None,
            shortage_reported: None,
        }
    }

    /// Connects to the address that the user typed. A second request for the same address changes
    /// nothing.
    pub(crate) fn connect(&mut self, socket: &mut zmq::Socket, text: &str) -> Result<()> {
        let requested = endpoint::parse(text, Role::Connect)?;
        let mut outgoing = self.outgoing.iter();
        if outgoing.any(|connection| *connection.requested() == requested) {
            return Ok(());
        }
        let mut connection = OutgoingConnection::new(requested.clone());
        if let Endpoint::Tcp {
            host: Host::Name(name),
            ..
        } = &requested
        {
            let resolver = Resolver::start(name)
                .map_err(|error| Error::no_thread(&format!("to resolve '{text}'"), &error))?;
            connection.resolver = Some(resolver);
            self.outgoing.push(connection);
            return Ok(());
        }
        let index = self.outgoing.len();
        self.outgoing.push(connection);
        let outcome = match &requested {
            Endpoint::Inproc(name) => self.follow_one(socket, index, name).map(drop),
            _ => self.attach(socket, index, requested),
        };
        if outcome.is_err() {
            self.outgoing.truncate(index);
        }
        outcome
    }

    /// Ends the connection to the address that the user typed.
    pub(crate) fn disconnect(&mut self, socket: &mut zmq::Socket, text: &str) -> Result<()> {
        let requested = endpoint::parse(text, Role::Connect)?;
        let mut outgoing = self.outgoing.iter();
        let Some(index) = outgoing.position(|connection| *connection.requested() == requested)
        else {
            let known = self.typed();
            return Err(Error::Value(format!(
                "not connected to {}; {}",
                requested.typed(),
                if known.is_empty() {
                    "there are no connections".to_owned()
                } else {
                    format!("the connections are: {}", known.join(", "))
                }
            )));
        };
        self.detach(socket, index)?;
        let connection = self.outgoing.swap_remove(index);
        self.interruptions += u64::from(connection.info.is_connected());
        Ok(())
    }

    /// The requested addresses, as a person would type them.
    pub(crate) fn typed(&self) -> Vec<String> {
        let outgoing = self.outgoing.iter();
        outgoing
            .map(|connection| connection.requested().typed())
            .collect()
    }

    /// Another requested connection to this endpoint.
    fn sharing(&self, index: usize, endpoint: &Endpoint) -> Option<&OutgoingConnection> {
        let mut outgoing = self.outgoing.iter().enumerate();
        outgoing.find_map(|(other, connection)| {
            (other != index && connection.endpoint.as_ref() == Some(endpoint)).then_some(connection)
        })
    }

    /// Connects, or shares the existing connection to the endpoint.
    pub(crate) fn attach(
        &mut self,
        socket: &mut zmq::Socket,
        index: usize,
        endpoint: Endpoint,
    ) -> Result<()> {
        let shared = self.sharing(index, &endpoint);
        if let Some(shared) = shared.and_then(OutgoingConnection::shared) {
            self.outgoing[index].share(&shared);
            if self.outgoing[index].info.is_connected() {
                self.mark_connected(index);
            }
            return Ok(());
        }
        let connection = &mut self.outgoing[index];
        let alternatives = connection.has_alternatives();
        connect::connect(socket, &endpoint, alternatives, self.longest_pause)?;
        connection.attach(endpoint);
        Ok(())
    }

    /// Ends a connection, unless another requested connection shares it.
    pub(crate) fn detach(&mut self, socket: &mut zmq::Socket, index: usize) -> Result<()> {
        let Some(endpoint) = self.outgoing[index].endpoint.clone() else {
            return Ok(());
        };
        if self.sharing(index, &endpoint).is_none() {
            match connect::disconnect(socket, &endpoint) {
                // It has ended already.
                Err(Error::Os {
                    errno: libc::ENOENT,
                    ..
                })
                | Ok(()) => {}
                Err(error) => return Err(error),
            }
        }
        self.outgoing[index].detach();
        Ok(())
    }

    /// Connects to the same endpoint again, for all requested connections that share it.
    pub(crate) fn renew(
        &mut self,
        socket: &mut zmq::Socket,
        endpoint: &Endpoint,
        alternatives: bool,
    ) -> Result<()> {
        // Fails if libzmq has removed the connection already, which is harmless.
        let _ = connect::disconnect(socket, endpoint);
        connect::connect(socket, endpoint, alternatives, self.longest_pause)?;
        for connection in &mut self.outgoing {
            if connection.endpoint.as_ref() == Some(endpoint) {
                connection.renew(alternatives);
            }
        }
        Ok(())
    }

    /// Whether messages may have been received from this endpoint since it was connected.
    pub(crate) fn was_established(&self, endpoint: &Endpoint) -> bool {
        self.outgoing.iter().any(|connection| {
            connection.endpoint.as_ref() == Some(endpoint) && connection.was_established()
        })
    }

    /// Applies changes of the `inproc` names since the last call to every connection to such a name.
    /// True if anything changed.
    pub(crate) fn follow_inproc(&mut self, socket: &mut zmq::Socket) -> bool {
        let latest = process::process().inproc.changes();
        if self.inproc_changes == latest {
            return false;
        }
        self.inproc_changes = latest;
        let mut changed = false;
        for index in 0..self.outgoing.len() {
            if let Some(name) = self.outgoing[index].inproc_name() {
                match self.follow_one(socket, index, &name) {
                    Ok(followed) => changed |= followed,
                    // The next call tries again.
                    Err(_) => self.inproc_changes = u64::MAX,
                }
            }
        }
        changed
    }

    /// Applies a change of its name to one connection. True if anything changed.
    fn follow_one(&mut self, socket: &mut zmq::Socket, index: usize, name: &str) -> Result<bool> {
        let mut lost = false;
        let outcome = process::process().inproc.with_binding(name, |binding| {
            if self.outgoing[index].inproc_binding == binding {
                return Ok(None);
            }
            lost = self.outgoing[index].inproc_binding.take().is_some();
            if lost {
                // The connection ended with the socket that was bound.
                let _ = self.detach(socket, index);
            }
            let endpoint = self.outgoing[index].requested().clone();
            if binding.is_some() {
                connect::connect(socket, &endpoint, false, self.longest_pause)?;
            }
            Ok(Some((endpoint, binding)))
        });
        if lost {
            self.mark_disconnected(index);
        }
        let Some((endpoint, binding)) = outcome? else {
            return Ok(false);
        };
        if binding.is_some() {
            let connection = &mut self.outgoing[index];
            connection.endpoint = Some(endpoint);
            connection.inproc_binding = binding;
            self.mark_connected(index);
        }
        Ok(true)
    }

    /// Processes a report of the socket's monitor.
    pub(crate) fn process_event(&mut self, event: &MonitorEvent, listeners: &Listeners) {
        match event {
            MonitorEvent::Opened(connection) => {
                if connection.accepted {
                    if descriptor_limit::is_running_out(connection.descriptor) {
                        self.report_shortage(listeners);
                    }
                    self.incoming.opened(connection, !self.publishes);
                } else {
                    // There is none if the user has disconnected meanwhile.
                    for index in self.connected_to(&connection.remote) {
                        self.outgoing[index].descriptor = Some(connection.descriptor);
                    }
                }
            }
            MonitorEvent::HandshakeSucceeded(remote) => self.established(remote),
            MonitorEvent::Disconnected(connection) => self.ended(connection),
            MonitorEvent::HandshakeFailed(remote, failure) => {
                self.incoming.handshake_failed(remote, *failure);
            }
            MonitorEvent::Retrying(remote) => {
                for index in self.connected_to(remote) {
                    self.outgoing[index].retries(self.longest_pause);
                    self.wake_for_attempt(index);
                }
            }
            MonitorEvent::OutOfDescriptors => self.report_shortage(listeners),
            MonitorEvent::BindFailed(_)
            | MonitorEvent::ListenerClosed
            | MonitorEvent::Stopped
            | MonitorEvent::Other => {}
        }
    }

    /// Records that a connection was established.
    fn established(&mut self, remote: &str) {
        let requested = self.connected_to(remote);
        if !requested.is_empty() {
            for index in requested {
                self.mark_connected(index);
            }
            return;
        }
        if let Some(address) = self.incoming.established(remote) {
            self.hung_up = None;
            self.reported_no_peer = false;
            let was_reported = self.outage.end();
            self.report_connected(&address, was_reported);
        }
    }

    /// Records that a connection ended.
    fn ended(&mut self, connection: &ReportedConnection) {
        for index in self.connected_to(&connection.remote) {
            // Otherwise the report is about an earlier connection.
            if self.outgoing[index].descriptor == Some(connection.descriptor) {
                self.outgoing[index].closed(self.longest_pause);
                self.wake_for_attempt(index);
                self.mark_disconnected(index);
            }
        }
        match self.incoming.closed(connection) {
            Some(Ended::Connection { address, cut_off }) => {
                self.interruptions += 1;
                self.reporter
                    .report_to_handler(EventKind::Disconnected, &address);
                if cut_off {
                    self.report_cut_off(&address);
                }
            }
            Some(Ended::Handshake { address, failure }) => {
                self.handshake_failed(&address, failure);
            }
            None => {}
        }
    }

    /// Wakes the maintenance thread if it has to make the next attempt: this report may have been
    /// read by another thread.
    fn wake_for_attempt(&self, index: usize) {
        if self.outgoing[index].awaits_attempt() {
            process::process().wake_maintenance();
        }
    }

    /// Reports a peer whose handshake failed. A peer that only disconnected may be a port scanner: it
    /// is named only when an outage is reported.
    fn handshake_failed(&mut self, address: &str, failure: Option<Failure>) {
        let why = match failure {
            Some(Failure::Disconnected) => {
                self.hung_up = Some(address.to_owned());
                if std::mem::take(&mut self.reported_no_peer) {
                    // Another report can name this peer.
                    self.outage = OutageTimer::default();
                }
                return;
            }
            Some(Failure::Mechanism) => "mechanism",
            Some(Failure::Protocol) => "protocol",
            // libzmq does not report a reason for these.
            None => "version",
        };
        // A report that no peer has connected would be wrong.
        self.outage.suppress();
        if self.incoming.reports_failure_of(address) {
            let publishes = self.publishes;
            let kind = EventKind::HandshakeFailed { publishes, why };
            self.reporter.report(kind, address);
        }
    }

    /// Records and reports that a requested connection was established.
    fn mark_connected(&mut self, index: usize) {
        let connection = &mut self.outgoing[index];
        connection.mark_connected();
        let was_reported = connection.outage.end();
        let address = connection.info.address.clone();
        self.report_connected(&address, was_reported);
    }

    /// Records and reports that a requested connection ended.
    fn mark_disconnected(&mut self, index: usize) {
        let connection = &mut self.outgoing[index];
        if connection.mark_disconnected() {
            self.interruptions += 1;
            let address = &connection.info.address;
            self.reporter
                .report_to_handler(EventKind::Disconnected, address);
        }
    }

    fn report_connected(&self, address: &str, ends_reported_outage: bool) {
        if ends_reported_outage {
            self.reporter.report(EventKind::Connected, address);
        } else {
            self.reporter
                .report_to_handler(EventKind::Connected, address);
        }
    }

    /// The requested connections to the endpoint of a report: several names may lead to one address.
    fn connected_to(&self, remote: &str) -> Vec<usize> {
        let outgoing = self.outgoing.iter().enumerate();
        outgoing
            .filter_map(|(index, connection)| connection.leads_to(remote).then_some(index))
            .collect()
    }

    /// The address of the peer with this descriptor, as a person would type it.
    pub(crate) fn address_of(&self, descriptor: i32) -> Option<&str> {
        let mut outgoing = self.outgoing.iter();
        let info = outgoing
            .find(|connection| connection.descriptor == Some(descriptor))
            .map(|connection| &connection.info)
            .or_else(|| self.incoming.get(descriptor))?;
        Some(info.address.as_str())
    }

    /// All connections, requested ones first.
    pub(crate) fn infos(&self) -> Vec<ConnectionInfo> {
        let outgoing = self.outgoing.iter();
        outgoing
            .map(|connection| connection.info.clone())
            .chain(self.incoming.infos())
            .collect()
    }

    /// How many connections are established. Names with the same address share one.
    pub(crate) fn connected(&self) -> usize {
        let outgoing = self.outgoing.iter();
        let endpoints: HashSet<_> = outgoing
            .filter(|connection| connection.info.is_connected())
            .map(|connection| &connection.endpoint)
            .collect();
        endpoints.len() + self.incoming.connected()
    }

    /// Whether no peer is connected and no connection is requested.
    pub(crate) fn is_isolated(&self) -> bool {
        self.outgoing.is_empty() && !self.incoming.any_connected()
    }

    /// Whether a requested connection is not established.
    pub(crate) fn is_incomplete(&self) -> bool {
        let mut outgoing = self.outgoing.iter();
        outgoing.any(|connection| !connection.info.is_connected())
    }

    /// Does not report that no peer is connected.
    pub(crate) fn suppress_idle_warning(&mut self) {
        self.outage.suppress();
    }

    /// Reports missing peers, once per outage: peers of requested connections while the object is
    /// `in_use`; or, without requested connections, any peer while a thread waits on the socket.
    pub(crate) fn report_outages(&mut self, in_use: bool, waited_on: bool, listeners: &Listeners) {
        let mut causes = Vec::new();
        for connection in &mut self.outgoing {
            if in_use && !connection.info.is_connected() && connection.outage.continues() {
                causes.push((SilenceCause::NotConnected, connection.info.address.clone()));
            }
        }
        if waited_on && self.is_isolated() && self.outage.continues() {
            let addresses = listeners.reachable();
            causes.push(match &self.hung_up {
                Some(peer) => (SilenceCause::HandshakeEnded, peer.clone()),
                None if addresses.is_empty() => (SilenceCause::NoAddress, String::new()),
                None => {
                    self.reported_no_peer = true;
                    (SilenceCause::NoPeer, addresses.join(", "))
                }
            });
        }
        let publishes = self.publishes;
        for (cause, address) in causes {
            self.reporter
                .report(EventKind::Silent { publishes, cause }, &address);
        }
    }

    /// Reports that peers are rejected, or will be soon. The report is repeated only after a period,
    /// because the peers retry all the time.
    fn report_shortage(&mut self, listeners: &Listeners) {
        let recent = |at: Instant| at.elapsed() < SHORTAGE_PERIOD;
        if !self.shortage_reported.is_some_and(recent) {
            self.shortage_reported = Some(Instant::now());
            self.reporter.report(
                EventKind::OutOfDescriptors,
                &listeners.reachable().join(", "),
            );
        }
    }

    /// Ends a connection, and refuses its address for a while. False if the connection cannot be
    /// ended.
    pub(crate) fn cut_off(
        &mut self,
        descriptor: i32,
        mut reason: String,
        listeners: &Listeners,
    ) -> bool {
        let Some(address) = self.address_of(descriptor).map(ToOwned::to_owned) else {
            return false;
        };
        if !disconnect_reason::shut_down(descriptor, &address, &listeners.endpoints) {
            return false;
        }
        if let Some((ip, refusal)) = self.incoming.refuse(descriptor, &address) {
            let seconds = refusal.as_secs();
            let _ = write!(
                reason,
                ". New connections from {ip} are refused for {seconds} s"
            );
        }
        self.reporter.report(EventKind::CutOff(reason), &address);
        true
    }

    /// Shuts down a new connection from an address that is refused. True if it was one.
    pub(crate) fn shut_down_if_refused(&self, event: &MonitorEvent) -> bool {
        match event {
            MonitorEvent::Opened(connection) => self.incoming.shut_down_if_refused(connection),
            _ => false,
        }
    }

    /// Reports that libzmq ended a connection because the peer violated the protocol.
    pub(crate) fn report_cut_off(&self, address: &str) {
        self.reporter
            .report(EventKind::CutOff(String::new()), address);
    }
}
