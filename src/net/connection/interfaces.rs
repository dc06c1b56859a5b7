//! The addresses of this machine, best first, for use on other hosts of the network.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
#[cfg(unix)]
use std::path::Path;

/// What kind of interface an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum InterfaceKind {
    /// A local network.
    Lan,
    /// Docker, a virtual machine or a VPN: other hosts can seldom reach it.
    Virtual,
    /// This machine only.
    Loopback,
}

impl InterfaceKind {
    /// The name that Python uses.
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
pub struct LocalAddress {
    /// The address.
    pub address: Ipv4Addr,
    /// The interface's name, such as `eth0`.
    pub interface: String,
    /// What kind of interface it is.
    pub kind: InterfaceKind,
}

/// Windows reports no flags. Adapters whose names have these prefixes do not lead to a local network.
#[cfg(windows)]
const VIRTUAL: [&str; 8] = [
    "vethernet",
    "vmware",
    "virtualbox",
    "tap",
    "openvpn",
    "wireguard",
    "tailscale",
    "zerotier",
];

/// The kind of an interface by its name, on Windows.
#[cfg(windows)]
fn kind(name: &str, address: Ipv4Addr) -> InterfaceKind {
    let name = name.to_lowercase();
    if address.is_loopback() {
        InterfaceKind::Loopback
    } else if VIRTUAL.iter().any(|start| name.starts_with(start)) {
        InterfaceKind::Virtual
    } else {
        InterfaceKind::Lan
    }
}

/// The kind of an interface by the kernel's flags. A tunnel (VPN) has one peer, which it finds
/// without ARP. `physical`: whether the interface belongs to a network card, if that is known.
#[cfg(unix)]
fn kind(flags: u32, physical: Option<bool>, address: Ipv4Addr) -> InterfaceKind {
    #[allow(clippy::cast_sign_loss)] // two bits, far from the sign
    const TUNNEL: u32 = (libc::IFF_POINTOPOINT | libc::IFF_NOARP) as u32;
    if address.is_loopback() {
        InterfaceKind::Loopback
    } else if flags & TUNNEL != 0 || physical == Some(false) {
        InterfaceKind::Virtual
    } else {
        InterfaceKind::Lan
    }
}

/// Where Linux describes the interfaces.
#[cfg(unix)]
const DESCRIPTIONS: &str = "/sys/class/net";

/// Whether an interface leads to a network card: it is one, it is built on one (a bridge, a VLAN,
/// a bond), or it is a container's end of a pair. A bridge of containers or virtual machines does not,
/// nor does a TAP device. `None` if the kernel does not describe the interface.
#[cfg(unix)]
fn is_physical(descriptions: &Path, name: &str) -> Option<bool> {
    let folder = descriptions.join(name);
    if !folder.is_dir() {
        return None;
    }
    let number = |file: &str| std::fs::read_to_string(folder.join(file)).ok();
    let (index, link) = (number("ifindex"), number("iflink"));
    Some(has_a_card_below(descriptions, name, 0) || index != link)
}

#[cfg(unix)]
fn has_a_card_below(descriptions: &Path, name: &str, depth: u8) -> bool {
    const DEEPEST: u8 = 5;
    let folder = descriptions.join(name);
    if folder.join("device").exists() {
        return true;
    }
    let Ok(entries) = std::fs::read_dir(folder) else {
        return false;
    };
    entries.flatten().any(|entry| {
        let entry = entry.file_name();
        let lower = entry
            .to_str()
            .and_then(|entry| entry.strip_prefix("lower_"));
        depth < DEEPEST
            && lower.is_some_and(|lower| has_a_card_below(descriptions, lower, depth + 1))
    })
}

/// The source address of packets to other networks. Connecting a UDP socket sends no packet.
/// 192.0.2.1 is reserved for documentation (RFC 5737).
fn outward() -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(address) if !address.is_unspecified() => Some(address),
        _ => None,
    }
}

