//! Valid and invalid addresses, and the errors of the invalid ones.

use crate::wire::endpoint::*;
use crate::wire::printable::is_unprintable;
use proptest::prelude::*;

fn shown(text: &str, role: Role) -> String {
    match parse(text, role) {
        Ok(endpoint) => endpoint.to_string(),
        Err(error) => panic!("{text:?} as {role:?}: {error}"),
    }
}

fn error_of(text: &str, role: Role) -> String {
    match parse(text, role) {
        Err(Error::Value(message)) => message,
        other => panic!("{text:?} as {role:?}: {other:?}"),
    }
}

#[test]
fn a_typed_address_becomes_an_endpoint_of_libzmq() {
    for (text, expected) in [
        ("192.168.1.12", "tcp://192.168.1.12:5555"),
        ("  192.168.1.12:6000\n", "tcp://192.168.1.12:6000"),
        ("lab-pc:6000", "tcp://lab-pc:6000"),
        ("LAB_pc.local", "tcp://LAB_pc.local:5555"),
        ("lab-pc.example.org.:6000", "tcp://lab-pc.example.org:6000"),
        ("lab-pc.", "tcp://lab-pc:5555"),
        ("ipc:///tmp/房间：1", "ipc:///tmp/房间：1"),
        ("tcp://localhost:1", "tcp://localhost:1"),
        ("TCP://localhost:65535", "tcp://localhost:65535"),
        ("eth0.100:7", "tcp://eth0.100:7"),
        ("::1", "tcp://[::1]:5555"),
        ("fe80::1", "tcp://[fe80::1]:5555"),
        ("fe80::1%eth0", "tcp://[fe80::1%eth0]:5555"),
        ("[fe80::1%eth0]:6000", "tcp://[fe80::1%eth0]:6000"),
        ("[FE80:0::1%3]", "tcp://[fe80::1%3]:5555"),
        ("[fe80::1:5555]", "tcp://[fe80::1:5555]:5555"),
        (
            "2001:db8:1:2:3:4:5:5555",
            "tcp://[2001:db8:1:2:3:4:5:5555]:5555",
        ),
        ("inproc://room 1", "inproc://room 1"),
        ("inproc://zeromq", "inproc://zeromq"),
    ] {
        for role in [Role::Bind, Role::Connect] {
            assert_eq!(shown(text, role), expected);
        }
    }
}

#[test]
fn binding_accepts_wildcards_and_free_ports() {
    for (text, expected, typed) in [
        ("*", "tcp://*:5555", "*:5555"),
        ("*:0", "tcp://*:*", "*:*"),
        ("tcp://*:*", "tcp://*:*", "*:*"),
        ("eth0:*", "tcp://eth0:*", "eth0:*"),
        ("0.0.0.0", "tcp://0.0.0.0:5555", "0.0.0.0:5555"),
        ("[::]:0", "tcp://[::]:*", "[::]:*"),
        ("::", "tcp://[::]:5555", "[::]:5555"),
    ] {
        assert_eq!(shown(text, Role::Bind), expected);
        assert_eq!(parse(text, Role::Bind).unwrap().typed(), typed);
    }
}

