"""The faults of a soak: a killed publisher, a closed port and hostile peers."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import subprocess
import sys
from typing import TYPE_CHECKING

from zmqchat_rs import Subscriber

from .runs import ROOT
from .soak_monitor import TIMEOUT_SECONDS
from .soak_scenarios import MIB, Scenario, until

if TYPE_CHECKING:
    from zmqchat_rs import Message

    from .soak_monitor import Gate, Tally


class KilledPublisher(Scenario):
    """A publisher process that is killed and restarted."""

    name = "killed"

    pause = 0.5

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._next: dict[str | None, int] = {}
        self._subscriber = Subscriber(self._address, reconnect_max=0.2, on_event=self.count_event)

    def turn(self) -> None:
        """Starts a publisher, receives from it and kills it."""
        self._next.clear()
        command = [sys.executable, "-m", "benches.soak_killed_publisher", self._address]
        # In its own session: Ctrl+C must reach only the soak, which ends the process.
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                for _ in range(200):
                    self._take(self._subscriber.recv(timeout=TIMEOUT_SECONDS))
            finally:
                process.kill()
        if not until(lambda: self._subscriber.peers[0].state == "reconnecting"):
            self.add_error("the subscriber did not notice the death of the publisher")
        with contextlib.suppress(TimeoutError):
            while True:
                self._take(self._subscriber.recv(timeout=0))

    def _take(self, message: Message) -> None:
        number = message.sequence
        assert number is not None
        if number != self._next.get(message.instance, number):
            self.add_error(f"number {number} where {self._next[message.instance]} was expected")
        self._next[message.instance] = number + 1

    def finish(self) -> None:
        """Checks that no publisher's messages have a gap."""
        lost = self._subscriber.stats().lost
        if lost:
            self.add_error(f"{lost} messages lost")
        self._subscriber.close()


class ClosedPort(Scenario):
    """Attempts to connect to a port without a listener."""

    name = "closed port"

    pause = 1.0

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        # Bound without listening: connections are refused, and no other program can use the port.
        self._holder = socket.socket()
        self._holder.bind(("127.0.0.1", 0))
        self._address = f"127.0.0.1:{self._holder.getsockname()[1]}"
        self._permanent = Subscriber(self._address, reconnect_max=0.1, on_event=self.count_event)
        self._counted = 0

    def turn(self) -> None:
        """Runs a short-lived subscriber; the permanent one has continued its attempts."""
        with Subscriber(self._address, reconnect_max=0.1, on_event=self.count_event) as subscriber:
            if not until(lambda: subscriber.peers[0].attempts >= 3):
                self.add_error("the subscriber stopped its attempts to connect")
        attempts = self._permanent.peers[0].attempts
        self.tally.add("failed attempts", attempts - self._counted)
        self._counted = attempts

    def finish(self) -> None:
        """Checks that the permanent subscriber still tries to connect."""
        if not until(lambda: self._permanent.peers[0].attempts > self._counted):
            self.add_error("the permanent subscriber stopped its attempts to connect")
        self._permanent.close()
        self._holder.close()


_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def _ready(kind: bytes) -> bytes:
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return bytes([4, len(body)]) + body


class HostilePeers(Scenario):
    """Peers that break the protocol at open ports."""

    name = "hostile"

    pause = 0.2

    def __init__(self, gate: Gate, tally: Tally, ports: list[int]) -> None:
        super().__init__(gate, tally)
        self._ports = ports
        self._random = random.Random(20240229)

    def _random_bytes(self) -> bytes:
        noise = bytes(self._random.getrandbits(8) for _ in range(self._random.randrange(400)))
        # A frame whose announced size is above every limit.
        large = b"\x02" + (20 * MIB).to_bytes(8, "big") + b"\x01"
        return self._random.choice(
            [
                noise,
                _GREETING[: self._random.randrange(64)],
                _GREETING + noise,
                _GREETING + _ready(b"SUB") + b"\x00\x03\x01t1" + noise,
                _GREETING + _ready(b"SUB") + large,
                _GREETING + _ready(b"PUB") + large + noise,
            ]
        )

    def turn(self) -> None:
        """Connects one peer to each port."""
        for number in self._ports:
            with contextlib.suppress(OSError), socket.create_connection(
                ("127.0.0.1", number)
            ) as connection:
                connection.settimeout(0.05)
                if self._random.randrange(4) == 0:
                    # Closes with a reset.
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                connection.sendall(self._random_bytes())
                connection.recv(4_096)

    def finish(self) -> None:
        """Nothing is left open."""
