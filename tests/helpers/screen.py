"""What a person would see: a command in a terminal that is kept in memory.

`pyte` (LGPL, of 2011, still kept) understands what a VT100 and xterm do, so that a test can look at
the screen itself, as tmux would show it, on a machine without tmux.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from typing import Callable, Sequence

import pyte

from tests.helpers.terminal import environment
from tests.helpers.timeouts import PATIENCE

_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; "
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


_ZMQCHAT = (sys.executable, "-m", "zmqchat_rs")


class Screen:
    """A command whose three streams are one terminal of this size."""

    def __init__(
        self,
        *words: str,
        columns: int = 80,
        lines: int = 24,
        program: Sequence[str] = _ZMQCHAT,
        **changes: str,
    ) -> None:
        self._terminal, theirs = pty.openpty()
        self._resize(theirs, columns, lines)
        self._screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)
        kept = {**environment(**changes), "TERM": "xterm-256color"}
        for name in ("COLUMNS", "LINES"):
            kept.pop(name, None)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _TAKE_TERMINAL, *program, *words],
                stdin=theirs,
                stdout=theirs,
                stderr=theirs,
                env=kept,
                start_new_session=True,
            )
        finally:
            os.close(theirs)

    def type(self, text: str) -> None:
        """Press these keys; a carriage return is Enter."""
        os.write(self._terminal, text.encode(errors="surrogateescape"))

    def resize(self, columns: int, lines: int) -> None:
        """Drag the window to another size."""
        self._resize(self._terminal, columns, lines)
        self._screen.resize(lines, columns)

    @property
    def rows(self) -> list[str]:
        """The lines of the screen, without what is empty at their ends."""
        rows = [row.rstrip() for row in self._screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def text(self) -> str:
        """The whole screen, rows joined as where a long line wraps."""
        return "".join(row.ljust(self._screen.columns) for row in self.rows)

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the cursor, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x

    def until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Read on until the screen is as it should be."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if time.monotonic() > deadline or not (self._read(0.1) or self.process.poll() is None):
                raise AssertionError(f"waited for {what} on\n" + "\n".join(self.rows))

    def shows(self, *texts: str) -> None:
        """Wait until all of these are on the screen."""
        self.until(lambda: all(text in "\n".join(self.rows) for text in texts), repr(texts))

    def shows_wrapped(self, *texts: str) -> None:
        """Wait until all of these are on the screen, wrapped or not; blanks do not count."""

        def packed(text: str) -> str:
            return "".join(text.split())

        self.until(lambda: all(packed(text) in packed(self.text) for text in texts), repr(texts))

    def bottom(self, text: str) -> None:
        """Wait until this is the last line of the screen."""
        self.until(lambda: self.rows and self.rows[-1] == text, f"{text!r} at the bottom")

    def wait(self) -> int:
        """Read to the end; give the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.wait(1)

    def _read(self, within: float) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], within)
        if not ready:
            return False
        try:
            data = os.read(self._terminal, 65536)
        except OSError:  # Linux's way to say that nobody has the other side open
            return False
        self._stream.feed(data)
        return bool(data)

    @staticmethod
    def _resize(descriptor: int, columns: int, lines: int) -> None:
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._terminal)
