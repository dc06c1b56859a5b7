"""Addresses as users type them, and the endpoints that result."""

from __future__ import annotations

import errno
import ipaddress
import socket
import sys
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber, ZmqChatError

if TYPE_CHECKING:
    from pathlib import Path


def check_delivery(publisher: Publisher, *addresses: str) -> None:
    """Check that a subscriber that connects to `addresses` receives from `publisher`."""
    with publisher, Subscriber(addresses) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:0", "127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "  127.0.0.1:0\n"],
)
def test_port_0_binds_a_free_port_that_the_endpoint_names(address: str) -> None:
    publisher = Publisher(address)
    assert publisher.endpoint is not None
    host, _, port = publisher.endpoint.rpartition(":")
    assert host == "tcp://127.0.0.1"
    assert 1 <= int(port) <= 65535
    assert publisher.endpoints == [publisher.endpoint]
    assert publisher.addresses == [f"127.0.0.1:{port}"]
    check_delivery(publisher, publisher.endpoint)


@pytest.mark.parametrize("address", ["*:0", "*:*", "0.0.0.0:0", "tcp://*:*"])
def test_addresses_of_a_wildcard_have_no_wildcard_and_connect(address: str) -> None:
    publisher = Publisher(address)
    assert publisher.addresses
    port = str(publisher.endpoint).rpartition(":")[2]
    for shown in publisher.addresses:
        host, _, its_port = shown.rpartition(":")
        assert its_port == port
        assert not ipaddress.ip_address(host.strip("[]")).is_unspecified
    check_delivery(publisher, publisher.addresses[0])


@pytest.mark.parametrize("address", ["*:0", "0.0.0.0:0", "[::]:0"])
def test_the_endpoint_of_a_wildcard_connects_on_this_host(address: str) -> None:
    try:
        publisher = Publisher(address)
    except ZmqChatError as error:
        pytest.skip(f"this host has no IPv6: {error}")
    assert publisher.endpoint is not None
    assert publisher.endpoints == [publisher.endpoint]
    check_delivery(publisher, publisher.endpoint)
    with Subscriber(bind=address) as subscriber:
        assert subscriber.endpoint is not None
        with Publisher(connect=subscriber.endpoint) as sender:
            sender.wait_for_subscribers(timeout=TIMEOUT)


def test_the_endpoints_of_a_relay_on_wildcards_connect_on_this_host() -> None:
    with Relay("*:0", backend="*:0") as relay:
        assert relay.frontend is not None
        assert relay.backend is not None
        with Publisher(connect=relay.frontend) as publisher, Subscriber(
            relay.backend
        ) as subscriber:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("Hello")
            assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_the_default_port_is_5555() -> None:
    try:
        publisher = Publisher("127.0.0.77")
    except ZmqChatError as error:
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            pytest.skip(f"127.0.0.77:5555 is not available: {error}")
        raise
    assert publisher.endpoint == "tcp://127.0.0.77:5555"
    check_delivery(publisher, "127.0.0.77")


def test_localhost_binds_and_connects() -> None:
    publisher = Publisher("localhost:0")
    port = str(publisher.endpoint).rpartition(":")[2]
    check_delivery(publisher, f"localhost:{port}")


def test_a_host_name_may_end_with_the_root_dot() -> None:
    publisher = Publisher("localhost.:0")
    port = str(publisher.endpoint).rpartition(":")[2]
    check_delivery(publisher, f"localhost.:{port}")


def test_an_ipv6_address_is_written_in_brackets() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this host has no IPv6: {error}")
    publisher = Publisher("[::1]:0")
    assert publisher.endpoint is not None
    assert publisher.endpoint.startswith("tcp://[::1]:")
    check_delivery(publisher, publisher.endpoint.replace("tcp://", ""))


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_an_ipc_address_is_the_path_of_a_socket_file(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path / 's'}"
    if len(address) > 100:
        pytest.skip("the path of the temporary folder is too long for a socket file")
    publisher = Publisher(address)
    assert publisher.endpoint == address
    check_delivery(publisher, address)


def test_inproc_connects_within_the_process_in_either_order() -> None:
    check_delivery(Publisher("inproc://room"), "inproc://room")
    with Subscriber("inproc://early") as subscriber, Publisher("inproc://early") as publisher:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_a_publisher_binds_several_addresses() -> None:
    with Publisher(["127.0.0.1:0", "127.0.0.1:0", "inproc://several"]) as publisher:
        assert len(set(publisher.endpoints)) == 3
        assert publisher.endpoint == publisher.endpoints[0]
        for number, endpoint in enumerate(publisher.endpoints):
            with Subscriber(endpoint) as subscriber:
                wait_until(lambda: publisher.subscriber_count == 1)
                publisher.send(str(number))
                assert subscriber.recv_text(timeout=TIMEOUT) == str(number)
            wait_until(lambda: publisher.subscriber_count == 0)


