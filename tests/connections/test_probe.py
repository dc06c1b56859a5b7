"""Results of a probe of publishers and of other peers."""

from __future__ import annotations

import random
import socket
import sys
from typing import Any

import pytest
import zmq

from tests.helpers.raw_peers import (
    PROBE_TIMEOUT,
    SIGNATURE,
    checked_probe,
    closes_after,
    error,
    greeting,
    pyzmq_socket,
    ready,
    receive,
    resolve_lab_pc,
    sends,
    tcp_server,
    wait_until_closed,
)
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber
from zmqchat_rs.probe import SUBSCRIPTION

# ---- publishers


def test_a_publisher_is_recognised(publisher: Publisher) -> None:
    port = int(publisher.addresses[0].rpartition(":")[2])
    found = checked_probe(publisher.addresses[0])
    assert found.ok
    assert (found.host, found.port, found.addresses) == ("127.0.0.1", port, ("127.0.0.1",))
    assert (found.version, found.mechanism, found.socket_type) == ("3.1", "NULL", "XPUB")
    assert found.subscribed is True
    assert found.connect_seconds is not None
    assert found.connect_seconds > 0
    assert found.round_trip_seconds is not None
    assert found.round_trip_seconds > 0


def test_a_probe_does_not_affect_a_publisher_and_its_subscribers(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["room1"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        for _ in range(20):
            assert checked_probe(publisher.endpoint).ok
        wait_until(lambda: publisher.subscriber_count == 1)
        publisher.send("Hello", topic="room1")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


@pytest.mark.parametrize(("kind", "name"), [(zmq.PUB, "PUB"), (zmq.XPUB, "XPUB")])
def test_a_pyzmq_publisher_is_recognised(kind: int, name: str) -> None:
    with pyzmq_socket(kind) as (_, address):
        found = checked_probe(address)
    assert (found.reason, found.socket_type, found.subscribed) == ("ok", name, True)
    assert found.round_trip_seconds is not None


def test_a_probe_subscribes_only_if_requested() -> None:
    with pyzmq_socket(zmq.XPUB, rcvtimeo=int(TIMEOUT * 1000)) as (theirs, address):
        without = checked_probe(address, subscribe=False)
        assert (without.reason, without.subscribed) == ("ok", None)
        assert without.round_trip_seconds is not None
        assert checked_probe(address).subscribed is True
        assert theirs.recv() == b"\x01" + SUBSCRIPTION
        assert theirs.recv() == b"\x00" + SUBSCRIPTION
        assert not theirs.poll(0)


@pytest.mark.parametrize(
    ("data", "version", "kind"),
    [
        (greeting(b"\x03\x00") + ready(b"PUB"), "3.0", "PUB"),
    ],
)
def test_an_older_publisher_without_ping_is_recognised(
    data: bytes, version: str, kind: str
) -> None:
    with tcp_server(sends(data)) as address:
        found = checked_probe(address)
    assert (found.reason, found.version, found.socket_type) == ("ok", version, kind)
    assert (found.subscribed, found.round_trip_seconds) == (None, None)


def test_a_publisher_that_does_not_answer_in_time_is_recognised() -> None:
    with tcp_server(sends(greeting() + ready())) as address:
        found = checked_probe(address, PROBE_TIMEOUT)
    assert (found.reason, found.socket_type) == ("ok", "XPUB")
    assert (found.subscribed, found.round_trip_seconds) == (None, None)


def test_a_publisher_that_waits_for_the_handshake_of_the_probe_is_recognised() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(greeting(b"\x03\x00"))
        receive(connection, len(greeting() + ready(b"SUB")))
        connection.sendall(ready())
        wait_until_closed(connection)

    with tcp_server(talk) as address:
        assert checked_probe(address).ok


def test_the_host_of_an_ipv6_result_has_no_brackets() -> None:
    try:
        publisher = Publisher("[::1]:0")
    except OSError as trouble:
        pytest.skip(f"this host has no IPv6: {trouble}")
    with publisher:
        found = checked_probe(str(publisher.endpoint))
    assert found.ok
    assert (found.host, found.addresses) == ("::1", ("::1",))
    assert found.address.startswith("[::1]:")


def test_of_a_name_s_addresses_the_one_that_a_subscriber_takes_comes_first(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(publisher.addresses[0].rpartition(":")[2])
    genuine = socket.getaddrinfo

    def both(host: str, *args: Any, **kwargs: Any) -> Any:
        found = genuine("127.0.0.1" if host == "lab-pc" else host, *args, **kwargs)
        return [(socket.AF_INET6, 1, 6, "", ("2001:db8::1", port, 0, 0)), *found]

    def no_literal(host: str, *args: Any, flags: int = 0, **kwargs: Any) -> Any:
        if flags:
            raise socket.gaierror(socket.EAI_NONAME, "no literal")
        return both(host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", no_literal)
    found = checked_probe(f"lab-pc:{port}")
    assert found.ok
    assert found.addresses == ("127.0.0.1", "2001:db8::1")


def test_each_address_of_a_name_is_tried_until_one_works(
    publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(publisher.addresses[0].rpartition(":")[2])
    resolve_lab_pc(monkeypatch, ["127.0.0.8", "127.0.0.1", "127.0.0.9"])
    found = checked_probe(f"lab-pc:{port}")
    assert found.ok
    assert found.addresses == ("127.0.0.8", "127.0.0.1", "127.0.0.9")
    assert found.tried == "127.0.0.1"
    assert found.others == ("127.0.0.8: refused",)


def test_where_no_address_of_a_name_works_the_one_that_got_furthest_is_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolve_lab_pc(monkeypatch, ["127.0.0.8", "127.0.0.1", "127.0.0.9"])
    with tcp_server(sends(SIGNATURE + b"\x01\x01\0\0")) as address:
        found = checked_probe(f"lab-pc:{address.rpartition(':')[2]}")
    assert (found.reason, found.tried) == ("handshake failed", "127.0.0.1")
    assert found.others == ("127.0.0.8: refused", "127.0.0.9: refused")


# ---- other peers


@pytest.mark.parametrize(
    "name", ["SUB", "XSUB", "PUSH", "PULL", "REQ", "REP", "DEALER", "ROUTER", "PAIR"]
)
def test_another_socket_type_is_not_a_publisher(name: str) -> None:
    with pyzmq_socket(getattr(zmq, name)) as (_, address):
        found = checked_probe(address)
    assert (found.reason, found.stage) == ("not a publisher", "socket type")
    assert found.socket_type == name
    assert f"a {name} socket" in found.advice


def test_a_subscriber_that_is_bound_is_not_a_publisher() -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        found = checked_probe(subscriber.addresses[0])
    assert (found.reason, found.socket_type) == ("not a publisher", "SUB")
    assert "which subscribes, too" in found.advice


@pytest.mark.parametrize("mechanism", ["PLAIN", "CURVE"])
def test_the_security_mechanism_of_a_publisher_is_reported(mechanism: str) -> None:
    options: dict[str, Any] = {"plain_server": True}
    if mechanism == "CURVE":
        if not zmq.has("curve"):
            pytest.skip("this pyzmq has no CURVE")
        public, secret = zmq.curve_keypair()
        options = {"curve_server": True, "curve_publickey": public, "curve_secretkey": secret}
    with pyzmq_socket(zmq.PUB, **options) as (_, address):
        found = checked_probe(address)
    assert (found.reason, found.stage, found.mechanism) == ("mechanism", "security", mechanism)
    assert mechanism in found.advice


@pytest.mark.parametrize(
    ("data", "says_so"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "an SSH server"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "a web server"),
        (b"220 mail.example.com ESMTP\r\n", "a mail or FTP server"),
        (b"\x15\x03\x01\x00\x02\x02\x46", "TLS"),
        (b"hello", "hello"),
        (b"\x1b[31mred\x07\xff\xfe\n", r"\x1b[31mred"),
        (b"\xff" * 64, "does not use ZeroMQ"),
        (b"A" * 1_000_000, "not ZeroMQ"),
    ],
)
def test_a_server_of_another_protocol_is_not_zeromq(data: bytes, says_so: str) -> None:
    with tcp_server(sends(data)) as address:
        found = checked_probe(address)
    assert (found.reason, found.stage) == ("not ZeroMQ", "greeting")
    assert says_so in found.advice


@pytest.mark.parametrize("data", [b"", SIGNATURE[:9]])
def test_a_server_that_sends_nothing_is_not_zeromq(data: bytes) -> None:
    with tcp_server(sends(data)) as address:
        found = checked_probe(address, PROBE_TIMEOUT)
    assert (found.reason, found.stage) == ("not ZeroMQ", "greeting")
    assert "Ctrl+Z" in found.advice


@pytest.mark.parametrize("data", [b"", SIGNATURE[:9]])
def test_a_server_that_disconnects_immediately_is_not_zeromq(data: bytes) -> None:
    with tcp_server(closes_after(data, 11)) as address:
        found = checked_probe(address)
    assert (found.reason, found.stage) == ("not ZeroMQ", "greeting")


@pytest.mark.parametrize(
    ("data", "stage", "why"),
    [
        (SIGNATURE + b"\x00", "greeting", "The peer uses ZMTP 1.0; ZeroMQ 4.0 or later is"),
        (SIGNATURE + b"\x01\x01\0\0", "greeting", "The peer uses ZMTP 2.0; ZeroMQ 4.0 or lat"),
        (SIGNATURE + b"\x02\x09\0\0", "greeting", "The peer uses ZMTP 2.0; ZeroMQ 4.0 or lat"),
        (greeting() + error(b"Access denied"), "handshake", "error 'Access denied'"),
        (greeting() + error(b"\x1b]0;mine\x07"), "handshake", r"error '\x1b]0;mine\x07'"),
        (greeting() + b"\x00\x05Hello", "handshake", "unexpected frame"),
        (greeting() + b"\x04\x00", "handshake", "unexpected frame"),
        (greeting() + b"\xf0", "handshake", "invalid frame"),
        (greeting() + b"\x06" + b"\x7f" * 8, "handshake", "too long frame"),
    ],
)
def test_an_invalid_handshake_is_reported_as_failed(data: bytes, stage: str, why: str) -> None:
    with tcp_server(sends(data)) as address:
        found = checked_probe(address)
    assert (found.reason, found.stage) == ("handshake failed", stage)
    assert why in found.advice


@pytest.mark.parametrize(
    ("data", "stage"),
    [
        (greeting()[:40], "greeting"),
        (greeting(), "handshake"),
        (greeting() + b"\x04\xff\x05READY", "handshake"),
    ],
)
@pytest.mark.parametrize("ending", ["it sends nothing more", "it disconnects"])
def test_an_incomplete_handshake_is_reported_as_failed(
    data: bytes, stage: str, ending: str
) -> None:
    silent = ending == "it sends nothing more"
    talk = sends(data) if silent else closes_after(data, 64 if stage == "handshake" else 11)
    with tcp_server(talk) as address:
        found = checked_probe(address, PROBE_TIMEOUT if silent else TIMEOUT)
    assert (found.reason, found.stage) == ("handshake failed", stage)
    assert ending in found.advice


def test_a_peer_that_disconnects_at_the_subscription_has_not_accepted_it() -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(greeting() + ready() + b"\x04\x06\x04PONG1")
        seen = b""
        while b"SUBSCRIBE" not in seen:
            seen += connection.recv(65536)

    with tcp_server(talk) as address:
        found = checked_probe(address)
    assert (found.reason, found.stage) == ("handshake failed", "subscription")
    assert found.subscribed is False


@pytest.mark.parametrize("opening", [b"", greeting(), greeting() + ready()])
def test_a_probe_reads_a_limited_amount_of_an_endless_stream(opening: bytes) -> None:
    sent = 0

    def talk(connection: socket.socket) -> None:
        nonlocal sent
        connection.sendall(opening)
        frames = (b"\x00\xc8" + bytes(200)) * 1000
        while True:  # until the probe disconnects
            connection.sendall(frames)
            sent += len(frames)

    with tcp_server(talk) as address:
        found = checked_probe(address)
    assert found.round_trip_seconds is None
    # Both sides buffer some data. Without a limit, gigabytes would be sent.
    assert sent < 64 * 2**20


def test_random_bytes_never_raise() -> None:
    chance = random.Random(5555)
    good = greeting() + ready() + b"\x04\x06\x04PONG1" + b"\x04\x06\x04PONG2"

    def talk(connection: socket.socket) -> None:
        data = bytearray(good)
        for _ in range(chance.randrange(1, 5)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        if chance.random() < 0.3:
            data = bytearray(chance.randbytes(80)) if sys.version_info >= (3, 9) else data[:70]
        connection.sendall(data[: chance.randrange(len(data)) + 1])
        connection.shutdown(socket.SHUT_WR)
        wait_until_closed(connection)

    with tcp_server(talk) as address:
        seen = {checked_probe(address).reason for _ in range(300)}
    assert {"not ZeroMQ", "handshake failed"} <= seen
