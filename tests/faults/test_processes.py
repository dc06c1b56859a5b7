"""Publishers and subscribers in processes that are killed, restarted, stopped, or forked."""

from __future__ import annotations

import itertools
import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.stopped_process import stopped
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Message, Publisher, QueueFullError, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, Script, StartPython

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="Windows has no SIGSTOP and SIGKILL"
)

#: With this payload, a queue of 100 messages and the network buffers fill up quickly.
FILLER = b"x" * 20_000
HIGH_WATER_MARK = 100

#: Publishes numbered messages until it is killed.
STREAMS = """
    import itertools, sys, threading
    from zmqchat_rs import Publisher

    pause = threading.Event()
    with Publisher(sys.argv[1], name="alice") as publisher:
        for number in itertools.count():
            publisher.send(str(number), topic="room1")
            pause.wait(0.001)
"""

#: For each line on standard input, publishes the number of messages that the line contains.
BURSTS = """
    import sys
    from zmqchat_rs import Publisher

    with Publisher(sys.argv[1], name="alice", high_water_mark=100) as publisher:
        publisher.wait_for_subscribers(1, timeout=30)
        print("subscribed")
        for line in sys.stdin:
            for _ in range(int(line)):
                publisher.send(b"x" * 20_000, topic="room1")
            print(publisher.stats().sent)
"""

#: At each message "the end", prints the numbers of the other messages and the statistics.
RECEIVES = """
    import json, sys
    from zmqchat_rs import Subscriber

    numbers = []
    with Subscriber(sys.argv[1], high_water_mark=100) as subscriber:
        for message in subscriber:
            if message.data != b"the end":
                numbers.append(int(message.data.partition(b" ")[0]))
                continue
            stats = subscriber.stats()
            print(json.dumps({
                "numbers": numbers, "received": stats.received, "lost": stats.lost,
                "duplicates": stats.duplicates, "sequence": message.sequence,
            }))
"""


def sequences(messages: list[Message]) -> dict[str | None, list[int]]:
    """The sequence numbers of each instance's messages, in the order of arrival."""
    found: dict[str | None, list[int]] = {}
    for message in messages:
        assert message.sequence is not None
        found.setdefault(message.instance, []).append(message.sequence)
    return found