def test_a_subscriber_connects_to_several_publishers() -> None:
    with Publisher("127.0.0.1:0") as one, Publisher("127.0.0.1:0") as two:
        assert one.endpoint is not None
        assert two.endpoint is not None
        with Subscriber([one.endpoint, two.endpoint]) as subscriber:
            for publisher, text in ((one, "one"), (two, "two")):
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                publisher.send(text)
                assert subscriber.recv_text(timeout=TIMEOUT) == text


def test_connect_and_disconnect_work_on_an_open_subscriber() -> None:
    with Subscriber() as subscriber, Publisher("127.0.0.1:0") as publisher:
        assert publisher.endpoint is not None
        subscriber.connect(publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"
        subscriber.disconnect(publisher.endpoint)
        wait_until(lambda: publisher.subscriber_count == 0)


def test_disconnect_accepts_another_form_of_the_address() -> None:
    with Subscriber() as subscriber, Publisher("127.0.0.1:0") as publisher:
        port = str(publisher.endpoint).rpartition(":")[2]
        subscriber.connect(f"127.0.0.1:{port}")
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        subscriber.disconnect(f" tcp://127.0.0.1:{port}")
        wait_until(lambda: publisher.subscriber_count == 0)


def test_disconnecting_an_address_that_was_not_connected_raises() -> None:
    with Subscriber() as subscriber, pytest.raises(
        (ValueError, ZmqChatError), match=r"127\.0\.0\.1:6000"
    ):
        subscriber.disconnect("127.0.0.1:6000")


def test_a_bound_subscriber_receives_from_publishers_that_connect() -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        assert subscriber.endpoint is not None
        assert subscriber.addresses == [subscriber.endpoint.replace("tcp://", "")]
        with Publisher(connect=subscriber.endpoint) as one:
            assert (one.endpoint, one.endpoints, one.addresses) == (None, [], [])
            with Publisher(connect=[subscriber.endpoint]) as two:
                for publisher, text in ((one, "one"), (two, "two")):
                    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                    publisher.send(text)
                    assert subscriber.recv_text(timeout=TIMEOUT) == text


def test_binding_and_closing_one_port_200_times_never_fails(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    for _ in range(200):
        with Publisher(address) as publisher:
            assert publisher.endpoint == f"tcp://{address}"


def test_a_port_is_free_immediately_after_close(publisher: Publisher) -> None:
    port = int(str(publisher.endpoint).rpartition(":")[2])
    publisher.close()
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))


@pytest.mark.parametrize(
    "address",
    [
        "*:5555",
        "*",
        "0.0.0.0:5555",
        "[::]:5555",
    ],
)
def test_connecting_to_a_wildcard_raises(address: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Subscriber(address)
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Publisher(connect=address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:*"])
def test_connecting_to_port_0_raises(address: str) -> None:
    with pytest.raises(ValueError, match=r"port"):
        Subscriber(address)


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("127.0.0.1:99999", "1 to 65535"),
        ("127.0.0.1:65536", "1 to 65535"),
        ("127.0.0.1:-1", "1 to 65535|not a port"),
        ("127.0.0.1:55x5", "port '55x5': expected 1 to 65535"),
        ("127.0.0.1:+80", "port"),
        ("127.0.0.1: 80", "port|space"),
        ("127.0.0.1:080", "port"),
        ("127.0.0.1:", "port"),
        (":5555", "host|address"),
        ("", "address"),
        ("   ", "address"),
        ("192.168.1.300", r"192\.168\.1\.300"),
        ("192.168.1", r"192\.168\.1"),
        ("lab pc:5555", "space|name"),
        ("lab-pc：5555", "full-width character '：'.*'lab-pc:5555'"),  # noqa: RUF001
        ("http://127.0.0.1:5555", "tcp://"),
        ("udp://127.0.0.1:5555", "tcp://"),
        ("tcp://", "address|host"),
        ("::1:5555:", r"\["),
        ("127.0.0.1:5555\0", "NUL|control"),
        ("127.0.0.1:55\x1b55", r"control|\\x1b"),
        ("ipc://", "path|file"),
        ("ipc:///tmp/" + "x" * 200, "107"),
        ("inproc://", "name"),
        ("inproc://zeromq.zap.01", "reserved for ZeroMQ; .*inproc://room1"),
        ("inproc://zeromq.anything", "reserved"),
    ],
)
def test_a_mistyped_address_raises_an_error_with_advice(address: str, advice: str) -> None:
    uses: list[Callable[[], object]] = [
        lambda: Publisher(address),
        lambda: Publisher(connect=address),
        lambda: Subscriber(address),
        lambda: Subscriber(bind=address),
        lambda: Subscriber().connect(address),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=f"(?i){advice}") as caught:
            use()
        assert str(caught.value).isprintable()


def test_an_invalid_address_in_a_list_leaves_no_address_bound(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    # Repeated, because a port that is released late fails only occasionally.
    for _ in range(30):
        with pytest.raises(ValueError, match="65535"):
            Publisher([address, "127.0.0.1:99999"])
        with Publisher(address) as publisher:
            assert publisher.endpoint == f"tcp://{address}"
        with pytest.raises(ZmqChatError):
            Publisher([address, address])
        with Subscriber(bind=address) as subscriber:
            assert subscriber.endpoint == f"tcp://{address}"
