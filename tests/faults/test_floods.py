"""Peers that flood a publisher or a relay are cut off; good peers still receive messages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from typing import TYPE_CHECKING, Callable, Iterator, Literal

import pytest

from tests.helpers.floods import ATTACKS, flooded
from tests.helpers.hostile_peers import frame
from tests.helpers.memory import resident_kib
from tests.helpers.raw_peers import handshake, wait_until_closed
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber, _event_delivery
from zmqchat_rs._rate_limit import RateLimit

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython
    from zmqchat_rs import Event

MIB = 1024
#: How much memory a flooded publisher may take for buffers and subscription tables, in KiB.
GROWTH = 64 * MIB


@pytest.fixture(autouse=True)
def fresh_log_rate_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers of an earlier test do not count for the limit of ten log lines in five seconds."""
    monkeypatch.setattr(_event_delivery, "_cut_off", RateLimit(5.0, 10))


def port_of(endpoint: str | None) -> int:
    assert endpoint is not None
    return int(endpoint.rpartition(":")[2])


@contextlib.contextmanager
def connected(publisher: Publisher) -> Iterator[socket.socket]:
    """A raw connection that completed its handshake as a subscriber."""
    address = ("127.0.0.1", port_of(publisher.endpoint))
    with socket.create_connection(address) as connection:
        handshake(connection, b"SUB")
        yield connection


def send_and_receive(publisher: Publisher, subscriber: Subscriber, count: int) -> None:
    """Send and receive this number of messages, one after the other."""
    for number in range(count):
        publisher.send(str(number), topic="good")
        assert subscriber.recv(timeout=TIMEOUT).text == str(number)


@pytest.mark.parametrize("peers", [1, 10])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_flooded_publisher_serves_good_peers_and_limits_its_memory(
    attack: str, peers: int
) -> None:
    with Publisher("127.0.0.1:0") as publisher, Subscriber(
        publisher.endpoint or "", topics=["good"]
    ) as subscriber:
        publisher.wait_for_subscribers(1, topic="good", timeout=TIMEOUT)
        send_and_receive(publisher, subscriber, 1_000)
        before = resident_kib()
        # The flooding peers reconnect after each cut-off.
        with flooded(port_of(publisher.endpoint), attack, peers):
            wait_until(lambda: len(publisher.peers) > 1)
            send_and_receive(publisher, subscriber, 100)
            publisher.stats()
            with pytest.raises(TimeoutError):
                publisher.wait_for_subscribers(1_000, timeout=0.2)
            send_and_receive(publisher, subscriber, 200)
        assert resident_kib() - before < GROWTH
        wait_until(lambda: publisher.topics == {"good": 1}, "the flooding peers to be disconnected")
        send_and_receive(publisher, subscriber, 100)


def test_a_flooding_peer_is_cut_off_and_reported_with_its_rate(
    caplog: pytest.LogCaptureFixture,
) -> None:
    events: list[Event] = []

    def cut_off_events() -> list[Event]:
        return [event for event in events if event.kind == "cut off"]

    with caplog.at_level(logging.WARNING, "zmqchat_rs"), Publisher(
        "127.0.0.1:0", on_event=events.append
    ) as publisher:
        with connected(publisher) as connection:
            peer = ":".join(map(str, connection.getsockname()))
            with contextlib.suppress(ConnectionError):
                while True:
                    connection.sendall(ATTACKS["junk"])
            wait_until(cut_off_events, "the event")
        [event] = cut_off_events()
        assert event.address == peer
        assert "per second" in event.reason
        assert "refused for 2 s" in event.reason
        wait_until(lambda: f"cut off {peer}: it sent" in caplog.text, "the log line")
        # A good subscriber from the same address connects when the refusal expires.
        with Subscriber(publisher.endpoint or "", topics=["good"]) as subscriber:
            publisher.wait_for_subscribers(1, topic="good", timeout=TIMEOUT)
            send_and_receive(publisher, subscriber, 10)


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_send_with_a_timeout_returns_while_peers_flood(
    on_full: Literal["drop", "block"],
) -> None:
    with Publisher("127.0.0.1:0", on_full=on_full, high_water_mark=1) as publisher, flooded(
        port_of(publisher.endpoint), "duplicates", 3
    ):
        wait_until(lambda: len(publisher.peers) > 1)

        def send() -> None:
            with contextlib.suppress(TimeoutError):
                # The flooding peers do not read, so their queues stay full.
                publisher.send(b"x" * 100_000, topic="same", timeout=0.1)

        for _ in range(20):
            send()


#: Waits for subscribers that never connect.
WAITS_FOR_SUBSCRIBERS = """
    from zmqchat_rs import Publisher

    with Publisher("127.0.0.1:0") as publisher:
        print(publisher.endpoint)
        while not publisher.peers:
            pass
        try:
            print("flooded")
            publisher.wait_for_subscribers(1_000)
        except KeyboardInterrupt:
            print("interrupted")
"""


def test_ctrl_c_ends_a_wait_while_peers_flood(start_python: StartPython) -> None:
    script = start_python(WAITS_FOR_SUBSCRIBERS)
    with flooded(port_of(script.line()), "toggles", 10):
        assert script.line() == "flooded"
        os.kill(script.pid, signal.SIGINT)
        assert script.line() == "interrupted"


