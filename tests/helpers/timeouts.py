"""How the tests wait: for a condition or for a thread at rest, never for a guessed time.

Scripts that the tests start in other interpreters import this module too.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Generic, TypeVar

T = TypeVar("T")

#: The one deadline, in seconds. Nothing that works comes near it, on any machine.
PATIENCE = 30.0

#: What an exit or a close may take beyond the linger, in seconds: the promise itself, so that the
#: tests about it are `measured` (see helpers/parallel.py).
SLACK = 0.5

#: How long the subscriber in the tests about pauses does nothing, in seconds. The hazard that
#: they guard against needs 30: `ZMQCHAT_TEST_PAUSE=30 pytest` plays it in full.
PAUSE = float(os.environ.get("ZMQCHAT_TEST_PAUSE", "1.5"))

_LOOK_AGAIN = 0.0025
_AT_REST = 40


def until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as `condition()` is true; fail when it never becomes so."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {PATIENCE:g} s for {what}")
        time.sleep(_LOOK_AGAIN)


def until_at_rest(thread: threading.Thread, progress: Callable[[], object] = lambda: None) -> None:
    """Return once `thread` stands still in its function `wait_here`, and `progress()` with it.

    Each look lets go of the interpreter's lock: a thread that only waited for that would move on.
    """
    before: object = None
    looks = 0

    def looked_often_enough() -> bool:
        nonlocal before, looks
        assert thread.is_alive(), f"{thread.name} came to its end instead of to rest"
        position = _position(thread)
        now = (position, progress())
        looks = looks + 1 if position is not None and now == before else 0
        before = now
        return looks >= _AT_REST

    until(looked_often_enough, f"{thread.name} to come to rest")


def _position(thread: threading.Thread) -> int | None:
    """The instruction at which `thread` stands in `wait_here`; None elsewhere."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != "wait_here":
        frame = frame.f_back
    return frame and frame.f_lasti


class Background(Generic[T]):
    """A call that runs in a daemon thread, so that one that hangs fails its test and no more."""

    def __init__(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> None:
        self._call = (function, args, kwargs)
        self._future: Future[T] = Future()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        function, args, kwargs = self._call

        def wait_here() -> T:
            return function(*args, **kwargs)

        try:
            self._future.set_result(wait_here())
        except BaseException as error:  # noqa: BLE001 - it is raised again by `result`
            self._future.set_exception(error)

    def result(self) -> T:
        """What the call returned or raised."""
        return self._future.result(timeout=PATIENCE)

    @property
    def done(self) -> bool:
        return self._future.done()

    def until_at_rest(self, progress: Callable[[], object] = lambda: None) -> None:
        """Return once the call waits for something."""
        until_at_rest(self.thread, progress)


def when_at_rest(
    action: Callable[[], object], progress: Callable[[], object] = lambda: None
) -> None:
    """Call `action` from a thread of its own once the main thread waits in `wait_here`."""

    def watch() -> None:
        until_at_rest(threading.main_thread(), progress)
        action()

    threading.Thread(target=watch, daemon=True).start()


def interrupt_when_at_rest(
    number: int = signal.SIGINT, progress: Callable[[], object] = lambda: None
) -> list[float]:
    """Signal this process once its main thread waits; the list gets the moment, monotonic."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts pytest in the background makes all its children deaf to Ctrl+C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    moments: list[float] = []

    def interrupt() -> None:
        moments.append(time.monotonic())
        os.kill(os.getpid(), number)

    when_at_rest(interrupt, progress)
    return moments
