"""Coroutines that wait: a queue of them for each object in each event loop.

A native thread finds that another attempt may succeed, and wakes the queue. The loop then wakes the
first coroutine in it. That one takes a message and wakes the next, or finds none and returns to the
head of the queue, so that a thousand tasks cost no more than one. Invariant: a coroutine that was
woken wakes the next one when it is done, even if it is cancelled, so that no message stays queued
while a coroutine waits for it.
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

#: Seconds between two wake-ups of a loop in which coroutines wait: a notebook's loop checks for its
#: stop button only when it wakes, and so does every loop on Windows for Ctrl+C.
WAKE_INTERVAL = 0.1

#: A longer timeout counts as none: not every loop accepts it.
LONGEST = 1e8

Timer = Optional[asyncio.TimerHandle]
Either = TypeVar("Either", bound="Publisher | Subscriber")


class WaitQueue:
    """The coroutines that wait for one thing in one loop.

    Only the thread of that loop uses it, except for `wake_threadsafe`.
    """

    def __init__(self, queues: _Queues, socket: Publisher | Subscriber, kind: str) -> None:
        # Keeps the loop's queues, and so the timer, as long as a coroutine waits.
        self._queues = queues
        self._loop = queues.loop
        # Each coroutine waits for a condition of its own.
        self._wakes_all = kind == "change"
        self._waiting: OrderedDict[asyncio.Future[bool], Timer] = OrderedDict()
        self.socket = weakref.ref(socket)
        self.readiness = socket._on_ready(self, messages=kind == "message")  # noqa: SLF001

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def join(self, timeout: float | None, *, first: bool) -> asyncio.Future[bool]:
        """Add a coroutine. Its future is False when it is woken, and True after the timeout."""
        future = self._loop.create_future()
        timer = None
        if timeout is not None and timeout < LONGEST:
            timer = self._loop.call_later(timeout, self._expire, future)
        self._waiting[future] = timer
        if first:
            self._waiting.move_to_end(future, last=False)
        self._queues.hold(self)
        return future

    def leave(self, future: asyncio.Future[bool]) -> None:
        """Remove a coroutine. If it was woken meanwhile, wake the next one."""
        timer = self._waiting.pop(future, None)
        if timer is not None:
            timer.cancel()
        if future.done() and not future.cancelled() and not future.result():
            self.wake()

    def abandon(self, future: asyncio.Future[bool]) -> None:
        """`leave`, from any thread."""
        # The loop may be closed, or be garbage-collected at this moment.
        with contextlib.suppress(RuntimeError, AttributeError):
            self._loop.call_soon_threadsafe(self.leave, future)

    def wake(self) -> None:
        """Wake the first coroutine, or all of them if each has its own condition."""
        while self._waiting:
            future, timer = self._waiting.popitem(last=False)
            if timer is not None:
                timer.cancel()
            if not future.done():
                future.set_result(False)
                if not self._wakes_all:
                    return

    def wake_threadsafe(self) -> None:
        """`wake`, from a native thread, when another attempt may succeed."""
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self.wake)

    def _expire(self, future: asyncio.Future[bool]) -> None:
        self._waiting.pop(future, None)
        if not future.done():
            future.set_result(True)


class _Queues:
    """The queues of one loop, and the timer that wakes the loop.

    Only the timer refers to it, so that a closed loop releases everything.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._known: weakref.WeakValueDictionary[tuple[int, str], WaitQueue] = (
            weakref.WeakValueDictionary()
        )
        # Queues in which a coroutine waits; others are removed when the timer expires.
        self._held: set[WaitQueue] = set()
        self._timer_runs = False

    def queue(self, socket: Publisher | Subscriber, kind: str) -> WaitQueue:
        """The queue of an object, created by the first coroutine that waits."""
        key = id(socket), kind
        queue = self._known.get(key)
        if queue is None or queue.socket() is not socket:
            queue = self._known[key] = WaitQueue(self, socket, kind)
        return queue

    def hold(self, queue: WaitQueue) -> None:
        """Keep a queue, and the timer, as long as a coroutine waits in it."""
        self._held.add(queue)
        if not self._timer_runs:
            self._timer_runs = True
            self.loop.call_later(WAKE_INTERVAL, self._on_timer)

    def _on_timer(self) -> None:
        self._held = {queue for queue in self._held if queue}
        self._timer_runs = bool(self._held)
        if self._timer_runs:
            self.loop.call_later(WAKE_INTERVAL, self._on_timer)


_here = threading.local()


def wait_queue(socket: Publisher | Subscriber, kind: str) -> WaitQueue:
    """The queue in which to wait for a "message", for queue "space", or for any "change".

    Raises:
        RuntimeError: If no event loop runs in this thread.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "no asyncio event loop is running: await this in an `async def` that asyncio.run or a "
            "notebook runs, or use the call of the same name without the `a`; trio is not supported"
        ) from None
    known: weakref.ref[_Queues] | None = getattr(_here, "queues", None)
    queues = known() if known is not None else None
    if queues is None or queues.loop is not loop:
        queues = _Queues(loop)
        _here.queues = weakref.ref(queues)
    return queues.queue(socket, kind)


async def enter(this: Either) -> Either:
    """What `async with` returns."""
    this.__enter__()
    return this


async def close(this: Publisher | Subscriber, **arguments: float | None) -> None:
    """Close in a thread, because it may take a moment; in this thread if none can be started."""
    close = functools.partial(this.close, **arguments)
    # Not the loop's own executor: `asyncio.run` ends that with one more thread.
    executor = ThreadPoolExecutor(1)
    try:
        closing = asyncio.get_running_loop().run_in_executor(executor, close)
    except RuntimeError:
        close()
    else:
        await closing
    finally:
        executor.shutdown(wait=False)
