"""The base class of the two frontends of a chat session: a screen, or plain lines."""

from __future__ import annotations

import sys

from zmqchat_rs.cli import output


class Frontend:
    """Shows the lines and notices of a chat.

    Attributes:
        colored: Whether the text of `line` may be coloured.
        interactive: Whether a person reads the notices.
        commands: Whether lines that begin with ``/`` are commands.
    """

    colored = False
    interactive = False
    commands = False

    @property
    def columns(self) -> int | None:
        """The width at which the text of `line` is wrapped; None to leave it unwrapped."""
        return output.columns(sys.stdout)

    def line(self, text: str, *, own: bool) -> None:
        """Show the line of a member, or an `own` line; from any thread."""
        raise NotImplementedError

    def notice(self, text: str) -> None:
        """Show a notice; from any thread."""
        raise NotImplementedError
