"""Signals that end a command: SIGTERM and SIGHUP."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import FrameType
    from typing import Callable, Iterator, NoReturn


@contextmanager
def on_termination(handler: Callable[[int], object]) -> Iterator[None]:
    """Call `handler` once, in the main thread, with the number of a signal that ends the program.

    The signals are SIGTERM and SIGHUP; a closed window sends SIGHUP, often twice. A signal that is
    ignored, as SIGHUP under ``nohup``, stays ignored. Outside of the main thread, nothing changes.
    """
    names = [name for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    numbers = [getattr(signal, name) for name in names]
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received = False

    def handle(number: int, _frame: FrameType | None) -> None:
        # A second signal does not interrupt the shutdown that the first one began.
        nonlocal received
        if not received:
            received = True
            handler(number)

    active = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    before = [(number, signal.signal(number, handle)) for number in active]
    try:
        yield
    finally:
        for number, previous in before:
            signal.signal(number, previous)


def exit_on_signal(number: int) -> NoReturn:
    """Raise SystemExit, so that sockets are closed, with linger for queued messages."""
    raise SystemExit(128 + number)
