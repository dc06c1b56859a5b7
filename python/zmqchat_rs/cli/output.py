"""What a command writes: payload to stdout, notices to stderr, and how either ends."""

from __future__ import annotations

import errno
import os
import re
import stat
import sys
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError, paint, parse_address, sanitize
from zmqchat_rs._threads import start_thread
from zmqchat_rs.diagnostics.port_forwarding import isolation
from zmqchat_rs.display.terminal import columns_of, wants_color, wrapped, write_line

if TYPE_CHECKING:
    from typing import Callable, Sequence, TextIO

    from zmqchat_rs.display.terminal import Color

# The error of a bind whose port another process holds.
_IN_USE = re.compile(r"cannot bind (?P<address>\S+): .*?in use by (?P<holder>another program)")
# CPython overlooks a Ctrl+C that comes just before a wait; it then takes this long, in seconds.
_LOOK_AGAIN = 0.2
# How far the second line of a notice is indented , and under what the second line of an error is.
INDENT = 2
_PROGRAM = "zmqchat: "

_color: Color = "auto"


def choose_color(color: Color) -> None:
    """Take the command's ``--color``, for notices."""
    global _color  # noqa: PLW0603 - there is one stderr, and one command a process
    _color = color


def wait_until(end: float | None) -> None:
    """Wait until this moment, monotonic, or for Ctrl+C alone where it is None."""
    clock = threading.Event()  # never set
    while True:
        left = _LOOK_AGAIN if end is None else min(_LOOK_AGAIN, end - monotonic())
        if left <= 0:
            return
        clock.wait(left)


def say(text: str = "", *, indent: int | None = None) -> None:
    """Write a line of payload, seen at once.

    Args:
        text: The line.
        indent: On a terminal the line is wrapped at words, and this is how far its continuation is
            indented. None writes the text as it is.
    """
    if sys.stdout is not None:
        line = text if indent is None else wrapped(sys.stdout, text, indent=indent)
        write_line(sys.stdout, line)
        sys.stdout.flush()


def notice(text: str, *, being_typed: str | None = "") -> None:
    """Write a line of notice, dim where there is colour, wrapped where there is a terminal.

    Where stderr cannot be written, nothing happens.

    Args:
        text: The line.
        being_typed: The prompt and the text that a person types there just now; they are written
            again below the notice. None where that text is not known: the notice begins on a line
            of its own, and what was typed stays valid.
    """
    _write_notice(text, indent=INDENT, dim=True, being_typed=being_typed)


def complain(error: BaseException | str) -> None:
    """Write what went wrong, in one line, which is not dim."""
    if isinstance(error, OSError) and error.strerror:
        text = error.strerror
        if error.errno == errno.EADDRINUSE:
            text = _with_holder(text)
    else:
        text = str(error) or type(error).__name__
    line = f"{_PROGRAM}{sanitize(text)}"
    _write_notice(line, indent=len(_PROGRAM), dim=False)


def _write_notice(text: str, *, indent: int, dim: bool, being_typed: str | None = "") -> None:
    stream = sys.stderr
    if stream is None:
        return
    erase = ""
    if being_typed != "":
        redrawn = being_typed and os.environ.get("TERM", "dumb") != "dumb"
        erase = "\r\x1b[K" if redrawn else "\n"
    with suppress(OSError, ValueError):
        line = wrapped(stream, text, indent=indent)
        if dim and wants_color(stream, _color):
            line = paint(line, style="dim")
        write_line(stream, f"{erase}{line}")
        stream.write(being_typed or "")
        stream.flush()


def _with_holder(text: str) -> str:
    """Name the program that holds the port, in the error of a bind that failed."""
    found = _IN_USE.search(text)
    if found is None:
        return text
    from zmqchat_rs.diagnostics.ports import holder_of  # noqa: PLC0415 - the other commands start sooner

    holder = holder_of(parse_address(found.group("address"), bind=True)[2])
    start, end = found.span("holder")
    return text if holder is None else f"{text[:start]}{holder.who}{text[end:]}"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person sits at the other end."""
    return stream is not None and not stream.closed and stream.isatty()


def columns(stream: TextIO | None) -> int | None:
    """The width of the terminal that `stream` writes to; None where it is not a terminal."""
    return None if stream is None else columns_of(stream)


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

    # Where no thread starts, the next write notices.
    with suppress(ZmqChatError):
        start_thread(threading.Thread(target=watch, name="zmqchat-stdout", daemon=True))


def notice_of_isolation(addresses: Sequence[str]) -> None:
    """Describe how other hosts reach these addresses, where this host has a network of its own."""
    ports = [
        port
        for transport, host, port in (parse_address(each, bind=True) for each in addresses)
        if transport == "tcp" and not (host.startswith("127.") or host == "[::1]")
    ]
    found = isolation() if ports else None
    if found is not None:
        notice(f"This is {found.where}. {found.advice(*dict.fromkeys(ports))}")


def has_free_port(addresses: list[str]) -> bool:
    """Whether one of these leaves the port to the system, so that only a notice can tell it."""
    return any(address.strip().endswith((":0", ":*")) for address in addresses)
