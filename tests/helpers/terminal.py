"""The command `zmqchat` as people meet it: run to its end, beside the test, or in a terminal."""

from __future__ import annotations

import contextlib
import ctypes.util
import fcntl
import os
import pty
import re
import select
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import IO, TYPE_CHECKING, Any, Iterator, Sequence

import pytest

from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = 60.0  # far above what any of these takes
CTRL_C = "\x03"
CTRL_D = "\x04"
CTRL_Z = "\x1a"

_COMMAND = [sys.executable, "-m", "zmqchat_rs"]
_COLOR_VARIABLES = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PYTHON_COLORS")

# Make the terminal the child's own, so that Ctrl+C there reaches it and nobody else.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)

# A module `readline` that never calls a hook and does not know what is typed, as with libedit.
_LIBEDIT = """
__doc__ = "Importing this module enables command line editing using libedit readline."
def __getattr__(name):
    return lambda *_: ""
"""

# A shell that starts pytest in the background makes all its children deaf to Ctrl+C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def environment(**changes: str) -> dict[str, str]:
    """Make the tests' environment, without what decides about colour, and with `changes`."""
    kept = {name: value for name, value in os.environ.items() if name not in _COLOR_VARIABLES}
    return {**kept, "COLUMNS": "80", "PYTHONIOENCODING": "utf-8", **changes}


