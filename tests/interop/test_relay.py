"""A relay between pyzmq's sockets, ours, and mixtures of both; and pyzmq's proxy between ours."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from typing import TYPE_CHECKING, Iterator

import pytest
import zmq

from tests.helpers.chats import proxied
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

Socket = zmq.Socket[bytes]
HERE = "127.0.0.1:0"


@pytest.fixture
def context() -> Iterator[zmq.Context[Socket]]:
    with zmq.Context() as context:
        yield context


@pytest.fixture
def relay() -> Iterator[Relay]:
    with Relay(HERE, backend=HERE, linger=0) as relay:
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


def test_pub_and_sub_of_pyzmq_with_no_option_set(
    context: zmq.Context[Socket], relay: Relay
) -> None:
    with ExitStack() as stack:
        # An XPUB, to know when the subscription is there; a PUB sends the same.
        publisher = stack.enter_context(connected(context, zmq.XPUB, relay.frontend))
        subscriber = stack.enter_context(subscribed(context, relay.backend, b"room1:"))
        assert publisher.recv() == b"\x01room1:"
        for text in ("room2:no", "room1:Hello", "room10:no", "room1:again"):
            publisher.send_string(text)
        assert subscriber.recv_string() == "room1:Hello"
        assert subscriber.recv_string() == "room1:again"
        subscriber.unsubscribe(b"room1:")
        assert publisher.recv() == b"\x00room1:"


def test_a_plain_pub_is_heard_once_the_subscription_went_through(
    context: zmq.Context[Socket], relay: Relay
) -> None:
    with ExitStack() as stack:
        publisher = stack.enter_context(connected(context, zmq.PUB, relay.frontend))
        subscriber = stack.enter_context(Subscriber(str(relay.backend), topics=["room1"]))
        relay.wait_connected(timeout=TIMEOUT)

        def is_heard() -> bool:
            publisher.send_string("room1:Hello")
            with contextlib.suppress(TimeoutError):
                return subscriber.recv_text(timeout=0.01) == "room1:Hello"
            return False

        wait_until(is_heard)


@pytest.mark.parametrize("frames", [[b"a"], [b"", b"b"], [b"a", b"", b"c" * 100_000, b"\x00\xff"]])
def test_multipart_passes_as_it_came(
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


def test_both_libraries_on_both_sides(context: zmq.Context[Socket], relay: Relay) -> None:
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


def test_subscriptions_reach_an_upstream_of_pyzmq_once_and_are_taken_back_once(
    context: zmq.Context[Socket],
) -> None:
    with ExitStack() as stack:
        upstream = stack.enter_context(context.socket(zmq.XPUB))
        upstream.linger = 0
        upstream.rcvtimeo = int(TIMEOUT * 1_000)
        upstream.setsockopt(zmq.XPUB_VERBOSER, 1)
        upstream.bind("tcp://127.0.0.1:*")
        endpoint = upstream.getsockopt_string(zmq.LAST_ENDPOINT)
        relay = stack.enter_context(Relay(None, backend=HERE, connect=endpoint, linger=0))
        relay.wait_connected(timeout=TIMEOUT)
        crowd = [subscribed(context, relay.backend, b"a:") for _ in range(20)]
        wait_until(lambda: relay.topics == {"a": 20})
        for socket in crowd[1:]:
            socket.close()
        wait_until(lambda: relay.topics == {"a": 1})
        crowd[0].subscribe(b"b:")
        # Twenty times the same is one, and nineteen departures are none.
        assert [upstream.recv(), upstream.recv()] == [b"\x01a:", b"\x01b:"]
        crowd[0].close()
        assert sorted([upstream.recv(), upstream.recv()]) == [b"\x00a:", b"\x00b:"]


def test_a_proxy_of_pyzmq_between_our_sockets_and_our_relay_below_it(
    start_python: StartPython,
) -> None:
    speak, hear = proxied(start_python)
    with ExitStack() as stack:
        relay = stack.enter_context(Relay(HERE, backend=HERE, connect=hear, linger=0))
        publisher = stack.enter_context(Publisher(connect=speak, name="ann", linger=0))
        subscriber = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
        publisher.send_many([str(number) for number in range(1_000)], topic="a")
        heard = [subscriber.recv(timeout=TIMEOUT).text for _ in range(1_000)]
        assert heard == [str(number) for number in range(1_000)]
        assert subscriber.stats().lost == 0
