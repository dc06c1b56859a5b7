"""Other processes are killed, started again, stopped, continued, forked and spawned."""

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

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no such signals")

#: Large enough that a queue of 100 and the network's own buffers fill up soon.
FILLER = b"x" * 20_000
MARK = 100

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

#: Publishes as many messages as each line on standard input says.
BURSTS = """
    import sys
    from zmqchat_rs import Publisher

    with Publisher(sys.argv[1], name="alice", high_water_mark=100) as publisher:
        publisher.wait_for_subscribers(1, timeout=30)
        print("somebody listens")
        for line in sys.stdin:
            for _ in range(int(line)):
                publisher.send(b"x" * 20_000, topic="room1")
            print(publisher.stats().sent)
"""

#: Prints a line for each message that says "the end", with what was heard of all others.
HEARS = """
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
    """The numbers that each instance's messages carry, in the order in which they came."""
    found: dict[str | None, list[int]] = {}
    for message in messages:
        assert message.sequence is not None
        found.setdefault(message.instance, []).append(message.sequence)
    return found


def test_a_publisher_that_is_killed_is_picked_up_again_when_it_is_back(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    heard: list[Message] = []
    with Subscriber(address) as subscriber:
        for lives in range(1, 4):
            script = start_python(STREAMS, address)
            while len(sequences(heard)) < lives or len(heard) < 200 * lives:
                heard.append(subscriber.recv(timeout=TIMEOUT))
            script.kill()
            wait_until(lambda: subscriber.peers[0].state == "reconnecting")
        lost = subscriber.stats().lost
    for numbers in sequences(heard).values():
        # Each instance counts for itself, wherever the subscriber came in.
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert lost == 0


def test_loss_is_counted_for_each_life_of_a_publisher_apart(
    start_python: StartPython, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    heard: list[Message] = []
    missing = 0
    with Subscriber(address, high_water_mark=MARK) as subscriber:
        for lives in (1, 2):
            script = start_python(BURSTS, address)
            assert script.line() == "somebody listens"
            # Nobody reads meanwhile, so that most of it is dropped.
            script.send_line("3000")
            sent = int(script.line())

            def heard_the_last(script: Script = script) -> bool:
                nonlocal sent
                script.send_line("1")
                sent = int(script.line())
                with suppress(TimeoutError):
                    while True:
                        heard.extend(subscriber.recv_many(timeout=0.1))
                return heard[-1].sequence == sent - 1

            wait_until(heard_the_last, "the last message that was sent")
            by_life = sequences(heard)
            assert len(by_life) == lives
            numbers = list(by_life.values())[-1]
            assert numbers[0] == 0
            assert numbers == sorted(set(numbers))
            missing += sent - len(numbers)
            assert missing > 0
            assert subscriber.stats().lost == missing
            script.kill()
        stats = subscriber.stats()
    assert stats.received == len(heard)
    assert stats.duplicates == 0


@pytest.fixture
def lines() -> Callable[[Script], list[dict[str, Any]]]:
    """A function that collects what a script prints from now on, while it prints it."""

    def collect(script: Script) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []

        def read() -> None:
            while True:
                found.append(json.loads(script.line()))

        Background(read)
        return found

    return collect


def test_what_a_stopped_subscriber_loses_under_drop_is_counted_to_the_last(
    start_python: StartPython, lines: Callable[[Script], list[dict[str, Any]]]
) -> None:
    with Publisher("127.0.0.1:0", name="alice", high_water_mark=MARK, linger=0) as publisher:
        assert publisher.endpoint is not None
        script = start_python(HEARS, publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        reports = lines(script)
        with stopped(script):
            for number in range(3_000):
                publisher.send(b"%d " % number + FILLER, timeout=0)
            assert publisher.subscriber_count == 1
        looks = itertools.count()

        def heard_the_last() -> bool:
            # Each has a while to arrive before the next one goes out.
            if next(looks) % 50 == 0:
                publisher.send("the end")
            return bool(reports) and reports[-1]["sequence"] == publisher.stats().sent - 1

        wait_until(heard_the_last, "the last message that was sent")
        report = reports[-1]
        assert report["received"] + report["lost"] == publisher.stats().sent
    assert report["lost"] > 0
    assert report["duplicates"] == 0
    assert report["numbers"] == sorted(set(report["numbers"]))


def test_a_stopped_subscriber_loses_nothing_under_block(start_python: StartPython) -> None:
    with Publisher("127.0.0.1:0", on_full="block", high_water_mark=MARK) as publisher:
        assert publisher.endpoint is not None
        script = start_python(HEARS, publisher.endpoint)
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
            assert MARK <= sent < 3_000
        sending.result()
        publisher.send("the end", timeout=TIMEOUT)
        report = json.loads(script.line())
    assert report["numbers"] == list(range(3_000))


def test_under_raise_what_a_stopped_subscriber_had_no_room_for_goes_later(
    start_python: StartPython,
) -> None:
    with Publisher("127.0.0.1:0", on_full="raise", high_water_mark=MARK) as publisher:
        assert publisher.endpoint is not None
        script = start_python(HEARS, publisher.endpoint)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        payloads = [b"%d " % number + FILLER for number in range(3_000)]
        with stopped(script):
            with pytest.raises(QueueFullError) as caught:
                publisher.send_many(payloads)
            assert MARK <= caught.value.sent < 3_000
        rest = [*payloads[caught.value.sent :], b"the end"]

        def all_went() -> bool:
            try:
                publisher.send_many(rest)
            except QueueFullError as full:
                del rest[: full.sent]
                return False
            return True

        wait_until(all_went, "room for the rest")
        report = json.loads(script.line())
    assert report["numbers"] == list(range(3_000))


#: The parent publishes to its children and hears them; each uses objects of its own.
FAMILY = """
    import multiprocessing, sys
    from zmqchat_rs import Publisher, Subscriber

    CHILDREN, EACH = 3, 1_000

    def child(name, speaks, hears):
        with Publisher(connect=hears, on_full="block", linger=30) as publisher:
            with Subscriber(speaks) as subscriber:
                publisher.wait_for_subscribers(1, timeout=30)
                heard = [subscriber.recv_text(timeout=30) for _ in range(EACH)]
            for text in heard:
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
                heard = {name: [] for name in names}
                for _ in range(CHILDREN * EACH):
                    message = subscriber.recv(timeout=30)
                    heard[message.topic].append(message.text)
                for process in children:
                    process.join(30)
                    assert process.exitcode == 0, process.exitcode
                everything = [str(number) for number in range(EACH)]
                assert heard == dict.fromkeys(names, everything)
        print("the family is well")
"""


@pytest.mark.parametrize("way", ["fork", "forkserver", "spawn"])
def test_children_of_multiprocessing_publish_and_subscribe(run_python: RunPython, way: str) -> None:
    finished = run_python(FAMILY, way, deadline=2 * TIMEOUT)
    assert finished == (0, "the family is well\n", "")