/// All IPv4 addresses: LAN addresses first, among these private ones and the one that leads to other
/// networks; loopback last. Sockets are bound with IPv4 unless the user types an IPv6 address.
#[must_use]
pub fn local() -> Vec<LocalAddress> {
    let outward = outward();
    #[cfg(unix)]
    let flags = crate::util::interface_flags::interface_flags();
    #[cfg(unix)]
    let kind = |name: &str, address| {
        let physical = is_physical(Path::new(DESCRIPTIONS), name);
        kind(flags.get(name).copied().unwrap_or(0), physical, address)
    };
    let mut found: Vec<LocalAddress> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .filter_map(|interface| match interface.ip() {
            IpAddr::V4(address) => Some(LocalAddress {
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

/// The zone of an IPv6 address: the name of the interface with this number, as libzmq reports it.
pub(crate) fn zone(index: u32) -> String {
    let mut all = if_addrs::get_if_addrs().unwrap_or_default().into_iter();
    all.find(|interface| interface.index == Some(index))
        .map_or_else(|| index.to_string(), |interface| interface.name)
}

/// The first IPv4 address of the interface with this name, as libzmq would choose it; `None` if no
/// interface has this name.
pub(crate) fn of_interface(name: &str) -> std::io::Result<Option<Ipv4Addr>> {
    let all = if_addrs::get_if_addrs()?;
    Ok(all.into_iter().find_map(|interface| match interface.ip() {
        IpAddr::V4(address) if interface.name == name => Some(address),
        _ => None,
    }))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, clippy::cast_sign_loss)]
mod tests {
    use super::{is_physical, kind, local, InterfaceKind};
    use std::net::Ipv4Addr;
    use std::path::{Path, PathBuf};

    const LAN: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 12);

    #[test]
    fn kinds_follow_from_flags_and_address() {
        let ordinary = (libc::IFF_UP | libc::IFF_BROADCAST) as u32;
        assert_eq!(kind(ordinary, None, LAN), InterfaceKind::Lan);
        assert_eq!(kind(ordinary, Some(true), LAN), InterfaceKind::Lan);
        assert_eq!(kind(ordinary, Some(false), LAN), InterfaceKind::Virtual);
        for tunnel in [libc::IFF_POINTOPOINT, libc::IFF_NOARP] {
            let flags = ordinary | tunnel as u32;
            assert_eq!(kind(flags, Some(true), LAN), InterfaceKind::Virtual);
            assert_eq!(
                kind(flags, None, Ipv4Addr::LOCALHOST),
                InterfaceKind::Loopback
            );
        }
    }

    /// What a kernel describes: each interface with its link and the interfaces below it.
    fn described(mark: &str, interfaces: &[(&str, u32, u32, &[&str])]) -> PathBuf {
        let all = std::env::temp_dir().join(format!("zmqchat-{}-{mark}", std::process::id()));
        for (name, index, link, entries) in interfaces {
            let folder = all.join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("ifindex"), format!("{index}\n")).unwrap();
            std::fs::write(folder.join("iflink"), format!("{link}\n")).unwrap();
            for entry in *entries {
                std::fs::create_dir(folder.join(entry)).unwrap();
            }
        }
        all
    }

    #[test]
    fn an_interface_is_physical_if_it_leads_to_a_network_card() {
        let all = described(
            "cards",
            &[
                ("enp3s0", 2, 2, &["device"]),
                ("bond0", 3, 3, &["lower_enp3s0"]),
                ("bond0.7", 4, 3, &["lower_bond0"]),
                ("br0", 5, 5, &["lower_enp3s0", "lower_veth1"]),
                ("docker0", 6, 6, &["lower_veth1"]),
                ("lxdbr0", 7, 7, &[]),
                ("veth1", 8, 20, &["upper_docker0"]),
                ("tap0", 9, 9, &[]),
                // A container's end of a pair, all that it has.
                ("eth0", 10, 11, &[]),
                ("loop1", 12, 12, &["lower_loop1"]),
            ],
        );
        let physical = |name: &str| is_physical(Path::new(&all), name);
        for name in ["enp3s0", "bond0", "bond0.7", "br0", "eth0"] {
            assert_eq!(physical(name), Some(true), "{name}");
        }
        for name in ["docker0", "lxdbr0", "tap0", "loop1"] {
            assert_eq!(physical(name), Some(false), "{name}");
        }
        assert_eq!(physical("nothing"), None);
        std::fs::remove_dir_all(all).unwrap();
    }

    #[test]
    fn loopback_comes_last() {
        let all = local();
        let first = all
            .iter()
            .position(|local| local.kind == InterfaceKind::Loopback);
        if let Some(first) = first {
            assert!(all[first..]
                .iter()
                .all(|local| local.kind == InterfaceKind::Loopback));
        }
    }
}
