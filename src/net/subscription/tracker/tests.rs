//! Limits on what peers send, against a real socket and peers that flood it.

use crate::net::connection::bind;
use crate::net::subscription::tracker::*;
use crate::net::zmq::options::{self, ConnectionOptions, SocketOptions};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread::JoinHandle;

/// More than any machine needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn open() -> (OpenSocket, String) {
    let common = SocketOptions {
        high_water_mark: 1_000,
        max_inbound_bytes: 8_192,
        linger: Duration::ZERO,
        connecting: ConnectionOptions {
            keepalive: None,
            reconnect_max: Duration::from_secs(2),
            batch_bytes: 8_192,
        },
        tell: None,
    };
    let mut live = OpenSocket::open(zmq::XPUB, &common).expect("a socket");
    options::apply_publisher(&mut live.socket, false, false, &common.connecting)
        .expect("its options");
    let bind = ["127.0.0.1:0".to_owned()];
    let live = bind::bind_all(live, &bind, &mut || Ok(())).expect("a port");
    let endpoint = live.bound[0].replace("tcp://", "");
    (live, endpoint)
}

/// A connection after its handshake as a subscriber.
fn connect(endpoint: &str) -> TcpStream {
    let mut greeting = [&b"\xff"[..], &[0; 8], b"\x7f\x03\x01NULL", &[0; 16 + 32]].concat();
    greeting.extend(b"\x04\x19\x05READY\x0bSocket-Type\0\0\0\x03SUB");
    let mut stream = TcpStream::connect(endpoint).expect("a connection");
    stream.write_all(&greeting).expect("a greeting");
    stream.read_exact(&mut [0; 66]).expect("a greeting");
    stream
}

fn frame(body: &[u8]) -> Vec<u8> {
    let size = u8::try_from(body.len()).expect("a short frame");
    [&[0, size], body].concat()
}

/// Sends these frames without pause, until it is cut off.
fn flood(endpoint: &str, frames: Vec<u8>) -> JoinHandle<()> {
    let mut stream = connect(endpoint);
    std::thread::spawn(move || while stream.write_all(&frames).is_ok() {})
}

/// Reads until the other side ends the connection.
fn until_ended(mut stream: TcpStream) -> JoinHandle<()> {
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    std::thread::spawn(move || while stream.read(&mut [0; 64]).is_ok_and(|size| size > 0) {})
}

fn attacks() -> [Vec<u8>; 3] {
    let toggles = |number: u32| {
        let prefix = format!("t{number:06}");
        [
            frame(&[b"\x01", prefix.as_bytes()].concat()),
            frame(&[b"\x00", prefix.as_bytes()].concat()),
        ]
        .concat()
    };
    [
        (0..2_000).flat_map(toggles).collect(),
        frame(b"\x01same").repeat(4_000),
        frame(b"\x02junkjunk!").repeat(4_000),
    ]
}

fn audience(max_subscriptions: usize) -> SubscriptionTracker {
    SubscriptionTracker::new(
        Framing::Plain,
        SubscriptionTable::default(),
        TopicPrefilter::nothing(),
        false,
        max_subscriptions,
    )
}

fn read(audience: &mut SubscriptionTracker, live: &mut OpenSocket) {
    audience.read(live, |_, _, _| {});
    assert!(audience.last_read() <= NOTICES && audience.notices.len() <= NOTICES);
}

#[test]
fn a_call_reads_a_bounded_number_of_notices_while_peers_flood_and_each_is_cut_off() {
    for frames in attacks() {
        for peers in [1, 10] {
            let (mut live, endpoint) = open();
            let mut audience = audience(20_000);
            audience.idle_frames = 5_000;
            let floods: Vec<_> = (0..peers)
                .map(|_| flood(&endpoint, frames.clone()))
                .collect();
            let deadline = Instant::now() + PATIENCE;
            // A flood ends when its connection is ended.
            while !floods.iter().all(JoinHandle::is_finished) {
                read(&mut audience, &mut live);
                assert!(Instant::now() < deadline, "the floods end");
            }
            // What is left is little, and is read in calls of the same size.
            while audience.is_behind() || audience.ledger.held() > 0 {
                read(&mut audience, &mut live);
                assert!(Instant::now() < deadline, "the rest is read");
            }
            assert!(audience.heard.len() <= 2_000);
            live.close(Duration::ZERO, None);
        }
    }
}

