"""What this process holds: for scripts that the tests start. Linux only."""

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
    """What is open now."""
    descriptors, threads = (list(Path("/proc/self", each).iterdir()) for each in ("fd", "task"))
    # The listing itself opens one.
    return Footprint(len(descriptors) - 1, len(threads))


def resident_kib() -> int:
    """The resident memory of this process, without what its allocator keeps for the next time."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def settled() -> Footprint:
    """What is open once nothing changes any more: libzmq takes closed sockets apart by and by."""
    looks: list[Footprint] = []

    def the_same_for_a_while() -> bool:
        looks.append(footprint())
        return len(looks) >= 80 and len(set(looks[-80:])) == 1

    wait_until(the_same_for_a_while, "threads and descriptors to come to rest")
    return looks[-1]
