"""The processes on the hosts of `benches.scale`: `… '{"do": "relay", …}'`.

A process writes a line of JSON when it is ready, and one for each command that it reads from stdin.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict

from zmqchat_rs import ClosedError, Publisher, Relay, Subscriber

from .jobs import read_line, write_line

if TYPE_CHECKING:
    # Each command by its name.
    Commands = Dict[str, Callable[..., Dict[str, Any]]]

TIMEOUT_SECONDS = 120.0


def resident_kib() -> int:
    """VmRSS of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1])
    raise RuntimeError("/proc/self/status has no VmRSS")


def relay(job: dict[str, Any]) -> Commands:
    """Runs a relay."""
    one = Relay(
        "*:5556", connect=job["connect"], on_full=job["on_full"], high_water_mark=job["mark"]
    )

    def wait(count: int) -> dict[str, Any]:
        return {"subscribers": one.wait_for_subscribers(count, timeout=TIMEOUT_SECONDS)}

    def measure() -> dict[str, Any]:
        stats = one.stats()
        return {"kib": resident_kib(), "messages": stats.messages, "overflows": stats.overflows}

    return {"wait": wait, "measure": measure}


class Reader:
    """One subscriber with a thread that reads."""

    def __init__(self, address: str) -> None:
        self.subscriber = Subscriber(address, high_water_mark=1_000)
        self.count, self.in_order, self.ended = 0, True, 0.0
        self.delays: list[float] = []
        self._marks = threading.Semaphore(0)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        try:
            while True:
                for message in self.subscriber.recv_many():
                    if message.topic == "stream":
                        number = int(message.data[:8])
                        self.in_order &= number == self.count
                        self.count += 1
                    elif message.topic == "delay":
                        self.delays.append(message.delay or 0.0)
                    else:
                        self.ended = time.monotonic()
                        self._marks.release()
        except ClosedError:
            pass

    def finish(self) -> None:
        """Waits for the end mark."""
        if not self._marks.acquire(timeout=TIMEOUT_SECONDS):
            raise RuntimeError(f"no end mark received after {self.count} messages")


def crowd(job: dict[str, Any]) -> Commands:
    """Runs subscribers."""
    readers = [Reader(job["connect"]) for _ in range(job["count"])]

    def stream() -> dict[str, Any]:
        for reader in readers:
            reader.finish()
        found = {
            "counts": [reader.count for reader in readers],
            "in_order": all(reader.in_order for reader in readers),
            "lost": sum(reader.subscriber.stats().lost for reader in readers),
            "duplicates": sum(reader.subscriber.stats().duplicates for reader in readers),
            "ended": max(reader.ended for reader in readers),
        }
        for reader in readers:
            reader.count = 0
        return found

    def delays() -> dict[str, Any]:
        for reader in readers:
            reader.finish()
        found = [delay for reader in readers for delay in reader.delays]
        for reader in readers:
            reader.delays.clear()
        return {"delays": found}

    return {"stream": stream, "delays": delays}


def stuck(job: dict[str, Any]) -> Commands:
    """A subscriber that never reads."""
    subscriber = Subscriber(job["connect"], high_water_mark=1)
    subscriber.wait_connected(timeout=TIMEOUT_SECONDS)
    return {"measure": lambda: {"received": subscriber.stats().received}}


def author(job: dict[str, Any]) -> Commands:
    """A publisher, bound and connected to a relay."""
    publisher = Publisher(
        "*:5555", connect=job["connect"], name="author", on_full="block", high_water_mark=1_000
    )
    clock = threading.Event()

    def wait(count: int) -> dict[str, Any]:
        found = publisher.wait_for_subscribers(count, timeout=TIMEOUT_SECONDS)
        return {"subscribers": found}

    def stream(count: int, size: int, pause: float = 0.0) -> dict[str, Any]:
        filler = b"x" * (size - 8)
        began = time.monotonic()
        for number in range(count):
            publisher.send(b"%08d" % number + filler, topic="stream")
            if pause and number % 50 == 49:
                clock.wait(pause)
        publisher.send(b"", topic="end")
        return {"began": began, "seconds": time.monotonic() - began}

    def delays(count: int, pause: float) -> dict[str, Any]:
        for _ in range(count):
            publisher.send(b"x" * 64, topic="delay")
            clock.wait(pause)
        publisher.send(b"", topic="end")
        return {}

    return {"wait": wait, "stream": stream, "delays": delays}


def main() -> None:
    """Run the role of the command line, command by command."""
    job = json.loads(sys.argv[1])
    roles: dict[str, Callable[[dict[str, Any]], Any]] = {
        role.__name__: role for role in (relay, crowd, stuck, author)
    }
    commands = roles[job["do"]](job)
    write_line(ready=True)
    while True:
        line = read_line()
        if not line:
            return
        name, *arguments = json.loads(line)
        write_line(**commands[name](*arguments))


if __name__ == "__main__":
    main()
