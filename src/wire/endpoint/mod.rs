//! Addresses, as a person types them and as libzmq wants them.
//!
//! libzmq takes port 99999 for 34463 and `55x5` for 55, and a NUL never reaches it, so the parser is
//! strict: what it lets through is well formed, and what it refuses it answers with what to type.

use crate::error::{Error, Result};
use crate::wire::printable::quote;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The port of an address that names none.
pub const DEFAULT_PORT: u16 = 5555;

/// The longest path of a Unix socket: `sun_path` without its final NUL.
const MAX_PATH_BYTES: usize = if cfg!(any(target_os = "linux", target_os = "android")) {
    107
} else {
    103
};
const MAX_INPROC_BYTES: usize = 256;
/// libzmq connects to such names itself and expects a socket of a certain type: with another one at
/// `inproc://zeromq.zap.01`, the next TCP connection aborts the process.
const RESERVED_INPROC: &str = "zeromq.";

/// RFC 1035, section 2.3.4, without the length bytes.
const MAX_NAME_BYTES: usize = 253;
const MAX_LABEL_BYTES: usize = 63;

/// What the address is for: `*` and port 0 make sense only where one binds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Others come to this address.
    Bind,
    /// We go to this address.
    Connect,
}

impl Role {
    /// A host that works in this role, for the texts of errors.
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
    /// All interfaces, for binding: `*`.
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
    /// The name of a computer, or, for binding, of a network interface.
    Name(String),
}

impl Host {
    /// Whether this is "every interface", in any of its spellings.
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

    /// Whether only this host reaches it.
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

/// Whether it is a name that means this host alone (RFC 6761, and Debian's names for IPv6).
pub(crate) fn is_localhost(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    name.starts_with("localhost")
        || name.ends_with(".localhost")
        || matches!(name.as_str(), "ip6-localhost" | "ip6-loopback")
}

impl fmt::Display for Host {
    /// Ready for a `:` and a port: an IPv6 address stands in brackets.
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
    /// This one, 1 to 65535.
    Number(u16),
    /// Any that is free, for binding.
    Free,
}

/// An address. `Display` writes it as libzmq wants it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// Another process, here or elsewhere.
    Tcp {
        /// The host.
        host: Host,
        /// The port.
        port: Port,
    },
    /// A process on this computer, by the path of a Unix socket.
    Ipc(String),
    /// This process, by a name of its own.
    Inproc(String),
}

impl Endpoint {
    /// What a person types to get this address: `192.168.1.12:5555`.
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

/// Reads an address; whitespace around it is no part of it. The error says what to type instead.
pub fn parse(text: &str, role: Role) -> Result<Endpoint> {
    let text = text.trim();
    if text.is_empty() {
        return refuse(format!(
            "the address is empty: type a host, for example {}",
            role.example()
        ));
    }
    if text.contains(char::is_control) {
        return refuse(format!(
            "the address {} holds a control character: type it by hand, for example {}:{DEFAULT_PORT}",
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
            // What was typed, where it can be an address without its transport and path.
            let address = rest.split('/').next().unwrap_or_default();
            let example = tcp(address, role).map(|endpoint| endpoint.to_string());
            refuse(format!(
                "{} is not a transport that works here: use tcp://, ipc:// or inproc://, for example {}",
                quote(&format!("{transport}://")),
                example.unwrap_or_else(|_| format!("tcp://{}:{DEFAULT_PORT}", role.example()))
            ))
        }
    }
}

fn refuse<T>(text: impl Into<String>) -> Result<T> {
    Err(Error::Value(text.into()))
}

/// Refuses full-width forms, which keyboards for Chinese and Japanese type in place of ASCII. Paths
/// and names within the process may hold them.
fn check_full_width(text: &str) -> Result<()> {
    let ascii = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0),
        '\u{3002}' | '\u{ff61}' => Some('.'),
        '\u{3000}' => Some(' '),
        _ => None,
    };
    let free = ["ipc", "inproc"].iter().any(|transport| {
        text.split_once("://")
            .is_some_and(|(typed, _)| typed.eq_ignore_ascii_case(transport))
    });
    let found = text.chars().find_map(|c| Some((c, ascii(c)?)));
    let Some((wide, narrow)) = found.filter(|_| !free) else {
        return Ok(());
    };
    let meant: String = text.chars().map(|c| ascii(c).unwrap_or(c)).collect();
    refuse(format!(
        "{} holds the full-width character '{wide}': type the ASCII character '{narrow}' instead, for example {}",
        quote(text),
        quote(&meant)
    ))
}

