"""A chat where no screen can be drawn: lines of the input are said, others' lines are printed."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import sanitize
from zmqchat_rs.cli import output, piped_input
from zmqchat_rs.display.terminal import wants_color

from .frontend import Frontend

if TYPE_CHECKING:
    from zmqchat_rs.display.terminal import Color

    from .session import ChatSession

# Others who try to reach us, or whom we try to reach, are there within so many seconds.
_GRACE = 2.0
# Each gives the next one so many more.
_NEXT = 0.3


class LineFrontend(Frontend):
    """Lines in, lines out: others on stdout, notices on stderr, our own lines nowhere."""

    def __init__(self, color: Color, *, commands: bool) -> None:
        """Take how to colour, and whether a person types the lines."""
        self.commands = commands
        self.person = output.is_terminal(sys.stderr)
        self.colored = sys.stdout is not None and wants_color(sys.stdout, color)
        self._unread = False

    def line(self, text: str, *, own: bool) -> None:
        """Print what others say; whoever reads stdout no more ends the chat."""
        if own:
            return
        try:
            output.say(text, indent=None)  # wrapped already
        except BrokenPipeError:
            self._nobody_reads()

    def notice(self, text: str) -> None:
        """Print it on stderr."""
        output.notice(sanitize(text))

    def run(self, session: ChatSession) -> int:
        """Say each line until the input ends."""
        output.on_closed_stdout(self._nobody_reads)
        try:
            for number, line in enumerate(piped_input.lines()):
                if number == 0 and not self.commands:
                    self._let_arrive(session)
                if self.commands and not line.strip():
                    continue  # a slip of the finger
                if not session.typed(line.decode(errors="replace")):
                    break
        except KeyboardInterrupt:
            if self._unread:
                return 0
            output.end_prompt_line()
            return 128 + signal.SIGINT
        return 0

    def _let_arrive(self, session: ChatSession) -> None:
        """Give those who are on their way here the time to arrive."""
        deadline, here = monotonic() + _GRACE, 0
        with suppress(TimeoutError):
            while True:
                left = max(0.0, deadline - monotonic())
                patience = min(left, _NEXT) if here else left
                here = session.chat.wait_for_listeners(here + 1, timeout=patience)
        if not here:
            # With a relay, it is the relay that is not connected, for which there is a notice.
            names = "".join(
                f". Others can connect to your address: zmqchat chat {address}"
                for address in session.chat.addresses[:1]
            )
            output.complain(f"no chat is connected yet: these lines may be lost{names}")

    def _nobody_reads(self) -> None:
        """End, in silence: the main thread waits for a line that may never come."""
        if not self._unread:
            self._unread = True
            os.kill(os.getpid(), signal.SIGINT)
