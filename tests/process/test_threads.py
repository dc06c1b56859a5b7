"""Many threads share one object: each message is delivered exactly once."""

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
    def send(name: int) -> None:
        for number in range(EACH):
            pair.publisher.send(str(number), topic=f"t{name}")

    senders = [Background(send, name) for name in range(THREADS)]
    received: dict[str, list[str]] = {}
    for _ in range(THREADS * EACH):
        message = pair.subscriber.recv(timeout=TIMEOUT)
        topic, _, text = message.text.partition(":")
        received.setdefault(topic, []).append(text)
    for sender in senders:
        sender.result()
    assert received == {f"t{name}": [str(n) for n in range(EACH)] for name in range(THREADS)}


def test_eight_threads_of_a_named_publisher_share_one_sequence() -> None:
    with Publisher("127.0.0.1:0", name="alice") as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)

            def send() -> None:
                for _ in range(EACH):
                    publisher.send("Hello", topic="room1")

            senders = [Background(send) for _ in range(THREADS)]
            received = [subscriber.recv(timeout=TIMEOUT).sequence for _ in range(THREADS * EACH)]
            for sender in senders:
                sender.result()
    assert received == list(range(THREADS * EACH))


def test_concurrent_send_many_calls_each_keep_their_order(pair: Pair) -> None:
    senders = [
        Background(pair.publisher.send_many, [str(n) for n in range(EACH)], topic=f"t{name}")
        for name in range(THREADS)
    ]
    received: dict[str, list[str]] = {}
    for _ in range(THREADS * EACH):
        message = pair.subscriber.recv(timeout=TIMEOUT)
        topic, _, text = message.text.partition(":")
        received.setdefault(topic, []).append(text)
    assert [sender.result() for sender in senders] == [EACH] * THREADS
    assert all(texts == [str(n) for n in range(EACH)] for texts in received.values())


@pytest.mark.parametrize("method", ["recv", "recv_many", "for"])
def test_eight_threads_receive_from_one_subscriber(pair: Pair, method: str) -> None:
    received: list[str] = []

    def receive() -> None:
        if method == "for":
            for message in pair.subscriber:
                received.append(message.text)  # noqa: PERF401 - the threads share the list
        while method == "recv":
            received.append(pair.subscriber.recv_text())
        while method == "recv_many":
            received.extend(message.text for message in pair.subscriber.recv_many())

    receivers = [Background(receive) for _ in range(THREADS)]
    pair.publisher.send_many([str(number) for number in range(THREADS * EACH)])
    wait_until(lambda: len(received) >= THREADS * EACH, "every message")
    for receiver in receivers:
        receiver.wait_until_blocked(lambda: len(received))
    pair.subscriber.close()
    assert Counter(received) == Counter(str(number) for number in range(THREADS * EACH))
    for receiver in receivers:
        if method == "for":
            receiver.result()
        else:
            with pytest.raises(ClosedError):
                receiver.result()


def test_close_ends_the_waits_of_eight_threads(pair: Pair) -> None:
    receivers = [Background(pair.subscriber.recv) for _ in range(THREADS)]
    for receiver in receivers:
        receiver.wait_until_blocked()
    pair.subscriber.close()
    for receiver in receivers:
        with pytest.raises(ClosedError):
            receiver.result()


def test_eight_threads_may_close_one_object_at_the_same_time(pair: Pair) -> None:
    for close in (pair.subscriber.close, pair.publisher.close):
        for closing in [Background(close) for _ in range(THREADS)]:
            closing.result()
    assert pair.subscriber.closed
    assert pair.publisher.closed


def test_topics_change_in_other_threads_while_one_receives(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["always"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="always", timeout=TIMEOUT)
        receiver = Background(lambda: [message.text for message in subscriber])

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
        receiver.wait_until_blocked()
        assert set(subscriber.subscriptions) == {"always", *last}
        subscriber.close()
        assert receiver.result() == [*map(str, range(EACH)), *["the end"] * THREADS]


def test_a_thread_waits_for_subscribers_while_others_send(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    waiter = Background(publisher.wait_for_subscribers, 2)
    waiter.wait_until_blocked()
    publisher.send("no subscriber receives this")
    with Subscriber(publisher.endpoint), Subscriber(publisher.endpoint):
        assert waiter.result() == 2


def test_all_calls_may_run_concurrently() -> None:
    with Publisher("127.0.0.1:0", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            start = threading.Barrier(THREADS)

            def use_all(name: int) -> int:
                received = 0
                start.wait(TIMEOUT)
                for number in range(200):
                    publisher.send(f"{number}", topic=f"t{name}")
                    assert publisher.subscriber_count == 1
                    assert publisher.topics
                    subscriber.subscribe(prefix=f"t{name}")
                    with contextlib.suppress(TimeoutError):
                        received += len(subscriber.recv_many(timeout=0))
                    assert repr(subscriber)
                    subscriber.unsubscribe(prefix="never")
                return received

            threads = [Background(use_all, name) for name in range(THREADS)]
            received = sum(thread.result() for thread in threads)
            wait_until(lambda: len(publisher.topics) == THREADS, "the subscriptions of all threads")
            publisher.send("the end", topic="t0")
            while subscriber.recv(timeout=TIMEOUT).text != "t0:the end":
                received += 1
            assert 0 < received <= THREADS * 200


def test_eight_threads_open_and_close_objects() -> None:
    def open_and_close(name: int) -> None:
        for number in range(10):
            with Publisher("127.0.0.1:0", linger=0) as publisher:
                assert publisher.endpoint is not None
                with Subscriber(publisher.endpoint) as subscriber:
                    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                    publisher.send(f"{name} {number}")
                    assert subscriber.recv_text(timeout=TIMEOUT) == f"{name} {number}"

    for thread in [Background(open_and_close, name) for name in range(THREADS)]:
        thread.result()


class PeerReaders:
    """Threads that read a publisher's `peers` in a loop, so that sends compete for its lock."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stop = threading.Event()
        self._threads = [Background(self._read) for _ in range(3)]

    def _read(self) -> None:
        while not self._stop.is_set():
            assert self._publisher.peers is not None

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result()


def test_refused_sends_of_several_threads_are_all_counted() -> None:
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
        with PeerReaders(publisher):
            senders = [Background(send) for _ in range(3)]
            refused = sum(sender.result() for sender in senders)
        assert 0 < refused == publisher.stats().refused


def test_waiting_for_another_thread_does_not_count_as_blocked_by_a_full_queue() -> None:
    def send() -> None:
        for _ in range(20_000):
            publisher.send("x")

    with Publisher("127.0.0.1:0", on_full="block", linger=0) as publisher:
        with PeerReaders(publisher):
            for sender in [Background(send) for _ in range(2)]:
                sender.result()
        assert publisher.stats().blocked_seconds == 0.0
