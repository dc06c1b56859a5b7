"""Threads and locks of the operating system, for work that waits in native code.

gevent's ``monkey.patch_all()`` replaces those of `threading`: a thread is then a greenlet, and a
greenlet that waits in native code stops all others. Threads of this package are started here, and
what they share with the user's threads is guarded by the locks made here.
"""

from __future__ import annotations

import _thread
import errno
import os
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ._core import ZmqChatError

# The longest wait for a lock, in seconds.
TIMEOUT_MAX = threading.TIMEOUT_MAX

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Callable, Union

    AnyThread = Union["NativeThread", threading.Thread]


def make(work: Callable[[], object], name: str) -> AnyThread:
    """Make a daemon thread, to be started by `start_thread`.

    Args:
        work: What it runs.
        name: Its name; under gevent it has none outside this package.

    Returns:
        A `threading.Thread`, or under gevent a `NativeThread`.
    """
    if _is_replaced():
        return NativeThread(work, name)
    return threading.Thread(target=work, name=name, daemon=True)


def start_thread(thread: AnyThread) -> None:
    """Start a thread.

    Args:
        thread: The thread, not started yet.

    Raises:
        ZmqChatError: If the system starts no further thread.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise ZmqChatError(
            errno.EAGAIN,
            f"cannot start the thread {thread.name}: {error}; close what you no longer need, or "
            "raise the limit (ulimit -u, or the container's limit of pids)",
        ) from error


def is_current(thread: AnyThread | None) -> bool:
    """Whether the calling code runs in this thread."""
    return thread is not None and thread.ident == _original("get_ident")()


def allocate_lock() -> threading.Lock:
    """A lock that blocks the thread of the operating system."""
    lock: threading.Lock = _original("allocate_lock")()
    return lock


class NativeThread:
    """A thread of the operating system where `threading.Thread` is a greenlet."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self.name = name
        self.ident: int | None = None
        self._work = work
        self._pid = os.getpid()
        # Held while it runs.
        self._running = allocate_lock()

    def start(self) -> None:
        """Start it."""
        self._running.acquire()
        try:
            _original("start_new_thread")(self._run, ())
        except BaseException:
            self._running.release()
            raise

    def is_alive(self) -> bool:
        """Whether it still runs; in a forked child it does not."""
        return self._pid == os.getpid() and self._running.locked()

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, at most `timeout` seconds."""
        if self.is_alive() and self._running.acquire(timeout=_within(timeout)):
            self._running.release()

    def _run(self) -> None:
        self.ident = _original("get_ident")()
        try:
            self._work()
        finally:
            self._running.release()


class Condition:
    """A condition over a lock that its holder can take again, as `threading.Condition`.

    Made of the system's locks: `threading.Condition` waits with whatever lock is in `threading`.
    """

    def __init__(self) -> None:
        self._lock = _original("RLock")()
        self._waiting: list[threading.Lock] = []

    def __enter__(self) -> bool:
        entered: bool = self._lock.__enter__()
        return entered

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.__exit__(exc_type, exc, traceback)

    def wait(self, timeout: float | None = None) -> None:
        """Release the lock until the next `notify_all`, at most `timeout` seconds."""
        turn = allocate_lock()
        turn.acquire()
        self._waiting.append(turn)
        # However often it was taken, it is released and taken again.
        held = self._lock._release_save()  # noqa: SLF001
        try:
            turn.acquire(timeout=_within(timeout))
        finally:
            self._lock._acquire_restore(held)  # noqa: SLF001
            with suppress(ValueError):
                self._waiting.remove(turn)

    def notify_all(self) -> None:
        """Wake all that wait; the caller holds the lock."""
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.release()


def _within(timeout: float | None) -> float:
    return -1 if timeout is None else min(max(0.0, timeout), TIMEOUT_MAX)


def _gevent() -> Any:  # noqa: ANN401 - a module of a package that may not be installed
    return sys.modules.get("gevent.monkey")


def _is_replaced() -> bool:
    """Whether `threading.Thread` would start a greenlet."""
    gevent = _gevent()
    return gevent is not None and bool(gevent.is_module_patched("threading"))


def _original(name: str) -> Any:  # noqa: ANN401
    """The original of this name in `_thread`, even if gevent has replaced it."""
    gevent = _gevent()
    if gevent is None:
        return getattr(_thread, name)
    return gevent.get_original("_thread", name)
