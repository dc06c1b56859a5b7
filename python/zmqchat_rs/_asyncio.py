"""Tasks that wait: a line of them for each object in each event loop.

A thread of ours finds that a look is worth while, and tells the line. The loop then wakes the
first in it, who takes a message and wakes the next, or finds none and goes back to the head of the
line: a thousand tasks cost no more than one. Invariant: whoever was woken passes the turn on, also
when it is cancelled, so that nobody waits beside a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import threading
import weakref
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Optional, TypeVar

if TYPE_CHECKING:
    from ._core import Publisher, Subscriber

#: So often a loop wakes while somebody waits: a notebook's loop looks for its stop button only when
#: it wakes, and so does every loop on Windows.
PULSE = 0.1

#: A longer time-out is none: not every loop can count that far.
LONGEST = 1e8

Timer = Optional[asyncio.TimerHandle]
Either = TypeVar("Either", bound="Publisher | Subscriber")


class Line:
    """Those who wait for one thing in one loop; used in that loop's thread alone, except `tell`."""

    def __init__(self, desk: Desk, watched: Publisher | Subscriber, kind: str) -> None:
        # Keeps the desk, and so the pulse, as long as somebody waits.
        self._desk = desk
        self._loop = desk.loop
        # Everybody has a condition of its own to look at.
        self._all_at_once = kind == "change"
        self._waiting: OrderedDict[asyncio.Future[bool], Timer] = OrderedDict()
        self.watched = weakref.ref(watched)
        self.watch = watched._on_ready(self, messages=kind == "message")  # noqa: SLF001

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, timeout: float | None, *, first: bool) -> asyncio.Future[bool]:
        """Stand in line: the future is done when it is one's turn (False) or too late (True)."""
        future = self._loop.create_future()
        timer = None
        if timeout is not None and timeout < LONGEST:
            timer = self._loop.call_later(timeout, self._expire, future)
        self._waiting[future] = timer
        if first:
            self._waiting.move_to_end(future, last=False)
        self._desk.hold(self)
        return future

    def leave(self, future: asyncio.Future[bool]) -> None:
        """Wait no longer; a turn that came meanwhile goes to the next."""
        timer = self._waiting.pop(future, None)
        if timer is not None:
            timer.cancel()
        if future.done() and not future.cancelled() and not future.result():
            self.wake()

    def abandon(self, future: asyncio.Future[bool]) -> None:
        """`leave`, from any thread."""
        # The loop is closed, or the garbage collector has begun to take it apart.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(self.leave, future)

    def wake(self) -> None:
        """Give the first its turn."""
        while self._waiting:
            future, timer = self._waiting.popitem(last=False)
            if timer is not None:
                timer.cancel()
            if not future.done():
                future.set_result(False)
                if not self._all_at_once:
                    return

    def tell(self) -> None:
        """Say that a look is worth while; called in a thread of ours."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits there any more
            self._loop.call_soon_threadsafe(self.wake)

    def _expire(self, future: asyncio.Future[bool]) -> None:
        self._waiting.pop(future, None)
        if not future.done():
            future.set_result(True)


class Desk:
    """What one loop keeps while somebody waits in it: the lines, and the pulse.

    The loop's timer holds it and nothing else does, so that a loop that is closed lets go of all.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._lines: weakref.WeakValueDictionary[tuple[int, str], Line] = (
            weakref.WeakValueDictionary()
        )
        # Those in which somebody waits, and maybe others until the next beat.
        self._held: set[Line] = set()
        self._beating = False

    def line(self, watched: Publisher | Subscriber, kind: str) -> Line:
        """The line for an object; made when the first comes."""
        key = id(watched), kind
        line = self._lines.get(key)
        if line is None or line.watched() is not watched:
            line = self._lines[key] = Line(self, watched, kind)
        return line

    def hold(self, line: Line) -> None:
        """Keep a line as long as somebody waits in it, and the pulse."""
        self._held.add(line)
        if not self._beating:
            self._beating = True
            self.loop.call_later(PULSE, self._beat)

    def _beat(self) -> None:
        self._held = {line for line in self._held if line}
        self._beating = bool(self._held)
        if self._beating:
            self.loop.call_later(PULSE, self._beat)


_here = threading.local()


def line(watched: Publisher | Subscriber, kind: str) -> Line:
    """The line to stand in for a "message", for "room" to send, or for any "change".

    Raises:
        RuntimeError: No event loop runs in this thread.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "nothing to wait in: await this in an `async def` that asyncio.run or a notebook runs, "
            "or use the call of the same name without the `a`; trio is not supported"
        ) from None
    known: weakref.ref[Desk] | None = getattr(_here, "desk", None)
    desk = known() if known is not None else None
    if desk is None or desk.loop is not loop:
        desk = Desk(loop)
        _here.desk = weakref.ref(desk)
    return desk.line(watched, kind)


async def enter(this: Either) -> Either:
    """What `async with` gives."""
    this.__enter__()
    return this


async def close(this: Publisher | Subscriber, **arguments: float | None) -> None:
    """Close in a thread, because it may take a moment; in this one where none can be started."""
    close = functools.partial(this.close, **arguments)
    # Not the loop's own executor: `asyncio.run` ends that with one thread more.
    executor = ThreadPoolExecutor(1)
    try:
        closing = asyncio.get_running_loop().run_in_executor(executor, close)
    except RuntimeError:
        close()
    else:
        await closing
    finally:
        executor.shutdown(wait=False)
