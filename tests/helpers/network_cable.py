"""A cable between two hosts that delays, loses and duplicates frames.

The kernel's own means, netem, is missing from many kernels. This needs only its TAP devices: each
host gets one as its network card, and a thread here carries the Ethernet frames between them.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import itertools
import os
import random
import select
import struct
import threading
import time
from concurrent.futures import Future
from typing import Callable, Iterator, NamedTuple, Sequence

_DEVICE = "/dev/net/tun"
# From Linux's <linux/if_tun.h>.
_TUNSETIFF = 0x400454CA
_IFF_TAP = 0x0002
_IFF_NO_PI = 0x1000

_LONGEST_FRAME = 65_536


class Quality(NamedTuple):
    """How the cable treats frames, in each direction."""

    #: The delay in seconds, and its variation, within which frames change their order.
    delay: float = 0.0
    jitter: float = 0.0
    #: The shares of frames that are lost, and that are duplicated.
    loss: float = 0.0
    doubled: float = 0.0


def missing() -> str | None:
    """Why this system cannot have such a cable; None if it can."""
    return None if os.access(_DEVICE, os.R_OK | os.W_OK) else f"needs {_DEVICE}"


@contextlib.contextmanager
def cable(name: str, enter_ends: Sequence[Callable[[], None]], quality: Quality) -> Iterator[None]:
    """Give each host a network card called `name`, and carry frames between the two.

    Each of `enter_ends` moves the calling thread to its host.
    """
    plugged: Future[None] = Future()
    stop_reading, stop_writing = os.pipe()

    def run() -> None:
        with contextlib.ExitStack() as opened:
            try:
                ends = []
                for enter in enter_ends:
                    enter()
                    ends.append(_card(name))
                    opened.callback(os.close, ends[-1])
            except BaseException as error:  # noqa: BLE001 - the caller raises it again
                plugged.set_exception(error)
                return
            plugged.set_result(None)
            _carry(ends, quality, stop_reading)

    thread = threading.Thread(target=run, name="cable", daemon=True)
    thread.start()
    try:
        plugged.result()
        yield
    finally:
        os.close(stop_writing)
        thread.join()
        os.close(stop_reading)


def _card(name: str) -> int:
    """Make a network card on this thread's host and return the cable's end in it."""
    end = os.open(_DEVICE, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TAP | _IFF_NO_PI))
    except OSError:
        os.close(end)
        raise
    return end


def _carry(ends: list[int], quality: Quality, stop: int) -> None:
    """Carry frames until the other end of `stop` is closed."""
    chance = random.Random(1)
    order = itertools.count()
    under_way: list[tuple[float, int, int, bytes]] = []
    while True:
        until_next = max(0.0, under_way[0][0] - time.monotonic()) if under_way else None
        readable, _, _ = select.select([*ends, stop], [], [], until_next)
        if stop in readable:
            return
        now = time.monotonic()
        for end in readable:
            other = ends[1 - ends.index(end)]
            for frame in _frames(end):
                if chance.random() < quality.loss:
                    continue
                for _ in range(1 + (chance.random() < quality.doubled)):
                    due = now + quality.delay + chance.uniform(-quality.jitter, quality.jitter)
                    heapq.heappush(under_way, (due, next(order), other, frame))
        while under_way and under_way[0][0] <= now:
            _, _, other, frame = heapq.heappop(under_way)
            # A card that is down or full drops the frame, as a real one does.
            with contextlib.suppress(OSError):
                os.write(other, frame)


def _frames(end: int) -> Iterator[bytes]:
    with contextlib.suppress(OSError):  # no frame is left, or the card is down
        while True:
            yield os.read(end, _LONGEST_FRAME)
