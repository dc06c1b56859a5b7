//! Endpoints that a socket is bound to, as libzmq writes them.

use crate::net::connection::interfaces::{self, InterfaceKind};
use std::net::IpAddr;

/// Whether two endpoints need the same listener, judging by their texts: the same TCP port, unless at
/// two different addresses (a wildcard overlaps with any address), or the same name.
pub(crate) fn same_listener(one: &str, other: &str) -> bool {
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

/// The endpoint through which this host connects to a bound one: a wildcard becomes loopback.
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

/// What a person types on another host to connect to a bound endpoint. For a wildcard, these are the
/// addresses of this host, best first.
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
    let lan: Vec<_> = all
        .iter()
        .filter(|local| local.kind == InterfaceKind::Lan)
        .collect();
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
    use super::{connectable, reachable, same_listener};

    #[test]
    fn listeners_collide_by_port() {
        assert!(same_listener("tcp://0.0.0.0:5555", "tcp://127.0.0.1:5555"));
        assert!(same_listener("tcp://eth0:5555", "tcp://127.0.0.1:5555"));
        assert!(same_listener("tcp://[::]:5555", "tcp://127.0.0.1:5555"));
        assert!(same_listener("tcp://[::1]:5555", "tcp://[::1]:5555"));
        assert!(!same_listener(
            "tcp://127.0.0.2:5555",
            "tcp://127.0.0.1:5555"
        ));
        assert!(!same_listener("tcp://0.0.0.0:5555", "tcp://0.0.0.0:5556"));
        assert!(same_listener("inproc://a", "inproc://a"));
        assert!(!same_listener("inproc://a", "tcp://127.0.0.1:1"));
    }

    #[test]
    fn this_host_connects_to_a_wildcard_through_loopback() {
        assert_eq!(connectable("tcp://0.0.0.0:6000"), "tcp://127.0.0.1:6000");
        assert_eq!(connectable("tcp://[::]:6000"), "tcp://[::1]:6000");
        assert_eq!(connectable("tcp://10.0.0.1:6000"), "tcp://10.0.0.1:6000");
        assert_eq!(connectable("ipc:///tmp/x"), "ipc:///tmp/x");
    }

    #[test]
    fn a_wildcard_becomes_the_addresses_of_this_host() {
        assert_eq!(reachable("tcp://192.168.1.12:6000"), ["192.168.1.12:6000"]);
        assert_eq!(reachable("inproc://x"), ["inproc://x"]);
        let all = reachable("tcp://0.0.0.0:6000");
        assert!(!all.is_empty());
        assert!(all
            .iter()
            .all(|one| one.ends_with(":6000") && !one.starts_with("0.0")));
    }
}
