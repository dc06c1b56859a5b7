"""Streams of hostile peers: noise, and broken ZMTP handshakes."""

from __future__ import annotations

import contextlib
import socket
import struct
from random import Random
from typing import Iterator

from tests.helpers.raw_peers import greeting, ready
from tests.helpers.timeouts import TIMEOUT


def command(name: bytes, body: bytes) -> bytes:
    """A ZMTP 3.1 command, in the long or the short form by its size."""
    content = bytes([len(name)]) + name + body
    if len(content) > 255:
        return b"\x06" + len(content).to_bytes(8, "big") + content
    return bytes([4, len(content)]) + content


def frame(body: bytes, *, more: bool = False, size: int | None = None) -> bytes:
    """A message frame; `size` is a false length for its header."""
    length = len(body) if size is None else size
    if length > 255:
        return bytes([2 | more]) + length.to_bytes(8, "big") + body
    return bytes([more, length]) + body


def conversations() -> list[list[bytes]]:
    """The bytes that correct peers send, in pieces."""
    subscriber = [greeting(), ready(b"SUB"), command(b"SUBSCRIBE", b""), frame(b"\x01room1")]
    publisher = [greeting(), ready(b"PUB"), frame(b"room1:Hello"), frame(b"a", more=True)]
    older = [greeting(b"\x03\x00"), ready(b"SUB"), frame(b"\x01")]
    oldest = [b"\xff" + bytes(7) + b"\x01\x7f\x01\x02\x00\x00"]
    large = [greeting(), ready(b"PUB"), frame(b"x" * 300, more=True), frame(b"y" * 9_000)]
    pings = [greeting(), ready(b"SUB"), command(b"PING", b"\x00\x0ahi"), command(b"CANCEL", b"")]
    secret = [greeting(mechanism=b"CURVE"), command(b"HELLO", bytes(194))]
    return [subscriber, publisher, older, oldest, large, pings, secret]


def noise(random: Random, count: int) -> bytes:
    """Random bytes; `Random.randbytes` is missing in Python 3.8."""
    return bytes(random.getrandbits(8) for _ in range(count))


def mutated(random: Random, pieces: list[bytes]) -> list[bytes]:
    """The same bytes with one to three errors in them."""
    changed = list(pieces)
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(changed))
        piece = bytearray(changed[place])
        spot = random.randrange(len(piece) + 1)
        way = random.randrange(7)
        if way == 0 and piece:
            piece[spot % len(piece)] ^= 1 << random.randrange(8)
        elif way == 1:
            del piece[spot:]
        elif way == 2:
            piece[spot:spot] = noise(random, random.randint(1, 20))
        elif way == 3:
            piece[spot : spot + 8] = random.choice([b"\xff" * 8, bytes(8), b"\x7f" + b"\xff" * 7])
        elif way == 4:
            changed.insert(place, bytes(piece))
        elif way == 5:
            changed.reverse()
            continue
        else:
            piece += frame(b"", size=random.choice([2**63, 2**63 - 1, 2**31, 65_536]))
        changed[place] = bytes(piece)
    return changed


def attacks(seed: int, count: int) -> Iterator[list[bytes]]:
    """A number of streams, half noise and half mutated, determined by the seed."""
    random = Random(seed)
    good = conversations()
    for number in range(count):
        if number % 2:
            yield mutated(random, random.choice(good))
        else:
            start = random.choice([b"", greeting(), b"\xff"])
            yield [start + noise(random, random.randint(0, 400))]


def attack(port: int, pieces: list[bytes], number: int) -> None:
    """Send all pieces, and disconnect in a way that depends on the number."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(TIMEOUT)
        if number % 4 == 0:
            # Disconnects with a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for piece in pieces:
            connection.sendall(piece)
            if number % 16 == 1 and pieces[0][:1] == b"\xff":
                # Reads in between, so that the pieces arrive one by one.
                connection.settimeout(0.02)
                connection.recv(64)
        if number % 4 == 2:
            connection.shutdown(socket.SHUT_WR)
