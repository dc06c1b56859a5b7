"""Many threads use one object, many subscribers one publisher, and many messages are sent."""

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


def endpoint_of(publisher: Publisher) -> str:
    assert publisher.endpoint is not None
    return publisher.endpoint


class RepeatedCalls:
    """Calls, each repeated in a thread of its own until `stop`."""

    def __init__(self, *calls: Callable[[int], object]) -> None:
        self._stop = threading.Event()
        self._counts: Counter[int] = Counter()
        self._threads = [Background(self._repeat, *each) for each in enumerate(calls)]

    def _repeat(self, name: int, call: Callable[[int], object]) -> None:
        for number in itertools.count():
            if self._stop.is_set():
                return
            call(number)
            self._counts[name] = number + 1

    @property
    def fewest(self) -> int:
        return min(self._counts[name] for name in range(len(self._threads)))

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.result()


def concurrent_calls(
    publisher: Publisher, subscriber: Subscriber, other: Publisher
) -> RepeatedCalls:
    """Calls that other threads may make while messages are sent and received."""

    def subscribe(number: int) -> None:
        subscriber.subscribe(f"t{number % 50}")
        subscriber.unsubscribe(f"t{number % 50}")

    def connect(_: int) -> None:
        subscriber.connect(endpoint_of(other))
        subscriber.wait_connected(2, timeout=TIMEOUT)
        subscriber.disconnect(endpoint_of(other))

    def open_and_close(number: int) -> None:
        with Subscriber(endpoint_of(publisher), topics=[f"t{number % 50}"]) as temporary:
            temporary.connect(endpoint_of(other))
            temporary.wait_connected(2, timeout=TIMEOUT)

    def read_state(_: int) -> None:
        assert publisher.subscriber_count >= 1
        assert "always" in publisher.topics
        assert {peer.state for peer in publisher.peers} <= {"connecting", "connected"}
        assert subscriber.stats().lost == 0

    return RepeatedCalls(subscribe, connect, open_and_close, open_and_close, read_state)


def test_threads_send_and_receive_each_message_once_while_others_connect_and_disconnect() -> None:
    with Publisher("127.0.0.1:0", on_full="block", high_water_mark=1_000) as publisher, Publisher(
        "127.0.0.1:0"
    ) as other, Subscriber(endpoint_of(publisher), topics=["always"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="always", timeout=TIMEOUT)

        def receive() -> list[tuple[str, ...]]:
            return [tuple(message.text.split()) for message in subscriber]

        def send(name: int) -> None:
            for number in range(EACH):
                publisher.send(f"{name} {number}", topic="always")

        calls = concurrent_calls(publisher, subscriber, other)
        receivers = [Background(receive) for _ in range(THREADS)]
        senders = [Background(send, name) for name in range(THREADS)]
        for sender in senders:
            sender.result()
        wait_until(lambda: subscriber.stats().received == THREADS * EACH, "every message")
        wait_until(lambda: calls.fewest >= 20, "20 repetitions of each call")
        calls.stop()
        subscriber.close()
        received = Counter(message for each in receivers for message in each.result())
        assert received == Counter(
            (str(name), str(number)) for name in range(THREADS) for number in range(EACH)
        )
        wait_until(lambda: publisher.subscriber_count == 0, "all subscribers to be disconnected")


def keep_calling(call: Callable[[], object], started: threading.Barrier) -> None:
    started.wait(TIMEOUT)
    while True:
        call()


@pytest.mark.parametrize("which", ["publisher", "subscriber"])
@pytest.mark.parametrize("on_full", ["drop", "block", "raise"])
def test_close_ends_the_calls_of_each_of_eight_busy_threads(which: str, on_full: Any) -> None:
    for _ in range(20):
        with Publisher(
            "127.0.0.1:0", on_full=on_full, high_water_mark=10_000_000
        ) as publisher, Subscriber(endpoint_of(publisher)) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            started = threading.Barrier(THREADS + 1)
            closed: Publisher | Subscriber = publisher
            call: Callable[[], object] = partial(publisher.send, "x")
            if which == "subscriber":
                closed, call = subscriber, subscriber.recv_bytes
            busy = [Background(keep_calling, call, started) for _ in range(THREADS)]
            started.wait(TIMEOUT)
            publisher.send_many(["x"] * 100)
            closed.close()
            for each in busy:
                with pytest.raises(ClosedError):
                    each.result()


#: 200 subscribers connect and receive one message. Half are closed; the others lose their last
#: reference.
MANY_SUBSCRIBERS = """
from tests.helpers.memory import settled
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

COUNT = 200
with Publisher("127.0.0.1:0", high_water_mark=0) as publisher:

    def connect_all(topics):
        subscribers = [Subscriber(publisher.endpoint, topics=[topic]) for topic in topics]
        assert publisher.wait_for_subscribers(COUNT, timeout=30) == COUNT
        return subscribers

    connect_all(["warm", "up"] * (COUNT // 2)).clear()
    wait_until(lambda: publisher.subscriber_count == 0)
    before = settled()
    for _ in range(5):
        subscribers = connect_all(["a", "b"] * (COUNT // 2))
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
print("all disconnected")
"""


@only_linux
def test_two_hundred_subscribers_disconnect_and_leave_no_resources_behind(
    run_python: RunPython,
) -> None:
    finished = run_python(MANY_SUBSCRIBERS, deadline=3 * TIMEOUT)
    assert finished == (0, "all disconnected\n", "")


#: Each message has a number and a pattern computed from it, in 8 to 37 bytes.
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
        received = 0
        while received < COUNT:
            batch = subscriber.recv_many(10_000, timeout=TIMEOUT)
            expected = payloads(received, received + len(batch))
            assert [message.data for message in batch] == list(expected), f"after {received}"
            received += len(batch)
        assert script.finish() == (0, script_output(subscriber), "")
        assert subscriber.stats().received == COUNT
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=0)


def script_output(subscriber: Subscriber) -> str:
    return f"tcp://{subscriber.peers[0].address}\n"
