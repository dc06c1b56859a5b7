"""What a chat session prints to: a screen, or plain lines."""

from __future__ import annotations

import sys

from zmqchat_rs.cli import output


class Frontend:
    """Where a person sits, or a pipe ends.

    Attributes:
        colored: Whether `line` may be given colours.
        person: Whether somebody reads what `notice` says.
        commands: Whether a line that begins with ``/`` is meant for us.
    """

    colored = False
    person = False
    commands = False

    @property
    def columns(self) -> int | None:
        """The width for wrapping the text of `line`; None does not wrap."""
        return output.columns(sys.stdout)

    def line(self, text: str, *, own: bool) -> None:
        """Show what was said, by us or another; from any thread."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        """Show what happened; from any thread."""
        raise NotImplementedError
