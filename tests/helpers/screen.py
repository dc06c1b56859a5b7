"""What a person would see: a command in a terminal whose screen is kept in memory.

`pyte` (LGPL, first released in 2011, maintained) understands what a VT100 and xterm do. A test can
inspect the screen as tmux would show it, on a machine without tmux.
"""

from __future__ import annotations

from typing import Callable, Sequence

import pyte

from tests.helpers import commands
from tests.helpers.commands import environment
from tests.helpers.terminal import TerminalProcess
from tests.helpers.timeouts import wait_until


class Screen(TerminalProcess):
    """A program in a terminal of this size, and the screen of that terminal.

    The program is `zmqchat` unless `program` says otherwise.
    """

    def __init__(
        self,
        *words: str,
        columns: int = 80,
        lines: int = 24,
        program: Sequence[str] | None = None,
        **changes: str,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, lines, history=1000, ratio=1.0)
        self._stream = pyte.ByteStream(self._screen)
        kept = environment(**changes)
        for name in ("COLUMNS", "LINES"):
            kept.pop(name, None)
        command = commands.COMMAND if program is None else program
        super().__init__([*command, *words], kept, columns, lines)

    def resize(self, columns: int, lines: int) -> None:
        """Change the size of the window."""
        self._resize(columns, lines)
        self._screen.resize(lines, columns)

    @property
    def rows(self) -> list[str]:
        """The lines of the screen, without trailing blanks and without empty lines at the end."""
        rows = [row.rstrip() for row in self._screen.display]
        while rows and not rows[-1]:
            rows.pop()
        return rows

    @property
    def text(self) -> str:
        """The whole screen as one line, as a long line is wrapped."""
        return "".join(row.ljust(self._screen.columns) for row in self.rows)

    @property
    def cursor(self) -> tuple[int, int]:
        """Row and column of the cursor, from 0."""
        return self._screen.cursor.y, self._screen.cursor.x

    def until(self, condition: Callable[[], object], what: str = "the condition") -> None:
        """Read until the condition on the screen is true."""
        ended = False

        def is_true() -> bool:
            found = bool(condition())
            assert found or not ended, f"the program ended without {expected()}"
            return found

        def read_on() -> None:
            nonlocal ended
            ended = not self._draw()

        def expected() -> str:
            return f"{what} on\n" + "\n".join(self.rows)

        wait_until(is_true, expected, between=read_on)

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
        """Read to the end and return the exit code."""
        wait_until(lambda: self.process.poll() is not None, "the end", between=self._draw)
        wait_until(lambda: not self._draw(), "the end of the output")
        return self.process.wait(1)

    def _draw(self) -> bool:
        """Draw what the program writes within 0.1 s; false when it wrote nothing and has ended."""
        data = self._read(0.1)
        self._stream.feed(data or b"")
        return bool(data) or (data is not None and self.process.poll() is None)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