fn ipc(path: &str, role: Role) -> Result<Endpoint> {
    if cfg!(windows) {
        return refuse(format!(
            "ipc:// does not work on Windows: use TCP, for example 127.0.0.1:{DEFAULT_PORT}"
        ));
    }
    if path.is_empty() {
        return refuse("the path after ipc:// is empty: type one, for example ipc:///tmp/room1");
    }
    if path == "*" && role == Role::Connect {
        return refuse(
            "ipc://* is for binding only: type the path that the other side bound, for example ipc:///tmp/room1",
        );
    }
    if path.len() > MAX_PATH_BYTES {
        return refuse(format!(
            "the path {} is {} bytes long and {MAX_PATH_BYTES} is the most for ipc://: type a shorter one, for example ipc:///tmp/room1",
            quote(path),
            path.len()
        ));
    }
    Ok(Endpoint::Ipc(path.to_owned()))
}

fn inproc(name: &str) -> Result<Endpoint> {
    if name.is_empty() {
        return refuse("the name after inproc:// is empty: type one, for example inproc://room1");
    }
    if name.len() > MAX_INPROC_BYTES {
        return refuse(format!(
            "the name {} is {} bytes long and {MAX_INPROC_BYTES} is the most for inproc://: type a shorter one, for example inproc://room1",
            quote(name),
            name.len()
        ));
    }
    if name.starts_with(RESERVED_INPROC) {
        return refuse(format!(
            "invalid name {} after inproc://: names that begin with '{RESERVED_INPROC}' are reserved for ZeroMQ; use another one, for example inproc://room1",
            quote(name)
        ));
    }
    Ok(Endpoint::Inproc(name.to_owned()))
}

