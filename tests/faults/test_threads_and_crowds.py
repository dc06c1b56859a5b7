"""Many threads on one object, many subscribers on one publisher, very many messages."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.conditions import only_linux
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import ClosedError, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

THREADS = 8
EACH = 5_000


def where(publisher: Publisher) -> str:
    assert publisher.endpoint is not None
    return publisher.endpoint


class Disturbances:
    """Calls that others make in threads of their own, again and again until they are stopped."""

    def __init__(self, *calls: Callable[[int], object]) -> None:
        self._stop = threading.Event()
        self._turns: Counter[int] = Counter()
        self._threads = [Background(self._repeat, *each) for each in enumerate(calls)]

    def _repeat(self, name: int, call: Callable[[int], object]) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            call(number)
            self._turns[name] = number + 1

    @property
    def fewest_turns(self) -> int:
        return min(self._turns[name] for name in range(len(self._threads)))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result()


def disturbances(publisher: Publisher, subscriber: Subscriber, other: Publisher) -> Disturbances:
    """Everything that others may do to the two while they talk."""

    def subscribe(number: int) -> None:
        subscriber.subscribe(f"t{number % 50}")
        subscriber.unsubscribe(f"t{number % 50}")

    def connect(_: int) -> None:
        subscriber.connect(where(other))
        subscriber.wait_connected(2, timeout=TIMEOUT)
        subscriber.disconnect(where(other))

    def come_and_go(number: int) -> None:
        with Subscriber(where(publisher), topics=[f"t{number % 50}"]) as guest:
            guest.connect(where(other))
            guest.wait_connected(2, timeout=TIMEOUT)

    def ask(_: int) -> None:
        assert publisher.subscriber_count >= 1
        assert "always" in publisher.topics
        assert {peer.state for peer in publisher.peers} <= {"connecting", "connected"}
        assert subscriber.stats().lost == 0

    return Disturbances(subscribe, connect, come_and_go, come_and_go, ask)


def test_threads_that_send_and_read_are_not_disturbed_by_others_who_come_and_go() -> None:
    with Publisher("127.0.0.1:0", on_full="block", high_water_mark=1_000) as publisher, Publisher(
        "127.0.0.1:0"
    ) as other, Subscriber(where(publisher), topics=["always"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="always", timeout=TIMEOUT)

        def read() -> list[tuple[str, ...]]:
            return [tuple(message.text.split()) for message in subscriber]

        def speak(name: int) -> None:
            for number in range(EACH):
                publisher.send(f"{name} {number}", topic="always")

        disturbing = disturbances(publisher, subscriber, other)
        readers = [Background(read) for _ in range(THREADS)]
        speakers = [Background(speak, name) for name in range(THREADS)]
        for speaker in speakers:
            speaker.result()
        wait_until(lambda: subscriber.stats().received == THREADS * EACH, "every message")
        wait_until(lambda: disturbing.fewest_turns >= 20, "each disturbance to have happened")
        disturbing.stop()
        subscriber.close()
        heard = Counter(message for reader in readers for message in reader.result())
        assert heard == Counter(
            (str(name), str(number)) for name in range(THREADS) for number in range(EACH)
        )
        wait_until(lambda: publisher.subscriber_count == 0, "the guests to be gone from the books")


def keep_calling(call: Callable[[], object], begun: threading.Barrier) -> None:
    begun.wait(TIMEOUT)
    while True:
        call()


@pytest.mark.parametrize("which", ["publisher", "subscriber"])
@pytest.mark.parametrize("on_full", ["drop", "block", "raise"])
def test_closing_under_eight_busy_threads_ends_each_of_them(which: str, on_full: Any) -> None:
    for _ in range(20):
        with Publisher(
            "127.0.0.1:0", on_full=on_full, high_water_mark=10_000_000
        ) as publisher, Subscriber(where(publisher)) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            begun = threading.Barrier(THREADS + 1)
            closes: Publisher | Subscriber = publisher
            call: Callable[[], object] = partial(publisher.send, "x")
            if which == "subscriber":
                closes, call = subscriber, subscriber.recv_bytes
            busy = [Background(keep_calling, call, begun) for _ in range(THREADS)]
            begun.wait(TIMEOUT)
            publisher.send_many(["x"] * 100)
            closes.close()
            for each in busy:
                with pytest.raises(ClosedError):
                    each.result()


#: Two hundred come, hear one message, and go: some one by one, some by way of the last reference.
CROWD = """
from tests.helpers.memory import settled
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

COUNT = 200
with Publisher("127.0.0.1:0", high_water_mark=0) as publisher:

    def crowd(topics):
        found = [Subscriber(publisher.endpoint, topics=[topic]) for topic in topics]
        assert publisher.wait_for_subscribers(COUNT, timeout=30) == COUNT
        return found

    crowd(["warm", "up"] * (COUNT // 2)).clear()
    wait_until(lambda: publisher.subscriber_count == 0)
    before = settled()
    for _ in range(5):
        subscribers = crowd(["a", "b"] * (COUNT // 2))
        wait_until(lambda: sum(peer.state == "connected" for peer in publisher.peers) == COUNT)
        assert publisher.topics == {"a": COUNT // 2, "b": COUNT // 2}
        assert publisher.wait_for_subscribers(COUNT // 2, topic="a") == COUNT // 2
        publisher.send("Hello", topic="a")
        publisher.send("Hello", topic="b")
        for subscriber in subscribers:
            assert subscriber.recv(timeout=30).text == "Hello"
        for subscriber in subscribers[:COUNT // 2]:
            subscriber.close()
        wait_until(lambda: publisher.subscriber_count == COUNT // 2)
        assert publisher.topics == {"a": COUNT // 4, "b": COUNT // 4}
        del subscribers, subscriber
        wait_until(lambda: publisher.subscriber_count == 0)
        assert publisher.topics == {}
        assert publisher.peers == []
    assert settled() == before, (settled(), before)
print("all have gone")
"""


@only_linux
def test_two_hundred_subscribers_come_and_go_and_leave_nothing_behind(
    run_python: RunPython,
) -> None:
    finished = run_python(CROWD, deadline=3 * TIMEOUT)
    assert finished == (0, "all have gone\n", "")


#: A message is its number and a pattern that depends on it; sizes go from 8 bytes to 37.
SENDS_MILLIONS = """
    import sys
    from tests.helpers.numbered_payloads import COUNT, payloads
    from zmqchat_rs import Publisher

    with Publisher("127.0.0.1:0", on_full="block", linger=30) as publisher:
        print(publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=30)
        assert publisher.send_many(payloads(0, COUNT)) == COUNT
        stats = publisher.stats()
        assert (stats.sent, stats.refused) == (COUNT, 0), stats
"""


def test_five_million_messages_arrive_exactly_once_in_order_and_unaltered(
    start_python: StartPython,
) -> None:
    from tests.helpers.numbered_payloads import COUNT, payloads

    script = start_python(SENDS_MILLIONS)
    with Subscriber(script.line(), framing="raw") as subscriber:
        heard = 0
        while heard < COUNT:
            batch = subscriber.recv_many(10_000, timeout=TIMEOUT)
            expected = payloads(heard, heard + len(batch))
            assert [message.data for message in batch] == list(expected), f"after {heard}"
            heard += len(batch)
        assert script.finish() == (0, script_output(subscriber), "")
        assert subscriber.stats().received == COUNT
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=0)


def script_output(subscriber: Subscriber) -> str:
    return f"tcp://{subscriber.peers[0].address}\n"
