"""The scenarios of a soak: each is a thread that takes one turn after the other.

At the end of a turn, everything that was opened for the turn is closed. Only subscribers that read
sent messages are still active, so that the process can be measured between turns.
"""

from __future__ import annotations

import contextlib
import threading
import time
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, Callable

from zmqchat_rs import ClosedError, Publisher, Subscriber

from .soak_monitor import TIMEOUT_SECONDS

if TYPE_CHECKING:
    from zmqchat_rs import Event, Message

    from .soak_monitor import Gate, Tally

MIB = 1 << 20
_FILLER = b"x" * MIB


def payload(number: int) -> bytes:
    """The number and a filler: mostly short, sometimes 64 KiB, rarely 1 MiB."""
    # A large message is never the last of a burst, which its reader still holds during a sample.
    size = MIB if number % 2_000 == 25 else 65_536 if number % 200 == 75 else number * 37 % 600
    return number.to_bytes(8, "big") + _FILLER[:size]


def endpoint(side: Publisher | Subscriber) -> str:
    """The bound endpoint."""
    assert side.endpoint is not None
    return side.endpoint


def port(side: Publisher | Subscriber) -> int:
    """The bound TCP port."""
    return int(endpoint(side).rpartition(":")[2])


def until(condition: Callable[[], object]) -> bool:
    """Waits for the condition; False after the timeout."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Scenario(ABC):
    """A scenario that repeats its turn until the end of the soak."""

    # The name in counts and errors.
    name: str
    # Seconds between two turns.
    pause = 0.05

    def __init__(self, gate: Gate, tally: Tally) -> None:
        self.gate = gate
        self.tally = tally

    @abstractmethod
    def turn(self) -> None:
        """The repeated action."""

    @abstractmethod
    def finish(self) -> None:
        """Checks that all expected messages were received, and closes."""

    def count_event(self, event: Event) -> None:
        """An `on_event` callback that counts."""
        self.tally.add(f"event: {event.kind}")

    def add_error(self, what: str) -> None:
        """Records an error."""
        self.tally.add_error(f"{self.name}: {what}")

    def run(self, stop: threading.Event) -> None:
        """Takes turns until `stop` is set or a turn fails."""
        try:
            while not stop.is_set():
                with self.gate.turn():
                    self.turn()
                self.tally.add(f"{self.name} turns")
                stop.wait(self.pause)
        except Exception as error:  # noqa: BLE001 - a soak reports every error
            self.add_error(f"ended by {error!r}")

    def end(self) -> None:
        """Finishes, and records an exception as an error."""
        try:
            self.finish()
        except Exception as error:  # noqa: BLE001
            self.add_error(f"finished with {error!r}")


class Reader:
    """A thread that receives and checks all messages of a subscriber."""

    def __init__(self, subscriber: Subscriber, check: Callable[[Message], object]) -> None:
        self.subscriber = subscriber
        self.received = 0
        self._check = check
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ClosedError):
            for message in self.subscriber:
                self._check(message)
                self.received += 1

    def close(self) -> None:
        """Ends the thread."""
        self.subscriber.close()
        self._thread.join(TIMEOUT_SECONDS)


class SteadyStream(Scenario):
    """A stream under "block" to a permanent and to short-lived subscribers."""

    name = "steady"

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.sent = 0
        self.publisher = Publisher(
            "127.0.0.1:0",
            name="steady",
            on_full="block",
            high_water_mark=1_000,
            linger=0,
            on_event=self.count_event,
        )
        listener = Subscriber(
            endpoint(self.publisher), topics=["steady"], on_event=self.count_event
        )
        self.publisher.wait_for_subscribers(1, topic="steady", timeout=TIMEOUT_SECONDS)
        self.reader = Reader(listener, self.check)

    def turn(self) -> None:
        """Sends a burst, and messages for the short-lived subscribers."""
        for number in range(self.sent, self.sent + 50):
            self.publisher.send(payload(number), topic="steady", timeout=TIMEOUT_SECONDS)
            self.sent += 1
        self.publisher.send_many(["hello"] * 5, topic="short", timeout=TIMEOUT_SECONDS)

    def check(self, message: Message) -> None:
        """Each message is received once, in order and unchanged."""
        if message.data != payload(self.reader.received):
            number = int.from_bytes(message.data[:8], "big")
            self.add_error(f"number {number} received where {self.reader.received} was expected")
        self.tally.add("steady received")

    def finish(self) -> None:
        """Checks that all sent messages were received."""
        if not until(lambda: self.reader.received >= self.sent):
            self.add_error(f"{self.reader.received} of {self.sent} messages were received")
        lost = self.reader.subscriber.stats().lost
        if lost:
            self.add_error(f"{lost} messages lost")
        self.reader.close()
        self.publisher.close()


class SlowSubscriber(Scenario):
    """A publisher under "drop" that is faster than its subscriber."""

    name = "slow"

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.newest = -1
        self.publisher = Publisher(
            "127.0.0.1:0", name="slow", high_water_mark=100, linger=0, on_event=self.count_event
        )
        slow = Subscriber(endpoint(self.publisher), high_water_mark=100, on_event=self.count_event)
        self.publisher.wait_for_subscribers(1, timeout=TIMEOUT_SECONDS)
        self.reader = Reader(slow, self.check)

    def turn(self) -> None:
        """Sends more than the subscriber can receive."""
        self.publisher.send_many([_FILLER[:8_000]] * 100, topic="slow")

    def check(self, message: Message) -> None:
        """Received messages are in order."""
        if message.sequence is None or message.sequence <= self.newest:
            self.add_error(f"number {message.sequence} received after {self.newest}")
        else:
            self.newest = message.sequence
        self.tally.add("slow received")
        if self.reader.received % 10 == 0 and not self.gate.paused:
            time.sleep(0.02)

    def finish(self) -> None:
        """Checks that each dropped message was counted."""

        def last_is_received() -> bool:
            self.publisher.send("the end", topic="slow")
            return until_quiet(lambda: self.newest) == self.publisher.stats().sent - 1

        if not until(last_is_received):
            self.add_error("the last message was not received")
        sent, stats = self.publisher.stats().sent, self.reader.subscriber.stats()
        if stats.received + stats.lost != sent or stats.duplicates:
            self.add_error(f"{sent} sent, but {stats}")
        self.tally.add("slow lost, as expected", stats.lost)
        self.reader.close()
        self.publisher.close()


def until_quiet(number: Callable[[], int]) -> int:
    """The number once it is constant for 0.2 s."""
    last, since = number(), time.monotonic()
    while time.monotonic() - since < 0.2:
        time.sleep(0.01)
        if number() != last:
            last, since = number(), time.monotonic()
    return last


class ShortLivedSubscribers(Scenario):
    """Subscribers that connect, receive, change their subscriptions and close in different ways."""

    name = "short-lived"

    pause = 0.02

    def __init__(self, gate: Gate, tally: Tally, host: Publisher) -> None:
        super().__init__(gate, tally)
        self._host = host
        self._turns = 0
        self._permanent = Subscriber(endpoint(host), topics=["short"])
        # The publisher must have this subscriber before the first turn.
        host.wait_for_subscribers(1, topic="short", timeout=TIMEOUT_SECONDS)

    def turn(self) -> None:
        """Runs one short-lived subscriber; a permanent one changes its subscriptions."""
        self._turns += 1
        topic = f"t{self._turns % 200}"
        subscriber = Subscriber(
            endpoint(self._host),
            topics=None if self._turns % 5 == 0 else ["short", topic],
            on_event=self.count_event,
        )
        if not until(partial(self._receives, subscriber)):
            self.add_error("a subscriber received nothing")
        subscriber.subscribe(prefix=b"t1")
        subscriber.unsubscribe(prefix=b"t1")
        lost = subscriber.stats().lost
        if lost:
            self.add_error(f"a subscriber lost {lost} messages")
        if self._turns % 3:
            subscriber.close()
        # Otherwise, the end of the last reference closes it.
        del subscriber
        self._change(topic)

    def _receives(self, subscriber: Subscriber) -> bool:
        self._host.send("hello", topic="short", timeout=TIMEOUT_SECONDS)
        with contextlib.suppress(TimeoutError):
            return bool(subscriber.recv(timeout=0.05))
        return False

    def _change(self, topic: str) -> None:
        self._permanent.subscribe(topic)
        if self._turns % 2:
            self._permanent.unsubscribe(topic)
        elif self._turns % 20 == 0:
            for each in self._permanent.subscriptions:
                if each != "short":
                    self._permanent.unsubscribe(str(each))
        with contextlib.suppress(TimeoutError):
            self.tally.add("short-lived received", len(self._permanent.recv_many(1_000, timeout=0)))

    def finish(self) -> None:
        """Checks that only the permanent subscriber is left."""
        if not until(lambda: "short" in self._host.topics and self._host.topics["short"] == 1):
            self.add_error(f"subscriptions of closed subscribers remain: {self._host.topics}")
        self._permanent.close()


class BoundSubscriber(Scenario):
    """A bound subscriber, and a publisher that connects to it under "block"."""

    name = "bound"

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.sent = 0
        self.subscriber = Subscriber(
            bind="127.0.0.1:0", topics=["good"], max_message_bytes=MIB, on_event=self.count_event
        )
        self._publisher = Publisher(
            connect=endpoint(self.subscriber), on_full="block", linger=0, on_event=self.count_event
        )
        self._publisher.wait_for_subscribers(1, timeout=TIMEOUT_SECONDS)
        self._reader = Reader(self.subscriber, self.check)

    def turn(self) -> None:
        """Sends messages."""
        for number in range(self.sent, self.sent + 20):
            self._publisher.send(str(number), topic="good", timeout=TIMEOUT_SECONDS)
            self.sent += 1

    def check(self, message: Message) -> None:
        """Each message is received once and in order."""
        if message.text != str(self._reader.received):
            self.add_error(f"{message.text!r} received where {self._reader.received} was expected")
        self.tally.add("bound received")

    def finish(self) -> None:
        """Checks that all sent messages were received."""
        if not until(lambda: self._reader.received >= self.sent):
            self.add_error(f"{self._reader.received} of {self.sent} messages were received")
        self._reader.close()
        self._publisher.close()
