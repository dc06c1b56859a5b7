"""The world outside in a soak: a publisher that is killed, a dead port, hostile strangers."""

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
from .soak_scenarios import MIB, Act, until

if TYPE_CHECKING:
    from zmqchat_rs import Message

    from .soak_monitor import Gate, Tally


class Lives(Act):
    """A publisher process that is killed, and started again."""

    pause = 0.5

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self._next: dict[str | None, int] = {}
        self._subscriber = Subscriber(self._address, reconnect_max=0.2, on_event=self.told)

    def turn(self) -> None:
        """One life."""
        self._next.clear()
        command = [sys.executable, "-m", "benches.soak_killed_publisher", self._address]
        # In a session of its own: Ctrl+C is for the soak, which ends it in its own way.
        with subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True
        ) as process:
            try:
                for _ in range(200):
                    self._take(self._subscriber.recv(timeout=TIMEOUT_SECONDS))
            finally:
                process.kill()
        if not until(lambda: self._subscriber.peers[0].state == "reconnecting"):
            self.trouble("the end of a killed publisher went unnoticed")
        with contextlib.suppress(TimeoutError):
            while True:
                self._take(self._subscriber.recv(timeout=0))

    def _take(self, message: Message) -> None:
        number = message.sequence
        assert number is not None
        if number != self._next.get(message.instance, number):
            self.trouble(f"number {number} where {self._next[message.instance]} was next")
        self._next[message.instance] = number + 1

    def finish(self) -> None:
        """Each life was heard without a gap."""
        lost = self._subscriber.stats().lost
        if lost:
            self.trouble(f"{lost} messages lost")
        self._subscriber.close()


class Nobody(Act):
    """Attempts to connect to a port at which nobody listens."""

    pause = 1.0

    def __init__(self, gate: Gate, tally: Tally) -> None:
        super().__init__(gate, tally)
        # Bound and not listening: refused, and nobody else can take it.
        self._holder = socket.socket()
        self._holder.bind(("127.0.0.1", 0))
        self._address = f"127.0.0.1:{self._holder.getsockname()[1]}"
        self._stays = Subscriber(self._address, reconnect_max=0.1, on_event=self.told)
        self._counted = 0

    def turn(self) -> None:
        """One more tries for a moment; the one that stays has gone on trying."""
        with Subscriber(self._address, reconnect_max=0.1, on_event=self.told) as hopeful:
            if not until(lambda: hopeful.peers[0].attempts >= 3):
                self.trouble("attempts came to an end")
        attempts = self._stays.peers[0].attempts
        self.tally.add("failed attempts", attempts - self._counted)
        self._counted = attempts

    def finish(self) -> None:
        """It still tries."""
        if not until(lambda: self._stays.peers[0].attempts > self._counted):
            self.trouble("the one that stays tries no more")
        self._stays.close()
        self._holder.close()


_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01" + b"NULL".ljust(20, b"\0") + bytes(32)


def _ready(kind: bytes) -> bytes:
    body = b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return bytes([4, len(body)]) + body


class Hostile(Act):
    """Strangers who break every rule at open ports."""

    pause = 0.2

    def __init__(self, gate: Gate, tally: Tally, ports: list[int]) -> None:
        super().__init__(gate, tally)
        self._ports = ports
        self._random = random.Random(20240229)

    def _says(self) -> bytes:
        noise = bytes(self._random.getrandbits(8) for _ in range(self._random.randrange(400)))
        # A frame that says to be larger than anybody takes.
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
        """One of them, at each port."""
        for number in self._ports:
            with contextlib.suppress(OSError), socket.create_connection(
                ("127.0.0.1", number)
            ) as connection:
                connection.settimeout(0.05)
                if self._random.randrange(4) == 0:
                    # Leaves with a reset.
                    connection.setsockopt(
                        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
                    )
                connection.sendall(self._says())
                connection.recv(4_096)

    def finish(self) -> None:
        """Nothing stays open."""
