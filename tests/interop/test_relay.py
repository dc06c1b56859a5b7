"""A relay between sockets of pyzmq and of this package, and a pyzmq proxy between ours."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Iterator

import pytest
import zmq

from tests.helpers.chats import start_proxy
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

Socket = zmq.Socket[bytes]
LOOPBACK = "127.0.0.1:0"


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay(LOOPBACK, backend=LOOPBACK, linger=0) as relay:
        yield relay


def connected(context: zmq.Context[Socket], kind: int, endpoint: str | None) -> Socket:
    socket = context.socket(kind)
    socket.linger = 0
    socket.rcvtimeo = int(TIMEOUT * 1_000)
    socket.connect(str(endpoint))
    return socket


def subscribed(context: zmq.Context[Socket], endpoint: str | None, prefix: bytes) -> Socket:
    socket = connected(context, zmq.SUB, endpoint)
    socket.subscribe(prefix)
    return socket


def test_a_relay_forwards_messages_between_pyzmq_sockets(
    context: zmq.Context[Socket], relay: Relay
) -> None:
    with ExitStack() as stack:
        # An XPUB receives the subscription, on which the test waits; a PUB sends the same messages.
        publisher = stack.enter_context(connected(context, zmq.XPUB, relay.frontend))
        subscriber = stack.enter_context(subscribed(context, relay.backend, b"room1:"))
        assert publisher.recv() == b"\x01room1:"
        for text in ("room2:no", "room1:Hello", "room10:no", "room1:again"):
            publisher.send_string(text)
        assert subscriber.recv_string() == "room1:Hello"
        assert subscriber.recv_string() == "room1:again"
        subscriber.unsubscribe(b"room1:")
        assert publisher.recv() == b"\x00room1:"


def test_messages_of_a_plain_pub_arrive_after_the_subscription_is_forwarded(
    context: zmq.Context[Socket], relay: Relay
) -> None:
    with ExitStack() as stack:
        publisher = stack.enter_context(connected(context, zmq.PUB, relay.frontend))
        subscriber = stack.enter_context(Subscriber(str(relay.backend), topics=["room1"]))
        relay.wait_connected(timeout=TIMEOUT)

        def is_received() -> bool:
            publisher.send_string("room1:Hello")
            with contextlib.suppress(TimeoutError):
                return subscriber.recv_text(timeout=0.01) == "room1:Hello"
            return False

        wait_until(is_received)


@pytest.mark.parametrize("frames", [[b"a"], [b"", b"b"], [b"a", b"", b"c" * 100_000, b"\x00\xff"]])
def test_a_relay_forwards_multipart_messages_unaltered(
    context: zmq.Context[Socket], relay: Relay, frames: list[bytes]
) -> None:
    with ExitStack() as stack:
        publisher = stack.enter_context(connected(context, zmq.XPUB, relay.frontend))
        theirs = stack.enter_context(subscribed(context, relay.backend, b""))
        ours = stack.enter_context(Subscriber(str(relay.backend)))
        relay.wait_for_subscribers(2, timeout=TIMEOUT)
        assert publisher.recv() == b"\x01"
        publisher.send_multipart(frames)
        assert theirs.recv_multipart() == frames
        assert list(ours.recv(timeout=TIMEOUT).frames) == frames


def test_a_relay_forwards_between_both_libraries_on_both_sides(
    context: zmq.Context[Socket], relay: Relay
) -> None:
    with ExitStack() as stack:
        theirs = stack.enter_context(connected(context, zmq.XPUB, relay.frontend))
        ours = stack.enter_context(Publisher(connect=str(relay.frontend), linger=0))
        pyzmq_sub = stack.enter_context(subscribed(context, relay.backend, b"room1:"))
        our_sub = stack.enter_context(Subscriber(str(relay.backend), topics=["room1"]))
        relay.wait_for_subscribers(2, topic="room1", timeout=TIMEOUT)
        ours.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        assert theirs.recv() == b"\x01room1:"
        theirs.send_string("room1:from pyzmq")
        ours.send("from us", topic="room1")
        expected = {"room1:from pyzmq", "room1:from us"}
        assert {pyzmq_sub.recv_string() for _ in expected} == expected
        assert {str(our_sub.recv(timeout=TIMEOUT)) for _ in expected} == expected


def test_a_pyzmq_upstream_receives_each_subscription_and_cancellation_once(
    context: zmq.Context[Socket],
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(context.socket(zmq.XPUB))
        upstream.linger = 0
        upstream.rcvtimeo = int(TIMEOUT * 1_000)
        upstream.setsockopt(zmq.XPUB_VERBOSER, 1)
        upstream.bind("tcp://127.0.0.1:*")
        endpoint = upstream.getsockopt_string(zmq.LAST_ENDPOINT)
        relay = stack.enter_context(Relay(None, backend=LOOPBACK, connect=endpoint, linger=0))
        relay.wait_connected(timeout=TIMEOUT)
        subscribers = [subscribed(context, relay.backend, b"a:") for _ in range(20)]
        wait_until(lambda: relay.topics == {"a": 20})
        for socket in subscribers[1:]:
            socket.close()
        wait_until(lambda: relay.topics == {"a": 1})
        subscribers[0].subscribe(b"b:")
        # 20 equal subscriptions are forwarded as one, and 19 cancellations are not forwarded.
        assert [upstream.recv(), upstream.recv()] == [b"\x01a:", b"\x01b:"]
        subscribers[0].close()
        assert sorted([upstream.recv(), upstream.recv()]) == [b"\x00a:", b"\x00b:"]


def test_messages_pass_through_a_pyzmq_proxy_and_then_a_relay(
    start_python: StartPython,
) -> None:
    frontend, backend = start_proxy(start_python)
    with ExitStack() as stack:
        relay = stack.enter_context(Relay(LOOPBACK, backend=LOOPBACK, connect=backend, linger=0))
        publisher = stack.enter_context(Publisher(connect=frontend, name="ann", linger=0))
        subscriber = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
        publisher.send_many([str(number) for number in range(1_000)], topic="a")
        received = [subscriber.recv(timeout=TIMEOUT).text for _ in range(1_000)]
        assert received == [str(number) for number in range(1_000)]
        assert subscriber.stats().lost == 0
