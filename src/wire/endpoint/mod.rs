//! Addresses, as a person types them and as libzmq expects them.
//!
//! libzmq reads port 99999 as 34463 and `55x5` as 55, and does not see what follows a NUL. So this parser
//! accepts only well-formed addresses. Its errors contain a valid example.

use crate::error::{Error, Result};
use crate::wire::printable::quote;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of an address without one.
pub const DEFAULT_PORT: u16 = 5555;

/// The longest path of a Unix socket: `sun_path` without its final NUL.
const MAX_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};
const MAX_INPROC_BYTES: usize = 256;
/// libzmq itself connects to names with this prefix. If `inproc://zeromq.zap.01` has a socket of an
/// unexpected type, the next TCP connection aborts the process.
const RESERVED_INPROC: &str = "zeromq.";

/// The longest name and the longest part of a name: RFC 1035, section 2.3.4, without the length bytes.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// The use of an address: `*` and port 0 are valid only for binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Peers connect to this address.
    Bind,
    /// This socket connects to this address.
    Connect,
}

impl Role {
    /// A valid host for errors.
    const fn example(self) -> &'static str {
        match self {
            Self::Bind => "*",
            Self::Connect => "192.168.1.12",
        }
    }
}

/// A TCP host.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Host {
    /// All network interfaces, for binding: `*`.
    Any,
    /// An IPv4 address.
    V4(Ipv4Addr),
    /// An IPv6 address.
    V6 {
        /// The address.
        address: Ipv6Addr,
        /// The interface that a link-local address belongs to, by name or number.
        zone: Option<String>,
    },
    /// The name of a host, or, for binding, of a network interface.
    Name(String),
}

impl Host {
    /// Whether this means all interfaces, in any notation.
    pub(crate) fn is_wildcard(&self) -> bool {
        match self {
            Self::Any => true,
            Self::V4(address) => address.is_unspecified(),
            Self::V6 { address, .. } => {
                address.is_unspecified()
                    || address
                        .to_ipv4_mapped()
                        .is_some_and(|address| address.is_unspecified())
            }
            Self::Name(_) => false,
        }
    }

    /// Whether the address is reachable only from this host.
    pub(crate) fn is_loopback(&self) -> bool {
        match self {
            Self::V4(address) => address.is_loopback(),
            Self::V6 { address, .. } => {
                let mapped = address.to_ipv4_mapped();
                address.is_loopback() || mapped.is_some_and(|address| address.is_loopback())
            }
            Self::Any | Self::Name(_) => false,
        }
    }
}

/// Whether the name means this host (RFC 6761, and Debian's names for IPv6).
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("localhost")
        || name.ends_with(".localhost")
        || matches!(name.as_str(), "ip6-localhost" | "ip6-loopback")
}

