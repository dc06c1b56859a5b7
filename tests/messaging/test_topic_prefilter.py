"""A message without a subscriber is not passed to libzmq; every other message is delivered."""

from __future__ import annotations

import threading
from typing import Callable

import pytest
import zmq

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber

TOPICS = [f"topic{number}" for number in range(1_000)]


def test_messages_without_a_subscriber_count_as_sent(publisher: Publisher) -> None:
    for topic in (None, "room1"):
        publisher.send("Hello", topic=topic)
    assert publisher.send_many(["one", b"two"], topics=["room1", None]) == 2
    stats = publisher.stats()
    assert (stats.sent, stats.bytes) == (4, 16)


@pytest.mark.parametrize("send", ["send", "send_many"])
def test_each_of_many_topics_reaches_its_subscribers(publisher: Publisher, send: str) -> None:
    with Subscriber(str(publisher.endpoint), topics=[*TOPICS[::10], "the-end"]) as some:
        wait_until(lambda: len(publisher.topics) == 101, "all subscriptions")
        if send == "send":
            for topic in TOPICS:
                publisher.send("x", topic=topic)
        else:
            publisher.send_many(["x"] * len(TOPICS), topics=TOPICS)
        publisher.send("x", topic="the-end")
        received = [some.recv(timeout=TIMEOUT).topic for _ in range(101)]
    assert received == [*TOPICS[::10], "the-end"]


@pytest.mark.parametrize("prefix", [b"", b"r", b"room1:He", b"room1:" + b"x" * 100])
def test_a_prefix_matches_wherever_it_ends(publisher: Publisher, prefix: bytes) -> None:
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


def test_an_envelope_is_delivered_by_its_topic() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher, Subscriber(
        str(publisher.endpoint), framing="envelope", topics=["room1"]
    ) as subscriber:
        publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
        publisher.send("no subscriber", topic="room2")
        publisher.send("no subscriber")
        publisher.send("Hello", topic="room1")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def _tcp() -> str:
    return "127.0.0.1:0"


def _inproc() -> str:
    return f"inproc://{threading.get_ident()}-prefilter"


@pytest.mark.parametrize("address", [_tcp, _inproc])
@pytest.mark.parametrize("busy_topics", [(), ("busy",)])
def test_a_new_subscriber_receives_while_the_publisher_only_sends(
    address: Callable[[], str], busy_topics: tuple[str, ...]
) -> None:
    """The publisher makes no waiting call, so that only `send` reads the subscriptions."""
    stop = threading.Event()
    with Publisher(address(), linger=0) as publisher, Subscriber(
        str(publisher.endpoint), topics=busy_topics
    ) as busy:

        def stream() -> None:
            while not stop.is_set():
                for topic in ("new", *busy_topics):
                    publisher.send("x", topic=topic)

        streaming = threading.Thread(target=stream)
        streaming.start()
        try:
            for _ in range(20):
                with Subscriber(str(publisher.endpoint), topics=["new"]) as late:
                    assert late.recv(timeout=TIMEOUT).text == "x"
        finally:
            stop.set()
            streaming.join()
        if busy_topics:
            assert busy.recv(timeout=TIMEOUT).topic == "busy"


def test_a_subscriber_that_reconnects_receives_again(publisher: Publisher) -> None:
    with Subscriber(str(publisher.endpoint), topics=[]) as subscriber:
        for _ in range(3):
            subscriber.subscribe("room1")
            publisher.wait_for_subscribers(topic="room1", timeout=TIMEOUT)
            publisher.send("Hello", topic="room1")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
            subscriber.unsubscribe("room1")
            wait_until(lambda: not publisher.topics, "the unsubscription")
            publisher.send("no subscriber", topic="room1")
