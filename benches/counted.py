"""What `benches.instructions` runs under callgrind: each path of a message, many times.

`os.getppid` stands for a mark: callgrind writes down its counts and starts anew whenever it is
called. Everything runs in one thread, over inproc, without a socket of the system.
"""

from __future__ import annotations

import gc
import os
from itertools import repeat
from typing import Callable

from zmqchat_rs import Publisher, Subscriber

# Calls in a stretch: some of the batches in which a subscriber takes what is there.
CALLS = 2_560
REPEATS = 5
SIZE = 64
TEXT, BYTES, TOPIC = "x" * SIZE, b"x" * SIZE, "room1"


class Pair:
    """A publisher, and a subscriber to these topics, or to everything."""

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
        """Takes what was sent."""
        for _ in repeat(None, count):
            self.subscriber.recv_bytes(timeout=60)


class Path:
    """One figure: what is called, and what must be done around it."""

    def __init__(
        self,
        call: Callable[[int], None],
        before: Callable[[int], None] | None = None,
        after: Callable[[int], None] | None = None,
    ) -> None:
        self.call, self.before, self.after = call, before, after

    def count(self, calls: int) -> None:
        """Marks, calls, marks."""
        if self.before is not None:
            self.before(calls)
        os.getppid()
        self.call(calls)
        os.getppid()
        if self.after is not None:
            self.after(calls)


# In this order; `main` makes them.
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
    """Sends it so many times."""

    def call(calls: int) -> None:
        send = publisher.send
        for _ in repeat(None, calls):
            send(payload)

    return call


def sends_with_topic(publisher: Publisher) -> Callable[[int], None]:
    """Sends a text with a topic so many times."""

    def call(calls: int) -> None:
        send = publisher.send
        for _ in repeat(None, calls):
            send(TEXT, topic=TOPIC)

    return call


def receives(receive: Callable[[], object]) -> Callable[[int], None]:
    """Receives so many times."""

    def call(calls: int) -> None:
        for _ in repeat(None, calls):
            receive()

    return call


def reads(subscriber: Subscriber) -> Callable[[int], None]:
    """Receives messages and reads their texts."""

    def call(calls: int) -> None:
        receive = subscriber.recv
        for _ in repeat(None, calls):
            _ = receive().text

    return call


def paths(alone: Publisher, pair: Pair, room: Pair) -> list[Path]:
    """What `PATHS` names."""
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
        Path(reads(room.subscriber), before=room.fill_topic),
    ]


def main() -> None:
    """Two stretches for each repetition: the difference is free of what comes once."""
    gc.disable()
    with Publisher("inproc://alone", high_water_mark=0) as alone:
        pair, room = Pair("pair"), Pair("room", topics=[TOPIC])
        for path in paths(alone, pair, room):
            for _ in range(REPEATS):
                path.count(CALLS)
                path.count(2 * CALLS)
        for each in (pair, room):
            each.subscriber.close()
            each.publisher.close()


if __name__ == "__main__":
    main()
