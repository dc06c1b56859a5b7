"""Threads and locks of the operating system, for work that waits in native code.

gevent's ``monkey.patch_all()`` replaces the threads of `threading` with greenlets. A greenlet that
waits in native code blocks all other greenlets. Therefore this module starts the threads of this
package, and makes the locks for data that they share with the user's threads.
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
    """Make a daemon thread; `start_thread` starts it.

    Args:
        work: The function that the thread runs.
        name: The name of the thread; under gevent, only this package knows it.

    Returns:
        A `threading.Thread`, or under gevent a `NativeThread`.
    """
    if _is_replaced():
        return NativeThread(work, name)
    return threading.Thread(target=work, name=name, daemon=True)


def start_thread(thread: AnyThread) -> None:
    """Start a thread.

    Args:
        thread: A thread that was not started yet.

    Raises:
        ZmqChatError: If the system cannot start another thread.
    """
    try:
        thread.start()
    except RuntimeError as error:
        raise ZmqChatError(
            errno.EAGAIN,
            f"cannot start the thread {thread.name}: {error}; close unused objects, or raise the "
            "limit (ulimit -u, or the container's limit of pids)",
        ) from error


def is_current(thread: AnyThread | None) -> bool:
    """Whether the caller runs in this thread."""
    return thread is not None and thread.ident == _original("get_ident")()


def allocate_lock() -> threading.Lock:
    """Make a lock that blocks the thread of the operating system, also under gevent."""
    lock: threading.Lock = _original("allocate_lock")()
    return lock


class NativeThread:
    """A thread of the operating system, for programs in which `threading.Thread` is a greenlet."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self.name = name
        self.ident: int | None = None
        self._work = work
        self._pid = os.getpid()
        # Held while the thread runs.
        self._running = allocate_lock()

    def start(self) -> None:
        """Start the thread."""
        self._running.acquire()
        try:
            _original("start_new_thread")(self._run, ())
        except BaseException:
            self._running.release()
            raise

    def is_alive(self) -> bool:
        """Whether the thread still runs; False in a forked child."""
        return self._pid == os.getpid() and self._running.locked()

    def join(self, timeout: float | None = None) -> None:
        """Wait for the end of the thread, at most `timeout` seconds."""
        if self.is_alive() and self._running.acquire(timeout=_within(timeout)):
            self._running.release()

    def _run(self) -> None:
        self.ident = _original("get_ident")()
        try:
            self._work()
        finally:
            self._running.release()


class Condition:
    """A condition variable with a reentrant lock, as `threading.Condition`.

    It uses locks of the operating system. `threading.Condition` waits with the lock that
    `threading` has at the moment, which gevent replaces.
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
        # Released completely, even if this thread has taken it several times.
        held = self._lock._release_save()  # noqa: SLF001
        try:
            turn.acquire(timeout=_within(timeout))
        finally:
            self._lock._acquire_restore(held)  # noqa: SLF001
            with suppress(ValueError):
                self._waiting.remove(turn)

    def notify_all(self) -> None:
        """Wake all waiting threads; the caller holds the lock."""
        waiting, self._waiting = self._waiting, []
        for turn in waiting:
            turn.release()


def _within(timeout: float | None) -> float:
    return -1 if timeout is None else min(max(0.0, timeout), TIMEOUT_MAX)


def _gevent() -> Any:  # noqa: ANN401 - gevent may not be installed
    return sys.modules.get("gevent.monkey")


def _is_replaced() -> bool:
    """Whether `threading.Thread` starts a greenlet."""
    gevent = _gevent()
    return gevent is not None and bool(gevent.is_module_patched("threading"))


def _original(name: str) -> Any:  # noqa: ANN401
    """The original function or class of `_thread`, even if gevent has replaced it."""
    gevent = _gevent()
    if gevent is None:
        return getattr(_thread, name)
    return gevent.get_original("_thread", name)
