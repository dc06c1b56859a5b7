"""Peers that flood a publisher without pause: `python -m tests.helpers.floods PORT ATTACK PEERS`.

Each connects as a SUB socket and sends the frames of one attack over and over. Once it is cut off
it connects again. It runs in a process of its own, until its standard input ends.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Iterator

from tests.helpers.hostile_peers import frame
from tests.helpers.raw_peers import handshake

ATTACKS = {
    "toggles": b"".join(
        frame(b"\x01t%06d" % number) + frame(b"\x00t%06d" % number) for number in range(2_000)
    ),
    "duplicates": 4_000 * frame(b"\x01same:"),
    "junk": 4_000 * frame(b"\x02junkjunk!"),
}


def flood(port: int, frames: bytes) -> None:
    """Send without pause, and connect again after each disconnect."""
    while True:
        with contextlib.suppress(OSError), socket.create_connection(
            ("127.0.0.1", port)
        ) as connection:
            handshake(connection, b"SUB")
            while True:
                connection.sendall(frames)


@contextlib.contextmanager
def flooded(port: int, attack: str, peers: int) -> Iterator[None]:
    """Flood this port with this number of peers during the block."""
    command = [sys.executable, "-m", "tests.helpers.floods", str(port), attack, str(peers)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE) as process:
        try:
            yield
        finally:
            process.kill()


if __name__ == "__main__":
    for _ in range(int(sys.argv[3])):
        arguments = (int(sys.argv[1]), ATTACKS[sys.argv[2]])
        threading.Thread(target=flood, args=arguments, daemon=True).start()
    sys.stdin.read()
