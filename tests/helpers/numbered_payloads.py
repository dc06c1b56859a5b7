"""Many payloads that a test and the script that it starts can both compute."""

from __future__ import annotations

from typing import Iterator

COUNT = 5_000_000

_PATTERN = bytes(range(256)) * 2


def payloads(begin: int, end: int) -> Iterator[bytes]:
    """Each is its number in 8 bytes and up to 29 bytes of a pattern that depends on it."""
    pattern = _PATTERN
    for number in range(begin, end):
        start = number % 251
        yield number.to_bytes(8, "big") + pattern[start : start + number % 30]
