//! The host of a TCP address: an IP address, a name, or every interface.

use crate::error::Result;
use crate::wire::endpoint::{refuse, Role, DEFAULT_PORT};
use crate::wire::quote;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// RFC 1035, section 2.3.4, without the length bytes.
pub(crate) const MAX_NAME_BYTES: usize = 253;
pub(crate) const MAX_LABEL_BYTES: usize = 63;

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
}

impl Host {
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

/// Reads a host; an IPv6 address may stand in brackets.
pub(crate) fn parse_host(text: &str, role: Role) -> Result<Host> {
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
pub(crate) fn parse_v6(text: &str) -> Option<Host> {
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
