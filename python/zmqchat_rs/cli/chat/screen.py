"""A chat in a terminal: the line that is typed stands at the bottom, all else comes above it.

The editor runs from the first line to the last, so that no key falls between two prompts. What
comes from other threads waits in a queue; the editor's own thread takes its line off the screen,
writes, and draws it again below.
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

# A narrower terminal has no room for the room's name, nor a wider one for a very long one.
_NARROW = 30
_LONGEST = 20
_MENU = 6


class ScreenFrontend(Frontend):
    """A screen with a line at its bottom that a person edits."""

    person = True
    commands = True

    def __init__(self, color: Color) -> None:
        """Take how to colour."""
        self.colored = wants_color(sys.stdout, color)
        self._session: ChatSession | None = None
        self._lock = threading.Lock()
        self._waiting: deque[str] = deque()
        self._asked = False
        self._code: int | None = None
        # The terminal is not asked where its cursor is: some never answer.
        os.environ.setdefault("PROMPT_TOOLKIT_NO_CPR", "1")
        self._editor: PromptSession[str] = PromptSession(
            self._prompt,
            history=InMemoryHistory(),
            completer=_Completer(self),
            complete_while_typing=False,
            reserve_space_for_menu=_MENU,
            key_bindings=self._keys(),
            enable_suspend=True,
            erase_when_done=True,
        )
        self._editor.default_buffer.accept_handler = self._accept

    def line(self, text: str, *, own: bool) -> None:  # noqa: ARG002 - a screen shows both
        """Show a line above the one that is typed."""
        with self._lock:
            self._waiting.append(text)
        self._ask()

    def notice(self, text: str) -> None:
        """Show a notice above the line that is typed."""
        line = wrapped(sys.stdout, sanitize(text), indent=output.INDENT)
        self.line(paint(line, style="dim") if self.colored else line, own=True)

    def run(self, session: ChatSession) -> int:
        """Edit lines until Ctrl+D."""
        self._session = session
        editor = self._editor
        try:
            # The editor does this, too, but later: no key may fall in between.
            with on_termination(self._end), editor.input.raw_mode():
                self._write()
                editor.prompt(pre_run=self._write)
        except EOFError:
            pass
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            # The terminal is gone: its window was closed.
        finally:
            with suppress(OSError):
                self._write()
        if self._code is not None:
            raise SystemExit(self._code)
        return 0

    # ---- what is typed

    def _prompt(self) -> str:
        columns = self._editor.output.get_size().columns
        if self._session is None or columns < _NARROW:
            return "> "
        room = self._session.chat.room
        if len(room) > _LONGEST:
            room = f"{room[:_LONGEST]}…"
        return f"{room}> "

    def _accept(self, buffer: Buffer) -> bool:
        """Do what a line says; several can be pasted in one go."""
        assert self._session is not None  # noqa: S101 - nothing is typed before `run`
        # What is no UTF-8 comes from the keyboard in a form that cannot be sent.
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

    def _end(self, number: int) -> None:
        """A signal asks us to go."""
        self._code = 128 + number
        loop = self._editor.app.loop
        if loop is not None:
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._leave)

    # ---- what is shown

    def _ask(self) -> None:
        """Have what waits written, in the editor's own thread if it runs."""
        loop = self._editor.app.loop
        if loop is None:
            if self._session is None:
                self._write()
            return
        with self._lock:
            asked, self._asked = self._asked, True
        if not asked:
            # Where the editor ends just now, `run` writes what is left.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(self._write_above)

    def _write_above(self) -> None:
        with self._lock:
            self._asked = False
        app = self._editor.app
        if not app.is_running or app.is_done:
            return  # `run` does it
        app.renderer.erase(leave_alternate_screen=False)
        self._write()
        app.invalidate()

    def _write(self) -> None:
        output = self._editor.output
        with self._lock:
            text = "".join(f"{line}\n" for line in self._waiting).replace("\n", "\r\n")
            self._waiting.clear()
            # Over what was typed before there was an editor, which shows it once more.
            output.write_raw("\r")
            output.erase_end_of_line()
            encoding = output.encoding()
            output.enable_autowrap()
            output.write_raw(text.encode(encoding, "backslashreplace").decode(encoding))
            output.flush()


class _Completer(Completer):
    """Tab: commands, what may follow them, and names."""

    def __init__(self, frontend: ScreenFrontend) -> None:
        self._frontend = frontend

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterator[Completion]:
        """Give what the word before the cursor may become."""
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