/// Addresses that `Role::Connect` rejects, and two parts of each error.
const INVALID: &[(&str, [&str; 2])] = &[
    ("", ["it is empty", "192.168.1.12"]),
    (" \t", ["it is empty", "192.168.1.12"]),
    (":5555", ["it has no host", "192.168.1.12:5555"]),
    ("tcp://", ["it has no host", "192.168.1.12:5555"]),
    ("lab-pc:", ["invalid port ''", "lab-pc:5555"]),
    (
        "192.168.1.12:99999",
        [
            "invalid port '99999': it is out of range; expected 1 to 65535",
            "192.168.1.12:5555",
        ],
    ),
    ("x:65536", ["port '65536': it is out of range", "x:5555"]),
    ("x:18446744073709551617", ["is out of range", "x:5555"]),
    (
        "x:55x5",
        ["invalid port '55x5': expected 1 to 65535", "x:5555"],
    ),
    ("x:-1", ["invalid port '-1'", "1 to 65535"]),
    ("x:+1", ["invalid port '+1'", "1 to 65535"]),
    ("x:5555/", ["invalid port '5555/'", "x:5555"]),
    ("x: 5555", ["invalid port ' 5555'", "x:5555"]),
    ("x:٥", ["invalid port", "x:5555"]),
    (
        "a b:55x5",
        [
            "invalid port '55x5': expected 1 to 65535",
            "192.168.1.12:5555",
        ],
    ),
    ("x:05555", ["starts with a zero", "x:5555"]),
    ("x:0", ["is for binding only", "x:5555"]),
    ("x:*", ["is for binding only", "x:5555"]),
    (
        "5555",
        ["write a host and a ':' before a port", "192.168.1.12:5555"],
    ),
    (
        "192.168.1.300",
        ["four numbers from 0 to 255", "192.168.1.12"],
    ),
    ("192.168.1", ["four numbers from 0 to 255", "192.168.1.12"]),
    ("192.168.01.1", ["without leading zeros", "192.168.1.12"]),
    ("192.168.1.12.", ["four numbers", "192.168.1.12"]),
    ("*", ["use the address of the peer", "127.0.0.1"]),
    ("*:5555", ["use the address of the peer", "127.0.0.1"]),
    ("0.0.0.0:5555", ["use the address of the peer", "127.0.0.1"]),
    ("[::]:5555", ["use the address of the peer", "127.0.0.1"]),
    ("::", ["use the address of the peer", "127.0.0.1"]),
    (
        "[::ffff:0.0.0.0]",
        ["use the address of the peer", "127.0.0.1"],
    ),
    (
        "x\0y",
        [
            "'x\\x00y': it contains a control character",
            "192.168.1.12:5555",
        ],
    ),
    ("inproc://a\nb", ["control character", "192.168.1.12:5555"]),
    (
        "http://x",
        ["invalid transport 'http://'", "tcp://, ipc:// or inproc://"],
    ),
    (
        "udp://x:1",
        ["invalid transport 'udp://'", "tcp://, ipc:// or inproc://"],
    ),
    (
        "pgm://x:1",
        ["invalid transport 'pgm://'", "tcp://, ipc:// or inproc://"],
    ),
    (
        "://x",
        ["invalid transport '://'", "tcp://, ipc:// or inproc://"],
    ),
    (
        "tcp://10.0.0.1:0;10.0.0.2:5555",
        ["contains a ';'", "192.168.1.12:5555"],
    ),
    ("a:1:2", ["more than one ':'", "[fe80::1]:5555"]),
    (
        "fe80::1:5555",
        [
            "[fe80::1]:5555 for port 5555",
            "[fe80::1:5555] for an address",
        ],
    ),
    ("fe80::1:99999", ["more than one ':'", "in brackets"]),
    ("fe80::1%", ["more than one ':'", "in brackets"]),
    ("fe80::1%5x", ["more than one ':'", "in brackets"]),
    ("[::1", ["']' is missing", "[fe80::1]:5555"]),
    ("[::1]5555", ["'5555' follows the ']'", "[fe80::1]:5555"]),
    ("[::1]:", ["invalid port ''", "[::1]:5555"]),
    (
        "[lab-pc]:1",
        ["invalid IPv6 address 'lab-pc'", "without brackets"],
    ),
    (
        "[127.0.0.1]",
        ["invalid IPv6 address '127.0.0.1'", "without brackets"],
    ),
    ("[]:1", ["invalid IPv6 address ''", "[fe80::1]:5555"]),
    ("lab pc", ["it contains a space", "lab-pc"]),
    ("/tmp/x", ["a path starts with ipc://", "lab-pc"]),
    (
        "räumlich.de",
        ["not ASCII (use the IP address)", "192.168.1.12"],
    ),
    (
        "lab-pc：5555",
        ["full-width character '：'", "for example 'lab-pc:5555'"],
    ),
    (
        "192。168．1．12",
        ["full-width character '。'", "'192.168.1.12'"],
    ),
    ("tcp：//x:1", ["full-width character '：'", "'tcp://x:1'"]),
    ("lab-pc..", ["is empty", "lab-pc"]),
    ("me@host", ["consists of letters, digits", "lab-pc"]),
    ("a..b", ["is empty", "lab-pc"]),
    ("-c", ["starts or ends with '-'", "lab-pc"]),
    ("inproc://", ["it has no name", "inproc://room1"]),
    (
        "inproc://zeromq.zap.01",
        ["reserved for ZeroMQ", "inproc://room1"],
    ),
];

#[test]
fn each_error_contains_problem_and_remedy() {
    for (text, parts) in INVALID {
        let message = error_of(text, Role::Connect);
        for part in parts {
            assert!(message.contains(part), "{text:?}: {message}");
        }
        assert!(!message.contains(is_unprintable), "{message:?}");
    }
    assert!(error_of(":1", Role::Bind).contains("for example *:5555"));
    assert!(error_of("*:99999", Role::Bind).contains("for example *:5555"));
}

#[test]
fn lengths_are_limited() {
    let label = "a".repeat(MAX_LABEL_BYTES);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    assert_eq!(longest.len(), MAX_NAME_BYTES);
    shown(&longest, Role::Connect);
    assert!(error_of(&format!("{longest}a"), Role::Connect).contains("253"));
    assert!(error_of(&format!("{label}a.b"), Role::Connect).contains("63"));

    let name = "a".repeat(MAX_INPROC_BYTES);
    shown(&format!("inproc://{name}"), Role::Bind);
    let message = error_of(&format!("inproc://{name}a"), Role::Bind);
    assert!(message.contains("257 bytes long; expected at most 256"));
    assert!(message.len() < 250, "{message}");
}

