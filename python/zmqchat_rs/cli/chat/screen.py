"""The frontend on a terminal: an input line at the bottom, messages and notices above it.

The editor runs during the whole chat, so that no key is lost between two prompts. Text from other
threads waits in a queue. The editor's own thread erases the input line, writes the text, and draws
the input line below it.
"""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import Completer, Completion
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings

from zmqchat_rs._core import ClosedError, paint, sanitize
from zmqchat_rs.cli import output
from zmqchat_rs.cli.signals import on_termination
from zmqchat_rs.display.terminal import wants_color, wrapped

from .frontend import Frontend
from .session import COMMANDS

if TYPE_CHECKING:
    from typing import Iterator

    from prompt_toolkit.buffer import Buffer
    from prompt_toolkit.completion import CompleteEvent
    from prompt_toolkit.document import Document
    from prompt_toolkit.key_binding import KeyPressEvent

    from zmqchat_rs.display.terminal import Color

    from .session import ChatSession

# A narrower terminal has a prompt without the room's name. In columns.
_NARROW = 30
# Longer names of rooms are cut in the prompt.
_LONGEST_ROOM = 20
_MENU_LINES = 6


class ScreenFrontend(Frontend):
    """A screen with an editable line at the bottom."""

    interactive = True
    commands = True

    def __init__(self, color: Color) -> None:
        """Prepare the editor."""
        self.colored = wants_color(sys.stdout, color)
        self._session: ChatSession | None = None
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._scheduled = False
        self._code: int | None = None
        # Do not ask the terminal for the cursor's position: some terminals never answer.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        self._editor: PromptSession[str] = PromptSession(
            self._prompt,
            history=InMemoryHistory(),
            completer=_Completer(self),
            complete_while_typing=False,
            reserve_space_for_menu=_MENU_LINES,
            key_bindings=self._keys(),
            enable_suspend=True,
            erase_when_done=True,
        )
        self._editor.default_buffer.accept_handler = self._accept

    def line(self, text: str, *, own: bool) -> None:  # noqa: ARG002 - own lines are shown, too
        """Show a line above the input line."""
        with self._lock:
            self._waiting.append(text)
        self._schedule_write()

    def notice(self, text: str) -> None:
        """Show a notice above the input line."""
        line = wrapped(sys.stdout, sanitize(text), indent=output.INDENT)
        self.line(paint(line, style="dim") if self.colored else line, own=True)

    def run(self, session: ChatSession) -> int:
        """Edit and send lines until Ctrl+D; return the exit code."""
        self._session = session
        editor = self._editor
        try:
            # The editor also sets raw mode, but later; keys typed in between must not be lost.
            with on_termination(self._terminate), editor.input.raw_mode():
                self._write()
                editor.prompt(pre_run=self._write)
        except EOFError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # The terminal's window was closed.
        finally:
            with suppress(OSError):
                self._write()
        if self._code is not None:
            raise SystemExit(self._code)
        return 0

    # ---- input

    def _prompt(self) -> str:
        columns = self._editor.output.get_size().columns
        if self._session is None or columns < _NARROW:
            return "> "
        room = self._session.chat.room
        if len(room) > _LONGEST_ROOM:
            room = f"{room[:_LONGEST_ROOM]}…"
        return f"{room}> "

    def _accept(self, buffer: Buffer) -> bool:
        """Send a typed line, or several pasted ones."""
        assert self._session is not None  # noqa: S101 - set by `run`
        # Typed bytes that are not UTF-8 are surrogates, which cannot be sent.
        typed = buffer.text.encode(errors="surrogateescape").decode(errors="replace")
        for text in typed.splitlines():
            try:
                if text.strip() and not self._session.typed(text):
                    self._leave()
                    break
            except ClosedError:
                self._leave()
                break
        return False

    def _keys(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("c-c")
        @bindings.add("<sigint>")
        def _clear(event: KeyPressEvent) -> None:
            if not event.app.layout.is_searching and not self._editor.default_buffer.text:
                self.notice("(Ctrl+D or /quit leaves)")
            event.app.layout.focus(self._editor.default_buffer)
            self._editor.default_buffer.reset()

        return bindings

    # ---- the end

    def _leave(self) -> None:
        app = self._editor.app
        if app.is_running and not app.is_done:
            app.exit(result="")

    def _terminate(self, number: int) -> None:
        """Leave after a signal."""
        self._code = 128 + number
        loop = self._editor.app.loop
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._leave)

    # ---- output

    def _schedule_write(self) -> None:
        """Write the waiting text in the editor's thread, or here before the editor runs."""
        loop = self._editor.app.loop
        if loop is None:
            if self._session is None:
                self._write()
            return
        with self._lock:
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            # If the editor has just ended, `run` writes the rest.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._write_above)

    def _write_above(self) -> None:
        with self._lock:
            self._scheduled = False
        app = self._editor.app
        if not app.is_running or app.is_done:
            return  # `run` writes it
        app.renderer.erase(leave_alternate_screen=False)
        self._write()
        app.invalidate()

    def _write(self) -> None:
        output = self._editor.output
        with self._lock:
            text = "".join(f"{line}\n" for line in self._waiting).replace("\n", "\r\n")
            self._waiting.clear()
            # Erase text that was typed before the editor started; the editor draws it again.
            output.write_raw("\r")
            output.erase_end_of_line()
            encoding = output.encoding()
            output.enable_autowrap()
            output.write_raw(text.encode(encoding, "backslashreplace").decode(encoding))
            output.flush()


class _Completer(Completer):
    """Completion with Tab: commands, their arguments, and members."""

    def __init__(self, frontend: ScreenFrontend) -> None:
        self._frontend = frontend

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        """Yield completions of the word before the cursor."""
        del complete_event
        session = self._frontend._session  # noqa: SLF001
        if session is None:
            return
        typed = document.text_before_cursor
        begun = typed[typed.rfind(" ") + 1 :]
        word, space, _ = typed[1:].partition(" ")
        if typed.startswith("/") and not space:
            choices = [f"/{name} " for name in COMMANDS]
        elif typed.startswith("/") and word in COMMANDS and word != "me":
            choices = list(COMMANDS[word].words(session))
        else:
            after = ": " if begun == typed else " "
            names = {one.label for one in session.chat.members}
            choices = [f"{sanitize(name)}{after}" for name in sorted(names)]
        for choice in choices:
            if choice.lower().startswith(begun.lower()):
                yield Completion(choice, start_position=-len(begun))
