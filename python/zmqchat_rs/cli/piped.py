"""Lines of standard input that is no terminal.

Python looks for signals between two steps and when a system call is interrupted. A signal that
comes just before a read of an empty pipe would go unnoticed until the next line, perhaps for ever:
so here a descriptor that every signal makes readable is waited for as well.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from typing import Iterator

#: More than any message may have: such a line is handed on in pieces, and refused as too long.
_LONGEST = 64 * 1024 * 1024 + 2
_CHUNK = 64 * 1024


def lines() -> Iterator[bytes]:
    """Read lines as bytes, each without its end."""
    if sys.stdin is None:
        return
    begun: list[bytes] = []
    size = 0
    with _signals() as woken:
        while True:
            chunk = _read(woken)
            first, *others = chunk.split(b"\n")
            begun.append(first)
            size += len(first)
            for other in others:
                yield _without_return(b"".join(begun))
                begun, size = [other], len(other)
            if size > _LONGEST or (not chunk and size):
                yield b"".join(begun)
                begun, size = [], 0
            if not chunk:
                return


def _without_return(line: bytes) -> bytes:
    return line[:-1] if os.name == "nt" and line.endswith(b"\r") else line


def _read(woken: socket.socket | None) -> bytes:
    try:
        descriptor = sys.stdin.fileno()
    except (OSError, ValueError, AttributeError):
        # Somebody put another stream there, which no signal holds up.
        return sys.stdin.buffer.read(_CHUNK)
    if woken is not None:
        while True:
            readable, _, _ = select.select([descriptor, woken], [], [])
            # The signal's handler ran before this line.
            if woken in readable:
                woken.recv(_CHUNK)
            if descriptor in readable:
                break
    return os.read(descriptor, _CHUNK)


@contextmanager
def _signals() -> Iterator[socket.socket | None]:
    """Make what every signal makes readable; None where there is no such thing."""
    if os.name == "nt":
        # Its `select` knows sockets only.
        yield None
        return
    reads, writes = socket.socketpair()
    with reads, writes:
        reads.settimeout(0)
        writes.settimeout(0)
        try:
            before = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        except ValueError:
            # Not the main thread, which alone hears of signals.
            yield None
            return
        try:
            yield reads
        finally:
            with suppress(ValueError):
                signal.set_wakeup_fd(before)