def with_libedit(folder: Path, *, library: bool) -> dict[str, str]:
    """The environment in which Python uses libedit: the library, or a module that acts like it."""
    if library:
        found = ctypes.util.find_library("edit")
        if found is None or not sys.platform.startswith("linux"):
            pytest.skip("needs libedit, to be loaded in place of readline")
        return {"LD_PRELOAD": found}
    (folder / "readline.py").write_text(_LIBEDIT, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def zmqchat(*words: str, stdin: bytes = b"", **changes: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    return subprocess.run(
        [*_COMMAND, *words],
        input=stdin,
        capture_output=True,
        timeout=SECONDS,
        env=environment(**changes),
        check=False,
    )


def start(*words: str, stdout: int | IO[bytes] = subprocess.PIPE, **changes: str) -> Running:
    """Start a command in a pipe."""
    return Running([*_COMMAND, *words], stdout, environment(**changes))


def start_shell(line: str, *words: str) -> Running:
    """Start a line of a shell's, in which ``"$@"`` is a command."""
    return Running(["sh", "-c", line, "sh", *_COMMAND, *words], subprocess.PIPE, environment())


def start_script(script: str, *words: str) -> Running:
    """Start a Python program in a pipe."""
    command = [sys.executable, "-u", "-c", script, *words]
    return Running(command, subprocess.PIPE, environment())


def in_terminal(*words: str, **changes: str) -> Terminal:
    """Start a command in a terminal of its own, of 80 columns."""
    return Terminal([*_COMMAND, *words], environment(**changes))


def in_terminal_of(columns: int, *words: str) -> Terminal:
    """Start a command in a terminal of this width."""
    return Terminal([*_COMMAND, *words], environment(), columns)


def in_shell(*words: str, **changes: str) -> Terminal:
    """Start a command in an interactive shell, whose job control stops and continues it."""
    shell = shutil.which("sh")
    assert shell is not None
    terminal = Terminal([shell, "-i"], environment(PS1="$ ", ENV="", **changes))
    terminal.type(f"{shlex.join([*_COMMAND, *words])}\r")
    return terminal


@contextlib.contextmanager
def reading(publisher: Publisher, *words: str, **changes: str) -> Iterator[Running]:
    """`zmqchat sub` at that publisher, already subscribed."""
    command = start("sub", publisher.addresses[0], *words, stdout=subprocess.PIPE, **changes)
    with command as sub:
        publisher.wait_for_subscribers(1, timeout=SECONDS)
        yield sub


@contextlib.contextmanager
def reading_from(pub: Running, **options: Any) -> Iterator[Subscriber]:
    """A subscriber to a `zmqchat pub --bind 127.0.0.1:0`, at the address that it tells."""
    with Subscriber(told_address(pub), **options) as subscriber:
        yield subscriber


def told_address(running: Running) -> str:
    """Read the address that others are told to type."""
    notice = running.notice()
    found = re.search(r"zmqchat (?:sub|pub --connect) ([^\s\x1b]+)", notice)
    assert found, notice
    return found.group(1)


class Running:
    """A program that runs beside the test; killed where it outlives it or its deadline."""

    def __init__(
        self, command: Sequence[str], stdout: int | IO[bytes], environment: dict[str, str]
    ) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=environment,
        )
        assert self.process.stdin is not None
        assert self.process.stderr is not None
        self.stdin, self.stdout, self.stderr = (
            self.process.stdin,
            self.process.stdout,
            self.process.stderr,
        )
        self._timer = threading.Timer(SECONDS, self.process.kill)
        self._timer.start()

    def type(self, data: bytes) -> None:
        """Write to its standard input."""
        self.stdin.write(data)
        self.stdin.flush()

    def line(self) -> str:
        """Read a line of its standard output."""
        assert self.stdout is not None
        return self.stdout.readline().decode().rstrip("\n")

    def notice(self) -> str:
        """Read a line of its standard error."""
        return self.stderr.readline().decode().rstrip("\n")

    def wait(self) -> int:
        """Wait for its end and give the exit code; its input stays open."""
        return self.process.wait(SECONDS)

    def finish(self) -> tuple[int, str, str]:
        """End its input; give the exit code, and what of stdout and stderr was not read before."""
        self.stdin.close()
        out = "" if self.stdout is None else self.stdout.read().decode()
        errors = self.stderr.read().decode()
        return self.wait(), out, errors

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        self.process.kill()
        self.process.wait()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()


class Terminal:
    """A program whose standard streams are one terminal."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], columns: int = 80
    ) -> None:
        self._screen, theirs = pty.openpty()
        self.resize(columns)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _TAKE_TERMINAL, *command],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env={**environment, "TERM": "xterm-256color"},
                start_new_session=True,
            )
        finally:
            os.close(theirs)
        self.text = ""
        self._seen = 0

    def resize(self, columns: int) -> None:
        """Set the width of the window."""
        fcntl.ioctl(self._screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def type(self, text: str) -> None:
        """Press these keys; a carriage return is Enter."""
        os.write(self._screen, text.encode())

    def expect(self, pattern: str, *, within: float = SECONDS) -> re.Match[str]:
        """Read on until what came since the last match has the pattern."""
        deadline = time.monotonic() + within
        while True:
            found = re.compile(pattern).search(self.text, self._seen)
            if found:
                self._seen = found.end()
                return found
            if not self._read(deadline):
                raise AssertionError(f"no {pattern!r} in {self.text[self._seen :]!r}")

    def wait(self, *, within: float = SECONDS) -> int:
        """Read to the end; give the exit code."""
        deadline = time.monotonic() + within
        while self._read(deadline):
            pass
        return self._process.wait(max(0.0, deadline - time.monotonic()))

    def interrupt(self) -> int:
        """Press Ctrl+C, wait for the end and give the exit code.

        It is pressed again when nothing happens: CPython's `input` overlooks a signal that comes
        in the moment between its last look and its wait for a key.
        """
        for within in (5.0, SECONDS):
            self.type(CTRL_C)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait(within=within)
        raise AssertionError(f"it ignores Ctrl+C: {self.text!r}")

    def hang_up(self) -> int:
        """Close the window, wait for the end and give the exit code."""
        os.close(self._screen)
        self._screen = os.open(os.devnull, os.O_RDWR)
        return self._process.wait(SECONDS)

    def _read(self, deadline: float) -> bool:
        """Read once; false when it ended or the time is over."""
        ready, _, _ = select.select([self._screen], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return False
        try:
            data = os.read(self._screen, 65536)
        except OSError:  # Linux's way to say that nobody has the other side open
            return False
        self.text += data.decode(errors="replace")
        return bool(data)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._screen)
