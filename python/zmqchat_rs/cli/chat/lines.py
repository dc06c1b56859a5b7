"""The frontend without a screen: sends the lines of stdin, prints received lines to stdout."""

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

# Before the first line of a pipe is sent, other chats get _GRACE seconds to connect. Each one that
# connects gives the next one _NEXT seconds.
_GRACE = 2.0
_NEXT = 0.3


class LineFrontend(Frontend):
    """Prints received lines to stdout and notices to stderr; own lines are not printed."""

    def __init__(self, color: Color, *, commands: bool) -> None:
        """Prepare the output; `commands` if a person types the lines."""
        self.commands = commands
        self.interactive = output.is_terminal(sys.stderr)
        self.colored = sys.stdout is not None and wants_color(sys.stdout, color)
        self._stdout_closed = False

    def line(self, text: str, *, own: bool) -> None:
        """Print a received line; a closed stdout ends the chat."""
        if own:
            return
        try:
            output.print_line(text, indent=None)  # wrapped already
        except BrokenPipeError:
            self._end()

    def notice(self, text: str) -> None:
        """Print a notice to stderr."""
        output.notice(sanitize(text))

    def run(self, session: ChatSession) -> int:
        """Send each line until the input ends; return the exit code."""
        output.on_closed_stdout(self._end)
        try:
            for number, line in enumerate(piped_input.lines()):
                if number == 0 and not self.commands:
                    self._wait_for_subscribers(session)
                if self.commands and not line.strip():
                    continue
                if not session.typed(line.decode(errors="replace")):
                    break
        except KeyboardInterrupt:
            if self._stdout_closed:
                return 0
            output.end_prompt_line()
            return 128 + signal.SIGINT
        return 0

    def _wait_for_subscribers(self, session: ChatSession) -> None:
        """Give other chats the time to connect."""
        deadline, count = monotonic() + _GRACE, 0
        with suppress(TimeoutError):
            while True:
                left = max(0.0, deadline - monotonic())
                timeout = min(left, _NEXT) if count else left
                count = session.chat.wait_for_listeners(count + 1, timeout=timeout)
        if not count:
            # A chat with a relay has no address. A notice reports that the relay is not connected.
            names = "".join(
                f". Others can connect to your address: zmqchat chat {address}"
                for address in session.chat.addresses[:1]
            )
            output.print_error(f"no chat is connected yet: these lines may be lost{names}")

    def _end(self) -> None:
        """Interrupt the main thread, which may wait for input forever, without a message."""
        if not self._stdout_closed:
            self._stdout_closed = True
            os.kill(os.getpid(), signal.SIGINT)
