"""Waiting in tests: for a condition or for a blocked thread, never for a guessed time.

Scripts that the tests start in other interpreters import this module, too.
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

#: The timeout of every wait, in seconds. No wait that succeeds comes near it on any machine.
TIMEOUT = 30.0

#: The promised limit of an exit or a close beyond the linger, in seconds. Tests that measure it are
#: `measured` (see parallel.py).
EXIT_OVERHEAD = 0.5

#: How long the subscriber in the tests of pauses does nothing, in seconds. The hazard that they
#: guard against appears after 30: `ZMQCHAT_TEST_PAUSE=30 pytest` runs them in full length.
PAUSE = float(os.environ.get("ZMQCHAT_TEST_PAUSE", "1.5"))

_POLL_INTERVAL = 0.0025
_POLLS_WHEN_BLOCKED = 40


def _sleep() -> None:
    time.sleep(_POLL_INTERVAL)


def wait_until(
    condition: Callable[[], object],
    what: object = "the condition",
    *,
    timeout: float = TIMEOUT,
    between: Callable[[], object] = _sleep,
) -> None:
    """Return as soon as `condition()` is true; fail after `timeout` seconds.

    Args:
        condition: What is polled.
        what: The end of the failure's text "waited 30 s for ...", or a function that returns it.
        timeout: In seconds.
        between: Called between two polls; it sleeps, or reads for a moment.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            text = what() if callable(what) else what
            raise AssertionError(f"waited {timeout:g} s for {text}")
        between()


def wait_until_blocked(
    thread: threading.Thread, progress: Callable[[], object] = lambda: None
) -> None:
    """Return once `thread` is blocked in its function `wait_here` and `progress()` does not change.

    Each poll releases the interpreter's lock: a thread that only waited for that would continue.
    """
    before: object = None
    polls = 0

    def is_blocked() -> bool:
        nonlocal before, polls
        assert thread.is_alive(), f"{thread.name} ended instead of blocking"
        position = _position(thread)
        now = (position, progress())
        polls = polls + 1 if position is not None and now == before else 0
        before = now
        return polls >= _POLLS_WHEN_BLOCKED

    wait_until(is_blocked, f"{thread.name} to block")


def _position(thread: threading.Thread) -> int | None:
    """The instruction of `wait_here` that `thread` executes; None outside `wait_here`."""
    frame = sys._current_frames().get(thread.ident or 0)
    while frame is not None and frame.f_code.co_name != "wait_here":
        frame = frame.f_back
    return frame and frame.f_lasti


class Background(Generic[T]):
    """A call in a daemon thread: if it hangs, its test fails and the others run."""

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
        except BaseException as error:  # noqa: BLE001 - `result` raises it again
            self._future.set_exception(error)

    def result(self) -> T:
        """What the call returned or raised."""
        return self._future.result(timeout=TIMEOUT)

    @property
    def done(self) -> bool:
        return self._future.done()

    def wait_until_blocked(self, progress: Callable[[], object] = lambda: None) -> None:
        """Return once the call is blocked."""
        wait_until_blocked(self.thread, progress)


def call_when_blocked(
    action: Callable[[], object], progress: Callable[[], object] = lambda: None
) -> None:
    """Call `action` in a thread once the main thread is blocked in `wait_here`."""

    def watch() -> None:
        wait_until_blocked(threading.main_thread(), progress)
        action()

    threading.Thread(target=watch, daemon=True).start()


def interrupt_when_blocked(
    number: int = signal.SIGINT, progress: Callable[[], object] = lambda: None
) -> list[float]:
    """Signal this process once its main thread is blocked.

    Returns:
        A list to which the monotonic time of the signal is added.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # A shell that starts pytest in the background makes its children ignore Ctrl+C.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    moments: list[float] = []

    def interrupt() -> None:
        moments.append(time.monotonic())
        os.kill(os.getpid(), number)

    call_when_blocked(interrupt, progress)
    return moments