def test_a_subscriber_reconnects_after_a_publisher_is_killed_and_restarted(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    received: list[Message] = []
    with Subscriber(address) as subscriber:
        for instances in range(1, 4):
            script = start_python(STREAMS, address)
            while len(sequences(received)) < instances or len(received) < 200 * instances:
                received.append(subscriber.recv(timeout=TIMEOUT))
            script.kill()
            wait_until(lambda: subscriber.peers[0].state == "reconnecting")
        lost = subscriber.stats().lost
    for numbers in sequences(received).values():
        # Each instance numbers its messages separately; the first received is the baseline.
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert lost == 0


def test_loss_is_counted_separately_for_each_instance_of_a_publisher(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    received: list[Message] = []
    missing = 0
    with Subscriber(address, high_water_mark=HIGH_WATER_MARK) as subscriber:
        for instances in (1, 2):
            script = start_python(BURSTS, address)
            assert script.line() == "subscribed"
            # The subscriber does not read meanwhile, so most messages are dropped.
            script.send_line("3000")
            sent = int(script.line())

            def received_the_last(script: Script = script) -> bool:
                nonlocal sent
                script.send_line("1")
                sent = int(script.line())
                with suppress(TimeoutError):
                    while True:
                        received.extend(subscriber.recv_many(timeout=0.1))
                return received[-1].sequence == sent - 1

            wait_until(received_the_last, "the last message that was sent")
            by_instance = sequences(received)
            assert len(by_instance) == instances
            numbers = list(by_instance.values())[-1]
            assert numbers[0] == 0
            assert numbers == sorted(set(numbers))
            missing += sent - len(numbers)
            assert missing > 0
            assert subscriber.stats().lost == missing
            script.kill()
        stats = subscriber.stats()
    assert stats.received == len(received)
    assert stats.duplicates == 0


@pytest.fixture
def collect_reports() -> Callable[[Script], list[dict[str, Any]]]:
    """A function that collects the reports that a script prints from now on."""

    def collect(script: Script) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def read() -> None:
            while True:
                found.append(json.loads(script.line()))

        Background(read)
        return found

    return collect


def test_messages_that_a_stopped_subscriber_loses_under_drop_are_all_counted(
    start_python: StartPython, collect_reports: Callable[[Script], list[dict[str, Any]]]
) -> None:
    with Publisher(
        "127.0.0.1:0", name="alice", high_water_mark=HIGH_WATER_MARK, linger=0
    ) as publisher:
        assert publisher.endpoint is not None
        script = start_python(RECEIVES, publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        reports = collect_reports(script)
        with stopped(script):
            for number in range(3_000):
                publisher.send(b"%d " % number + FILLER, timeout=0)
            assert publisher.subscriber_count == 1
        polls = itertools.count()

        def received_the_last() -> bool:
            # Each "the end" has time to arrive before the next is sent.
            if next(polls) % 50 == 0:
                publisher.send("the end")
            return bool(reports) and reports[-1]["sequence"] == publisher.stats().sent - 1

        wait_until(received_the_last, "the last message that was sent")
        report = reports[-1]
        assert report["received"] + report["lost"] == publisher.stats().sent
    assert report["lost"] > 0
    assert report["duplicates"] == 0
    assert report["numbers"] == sorted(set(report["numbers"]))


def test_a_stopped_subscriber_loses_nothing_under_block(start_python: StartPython) -> None:
    with Publisher("127.0.0.1:0", on_full="block", high_water_mark=HIGH_WATER_MARK) as publisher:
        assert publisher.endpoint is not None
        script = start_python(RECEIVES, publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        sent = 0

        def send() -> None:
            nonlocal sent
            for number in range(3_000):
                publisher.send(b"%d " % number + FILLER)
                sent += 1

        with stopped(script):
            sending = Background(send)
            sending.wait_until_blocked(lambda: sent)
            assert HIGH_WATER_MARK <= sent < 3_000
        sending.result()
        publisher.send("the end", timeout=TIMEOUT)
        report = json.loads(script.line())
    assert report["numbers"] == list(range(3_000))


def test_under_raise_messages_refused_for_a_stopped_subscriber_can_be_sent_later(
    start_python: StartPython,
) -> None:
    with Publisher("127.0.0.1:0", on_full="raise", high_water_mark=HIGH_WATER_MARK) as publisher:
        assert publisher.endpoint is not None
        script = start_python(RECEIVES, publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        payloads = [b"%d " % number + FILLER for number in range(3_000)]
        with stopped(script):
            with pytest.raises(QueueFullError) as caught:
                publisher.send_many(payloads)
            assert HIGH_WATER_MARK <= caught.value.sent < 3_000
        rest = [*payloads[caught.value.sent :], b"the end"]

        def all_sent() -> bool:
            try:
                publisher.send_many(rest)
            except QueueFullError as full:
                del rest[: full.sent]
                return False
            return True

        wait_until(all_sent, "queue space for the rest")
        report = json.loads(script.line())
    assert report["numbers"] == list(range(3_000))


#: The parent publishes to its children and receives their messages; each has its own objects.
PARENT_AND_CHILDREN = """
    import multiprocessing, sys
    from zmqchat_rs import Publisher, Subscriber

    CHILDREN, EACH = 3, 1_000

    def child(name, publisher_endpoint, subscriber_endpoint):
        with Publisher(connect=subscriber_endpoint, on_full="block", linger=30) as publisher:
            with Subscriber(publisher_endpoint) as subscriber:
                publisher.wait_for_subscribers(1, timeout=30)
                received = [subscriber.recv_text(timeout=30) for _ in range(EACH)]
            for text in received:
                publisher.send(text, topic=name)

    if __name__ == "__main__":
        context = multiprocessing.get_context(sys.argv[1])
        with Publisher("127.0.0.1:0", on_full="block") as publisher:
            with Subscriber(bind="127.0.0.1:0", high_water_mark=0, split_topics=True) as subscriber:
                names = ["child%d" % number for number in range(CHILDREN)]
                children = [
                    context.Process(target=child, args=(n, publisher.endpoint, subscriber.endpoint))
                    for n in names
                ]
                for process in children:
                    process.start()
                publisher.wait_for_subscribers(CHILDREN, timeout=30)
                for number in range(EACH):
                    publisher.send(str(number))
                received = {name: [] for name in names}
                for _ in range(CHILDREN * EACH):
                    message = subscriber.recv(timeout=30)
                    received[message.topic].append(message.text)
                for process in children:
                    process.join(30)
                    assert process.exitcode == 0, process.exitcode
                expected = [str(number) for number in range(EACH)]
                assert received == dict.fromkeys(names, expected)
        print("all received")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_publish_and_subscribe(
    run_python: RunPython, method: str
) -> None:
    finished = run_python(PARENT_AND_CHILDREN, method, deadline=2 * TIMEOUT)
    assert finished == (0, "all received\n", "")
