"""A relay's last-value cache: only a new subscriber receives the latest message of each topic."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, Iterator

import pytest
import zmq

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Message, Publisher, Relay, Subscriber

HERE = "127.0.0.1:0"


def relay_here(**options: Any) -> Relay:
    return Relay(HERE, backend=HERE, **{"linger": 0, "last_value_cache": True, **options})


@pytest.fixture
def relay() -> Iterator[Relay]:
    with relay_here() as relay:
        yield relay


def publisher_of(relay: Relay, **options: Any) -> Publisher:
    return Publisher(connect=str(relay.frontend), **{"linger": 0, **options})


def fill(relay: Relay, *texts: str, **options: Any) -> None:
    """Publish each `topic:text`, and wait until the relay has received them."""
    count = relay.stats().messages + len(texts)
    with publisher_of(relay, **options) as publisher:
        # The relay subscribes to everything, even without a subscriber.
        publisher.wait_for_subscribers(topic="any", timeout=TIMEOUT)
        for text in texts:
            topic, _, payload = text.partition(":")
            publisher.send(payload, topic=topic)
        wait_until(lambda: relay.stats().messages == count)


def received(subscriber: Subscriber, count: int) -> list[str]:
    return [str(subscriber.recv(timeout=TIMEOUT)) for _ in range(count)]


def check_no_replay(relay: Relay, *subscribers: Subscriber) -> None:
    """Check that the next message that each of them receives is sent now."""
    fill(relay, "a:the end")
    for subscriber in subscribers:
        assert received(subscriber, 1) == ["a:the end"]


def test_a_new_subscriber_receives_the_latest_message_of_each_topic(relay: Relay) -> None:
    fill(relay, "a:1", "b:1", "a:2", "c:1")
    assert relay.stats().cached == 3
    with Subscriber(str(relay.backend), topics=["a", "b", "none"]) as late:
        assert sorted(received(late, 2)) == ["a:2", "b:1"]
        late.subscribe("c")
        assert received(late, 1) == ["c:1"]
        # A repeated subscription is not answered again.
        late.subscribe("c")
        check_no_replay(relay, late)


def test_an_existing_subscriber_does_not_receive_a_message_again(relay: Relay) -> None:
    with ExitStack() as stack:

        def subscriber() -> Subscriber:
            return stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))

        first = subscriber()
        relay.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        fill(relay, "a:1")
        assert received(first, 1) == ["a:1"]
        existing = [first]
        for _ in range(20):
            late = subscriber()
            assert received(late, 1) == ["a:1"]
            existing.append(late)
        check_no_replay(relay, *existing)


def test_an_existing_pyzmq_subscriber_does_not_receive_a_message_again(
    relay: Relay,
) -> None:
    with zmq.Context() as context, ExitStack() as stack:

        def subscriber(*prefixes: bytes) -> zmq.Socket[bytes]:
            socket = stack.enter_context(context.socket(zmq.SUB))
            socket.rcvtimeo = int(TIMEOUT * 1_000)
            socket.connect(str(relay.backend))
            for prefix in prefixes:
                socket.subscribe(prefix)
            return socket

        fill(relay, "a:1", "b:1")
        sockets = []
        for _ in range(10):
            socket = subscriber(b"a:", b"b:")
            assert sorted(socket.recv() for _ in range(2)) == [b"a:1", b"b:1"]
            sockets.append(socket)
        fill(relay, "a:the end")
        assert [socket.recv() for socket in sockets] == [b"a:the end"] * 10


def test_a_subscriber_to_everything_receives_all_unshared_topics_and_the_latest_shared_one(
    relay: Relay,
) -> None:
    fill(relay, "a:1", "b:1", "c:1")
    with Subscriber(str(relay.backend)) as first:
        assert received(first, 3) == ["a:1", "b:1", "c:1"]
        with Subscriber(str(relay.backend)) as second:
            assert received(second, 1) == ["c:1"]
            assert relay.stats().replays_skipped == 2
            check_no_replay(relay, first, second)
    wait_until(lambda: relay.subscriber_count == 0)
    with Subscriber(str(relay.backend), topics=["b"]) as third:
        assert received(third, 1) == ["b:1"]
        with Subscriber(str(relay.backend)) as fourth:
            # The third receives topic b alone, which is older than what the fourth may receive.
            assert sorted(received(fourth, 3)) == ["a:the end", "b:1", "c:1"]
            fill(relay, "b:2")
            assert received(third, 1) == received(fourth, 1) == ["b:2"]


def test_stamps_and_all_frames_are_kept(relay: Relay) -> None:
    fill(relay, "a:1", "a:2", name="ann")
    with publisher_of(relay, framing="envelope") as envelope:
        envelope.wait_for_subscribers(timeout=TIMEOUT)
        envelope.send(b"x" * 100_000, topic="b")
        wait_until(lambda: relay.stats().cached == 2)
    with Subscriber(str(relay.backend), topics=["a"]) as late:
        message: Message = late.recv(timeout=TIMEOUT)
        assert (message.sender, message.sequence, message.text) == ("ann", 1, "2")
    with Subscriber(str(relay.backend), topics=["b"], framing="envelope") as late:
        assert late.recv(timeout=TIMEOUT).frames == (b"b", b"x" * 100_000)


def test_the_number_of_topics_is_limited() -> None:
    with relay_here(last_value_cache=2) as relay:
        fill(relay, "a:1", "b:1", "a:2", "c:1")
        assert relay.stats().cached == 2
        with Subscriber(str(relay.backend), topics=["b"]) as late:
            before = relay.stats().messages
            late.subscribe("a")
            assert received(late, 1) == ["a:2"]
            assert relay.stats().messages == before


def test_subscribers_that_connect_and_disconnect_receive_only_the_latest_message(
    relay: Relay,
) -> None:
    with Subscriber(str(relay.backend), topics=["a"]) as existing:
        relay.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        fill(relay, "a:1")
        assert received(existing, 1) == ["a:1"]
        for number in range(200):
            with Subscriber(str(relay.backend), topics=["a"]) as late:
                if number % 2:
                    assert received(late, 1) == ["a:1"]
        fill(relay, "a:the end")
        # If one disconnects while another connects, the message may be received again.
        while (text := received(existing, 1)[0]) != "a:the end":
            assert text == "a:1"
    wait_until(lambda: relay.topics == {})


def test_an_unsubscribed_topic_is_not_delivered_until_it_is_subscribed_again(
    relay: Relay,
) -> None:
    fill(relay, "a:1")
    with Subscriber(str(relay.backend), topics=["a"]) as subscriber:
        assert received(subscriber, 1) == ["a:1"]
        subscriber.unsubscribe("a")
        wait_until(lambda: relay.topics == {})
        subscriber.subscribe("a")
        assert received(subscriber, 1) == ["a:1"]


def test_without_a_cache_a_new_subscriber_receives_no_earlier_message() -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here(last_value_cache=False))
        publisher = stack.enter_context(publisher_of(relay))
        first = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
        publisher.send("1", topic="a")
        assert received(first, 1) == ["a:1"]
        late = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        relay.wait_for_subscribers(2, topic="a", timeout=TIMEOUT)
        publisher.send("2", topic="a")
        assert received(late, 1) == ["a:2"]
        assert relay.stats().cached == 0
