"""The signals that end a program, for each command alike."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Callable, Iterator, NoReturn


@contextmanager
def on_termination(told: Callable[[int], object]) -> Iterator[None]:
    """Have `told` called with the number of a signal that asks us to go, once, in the main thread.

    These are SIGTERM, and SIGHUP, which a window sends that is closed, often twice. One that is
    ignored, as SIGHUP under ``nohup``, stays so. In other threads, which no signal reaches, nothing
    is changed.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    going = False

    def handle(number: int, _frame: FrameType | None) -> None:
        # A second one must not disturb what the first one began.
        nonlocal going
        if not going:
            going = True
            told(number)

    ours = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handle)) for number in ours]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)


def leave(number: int) -> NoReturn:
    """Unwind, so that sockets close in order and unsent messages get their linger."""
    raise SystemExit(128 + number)
