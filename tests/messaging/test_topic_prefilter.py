"""What nobody wants is not even handed to libzmq; what anybody may want always is."""

from __future__ import annotations

import threading
from typing import Callable

import pytest
import zmq

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber

TOPICS = [f"topic{number}" for number in range(1_000)]


def test_what_nobody_hears_counts_as_sent(publisher: Publisher) -> None:
    for topic in (None, "room1"):
        publisher.send("Hello", topic=topic)
    assert publisher.send_many(["one", b"two"], topics=["room1", None]) == 2
    stats = publisher.stats()
    assert (stats.sent, stats.bytes) == (4, 16)


@pytest.mark.parametrize("send", ["send", "send_many"])
def test_each_of_many_topics_reaches_those_who_want_it(publisher: Publisher, send: str) -> None:
    with Subscriber(str(publisher.endpoint), topics=[*TOPICS[::10], "the-end"]) as some:
        publisher.wait_for_subscribers(topic="the-end", timeout=TIMEOUT)
        if send == "send":
            for topic in TOPICS:
                publisher.send("x", topic=topic)
        else:
            publisher.send_many(["x"] * len(TOPICS), topics=TOPICS)
        publisher.send("x", topic="the-end")
        heard = [some.recv(timeout=TIMEOUT).topic for _ in range(101)]
    assert heard == [*TOPICS[::10], "the-end"]


@pytest.mark.parametrize("prefix", [b"", b"r", b"room1:He", b"room1:" + b"x" * 100])
def test_a_bare_prefix_is_heard_wherever_it_ends(publisher: Publisher, prefix: bytes) -> None:
    context = zmq.Context()
    with context.socket(zmq.SUB) as peer:
        peer.linger, peer.rcvtimeo = 0, int(TIMEOUT * 1_000)
        peer.subscribe(prefix)
        peer.connect(str(publisher.endpoint))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("other", topic="Room1")
        text = "x" * 100 if prefix.endswith(b"x") else "Hello"
        publisher.send(text, topic="room1")
        publisher.send(f"room1:{text}")
        wanted = [f"room1:{text}"] * 2
        if not prefix:
            wanted.insert(0, "Room1:other")
        assert [peer.recv_string() for _ in wanted] == wanted
    context.term()


def test_an_envelope_is_heard_by_its_topic() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher, Subscriber(
        str(publisher.endpoint), framing="envelope", topics=["room1"]
    ) as subscriber:
        publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        publisher.send("nobody's", topic="room2")
        publisher.send("nobody's")
        publisher.send("Hello", topic="room1")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def _tcp() -> str:
    return "127.0.0.1:0"


def _inproc() -> str:
    return f"inproc://{threading.get_ident()}-unheard"


@pytest.mark.parametrize("address", [_tcp, _inproc])
@pytest.mark.parametrize("others", [(), ("busy",)])
def test_who_comes_while_nothing_is_heard_is_soon_heard_of(
    address: Callable[[], str], others: tuple[str, ...]
) -> None:
    """Nobody waits for anything, so that sending alone has to take notice."""
    stop = threading.Event()
    with Publisher(address(), linger=0) as publisher, Subscriber(
        str(publisher.endpoint), topics=others
    ) as busy:

        def stream() -> None:
            while not stop.is_set():
                for topic in ("quiet", *others):
                    publisher.send("x", topic=topic)

        streaming = threading.Thread(target=stream)
        streaming.start()
        try:
            for _ in range(20):
                with Subscriber(str(publisher.endpoint), topics=["quiet"]) as late:
                    assert late.recv(timeout=TIMEOUT).text == "x"
        finally:
            stop.set()
            streaming.join()
        if others:
            assert busy.recv(timeout=TIMEOUT).topic == "busy"


def test_who_left_and_came_back_is_heard_of(publisher: Publisher) -> None:
    with Subscriber(str(publisher.endpoint), topics=[]) as subscriber:
        for _ in range(3):
            subscriber.subscribe("room1")
            publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
            publisher.send("Hello", topic="room1")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
            subscriber.unsubscribe("room1")
            wait_until(lambda: not publisher.topics, "the departure")
            publisher.send("nobody's", topic="room1")
