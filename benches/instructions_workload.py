"""The workload of `benches.instructions` under callgrind: many calls of each path of a message.

Each call of `os.getppid` makes callgrind write its counts and reset them. Everything runs in one
thread over inproc, without a socket of the operating system.
"""

from __future__ import annotations

import gc
import os
from itertools import repeat
from typing import Callable

from zmqchat_rs import Publisher, Subscriber

# Calls per phase: several of the batches in which a subscriber drains its queue.
CALLS = 2_560
REPEATS = 5
SIZE = 64
TEXT, BYTES, TOPIC = "x" * SIZE, b"x" * SIZE, "room1"


class Pair:
    """A publisher, and a subscriber to these topics or to everything."""

    def __init__(self, name: str, topics: list[str] | None = None) -> None:
        self.publisher = Publisher(f"inproc://{name}", high_water_mark=0)
        self.subscriber = Subscriber(f"inproc://{name}", topics=topics, high_water_mark=0)
        topic = topics[0] if topics else None
        self.publisher.wait_for_subscribers(1, topic=topic, timeout=60)

    def fill(self, count: int) -> None:
        """Queues messages to receive."""
        for _ in repeat(None, count):
            self.publisher.send(TEXT)

    def fill_topic(self, count: int) -> None:
        """The same with a topic."""
        for _ in repeat(None, count):
            self.publisher.send(TEXT, topic=TOPIC)

    def empty(self, count: int) -> None:
        """Receives `count` messages."""
        for _ in repeat(None, count):
            self.subscriber.recv_bytes(timeout=60)


class Path:
    """One figure: the measured calls, and the setup and cleanup around them."""

    def __init__(
        self,
        call: Callable[[int], None],
        before: Callable[[int], None] | None = None,
        after: Callable[[int], None] | None = None,
    ) -> None:
        self.call, self.before, self.after = call, before, after

    def count(self, calls: int) -> None:
        """Runs the calls between two marks."""
        if self.before is not None:
            self.before(calls)
        os.getppid()
        self.call(calls)
        os.getppid()
        if self.after is not None:
            self.after(calls)


# The names, in the order of `paths`.
PATHS = (
    "send text, no subscriber",
    "send bytes, no subscriber",
    "send text with a topic, no subscriber",
    "send text",
    "send bytes",
    "send text with a topic",
    "receive text",
    "receive bytes",
    "receive a message with a topic, read its text",
)


def sends(publisher: Publisher, payload: str | bytes) -> Callable[[int], None]:
    """A loop that sends the payload."""

    def call(calls: int) -> None:
        send = publisher.send
        for _ in repeat(None, calls):
            send(payload)

    return call


def sends_with_topic(publisher: Publisher) -> Callable[[int], None]:
    """A loop that sends a text with a topic."""

    def call(calls: int) -> None:
        send = publisher.send
        for _ in repeat(None, calls):
            send(TEXT, topic=TOPIC)

    return call


def receives(receive: Callable[[], object]) -> Callable[[int], None]:
    """A loop that receives."""

    def call(calls: int) -> None:
        for _ in repeat(None, calls):
            receive()

    return call


def reads(subscriber: Subscriber) -> Callable[[int], None]:
    """A loop that receives messages and reads their texts."""

    def call(calls: int) -> None:
        receive = subscriber.recv
        for _ in repeat(None, calls):
            _ = receive().text

    return call


def paths(alone: Publisher, pair: Pair, with_topic: Pair) -> list[Path]:
    """The paths, in the order of `PATHS`."""
    publisher, subscriber = pair.publisher, pair.subscriber
    return [
        Path(sends(alone, TEXT)),
        Path(sends(alone, BYTES)),
        Path(sends_with_topic(alone)),
        Path(sends(publisher, TEXT), after=pair.empty),
        Path(sends(publisher, BYTES), after=pair.empty),
        Path(sends_with_topic(publisher), after=pair.empty),
        Path(receives(subscriber.recv_text), before=pair.fill),
        Path(receives(subscriber.recv_bytes), before=pair.fill),
        Path(reads(with_topic.subscriber), before=with_topic.fill_topic),
    ]


def main() -> None:
    """Run N and 2 N calls per repetition: their difference excludes one-time costs."""
    gc.disable()
    with Publisher("inproc://alone", high_water_mark=0) as alone:
        pair, with_topic = Pair("pair"), Pair("topic", topics=[TOPIC])
        for path in paths(alone, pair, with_topic):
            for _ in range(REPEATS):
                path.count(CALLS)
                path.count(2 * CALLS)
        for each in (pair, with_topic):
            each.subscriber.close()
            each.publisher.close()


if __name__ == "__main__":
    main()