#[test]
fn a_burst_of_subscriptions_that_is_taken_back_and_made_again_is_within_the_limits() {
    let (mut live, endpoint) = open();
    let mut audience = audience(20_000);
    let mut stream = connect(&endpoint);
    let all = |first: u8| -> Vec<u8> {
        let prefix = |number: u32| frame(&[&[first], format!("{number}:").as_bytes()].concat());
        (0..20_000).flat_map(prefix).collect()
    };
    let burst = [all(1), all(0), all(1), frame(b"\x00nothing")].concat();
    let sending = std::thread::spawn(move || stream.write_all(&burst).map(|()| stream));
    let deadline = Instant::now() + PATIENCE;
    while audience.ledger.held() < 20_000 || !sending.is_finished() || audience.is_behind() {
        read(&mut audience, &mut live);
        assert!(Instant::now() < deadline, "all subscriptions arrive");
    }
    let stream = sending.join().expect("a thread").expect("not cut off");
    drop(stream);
    while audience.ledger.held() > 0 {
        read(&mut audience, &mut live);
        assert!(Instant::now() < deadline, "the peer leaves");
    }
    live.close(Duration::ZERO, None);
}

#[test]
fn the_table_of_what_is_wanted_does_not_grow_with_subscriptions_that_ended() {
    let mut audience = audience(0);
    let mut number = 0_u32;
    for _ in 0..100 {
        for _ in 0..NOTICES {
            number += 1;
            audience.heard.add(format!("{number}:").as_bytes());
        }
        audience.ledger.subscribed(None, b"kept:", || None);
        audience.heard.renew(&audience.ledger);
        assert!(audience.heard.len() <= 20_000 + NOTICES);
    }
    assert!(audience.heard.may_include([b"kept", b":", b""]));
}

#[test]
fn a_meter_counts_what_adds_no_subscription() {
    let now = Instant::now();
    let mut meter = Meter::new(1, now);
    assert!((1..=100_000).all(|held| !meter.count(now, held, 1_000)));
    let most = meter.most(1_000);
    assert!((0..most).all(|_| !meter.count(now, 0, 1_000)));
    assert!(meter.count(now, 0, 1_000));
    // A new window begins afresh.
    assert!(!meter.count(now + 2 * WINDOW, 0, 1_000));
}

#[test]
fn the_peer_with_most_subscriptions_is_cut_off_and_its_address_refused() {
    let (mut live, endpoint) = open();
    let mut audience = audience(100);
    let deadline = Instant::now() + PATIENCE;
    let mut modest = connect(&endpoint);
    modest.write_all(&frame(b"\x01good")).expect("sent");
    let mut greedy = connect(&endpoint);
    for number in 0..100_u32 {
        let prefix = format!("\u{1}{number}");
        greedy.write_all(&frame(prefix.as_bytes())).expect("sent");
    }
    let ended = until_ended(greedy);
    while !ended.is_finished() {
        read(&mut audience, &mut live);
        assert!(Instant::now() < deadline, "the peer is cut off");
    }
    assert_eq!(audience.ledger.held(), 1);
    // New connections of this address end at once; one that was there stays.
    let refused = TcpStream::connect(&endpoint).expect("accepted by the system");
    let ended = until_ended(refused);
    while !ended.is_finished() {
        read(&mut audience, &mut live);
        assert!(Instant::now() < deadline, "the connection is refused");
    }
    assert_eq!(audience.ledger.held(), 1);
    drop(modest);
    live.close(Duration::ZERO, None);
}
