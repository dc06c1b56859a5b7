"""What a command writes: payload to stdout, notices to stderr, and how either ends."""

from __future__ import annotations

import os
import stat
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import sanitize
from zmqchat_rs._listening import write_line

if TYPE_CHECKING:
    from typing import Callable, TextIO

# CPython overlooks a Ctrl+C that comes just before a wait; it then takes this long, in seconds.
_LOOK_AGAIN = 0.2


def wait_until(end: float | None) -> None:
    """Wait until this moment, monotonic, or for Ctrl+C alone where it is None."""
    clock = threading.Event()  # never set
    while True:
        left = _LOOK_AGAIN if end is None else min(_LOOK_AGAIN, end - monotonic())
        if left <= 0:
            return
        clock.wait(left)


def say(text: str = "") -> None:
    """Write a line of payload, seen at once."""
    if sys.stdout is not None:
        write_line(sys.stdout, text)
        sys.stdout.flush()


def notice(text: str, *, being_typed: str = "") -> None:
    """Write a line of notice; where nobody can read it, nothing happens.

    Args:
        text: The line.
        being_typed: What a person has on the line just now; it goes on below the notice.
    """
    if being_typed:
        erase = "\n" if os.environ.get("TERM", "dumb") == "dumb" else "\r\x1b[K"
        text = f"{erase}{text}"
    if sys.stderr is not None:
        with suppress(OSError, ValueError):
            write_line(sys.stderr, text)
            sys.stderr.write(being_typed)
            sys.stderr.flush()


def complain(error: BaseException | str) -> None:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
    else:
        text = str(error) or type(error).__name__
    notice(f"zmqchat: {sanitize(text)}")


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at the other end."""
    return stream is not None and not stream.closed and stream.isatty()


def end_prompt_line() -> None:
    """Move past a prompt, or the ``^C`` that the terminal echoed."""
    if is_terminal(sys.stderr):
        notice("")


def flush() -> None:
    """Write out what stdout still holds."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def flush_or_abandon() -> None:
    """Write out what stdout still holds, or give it up in silence."""
    try:
        flush()
    except (OSError, ValueError):
        abandon()


def abandon() -> None:
    """Point stdout at nothing: the interpreter's last flush must not fail and speak of it."""
    try:
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (AttributeError, OSError, ValueError):
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def on_closed_stdout(callback: Callable[[], object]) -> None:
    """Call back, from a thread, once nobody reads our stdout any more.

    Without it ``zmqchat sub | head -1`` notices at its next write only, which may never come.
    Where the system cannot tell, nothing is called.
    """
    try:
        from select import POLLERR, POLLHUP, poll  # noqa: PLC0415 - Windows has none

        descriptor = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return
    except (ImportError, AttributeError, OSError, ValueError):
        return

    def watch() -> None:
        poller = poll()
        poller.register(descriptor, 0)  # these two are reported unasked
        if any(events & (POLLERR | POLLHUP) for _, events in poller.poll()):
            callback()

    threading.Thread(target=watch, name="zmqchat-stdout", daemon=True).start()


def has_free_port(addresses: list[str]) -> bool:
    """Whether one of these leaves the port to the system, so that only a notice can tell it."""
    return any(address.strip().endswith((":0", ":*")) for address in addresses)
