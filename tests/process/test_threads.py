"""One object, many threads: nothing breaks, nothing is lost, nothing comes twice."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import ClosedError, Publisher, QueueFullError, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair

THREADS = 8
EACH = 500


def test_eight_threads_publish_through_one_publisher(pair: Pair) -> None:
    def speak(name: int) -> None:
        for number in range(EACH):
            pair.publisher.send(str(number), topic=f"t{name}")

    speakers = [Background(speak, name) for name in range(THREADS)]
    heard: dict[str, list[str]] = {}
    for _ in range(THREADS * EACH):
        message = pair.subscriber.recv(timeout=TIMEOUT)
        topic, _, text = message.text.partition(":")
        heard.setdefault(topic, []).append(text)
    for speaker in speakers:
        speaker.result()
    assert heard == {f"t{name}": [str(n) for n in range(EACH)] for name in range(THREADS)}


def test_eight_threads_of_a_named_publisher_share_one_count() -> None:
    with Publisher("127.0.0.1:0", name="alice") as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)

            def speak() -> None:
                for _ in range(EACH):
                    publisher.send("Hello", topic="room1")

            speakers = [Background(speak) for _ in range(THREADS)]
            heard = [subscriber.recv(timeout=TIMEOUT).sequence for _ in range(THREADS * EACH)]
            for speaker in speakers:
                speaker.result()
    assert heard == list(range(THREADS * EACH))


def test_send_many_is_not_torn_apart_in_its_own_order(pair: Pair) -> None:
    speakers = [
        Background(pair.publisher.send_many, [str(n) for n in range(EACH)], topic=f"t{name}")
        for name in range(THREADS)
    ]
    heard: dict[str, list[str]] = {}
    for _ in range(THREADS * EACH):
        message = pair.subscriber.recv(timeout=TIMEOUT)
        topic, _, text = message.text.partition(":")
        heard.setdefault(topic, []).append(text)
    assert [speaker.result() for speaker in speakers] == [EACH] * THREADS
    assert all(texts == [str(n) for n in range(EACH)] for texts in heard.values())


@pytest.mark.parametrize("way", ["recv", "recv_many", "for"])
def test_eight_threads_read_from_one_subscriber(pair: Pair, way: str) -> None:
    heard: list[str] = []

    def read() -> None:
        if way == "for":
            for message in pair.subscriber:
                heard.append(message.text)  # noqa: PERF401 - readers share the list
        while way == "recv":
            heard.append(pair.subscriber.recv_text())
        while way == "recv_many":
            heard.extend(message.text for message in pair.subscriber.recv_many())

    readers = [Background(read) for _ in range(THREADS)]
    pair.publisher.send_many([str(number) for number in range(THREADS * EACH)])
    wait_until(lambda: len(heard) >= THREADS * EACH, "every message")
    for reader in readers:
        reader.wait_until_blocked(lambda: len(heard))
    pair.subscriber.close()
    assert Counter(heard) == Counter(str(number) for number in range(THREADS * EACH))
    for reader in readers:
        if way == "for":
            reader.result()
        else:
            with pytest.raises(ClosedError):
                reader.result()


def test_closing_lets_go_of_eight_threads_that_wait(pair: Pair) -> None:
    readers = [Background(pair.subscriber.recv) for _ in range(THREADS)]
    for reader in readers:
        reader.wait_until_blocked()
    pair.subscriber.close()
    for reader in readers:
        with pytest.raises(ClosedError):
            reader.result()


def test_eight_threads_may_close_at_once(pair: Pair) -> None:
    for close in (pair.subscriber.close, pair.publisher.close):
        for closing in [Background(close) for _ in range(THREADS)]:
            closing.result()
    assert pair.subscriber.closed
    assert pair.publisher.closed


def test_topics_change_in_other_threads_while_one_reads(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["always"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="always", timeout=TIMEOUT)
        reader = Background(lambda: [message.text for message in subscriber])

        def change(name: int) -> None:
            for number in range(100):
                subscriber.subscribe(f"t{name}-{number}")
                if number != 99:
                    subscriber.unsubscribe(f"t{name}-{number}")

        changers = [Background(change, name) for name in range(THREADS)]
        for number in range(EACH):
            publisher.send(str(number), topic="always")
        for changer in changers:
            changer.result()
        last = [f"t{name}-99" for name in range(THREADS)]
        wait_until(lambda: publisher.topics == dict.fromkeys(["always", *last], 1))
        for topic in last:
            publisher.send("the end", topic=topic)
        reader.wait_until_blocked()
        assert set(subscriber.subscriptions) == {"always", *last}
        subscriber.close()
        assert reader.result() == [*map(str, range(EACH)), *["the end"] * THREADS]


def test_a_thread_waits_for_subscribers_while_others_send(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    waiter = Background(publisher.wait_for_subscribers, 2)
    waiter.wait_until_blocked()
    publisher.send("nobody hears this")
    with Subscriber(publisher.endpoint), Subscriber(publisher.endpoint):
        assert waiter.result() == 2


def test_all_of_it_at_once_harms_nobody() -> None:
    with Publisher("127.0.0.1:0", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            start = threading.Barrier(THREADS)

            def mix(name: int) -> int:
                heard = 0
                start.wait(TIMEOUT)
                for number in range(200):
                    publisher.send(f"{number}", topic=f"t{name}")
                    assert publisher.subscriber_count == 1
                    assert publisher.topics
                    subscriber.subscribe(prefix=f"t{name}")
                    with contextlib.suppress(TimeoutError):
                        heard += len(subscriber.recv_many(timeout=0))
                    assert repr(subscriber)
                    subscriber.unsubscribe(prefix="never")
                return heard

            mixers = [Background(mix, name) for name in range(THREADS)]
            heard = sum(mixer.result() for mixer in mixers)
            publisher.send("the end", topic="t0")
            while subscriber.recv(timeout=TIMEOUT).text != "t0:the end":
                heard += 1
            assert 0 < heard <= THREADS * 200


def test_objects_come_and_go_in_eight_threads() -> None:
    def visit(name: int) -> None:
        for number in range(10):
            with Publisher("127.0.0.1:0", linger=0) as publisher:
                assert publisher.endpoint is not None
                with Subscriber(publisher.endpoint) as subscriber:
                    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                    publisher.send(f"{name} {number}")
                    assert subscriber.recv_text(timeout=TIMEOUT) == f"{name} {number}"

    for visitor in [Background(visit, name) for name in range(THREADS)]:
        visitor.result()


class Crowd:
    """Threads that keep looking at a publisher, so that sends meet others inside."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stop = threading.Event()
        self._threads = [Background(self._look) for _ in range(3)]

    def _look(self) -> None:
        while not self._stop.is_set():
            assert self._publisher.peers is not None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result()


def test_sends_that_are_refused_in_a_crowd_are_counted() -> None:
    def is_refused() -> bool:
        try:
            publisher.send(b"x" * 100_000)
        except QueueFullError:
            return True
        return False

    def send() -> int:
        return sum(is_refused() for _ in range(3_000))

    publisher = Publisher("127.0.0.1:0", on_full="raise", high_water_mark=1, linger=0)
    with publisher, Subscriber(publisher.addresses, high_water_mark=1):
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        with Crowd(publisher):
            senders = [Background(send) for _ in range(3)]
            refused = sum(sender.result() for sender in senders)
        assert 0 < refused == publisher.stats().refused


def test_to_wait_for_another_thread_is_not_to_wait_for_room() -> None:
    def send() -> None:
        for _ in range(20_000):
            publisher.send("x")

    with Publisher("127.0.0.1:0", on_full="block", linger=0) as publisher:
        with Crowd(publisher):
            for sender in [Background(send) for _ in range(2)]:
                sender.result()
        assert publisher.stats().blocked_seconds == 0.0