impl fmt::Display for Host {
    /// Writes the host as it precedes a `:` and a port: an IPv6 address has brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::V4(address) => write!(f, "{address}"),
            Self::V6 {
                address,
                zone: None,
            } => write!(f, "[{address}]"),
            Self::V6 {
                address,
                zone: Some(zone),
            } => write!(f, "[{address}%{zone}]"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Port {
    /// A port from 1 to 65535.
    Number(u16),
    /// Any free port, for binding.
    Free,
}

/// An address. `Display` writes it as libzmq expects it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A process on this host or another one.
    Tcp {
        /// The host.
        host: Host,
        /// The port.
        port: Port,
    },
    /// A process on this host, by the path of a Unix socket.
    Ipc(String),
    /// This process, by a name.
    Inproc(String),
}

impl Endpoint {
    /// The address as a person types it: `192.168.1.12:5555`.
    #[must_use]
    pub fn typed(&self) -> String {
        match self {
            Self::Tcp { host, port } => format!("{host}:{port}"),
            Self::Ipc(_) | Self::Inproc(_) => self.to_string(),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Ipc(path) => write!(f, "ipc://{path}"),
            Self::Inproc(name) => write!(f, "inproc://{name}"),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Free => f.write_str("*"),
        }
    }
}

/// Parses an address. Whitespace around it is ignored. The error contains a valid example.
pub fn parse(text: &str, role: Role) -> Result<Endpoint> {
    let text = text.trim();
    if text.is_empty() {
        return refuse(format!(
            "invalid address '': it is empty; expected a host, for example {}",
            role.example()
        ));
    }
    if text.contains(char::is_control) {
        return refuse(format!(
            "invalid address {}: it contains a control character; expected an address such as {}:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    check_full_width(text)?;
    let Some((transport, rest)) = text.split_once("://") else {
        return tcp(text, role);
    };
    match transport.to_ascii_lowercase().as_str() {
        "tcp" => tcp(rest, role),
        "ipc" => ipc(rest, role),
        "inproc" => inproc(rest),
        _ => {
            // The example is the given address, if it is valid without its transport and path.
            let address = rest.split('/').next().unwrap_or_default();
            let example = tcp(address, role).map(|endpoint| endpoint.to_string());
            refuse(format!(
                "invalid transport {}: expected tcp://, ipc:// or inproc://, for example {}",
                quote(&format!("{transport}://")),
                example.unwrap_or_else(|_| format!("tcp://{}:{DEFAULT_PORT}", role.example()))
            ))
        }
    }
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Value(text.into()))
}

/// Rejects full-width forms, which Chinese and Japanese input methods produce instead of ASCII. The path
/// of an ipc address and the name of an inproc address may contain them.
fn check_full_width(text: &str) -> Result<()> {
    let ascii = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        '\u{3000}' => Some(' '),
        _ => None,
    };
    let allowed = ["ipc", "inproc"].iter().any(|transport| {
        text.split_once("://")
            .is_some_and(|(typed, _)| typed.eq_ignore_ascii_case(transport))
    });
    let full_width = text.chars().find_map(|c| Some((c, ascii(c)?)));
    let Some((wide, narrow)) = full_width.filter(|_| !allowed) else {
        return Ok(());
    };
    let meant: String = text.chars().map(|c| ascii(c).unwrap_or(c)).collect();
    refuse(format!(
        "invalid address {}: it contains the full-width character '{wide}'; use the ASCII character '{narrow}', for example {}",
        quote(text),
        quote(&meant)
    ))
}

fn ipc(path: &str, role: Role) -> Result<Endpoint> {
    if cfg!(windows) {
        return refuse(format!(
            "ipc:// is not available on Windows: use TCP, for example 127.0.0.1:{DEFAULT_PORT}"
        ));
    }
    if path.is_empty() {
        return refuse(
            "invalid address 'ipc://': it has no path; expected one, for example ipc:///tmp/room1",
        );
    }
    if path == "*" && role == Role::Connect {
        return refuse(
            "invalid address 'ipc://*': it is for binding only; use the path that the peer has bound, for example ipc:///tmp/room1",
        );
    }
    if path.len() > MAX_PATH_BYTES {
        return refuse(format!(
            "invalid ipc path {}: it is {} bytes long; expected at most {MAX_PATH_BYTES}, for example ipc:///tmp/room1",
            quote(path),
            path.len()
        ));
    }
    Ok(Endpoint::Ipc(path.to_owned()))
}

fn inproc(name: &str) -> Result<Endpoint> {
    if name.is_empty() {
        return refuse(
            "invalid address 'inproc://': it has no name; expected one, for example inproc://room1",
        );
    }
    if name.len() > MAX_INPROC_BYTES {
        return refuse(format!(
            "invalid inproc name {}: it is {} bytes long; expected at most {MAX_INPROC_BYTES}, for example inproc://room1",
            quote(name),
            name.len()
        ));
    }
    if name.starts_with(RESERVED_INPROC) {
        return refuse(format!(
            "invalid inproc name {}: names that begin with '{RESERVED_INPROC}' are reserved for ZeroMQ; use another one, for example inproc://room1",
            quote(name)
        ));
    }
    Ok(Endpoint::Inproc(name.to_owned()))
}

fn tcp(text: &str, role: Role) -> Result<Endpoint> {
    if text.contains(';') {
        return refuse(format!(
            "invalid address {}: it contains a ';'; expected one address without a source address, for example {}:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    let (host, port) = split_port(text, role)?;
    if host.is_empty() {
        return refuse(format!(
            "invalid address {}: it has no host; expected one before the port, for example {}:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    // The port is checked first, because an invalid port is the more frequent mistake.
    let port = match port {
        None => Port::Number(DEFAULT_PORT),
        Some(port) => parse_port(port, host, role)?,
    };
    let host = parse_host(host, role)?;
    if role == Role::Connect && host.is_wildcard() {
        return refuse(format!(
            "invalid address {}: it means all interfaces of this host and is for binding only; use the address of the peer, for example 192.168.1.12, or 127.0.0.1 for this host",
            quote(text)
        ));
    }
    Ok(Endpoint::Tcp { host, port })
}

/// Splits `host:port`, `[v6]:port` or a bare host. The host keeps its brackets.
fn split_port(text: &str, role: Role) -> Result<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return refuse(format!(
                "invalid address {}: ']' is missing; expected it after the IPv6 address, for example [fe80::1]:{DEFAULT_PORT}",
                quote(text)
            ));
        };
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => refuse(format!(
                "invalid address {}: {} follows the ']'; expected only a port, for example [fe80::1]:{DEFAULT_PORT}",
                quote(text),
                quote(rest)
            )),
        };
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Ok((text, None));
    };
    if !host.contains(':') {
        return Ok((host, Some(port)));
    }
    if parse_v6(text).is_none() {
        return refuse(format!(
            "invalid address {}: it has more than one ':'; expected one host and one port, for example {}:{DEFAULT_PORT}, or an IPv6 address in brackets, for example [fe80::1]:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    // By the standard, `fe80::1:5555` is an address. Most users mean an address and a port.
    if matches!(port.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.len() == 3 && rest.iter().all(u8::is_ascii_digit))
        && parse_v6(host).is_some()
    {
        return refuse(format!(
            "invalid address {}: it is ambiguous; use [{host}]:{port} for port {port}, or [{text}] for an address that ends in {port}",
            quote(text)
        ));
    }
    Ok((text, None))
}

/// Parses a port. `host` is only for the example in the error.
fn parse_port(text: &str, host: &str, role: Role) -> Result<Port> {
    let expected = || {
        let host = if parse_host(host, role).is_ok() {
            host
        } else {
            role.example()
        };
        format!("expected 1 to 65535, for example {host}:{DEFAULT_PORT}")
    };
    let free = matches!(text, "0" | "*");
    if free && role == Role::Bind {
        return Ok(Port::Free);
    }
    if free {
        return refuse(format!(
            "invalid port '{text}': it means any free port and is for binding only; use the port that the peer has bound: {}",
            expected()
        ));
    }
    if text.is_empty() {
        return refuse(format!(
            "invalid port '': {}; without the ':' the port is {DEFAULT_PORT}",
            expected()
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(format!("invalid port {}: {}", quote(text), expected()));
    }
    if text.starts_with('0') {
        return refuse(format!(
            "invalid port {}: it starts with a zero; {}",
            quote(text),
            expected()
        ));
    }
    text.parse().map(Port::Number).or_else(|_| {
        refuse(format!(
            "invalid port {}: it is out of range; {}",
            quote(text),
            expected()
        ))
    })
}

/// Parses a host. An IPv6 address may have brackets.
fn parse_host(text: &str, role: Role) -> Result<Host> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        return parse_v6(inner).map_or_else(
            || {
                refuse(format!(
                    "invalid IPv6 address {}: expected one in the brackets, for example [fe80::1]:{DEFAULT_PORT}; write other hosts without brackets",
                    quote(inner)
                ))
            },
            Ok,
        );
    }
    if let Some(host) = parse_v6(text) {
        return Ok(host);
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        // The example has the number as its port, if it is a valid one.
        let port = text.parse().ok().filter(|port| *port > 0);
        return refuse(format!(
            "invalid host {}: write a host and a ':' before a port, for example {}:{}",
            quote(text),
            role.example(),
            port.unwrap_or(DEFAULT_PORT)
        ));
    }
    if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        return text.parse().map(Host::V4).or_else(|_| {
            refuse(format!(
                "invalid IP address {}: expected four numbers from 0 to 255 without leading zeros, for example 192.168.1.12",
                quote(text)
            ))
        });
    }
    // The dot at the end of a fully qualified name, which hosts files do not contain.
    let name = match text.strip_suffix('.') {
        Some(name) if !name.is_empty() => name,
        _ => text,
    };
    check_name(name).map_or_else(
        || Ok(Host::Name(name.to_owned())),
        |reason| {
            refuse(format!(
                "invalid host {}: {reason}; expected a name such as lab-pc, or an IP address such as 192.168.1.12",
                quote(text)
            ))
        },
    )
}

/// Parses an IPv6 address without brackets, with or without a zone.
fn parse_v6(text: &str) -> Option<Host> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address = address.parse().ok()?;
    // libzmq uses a zone that starts with a letter as a name, and reads others with `atoi`.
    let well_formed = |zone: &str| {
        zone.bytes().all(|byte| byte.is_ascii_digit())
            || zone.starts_with(|c: char| c.is_ascii_alphabetic())
                && zone
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    if zone
        .is_some_and(|zone| zone.is_empty() || zone.len() > MAX_LABEL_BYTES || !well_formed(zone))
    {
        return None;
    }
    Some(Host::V6 {
        address,
        zone: zone.map(str::to_owned),
    })
}

/// The reason why this is not the name of a host or an interface; `None` for a valid name.
fn check_name(name: &str) -> Option<&'static str> {
    let invalid = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(c) = name.chars().find(|c| invalid(*c)) {
        return Some(match c {
            c if c.is_whitespace() => "it contains a space",
            '/' => "it contains a '/' (a path starts with ipc://)",
            c if !c.is_ascii() => "it contains a letter that is not ASCII (use the IP address)",
            _ => "a name consists of letters, digits, '-', '_' and '.'",
        });
    }
    if name.len() > MAX_NAME_BYTES {
        return Some("it is longer than 253 characters");
    }
    for label in name.split('.') {
        if label.is_empty() {
            return Some("a part before or after a '.' is empty");
        }
        if label.len() > MAX_LABEL_BYTES {
            return Some("a part of it is longer than 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Some("a part of it starts or ends with '-'");
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
