//! The addresses of this machine, best first: what another laptop on the network can type.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// What kind of interface an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A network that other machines are on.
    Lan,
    /// Docker, a virtual machine, a VPN: seldom what the neighbour can reach.
    Virtual,
    /// This machine alone.
    Loopback,
}

impl Kind {
    /// The name that Python sees.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lan => "lan",
            Self::Virtual => "virtual",
            Self::Loopback => "loopback",
        }
    }
}

/// One address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Local {
    /// The address.
    pub address: Ipv4Addr,
    /// The interface's name, such as `eth0`.
    pub interface: String,
    /// What kind of interface it is.
    pub kind: Kind,
}

/// How the names of interfaces begin that lead to no neighbour.
const VIRTUAL: [&str; 14] = [
    "docker",
    "br-",
    "veth",
    "virbr",
    "vmnet",
    "vboxnet",
    "vethernet",
    "tun",
    "tap",
    "wg",
    "utun",
    "tailscale",
    "zt",
    "cni",
];

fn kind(interface: &str, address: Ipv4Addr) -> Kind {
    let name = interface.to_lowercase();
    if address.is_loopback() {
        Kind::Loopback
    } else if VIRTUAL.iter().any(|start| name.starts_with(start)) {
        Kind::Virtual
    } else {
        Kind::Lan
    }
}

/// The address that packets to the outside would come from. A UDP socket that is connected but
/// never written to sends nothing; 192.0.2.1 is set aside for documentation (RFC 5737).
fn outward() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

/// All IPv4 addresses: those on a LAN first, and among these private ones and the one that leads
/// outward; loopback last. (Sockets are bound with IPv4 unless an IPv6 address is asked for.)
#[must_use]
pub fn local() -> Vec<Local> {
    let outward = outward();
    let mut found: Vec<Local> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(Local {
                address,
                kind: kind(&interface.name, address),
                interface: interface.name,
            }),
            IpAddr::V6(_) => None,
        })
        .collect();
    found.sort_by_key(|local| {
        (
            local.kind,
            local.address.is_link_local(),
            !local.address.is_private(),
            Some(local.address) != outward,
        )
    });
    found
}

/// The zone of an IPv6 address by the number of its interface: the name, as libzmq reports it.
pub(crate) fn zone(index: u32) -> String {
    let mut all = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    all.find(|interface| interface.index == Some(index))
        .map_or_else(|| index.to_string(), |interface| interface.name)
}

/// The first IPv4 address of the interface with this name, as libzmq would choose; `None` when no
/// interface is called so.
pub(crate) fn of_interface(name: &str) -> std::io::Result<Option<Ipv4Addr>> {
    let all = if_addrs::get_if_addrs()?;
    Ok(all.into_iter().find_map(|interface| match interface.ip() {
        IpAddr::V4(address) if interface.name == name => Some(address),
        _ => None,
    }))
}

#[cfg(test)]
mod tests {
    use super::{kind, local, Kind};
    use std::net::Ipv4Addr;

    #[test]
    fn kinds_are_told_by_name_and_address() {
        let lan = Ipv4Addr::new(192, 168, 1, 12);
        assert_eq!(kind("eth0", lan), Kind::Lan);
        assert_eq!(kind("wlp3s0", lan), Kind::Lan);
        assert_eq!(kind("docker0", lan), Kind::Virtual);
        assert_eq!(kind("lo", Ipv4Addr::LOCALHOST), Kind::Loopback);
    }

    #[test]
    fn loopback_comes_last() {
        let all = local();
        let first = all.iter().position(|local| local.kind == Kind::Loopback);
        if let Some(first) = first {
            assert!(all[first..]
                .iter()
                .all(|local| local.kind == Kind::Loopback));
        }
    }
}
