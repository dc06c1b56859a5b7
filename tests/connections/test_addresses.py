"""What a person types as an address, and where it leads."""

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


def meet(publisher: Publisher, *addresses: str) -> None:
    """A message goes from `publisher` to a subscriber that connects to `addresses`."""
    with publisher, Subscriber(addresses) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:0", "127.0.0.1:*", "tcp://127.0.0.1:0", "tcp://127.0.0.1:*", "  127.0.0.1:0\n"],
)
def test_a_publisher_picks_a_free_port_and_tells_which(address: str) -> None:
    publisher = Publisher(address)
    assert publisher.endpoint is not None
    host, _, port = publisher.endpoint.rpartition(":")
    assert host == "tcp://127.0.0.1"
    assert 1 <= int(port) <= 65535
    assert publisher.endpoints == [publisher.endpoint]
    assert publisher.addresses == [f"127.0.0.1:{port}"]
    meet(publisher, publisher.endpoint)


@pytest.mark.parametrize("address", ["*:0", "*:*", "0.0.0.0:0", "tcp://*:*"])
def test_what_another_laptop_can_type_leads_here(address: str) -> None:
    publisher = Publisher(address)
    assert publisher.addresses
    port = str(publisher.endpoint).rpartition(":")[2]
    for typed in publisher.addresses:
        host, _, its_port = typed.rpartition(":")
        assert its_port == port
        assert not ipaddress.ip_address(host.strip("[]")).is_unspecified
    meet(publisher, publisher.addresses[0])


@pytest.mark.parametrize("address", ["*:0", "0.0.0.0:0", "[::]:0"])
def test_the_endpoint_of_a_wildcard_connects_on_this_host(address: str) -> None:
    try:
        publisher = Publisher(address)
    except ZmqChatError as error:
        pytest.skip(f"no IPv6 here: {error}")
    assert publisher.endpoint is not None
    assert publisher.endpoints == [publisher.endpoint]
    meet(publisher, publisher.endpoint)
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


def test_without_a_port_it_is_5555() -> None:
    try:
        publisher = Publisher("127.0.0.77")
    except ZmqChatError as error:
        if error.errno in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            pytest.skip(f"this machine has no 127.0.0.77:5555 to spare: {error}")
        raise
    assert publisher.endpoint == "tcp://127.0.0.77:5555"
    meet(publisher, "127.0.0.77")


def test_localhost_is_an_address_to_bind_and_to_connect_to() -> None:
    publisher = Publisher("localhost:0")
    port = str(publisher.endpoint).rpartition(":")[2]
    meet(publisher, f"localhost:{port}")


def test_a_host_name_may_end_with_the_root_dot() -> None:
    publisher = Publisher("localhost.:0")
    port = str(publisher.endpoint).rpartition(":")[2]
    meet(publisher, f"localhost.:{port}")


def test_ipv6_addresses_stand_in_brackets() -> None:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine speaks no IPv6: {error}")
    publisher = Publisher("[::1]:0")
    assert publisher.endpoint is not None
    assert publisher.endpoint.startswith("tcp://[::1]:")
    meet(publisher, publisher.endpoint.replace("tcp://", ""))


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_ipc_names_a_file(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path / 's'}"
    if len(address) > 100:
        pytest.skip("the folder for temporary files has too long a name for a socket")
    publisher = Publisher(address)
    assert publisher.endpoint == address
    meet(publisher, address)


def test_inproc_stays_in_the_process_and_either_side_may_come_first() -> None:
    meet(Publisher("inproc://room"), "inproc://room")
    with Subscriber("inproc://early") as subscriber, Publisher("inproc://early") as publisher:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_a_publisher_binds_in_several_places() -> None:
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


def test_a_subscriber_connects_and_disconnects_later() -> None:
    with Subscriber() as subscriber, Publisher("127.0.0.1:0") as publisher:
        assert publisher.endpoint is not None
        subscriber.connect(publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"
        subscriber.disconnect(publisher.endpoint)
        wait_until(lambda: publisher.subscriber_count == 0)


def test_an_address_disconnects_however_it_is_written() -> None:
    with Subscriber() as subscriber, Publisher("127.0.0.1:0") as publisher:
        port = str(publisher.endpoint).rpartition(":")[2]
        subscriber.connect(f"127.0.0.1:{port}")
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        subscriber.disconnect(f" tcp://127.0.0.1:{port}")
        wait_until(lambda: publisher.subscriber_count == 0)


def test_disconnecting_from_where_it_never_connected_is_an_error() -> None:
    with Subscriber() as subscriber, pytest.raises(
        (ValueError, ZmqChatError), match=r"127\.0\.0\.1:6000"
    ):
        subscriber.disconnect("127.0.0.1:6000")


def test_a_subscriber_that_binds_waits_for_publishers_that_connect() -> None:
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


def test_a_closed_port_is_free_for_any_other_program_at_once(publisher: Publisher) -> None:
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
def test_everywhere_is_no_place_to_connect_to(address: str) -> None:
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Subscriber(address)
    with pytest.raises(ValueError, match=r"127\.0\.0\.1"):
        Publisher(connect=address)


@pytest.mark.parametrize("address", ["127.0.0.1:0", "127.0.0.1:*"])
def test_any_port_is_no_port_to_connect_to(address: str) -> None:
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
def test_a_slip_of_the_finger_is_refused_with_advice(address: str, advice: str) -> None:
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


def test_one_bad_address_among_good_ones_leaves_nothing_bound(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    # A port that is given back a moment too late is refused only now and then.
    for _ in range(30):
        with pytest.raises(ValueError, match="65535"):
            Publisher([address, "127.0.0.1:99999"])
        with Publisher(address) as publisher:
            assert publisher.endpoint == f"tcp://{address}"
        with pytest.raises(ZmqChatError):
            Publisher([address, address])
        with Subscriber(bind=address) as subscriber:
            assert subscriber.endpoint == f"tcp://{address}"
