"""Descriptors, threads and memory of this process, for scripts that the tests start. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import NamedTuple

from tests.helpers.timeouts import wait_until


class Footprint(NamedTuple):
    """Descriptors and threads, libzmq's own included."""

    descriptors: int
    threads: int


def footprint() -> Footprint:
    """Count the open descriptors and the threads."""
    descriptors, threads = (list(Path("/proc/self", each).iterdir()) for each in ("fd", "task"))
    # Listing the folder opens one.
    return Footprint(len(descriptors) - 1, len(threads))


def resident_kib() -> int:
    """The resident memory of this process, without the allocator's free memory."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def settled() -> Footprint:
    """The counts once they are stable: libzmq destroys closed sockets in the background."""
    counts: list[Footprint] = []

    def is_stable() -> bool:
        counts.append(footprint())
        return len(counts) >= 80 and len(set(counts[-80:])) == 1

    wait_until(is_stable, "the numbers of threads and descriptors to be stable")
    return counts[-1]
