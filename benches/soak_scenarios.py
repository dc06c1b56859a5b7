"""What happens in a soak: each act is a thread that takes one turn after the other.

At the end of a turn everything that it opened for the turn alone is closed, and what it sent is
on its way to readers that only read, so that between turns the process is at rest.
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
    """The number and a filler: mostly short, now and then 64 KiB, rarely 1 MiB."""
    # Large ones are not the last of a burst, which its reader still holds at a look.
    size = MIB if number % 2_000 == 25 else 65_536 if number % 200 == 75 else number * 37 % 600
    return number.to_bytes(8, "big") + _FILLER[:size]


def endpoint(side: Publisher | Subscriber) -> str:
    """Where it listens."""
    assert side.endpoint is not None
    return side.endpoint


def port(side: Publisher | Subscriber) -> int:
    """The TCP port at which it listens."""
    return int(endpoint(side).rpartition(":")[2])


def until(condition: Callable[[], object]) -> bool:
    """True as soon as the condition is; false when it never becomes so."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


class Act(ABC):
    """Something that goes on all day."""

    # Seconds between two turns.
    pause = 0.05

    def __init__(self, gate: Gate, tally: Tally) -> None:
        self.gate = gate
        self.tally = tally
        self.name = type(self).__name__.lower()

    @abstractmethod
    def turn(self) -> None:
        """What is done again and again."""

    @abstractmethod
    def finish(self) -> None:
        """Looks whether all came that had to, and closes."""

    def told(self, event: Event) -> None:
        """An `on_event` that counts."""
        self.tally.add(f"event: {event.kind}")

    def trouble(self, what: str) -> None:
        """What must not happen."""
        self.tally.trouble(f"{self.name}: {what}")

    def run(self, stop: threading.Event) -> None:
        """Takes turns until it is told to stop, or one of them fails."""
        try:
            while not stop.is_set():
                with self.gate.turn():
                    self.turn()
                self.tally.add(f"{self.name} turns")
                stop.wait(self.pause)
        except Exception as error:  # noqa: BLE001 - it is the find that a soak is after
            self.trouble(f"ended by {error!r}")

    def end(self) -> None:
        """Finishes, whatever comes."""
        try:
            self.finish()
        except Exception as error:  # noqa: BLE001
            self.trouble(f"finished with {error!r}")


class Reader:
    """A thread that hears all of one subscriber, and looks at each message."""

    def __init__(self, subscriber: Subscriber, check: Callable[[Message], object]) -> None:
        self.subscriber = subscriber
        self.heard = 0
        self._check = check
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(ClosedError):
            for message in self.subscriber:
                self._check(message)
                self.heard += 1

    def close(self) -> None:
        """Ends the thread."""
        self.subscriber.close()
        self._thread.join(TIMEOUT_SECONDS)


class Steady(Act):
    """A stream under "block", heard by somebody who stays, and by whoever comes."""

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.sent = self.guests_sent = 0
        self.publisher = Publisher(
            "127.0.0.1:0",
            name="steady",
            on_full="block",
            high_water_mark=1_000,
            linger=0,
            on_event=self.told,
        )
        listener = Subscriber(endpoint(self.publisher), topics=["steady"], on_event=self.told)
        self.publisher.wait_for_subscribers(1, topic="steady", timeout=TIMEOUT_SECONDS)
        self.reader = Reader(listener, self.check)

    def turn(self) -> None:
        """A burst, and a word to the guests."""
        for number in range(self.sent, self.sent + 50):
            self.publisher.send(payload(number), topic="steady", timeout=TIMEOUT_SECONDS)
            self.sent += 1
        self.publisher.send_many(["hello"] * 5, topic="guests", timeout=TIMEOUT_SECONDS)

    def check(self, message: Message) -> None:
        """Each message comes once, in order, unaltered."""
        if message.data != payload(self.reader.heard):
            number = int.from_bytes(message.data[:8], "big")
            self.trouble(f"number {number} came where {self.reader.heard} was next")
        self.tally.add("steady heard")

    def finish(self) -> None:
        """All that was sent has come."""
        if not until(lambda: self.reader.heard >= self.sent):
            self.trouble(f"{self.reader.heard} of {self.sent} messages came")
        lost = self.reader.subscriber.stats().lost
        if lost:
            self.trouble(f"{lost} messages lost")
        self.reader.close()
        self.publisher.close()


