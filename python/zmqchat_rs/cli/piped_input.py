"""Lines of standard input that is not a terminal.

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
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines(*, raw: bool = False) -> Iterator[bytes]:
    """Read lines as bytes, each without its newline.

    Args:
        raw: Keep a carriage return before the newline, and a byte order mark before the first
            line; both are removed otherwise, on every system.
    """
    first = True
    for line, ended in _pieces():
        text = line
        if not raw:
            if first and text.startswith(_BYTE_ORDER_MARK):
                text = text[len(_BYTE_ORDER_MARK) :]
                if not text and not ended:
                    return
            if ended and text.endswith(b"\r"):
                text = text[:-1]
        first = False
        yield text


def _pieces() -> Iterator[tuple[bytes, bool]]:
    """Read lines without their newlines, and whether there was one."""
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
                yield b"".join(begun), True
                begun, size = [other], len(other)
            if size > _LONGEST or (not chunk and size):
                yield b"".join(begun), False
                begun, size = [], 0
            if not chunk:
                return


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
