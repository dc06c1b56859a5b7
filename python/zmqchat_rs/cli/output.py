"""The output of a command: payload on stdout, notices and errors on stderr."""

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

# The error of a bind to a port that another process uses.
_IN_USE = re.compile(r"cannot bind (?P<address>\S+): .*?in use by (?P<holder>another program)")
# A wait is cut into slices, in seconds: CPython misses a Ctrl+C just before a wait.
_SLICE = 0.2
# The indentation of the second line of a notice; an error is indented below its text.
INDENT = 2
_PROGRAM = "zmqchat: "

_color: Color = "auto"


def choose_color(color: Color) -> None:
    """Set the command's ``--color`` for notices."""
    global _color  # noqa: PLW0603 - one stderr and one command per process
    _color = color


def wait_until(end: float | None) -> None:
    """Wait until this monotonic time; None waits until Ctrl+C."""
    clock = threading.Event()  # never set
    while True:
        left = _SLICE if end is None else min(_SLICE, end - monotonic())
        if left <= 0:
            return
        clock.wait(left)


def print_line(text: str = "", *, indent: int | None = None) -> None:
    """Print a line to stdout, and flush it.

    Args:
        text: The line.
        indent: The indentation of further lines if a terminal wraps the text. None leaves the text
            unwrapped.
    """
    if sys.stdout is not None:
        line = text if indent is None else wrapped(sys.stdout, text, indent=indent)
        write_line(sys.stdout, line)
        sys.stdout.flush()


def notice(text: str, *, being_typed: str | None = "") -> None:
    """Print a notice to stderr: dim if coloured, wrapped on a terminal.

    Errors of stderr are ignored.

    Args:
        text: The notice.
        being_typed: The prompt and the typed text on the current line; they are printed again below
            the notice. None if the typed text is not known: the notice begins on a new line, and
            the typed text stays valid.
    """
    _write_notice(text, indent=INDENT, dim=True, being_typed=being_typed)


def print_error(error: BaseException | str) -> None:
    """Print an error to stderr, not dimmed."""
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
    """Name the program that uses the port, in the error of a bind."""
    found = _IN_USE.search(text)
    if found is None:
        return text
    from zmqchat_rs.diagnostics.ports import holder_of  # noqa: PLC0415 - for this error alone

    holder = holder_of(parse_address(found.group("address"), bind=True)[2])
    start, end = found.span("holder")
    return text if holder is None else f"{text[:start]}{holder.name}{text[end:]}"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether the stream is open and a terminal."""
    return stream is not None and not stream.closed and stream.isatty()


def columns(stream: TextIO | None) -> int | None:
    """The width of the terminal of `stream`; None if it is not a terminal."""
    return None if stream is None else columns_of(stream)


def end_prompt_line() -> None:
    """Begin a new line after a prompt, or after the ``^C`` that the terminal echoed."""
    if is_terminal(sys.stderr):
        notice("")


def flush() -> None:
    """Flush stdout."""
    if sys.stdout is not None and not sys.stdout.closed:
        sys.stdout.flush()


def flush_or_discard() -> None:
    """Flush stdout; discard its buffer if that fails."""
    try:
        flush()
    except (OSError, ValueError):
        discard_stdout()


def discard_stdout() -> None:
    """Redirect stdout to the null device, so that the interpreter's last flush cannot fail."""
    try:
        descriptor = sys.stdout.fileno()
        nowhere = os.open(os.devnull, os.O_WRONLY)
    except (AttributeError, OSError, ValueError):
        return
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def on_closed_stdout(callback: Callable[[], object]) -> None:
    """Call `callback` from another thread when the reader of stdout closes the pipe.

    Without it, ``zmqchat sub | head -1`` would end at its next write, which may never happen. On
    systems that do not report a closed pipe, `callback` is not called.
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
        poller.register(descriptor, 0)  # POLLERR and POLLHUP are always reported
        if any(events & (POLLERR | POLLHUP) for _, events in poller.poll()):
            callback()

    # Without a thread, the next write fails.
    with suppress(ZmqChatError):
        start_thread(threading.Thread(target=watch, name="zmqchat-stdout", daemon=True))


def notice_port_forwarding(addresses: Sequence[str]) -> None:
    """Describe the port forwarding that other hosts need, in WSL2 or in a container."""
    ports = [
        port
        for transport, host, port in (parse_address(each, bind=True) for each in addresses)
        if transport == "tcp" and not (host.startswith("127.") or host == "[::1]")
    ]
    found = isolation() if ports else None
    if found is not None:
        notice(f"This is {found.where}. {found.advice(*dict.fromkeys(ports))}")


def has_system_port(addresses: list[str]) -> bool:
    """Whether the system chooses the port of an address, so that a notice must name it."""
    return any(address.strip().endswith((":0", ":*")) for address in addresses)