fn tcp(text: &str, role: Role) -> Result<Endpoint> {
    if text.contains(';') {
        return refuse(format!(
            "{} holds a ';': give one address, without a source address, for example {}:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    let (host, port) = split_port(text, role)?;
    if host.is_empty() {
        return refuse(format!(
            "the host before the port is missing in {}: type one, for example {}:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    // The port first: what stands before a bad port is seldom the trouble.
    let port = match port {
        None => Port::Number(DEFAULT_PORT),
        Some(port) => parse_port(port, host, role)?,
    };
    let host = parse_host(host, role)?;
    if role == Role::Connect && host.is_wildcard() {
        return refuse(format!(
            "{} means every interface of this computer, which is for binding only: type the other laptop's address, for example 192.168.1.12, or 127.0.0.1 for this computer",
            quote(text)
        ));
    }
    Ok(Endpoint::Tcp { host, port })
}

/// Splits `host:port`, `[v6]:port` or a bare host; brackets stay with the host.
fn split_port(text: &str, role: Role) -> Result<(&str, Option<&str>)> {
    if text.starts_with('[') {
        let Some(end) = text.find(']') else {
            return refuse(format!(
                "the '[' in {} is never closed: type ']' behind the address, for example [fe80::1]:{DEFAULT_PORT}",
                quote(text)
            ));
        };
        let (host, rest) = text.split_at(end + 1);
        return match rest.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if rest.is_empty() => Ok((host, None)),
            None => refuse(format!(
                "{} follows the ']' in {}: only a port may, for example [fe80::1]:{DEFAULT_PORT}",
                quote(rest),
                quote(text)
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
            "{} has more than one ':': type one host and one port, for example {}:{DEFAULT_PORT}, and an IPv6 address with a port in brackets, for example [fe80::1]:{DEFAULT_PORT}",
            quote(text),
            role.example()
        ));
    }
    // `fe80::1:5555` is one address to the standard, and two things to most who type it.
    if matches!(port.as_bytes(), [b'1'..=b'9', rest @ ..] if rest.len() == 3 && rest.iter().all(u8::is_ascii_digit))
        && parse_v6(host).is_some()
    {
        return refuse(format!(
            "{} can be read in two ways: use brackets, [{host}]:{port} for port {port}, or [{text}] for an address that ends in {port}",
            quote(text)
        ));
    }
    Ok((text, None))
}

/// `host` is for the example in the error alone.
fn parse_port(text: &str, host: &str, role: Role) -> Result<Port> {
    let advice = || {
        let host = if parse_host(host, role).is_ok() {
            host
        } else {
            role.example()
        };
        format!("use a number from 1 to 65535, for example {host}:{DEFAULT_PORT}")
    };
    let free = matches!(text, "0" | "*");
    if free && role == Role::Bind {
        return Ok(Port::Free);
    }
    if free {
        return refuse(format!(
            "port {text} means any free port, which is for binding only: type the port that the other side shows, {}",
            advice()
        ));
    }
    if text.is_empty() {
        return refuse(format!(
            "the port after the ':' is missing: {}, or leave the ':' away for port {DEFAULT_PORT}",
            advice()
        ));
    }
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse(format!("{} is not a port: {}", quote(text), advice()));
    }
    if text.starts_with('0') {
        return refuse(format!(
            "port {} starts with a zero: {}",
            quote(text),
            advice()
        ));
    }
    text.parse().map(Port::Number).or_else(|_| {
        refuse(format!(
            "port {} is out of range: {}",
            // All digits, so it needs no quotes unless it is absurdly long.
            if text.len() > 9 {
                quote(text)
            } else {
                text.to_owned()
            },
            advice()
        ))
    })
}

/// Reads a host; an IPv6 address may stand in brackets.
fn parse_host(text: &str, role: Role) -> Result<Host> {
    if text == "*" {
        return Ok(Host::Any);
    }
    if let Some(inner) = text.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or(inner);
        return parse_v6(inner).map_or_else(
            || {
                refuse(format!(
                    "{} is not an IPv6 address: type one in the brackets, for example [fe80::1]:{DEFAULT_PORT}, and anything else without brackets",
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
        // What was typed, where it can be a port.
        let port = text.parse().ok().filter(|port| *port > 0);
        return refuse(format!(
            "{} is not a host: to name a port, type the host and a ':' before it, for example {}:{}",
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
                "{} is not an IP address: type four numbers from 0 to 255, without leading zeros, for example 192.168.1.12",
                quote(text)
            ))
        });
    }
    // The dot of a fully qualified name, which files of hosts do not have.
    let name = match text.strip_suffix('.') {
        Some(name) if !name.is_empty() => name,
        _ => text,
    };
    check_name(name).map_or_else(
        || Ok(Host::Name(name.to_owned())),
        |why| {
            refuse(format!(
                "{} is not a host: {why}; type a name such as lab-pc, or an IP address such as 192.168.1.12",
                quote(text)
            ))
        },
    )
}

/// An IPv6 address without brackets, with or without a zone.
fn parse_v6(text: &str) -> Option<Host> {
    let (address, zone) = match text.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (text, None),
    };
    let address = address.parse().ok()?;
    // libzmq takes a zone that starts with a letter for a name, and reads any other with `atoi`.
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

/// What is wrong with the name of a computer or an interface, if anything.
fn check_name(name: &str) -> Option<&'static str> {
    let stranger = |c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c));
    if let Some(c) = name.chars().find(|c| stranger(*c)) {
        return Some(match c {
            c if c.is_whitespace() => "it holds a space",
            '/' => "it holds a '/' (a path starts with ipc://)",
            c if !c.is_ascii() => "it holds a letter that is not ASCII, so use its IP address",
            _ => "a name is made of letters, digits, '-', '_' and '.'",
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