#[cfg(unix)]
#[test]
fn an_ipc_path_is_checked() {
    assert_eq!(shown("ipc:///tmp/a;b", Role::Connect), "ipc:///tmp/a;b");
    assert_eq!(shown("ipc:///dev/null/x", Role::Bind), "ipc:///dev/null/x");
    assert_eq!(shown("ipc://*", Role::Bind), "ipc://*");
    assert!(error_of("ipc://*", Role::Connect).contains("for binding only"));
    assert!(error_of("ipc://", Role::Bind).contains("ipc:///tmp/room1"));
    let path = "x".repeat(MAX_PATH_BYTES);
    shown(&format!("ipc://{path}"), Role::Bind);
    assert!(error_of(&format!("ipc://{path}x"), Role::Bind).contains("bytes long"));
}

#[cfg(windows)]
#[test]
fn ipc_is_rejected() {
    assert!(error_of("ipc://x", Role::Bind).contains("127.0.0.1:5555"));
}

fn any_host() -> impl Strategy<Value = Host> {
    let zone = proptest::option::of("[a-z][a-z0-9._-]{0,14}|[1-9][0-9]{0,3}");
    prop_oneof![
        Just(Host::Any),
        any::<Ipv4Addr>().prop_map(Host::V4),
        (any::<Ipv6Addr>(), zone).prop_map(|(address, zone)| Host::V6 { address, zone }),
        "[a-zA-Z_][a-z0-9_]{0,20}(\\.[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?){0,3}".prop_map(Host::Name),
    ]
}

fn any_endpoint() -> impl Strategy<Value = Endpoint> {
    let port = prop_oneof![(1..=u16::MAX).prop_map(Port::Number), Just(Port::Free)];
    let local = if cfg!(windows) { "inproc" } else { "ipc" };
    prop_oneof![
        8 => (any_host(), port).prop_map(|(host, port)| Endpoint::Tcp { host, port }),
        1 => "[!-~]{1,100}".prop_map(move |path| match local {
            "ipc" => Endpoint::Ipc(path),
            _ => Endpoint::Inproc(path),
        }),
        1 => "[!-~][ -~]{0,90}[!-~]".prop_map(Endpoint::Inproc),
    ]
}

proptest! {
    #[test]
    fn parsing_any_text_does_not_panic(text in "(?s).{0,60}", near in "[\\[\\]:.%*;/ 0-9a-ftcpi-]{0,30}") {
        for role in [Role::Bind, Role::Connect] {
            for text in [&text, &near, &format!("tcp://{near}"), &format!("ipc://{text}")] {
                match parse(text, role) {
                    Ok(endpoint) => {
                        prop_assert!(!endpoint.to_string().contains(char::is_control));
                        let again = parse(&endpoint.to_string(), role);
                        prop_assert_eq!(again, Ok(endpoint));
                    }
                    Err(error) => prop_assert!(!error.to_string().contains(is_unprintable)),
                }
            }
        }
    }

    #[test]
    fn both_forms_of_an_address_are_parsed_to_the_same_endpoint(endpoint in any_endpoint()) {
        prop_assert_eq!(parse(&endpoint.to_string(), Role::Bind), Ok(endpoint.clone()));
        prop_assert_eq!(parse(&endpoint.typed(), Role::Bind), Ok(endpoint.clone()));
        match &endpoint {
            Endpoint::Tcp { host, port } => prop_assert_eq!(
                parse(&endpoint.to_string(), Role::Connect).is_ok(),
                !host.is_wildcard() && *port != Port::Free
            ),
            Endpoint::Ipc(path) => prop_assert_eq!(
                parse(&endpoint.to_string(), Role::Connect).is_ok(), path != "*"
            ),
            Endpoint::Inproc(_) => {}
        }
    }

    #[test]
    fn only_ports_from_1_to_65535_are_accepted_for_connecting(
        port in prop_oneof!["[!-~]{0,7}", "[0-9]{1,7}", "[+-][0-9]{1,5}", "\\PC{1,5}"],
    ) {
        let parsed = parse(&format!("127.0.0.1:{port}"), Role::Connect);
        // Whitespace after the address is ignored, so it may follow the port.
        let number = port.trim_end().parse::<u16>().ok().filter(|number| {
            *number > 0 && number.to_string() == port.trim_end()
        });
        match number {
            Some(number) => prop_assert_eq!(parsed, Ok(Endpoint::Tcp {
                host: Host::V4(Ipv4Addr::LOCALHOST),
                port: Port::Number(number),
            })),
            None => prop_assert!(parsed.is_err(), "{:?}", parsed),
        }
    }
}