class Flood(Act):
    """More than a slow subscriber can take, under "drop"."""

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.newest = -1
        self.publisher = Publisher(
            "127.0.0.1:0", name="flood", high_water_mark=100, linger=0, on_event=self.told
        )
        slow = Subscriber(endpoint(self.publisher), high_water_mark=100, on_event=self.told)
        self.publisher.wait_for_subscribers(1, timeout=TIMEOUT_SECONDS)
        self.reader = Reader(slow, self.check)

    def turn(self) -> None:
        """Far more than it can take."""
        self.publisher.send_many([_FILLER[:8_000]] * 100, topic="flood")

    def check(self, message: Message) -> None:
        """What comes is in order."""
        if message.sequence is None or message.sequence <= self.newest:
            self.trouble(f"number {message.sequence} came after {self.newest}")
        else:
            self.newest = message.sequence
        self.tally.add("flood heard")
        if self.reader.heard % 10 == 0 and not self.gate.resting:
            time.sleep(0.02)

    def finish(self) -> None:
        """What was dropped was counted, to the last."""

        def heard_the_last() -> bool:
            self.publisher.send("the end", topic="flood")
            return until_quiet(lambda: self.newest) == self.publisher.stats().sent - 1

        if not until(heard_the_last):
            self.trouble("the last message did not come")
        sent, stats = self.publisher.stats().sent, self.reader.subscriber.stats()
        if stats.received + stats.lost != sent or stats.duplicates:
            self.trouble(f"{sent} sent, but {stats}")
        self.tally.add("flood lost, as it should be", stats.lost)
        self.reader.close()
        self.publisher.close()


def until_quiet(number: Callable[[], int]) -> int:
    """The number once it has stood still for a while."""
    last, since = number(), time.monotonic()
    while time.monotonic() - since < 0.2:
        time.sleep(0.01)
        if number() != last:
            last, since = number(), time.monotonic()
    return last


class Guests(Act):
    """Subscribers that come, hear something, change their mind, and go in different ways."""

    pause = 0.02

    def __init__(self, gate: Gate, tally: Tally, host: Publisher) -> None:
        super().__init__(gate, tally)
        self._host = host
        self._visits = 0
        self._stays = Subscriber(endpoint(host), topics=["guests"])
        # Somebody must speak when all others rest.
        host.wait_for_subscribers(1, topic="guests", timeout=TIMEOUT_SECONDS)

    def turn(self) -> None:
        """One guest; and one who is there all day changes what it hears."""
        self._visits += 1
        topic = f"t{self._visits % 200}"
        guest = Subscriber(
            endpoint(self._host),
            topics=None if self._visits % 5 == 0 else ["guests", topic],
            on_event=self.told,
        )
        if not until(partial(self._welcomed, guest)):
            self.trouble("a guest heard nothing")
        guest.subscribe(prefix=b"t1")
        guest.unsubscribe(prefix=b"t1")
        lost = guest.stats().lost
        if lost:
            self.trouble(f"a guest lost {lost} messages")
        if self._visits % 3:
            guest.close()
        # The others go by way of the last reference.
        del guest
        self._change(topic)

    def _welcomed(self, guest: Subscriber) -> bool:
        self._host.send("welcome", topic="guests", timeout=TIMEOUT_SECONDS)
        with contextlib.suppress(TimeoutError):
            return bool(guest.recv(timeout=0.05))
        return False

    def _change(self, topic: str) -> None:
        self._stays.subscribe(topic)
        if self._visits % 2:
            self._stays.unsubscribe(topic)
        elif self._visits % 20 == 0:
            for each in self._stays.subscriptions:
                if each != "guests":
                    self._stays.unsubscribe(str(each))
        with contextlib.suppress(TimeoutError):
            self.tally.add("guests heard", len(self._stays.recv_many(1_000, timeout=0)))

    def finish(self) -> None:
        """All have gone, one remains."""
        if not until(lambda: "guests" in self._host.topics and self._host.topics["guests"] == 1):
            self.trouble(f"still in the books: {self._host.topics}")
        self._stays.close()


class House(Act):
    """A subscriber that listens, and a publisher that connects to it under "block"."""

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        self.sent = 0
        self.subscriber = Subscriber(
            bind="127.0.0.1:0", topics=["good"], max_message_bytes=MIB, on_event=self.told
        )
        self._publisher = Publisher(
            connect=endpoint(self.subscriber), on_full="block", linger=0, on_event=self.told
        )
        self._publisher.wait_for_subscribers(1, timeout=TIMEOUT_SECONDS)
        self._reader = Reader(self.subscriber, self.check)

    def turn(self) -> None:
        """Some messages."""
        for number in range(self.sent, self.sent + 20):
            self._publisher.send(str(number), topic="good", timeout=TIMEOUT_SECONDS)
            self.sent += 1

    def check(self, message: Message) -> None:
        """Each comes once, in order."""
        if message.text != str(self._reader.heard):
            self.trouble(f"{message.text!r} came where {self._reader.heard} was next")
        self.tally.add("house heard")

    def finish(self) -> None:
        """All that was sent has come."""
        if not until(lambda: self._reader.heard >= self.sent):
            self.trouble(f"{self._reader.heard} of {self.sent} messages came")
        self._reader.close()
        self._publisher.close()