def test_an_event_loop_keeps_running_while_peers_flood() -> None:
    async def count_iterations() -> int:
        with Publisher("127.0.0.1:0") as publisher, Subscriber(
            publisher.endpoint or "", topics=["good"]
        ) as subscriber:
            await publisher.await_for_subscribers(1, topic="good", timeout=TIMEOUT)
            iterations = 0

            async def iterate() -> None:
                nonlocal iterations
                while True:
                    await asyncio.sleep(0)
                    iterations += 1

            iterating = asyncio.ensure_future(iterate())
            with flooded(port_of(publisher.endpoint), "toggles", 10):
                await publisher.await_for_subscribers(2, timeout=TIMEOUT)
                with pytest.raises(TimeoutError):
                    await publisher.await_for_subscribers(1_000, timeout=0.2)
                for number in range(100):
                    publisher.send(str(number), topic="good")
                    assert (await subscriber.arecv(timeout=TIMEOUT)).text == str(number)
            iterating.cancel()
            return iterations

    assert asyncio.run(count_iterations()) > 100


@pytest.mark.parametrize("cached", [0, 100])
@pytest.mark.parametrize("attack", ATTACKS)
def test_a_flooded_relay_forwards_to_good_peers(attack: str, cached: int) -> None:
    with Relay("127.0.0.1:0", backend="127.0.0.1:0", last_value_cache=cached) as relay, Publisher(
        connect=relay.frontend_addresses[0]
    ) as publisher, Subscriber(relay.backend_addresses[0], topics=["good"]) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        relay.wait_for_subscribers(1, topic="good", timeout=TIMEOUT)
        send_and_receive(publisher, subscriber, 10)
        with flooded(port_of(relay.backend_addresses[0]), attack, 3):
            wait_until(lambda: len(relay.subscribers) > 1)
            send_and_receive(publisher, subscriber, 300)
            assert relay.stats().messages >= 310


def subscribe(connection: socket.socket, numbers: range) -> None:
    connection.sendall(b"".join(frame(b"\x01%d:" % number) for number in numbers))


def test_a_peer_above_max_subscriptions_is_cut_off_and_logged_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "zmqchat_rs"), Publisher(
        "127.0.0.1:0", max_subscriptions=100
    ) as publisher, connected(publisher) as few, connected(publisher) as many:
        subscribe(few, range(10))
        wait_until(lambda: len(publisher.topics) == 10)
        subscribe(many, range(10, 111))
        peer = ":".join(map(str, many.getsockname()))
        wait_until_closed(many)
        wait_until(lambda: len(publisher.topics) == 10)
        wait_until(lambda: "max_subscriptions=100" in caplog.text, "the log line")
        assert f"cut off {peer}: " in caplog.text


def test_max_subscriptions_limits_all_peers_together() -> None:
    with Publisher("127.0.0.1:0", max_subscriptions=100) as publisher, connected(
        publisher
    ) as many, connected(publisher) as few:
        subscribe(many, range(99))
        wait_until(lambda: len(publisher.topics) == 99)
        # The peer with the most subscriptions is cut off, not the peer that subscribed last.
        subscribe(few, range(99, 101))
        wait_until_closed(many)
        wait_until(lambda: len(publisher.topics) == 2)


@pytest.mark.parametrize("kind", [Publisher, Relay])
def test_a_negative_max_subscriptions_is_rejected(kind: Callable[..., object]) -> None:
    with pytest.raises(ValueError, match="invalid max_subscriptions -1: expected 0 or more"):
        kind("127.0.0.1:0", max_subscriptions=-1)


@pytest.mark.parametrize("limit", [20_000, 0])
def test_twenty_thousand_subscriptions_arrive_and_again_after_a_reconnect(
    limit: int,
) -> None:
    topics = [str(number) for number in range(20_000)]
    with Publisher("127.0.0.1:0", max_subscriptions=limit) as publisher:
        endpoint = publisher.endpoint or ""
        with Subscriber(endpoint, topics=topics) as subscriber:
            wait_until(lambda: len(publisher.topics) == 20_000, "all subscriptions")
            for _ in range(2):
                subscriber.disconnect(endpoint)
                wait_until(lambda: publisher.topics == {}, "the subscriptions to be removed")
                subscriber.connect(endpoint)
                wait_until(lambda: len(publisher.topics) == 20_000, "all subscriptions again")
            if not limit:
                subscriber.subscribe("20000")
                publisher.wait_for_subscribers(1, topic="20000", timeout=TIMEOUT)
                assert [peer.state for peer in subscriber.peers] == ["connected"]


def test_a_publisher_does_not_cut_off_a_relay_whose_subscribers_toggle() -> None:
    events: list[Event] = []
    with Publisher("127.0.0.1:0", on_event=events.append) as publisher, Relay(
        None, backend="127.0.0.1:0", connect=publisher.endpoint or ""
    ) as relay, Subscriber(relay.backend_addresses[0], topics=["good"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="good", timeout=TIMEOUT)
        with flooded(port_of(relay.backend_addresses[0]), "toggles", 5):
            wait_until(lambda: len(relay.subscribers) > 1)
            for _ in range(10):
                send_and_receive(publisher, subscriber, 100)
                # The relay also forwards a new subscription.
                with Subscriber(relay.backend_addresses[0], topics=["later"]):
                    publisher.wait_for_subscribers(1, topic="later", timeout=TIMEOUT)
                wait_until(lambda: "later" not in publisher.topics)
        wait_until(lambda: publisher.topics == {"good": 1})
        assert not any(event.kind == "cut off" for event in events)
