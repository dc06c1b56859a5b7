"""Where a watch shows its messages: in a notebook's cell, or in a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ._listening import Lines
from ._repl import print_above_prompt
from ._showing import Rows, bundle

if TYPE_CHECKING:
    from typing import Any

    from ._core import Message
    from ._listening import Color, Timestamps

# The shortest time between two updates, in seconds.
_PAUSE = 0.1
# Bytes a second that all displays together may send: Jupyter's server stops a notebook's output at
# 1,000,000 (ServerApp.iopub_data_rate_limit), and the cells want to print as well.
_BYTES_PER_SECOND = 400_000


class View:
    """What a watch calls, all but `begin` from its own thread."""

    def begin(self, heading: str) -> None:
        """Show that it has begun."""

    def add(self, messages: list[Message]) -> None:
        """Take messages in, to be shown with the next `draw`."""
        raise NotImplementedError

    def draw(self, heading: str, *, sharing: int) -> float:
        """Show how it stands; seconds to let pass before the next time."""
        raise NotImplementedError

    def show_again(self, text: str) -> None:
        """Show it at a second place."""
        raise NotImplementedError

    def finish(self, heading: str, details: str) -> None:
        """Show that it has ended; `details` is a traceback, or empty."""
        raise NotImplementedError


class CellView(View):
    """A display that stays in its cell, and changes there."""

    def __init__(self, *, max_rows: int, color: Color, timestamps: Timestamps) -> None:
        self._rows = Rows(max_rows=max_rows, color=color, timestamps=timestamps)
        self._handle: Any = None
        self._shown: dict[str, Any] = {}

    def begin(self, heading: str) -> None:
        """Show the heading, in the cell that runs."""
        from IPython import display  # noqa: PLC0415 - a kernel has it

        show: Any = display.display  # typed or not, as IPython's version has it
        self._shown = bundle(heading, self._rows)
        self._handle = show(self._shown, raw=True, display_id=True)

    def add(self, messages: list[Message]) -> None:
        """Take messages in."""
        self._rows.add(messages)

    def draw(self, heading: str, *, sharing: int) -> float:
        """Put the newest messages in place of what is shown."""
        self._update(bundle(heading, self._rows))
        size = sum(len(text) for text in self._shown.values())
        return max(_PAUSE, size * max(1, sharing) / _BYTES_PER_SECOND)

    def show_again(self, text: str) -> None:  # noqa: ARG002 - the display tells more
        """Show it in the cell that runs, too; both change from then on."""
        self._handle.display(self._shown, raw=True)

    def finish(self, heading: str, details: str) -> None:
        """Show the last messages and how it ended."""
        self._update(bundle(heading, self._rows, details))

    def _update(self, shown: dict[str, Any]) -> None:
        self._shown = shown
        self._handle.update(shown, raw=True)


class TerminalView(View):
    """Lines on ``sys.stdout``, above the prompt of an interpreter that waits for input."""

    def __init__(self, *, color: Color, timestamps: Timestamps) -> None:
        self._lines = Lines(color=color, timestamps=timestamps)

    def add(self, messages: list[Message]) -> None:
        """Print messages."""
        print_above_prompt(lambda: self._print(messages))

    def _print(self, messages: list[Message]) -> None:
        for message in messages:
            self._lines.show(message)
        self._lines.flush()

    def draw(self, heading: str, *, sharing: int) -> float:  # noqa: ARG002 - lines need none
        """Nothing is left to do."""
        return _PAUSE

    def show_again(self, text: str) -> None:
        """Print what it is."""
        print(text)

    def finish(self, heading: str, details: str) -> None:  # noqa: ARG002 - the prompt is enough
        """Print what went wrong, if anything did."""
        if details and sys.stderr is not None:
            sys.stderr.write(details)
