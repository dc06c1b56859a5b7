"""A relay's last-value cache: who comes late gets the latest of each topic, and others do not."""

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
    """Publish `topic:text`, each, and wait until the relay has them."""
    count = relay.stats().messages + len(texts)
    with publisher_of(relay, **options) as publisher:
        # Nobody listens, and the relay does.
        publisher.wait_for_subscribers(topic="any", timeout=TIMEOUT)
        for text in texts:
            topic, _, payload = text.partition(":")
            publisher.send(payload, topic=topic)
        wait_until(lambda: relay.stats().messages == count)


def heard(subscriber: Subscriber, count: int) -> list[str]:
    return [str(subscriber.recv(timeout=TIMEOUT)) for _ in range(count)]


def nothing_more(relay: Relay, *subscribers: Subscriber) -> None:
    """Check that the next thing that each of them hears is sent now."""
    fill(relay, "a:the end")
    for subscriber in subscribers:
        assert heard(subscriber, 1) == ["a:the end"]


def test_who_comes_late_gets_the_latest_of_each_topic(relay: Relay) -> None:
    fill(relay, "a:1", "b:1", "a:2", "c:1")
    assert relay.stats().cached == 3
    with Subscriber(str(relay.backend), topics=["a", "b", "none"]) as late:
        assert sorted(heard(late, 2)) == ["a:2", "b:1"]
        late.subscribe("c")
        assert heard(late, 1) == ["c:1"]
        # To ask again is no reason to send again.
        late.subscribe("c")
        nothing_more(relay, late)


def test_others_do_not_get_it_again(relay: Relay) -> None:
    with ExitStack() as stack:

        def subscriber() -> Subscriber:
            return stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))

        first = subscriber()
        relay.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        fill(relay, "a:1")
        assert heard(first, 1) == ["a:1"]
        others = [first]
        for _ in range(20):
            late = subscriber()
            assert heard(late, 1) == ["a:1"]
            others.append(late)
        nothing_more(relay, *others)


def test_others_that_are_pyzmq_s_do_not_either(relay: Relay) -> None:
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


def test_who_hears_everything_gets_all_that_nobody_else_hears_and_the_latest_of_the_rest(
    relay: Relay,
) -> None:
    fill(relay, "a:1", "b:1", "c:1")
    with Subscriber(str(relay.backend)) as first:
        assert heard(first, 3) == ["a:1", "b:1", "c:1"]
        with Subscriber(str(relay.backend)) as second:
            assert heard(second, 1) == ["c:1"]
            assert relay.stats().replays_skipped == 2
            nothing_more(relay, first, second)
    wait_until(lambda: relay.subscriber_count == 0)
    with Subscriber(str(relay.backend), topics=["b"]) as third:
        assert heard(third, 1) == ["b:1"]
        with Subscriber(str(relay.backend)) as fourth:
            # The third hears b alone, which is older than what the fourth may have.
            assert sorted(heard(fourth, 3)) == ["a:the end", "b:1", "c:1"]
            fill(relay, "b:2")
            assert heard(third, 1) == heard(fourth, 1) == ["b:2"]


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


def test_so_many_topics_and_no_more() -> None:
    with relay_here(last_value_cache=2) as relay:
        fill(relay, "a:1", "b:1", "a:2", "c:1")
        assert relay.stats().cached == 2
        with Subscriber(str(relay.backend), topics=["b"]) as late:
            nothing = relay.stats().messages
            late.subscribe("a")
            assert heard(late, 1) == ["a:2"]
            assert relay.stats().messages == nothing


def test_in_a_crowd_that_comes_and_goes_each_gets_it_and_nobody_gets_anything_stale(
    relay: Relay,
) -> None:
    with Subscriber(str(relay.backend), topics=["a"]) as faithful:
        relay.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        fill(relay, "a:1")
        assert heard(faithful, 1) == ["a:1"]
        for number in range(200):
            with Subscriber(str(relay.backend), topics=["a"]) as visitor:
                if number % 2:
                    assert heard(visitor, 1) == ["a:1"]
        fill(relay, "a:the end")
        # Where one leaves in the moment in which another comes, it may come again.
        while (text := heard(faithful, 1)[0]) != "a:the end":
            assert text == "a:1"
    wait_until(lambda: relay.topics == {})


def test_an_unsubscribed_topic_is_no_longer_heard_and_comes_again_when_asked_for(
    relay: Relay,
) -> None:
    fill(relay, "a:1")
    with Subscriber(str(relay.backend), topics=["a"]) as subscriber:
        assert heard(subscriber, 1) == ["a:1"]
        subscriber.unsubscribe("a")
        wait_until(lambda: relay.topics == {})
        subscriber.subscribe("a")
        assert heard(subscriber, 1) == ["a:1"]


def test_without_a_cache_nobody_gets_what_was_before() -> None:
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here(last_value_cache=False))
        publisher = stack.enter_context(publisher_of(relay))
        first = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
        publisher.send("1", topic="a")
        assert heard(first, 1) == ["a:1"]
        late = stack.enter_context(Subscriber(str(relay.backend), topics=["a"]))
        relay.wait_for_subscribers(2, topic="a", timeout=TIMEOUT)
        publisher.send("2", topic="a")
        assert heard(late, 1) == ["a:2"]
        assert relay.stats().cached == 0
