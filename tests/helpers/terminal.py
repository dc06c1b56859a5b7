"""A command in a terminal, as a stream of characters (see screen.py for what a person sees)."""

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
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING, Sequence

import pytest

from tests.helpers import commands
from tests.helpers.commands import environment
from tests.helpers.timeouts import TIMEOUT, wait_until

if TYPE_CHECKING:
    from pathlib import Path

CTRL_C = "\x03"
CTRL_D = "\x04"
CTRL_Z = "\x1a"

# Makes the terminal the child's own, so that Ctrl+C there reaches the child alone.
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


def with_libedit(folder: Path, *, library: bool) -> dict[str, str]:
    """The environment in which Python uses libedit: the library, or a module that imitates it."""
    if library:
        found = ctypes.util.find_library("edit")
        if found is None or not sys.platform.startswith("linux"):
            pytest.skip("needs libedit, to be loaded in place of readline")
        return {"LD_PRELOAD": found}
    (folder / "readline.py").write_text(_LIBEDIT, encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


def in_terminal(*words: str, **changes: str) -> Terminal:
    """Start `zmqchat` with these arguments in a terminal of its own, of 80 columns."""
    return Terminal([*commands.COMMAND, *words], environment(**changes))


def in_terminal_of_width(columns: int, *words: str) -> Terminal:
    """Start `zmqchat` with these arguments in a terminal of this width."""
    return Terminal([*commands.COMMAND, *words], environment(), columns)


def in_shell(*words: str, **changes: str) -> Terminal:
    """Start `zmqchat` in an interactive shell, whose job control stops and continues it."""
    shell = shutil.which("sh")
    assert shell is not None
    terminal = Terminal([shell, "-i"], environment(PS1="$ ", ENV="", **changes))
    terminal.type(f"{shlex.join([*commands.COMMAND, *words])}\r")
    return terminal


class TerminalProcess:
    """A program whose standard streams are one new terminal, without a reader."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], columns: int, lines: int
    ) -> None:
        self._terminal, child_end = pty.openpty()
        self._resize(columns, lines)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _TAKE_TERMINAL, *command],
                stdin=child_end,
                stdout=child_end,
                stderr=child_end,
                env={**environment, "TERM": "xterm-256color"},
                start_new_session=True,
            )
        finally:
            os.close(child_end)

    def type(self, text: str) -> None:
        """Press these keys; a carriage return is Enter."""
        os.write(self._terminal, text.encode(errors="surrogateescape"))

    def _resize(self, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def _read(self, within: float) -> bytes | None:
        """Read once: no bytes after `within` seconds, None after the program ended."""
        ready, _, _ = select.select([self._terminal], [], [], within)
        if not ready:
            return b""
        try:
            return os.read(self._terminal, 65536) or None
        except OSError:  # Linux's way to report that no process has the other end open
            return None

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)


class Terminal(TerminalProcess):
    """A program in a terminal, and what it has written so far."""

    def __init__(
        self, command: Sequence[str], environment: dict[str, str], columns: int = 80
    ) -> None:
        super().__init__(command, environment, columns, 24)
        self.text = ""
        self._matched = 0
        self._ended = False

    def resize(self, columns: int) -> None:
        """Set the width of the window."""
        self._resize(columns, 24)

    def expect(self, pattern: str, *, within: float = TIMEOUT) -> re.Match[str]:
        """Read until the text after the last match has the pattern."""
        found: re.Match[str] | None = None

        def matched() -> bool:
            nonlocal found
            found = re.compile(pattern).search(self.text, self._matched)
            assert found or not self._ended, f"the program ended without {expected()}"
            return found is not None

        def expected() -> str:
            return f"{pattern!r} in {self.text[self._matched :]!r}"

        wait_until(matched, expected, timeout=within, between=self._read_on)
        assert found is not None
        self._matched = found.end()
        return found

    def wait(self, *, within: float = TIMEOUT) -> int:
        """Read to the end.

        Returns:
            The exit code.
        """
        deadline = time.monotonic() + within
        with contextlib.suppress(AssertionError):
            wait_until(lambda: self._ended, timeout=within, between=self._read_on)
        return self.process.wait(max(0.0, deadline - time.monotonic()))

    def interrupt(self) -> int:
        """Press Ctrl+C and wait for the end.

        It is pressed again when the program continues: CPython's `input` overlooks a signal between
        its last check and its wait for a key.

        Returns:
            The exit code.
        """
        for within in (5.0, TIMEOUT):
            self.type(CTRL_C)
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait(within=within)
        raise AssertionError(f"Ctrl+C had no effect: {self.text!r}")

    def hang_up(self) -> int:
        """Close the window and wait for the end.

        Returns:
            The exit code.
        """
        os.close(self._terminal)
        self._terminal = os.open(os.devnull, os.O_RDWR)
        return self.process.wait(TIMEOUT)

    def _read_on(self) -> None:
        data = self._read(0.1)
        self._ended = data is None
        self.text += (data or b"").decode(errors="replace")

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
