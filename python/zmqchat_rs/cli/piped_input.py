"""Lines of a standard input that is not a terminal.

Python checks for signals between two instructions, and when a system call is interrupted. A signal
just before a read of an empty pipe would wait until the next line arrives. Therefore the read also
waits for a descriptor that becomes readable at every signal.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from typing import Iterator

#: Longer than any message. A longer line is yielded in pieces, which `send` rejects as too long.
_LONGEST = 64 * 1024 * 1024 + 2
_CHUNK = 64 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def lines(*, raw: bool = False) -> Iterator[bytes]:
    """Read lines as bytes, each without its newline.

    Args:
        raw: Whether to keep a carriage return before a newline, and a byte order mark before the
            first line.
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
    """Yield lines without their newlines, and whether each one had a newline."""
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
        # Replaced by a stream without a descriptor.
        return sys.stdin.buffer.read(_CHUNK)
    if woken is not None:
        while True:
            readable, _, _ = select.select([descriptor, woken], [], [])
            # The handler of the signal has run before this line.
            if woken in readable:
                woken.recv(_CHUNK)
            if descriptor in readable:
                break
    return os.read(descriptor, _CHUNK)


@contextmanager
def _signals() -> Iterator[socket.socket | None]:
    """Make a socket that becomes readable at every signal; None if that is not possible."""
    if os.name == "nt":
        # On Windows, `select` works with sockets only.
        yield None
        return
    reads, writes = socket.socketpair()
    with reads, writes:
        reads.settimeout(0)
        writes.settimeout(0)
        try:
            before = signal.set_wakeup_fd(writes.fileno(), warn_on_full_buffer=False)
        except ValueError:
            # Only the main thread handles signals.
            yield None
            return
        try:
            yield reads
        finally:
            with suppress(ValueError):
                signal.set_wakeup_fd(before)
