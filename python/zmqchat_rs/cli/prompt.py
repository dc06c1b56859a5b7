"""The prompt of ``zmqchat pub``, above which notices appear while a person types."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from . import streams

if TYPE_CHECKING:
    from types import ModuleType
    from typing import Iterator

_PROMPT = "Message> "


class Prompt:
    """A line that a person types, and notices that leave it as it is."""

    def __init__(self) -> None:
        # Held by whoever writes: a notice, or the prompt itself until it stands there.
        self._writing = threading.Lock()
        self._asked = False
        self._readline: ModuleType | None = None

    def notice(self, text: str) -> None:
        """Write a notice, from any thread; what is being typed goes on below it."""
        with self._writing:
            typed = ""
            if self._asked:
                typed = _PROMPT + (self._readline.get_line_buffer() if self._readline else "")
            streams.notice(text, being_typed=typed)

    def lines(self) -> Iterator[bytes]:
        """Read lines until Ctrl+D; an empty one is a slip of the finger."""
        with suppress(AttributeError):
            sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
        editing = streams.is_terminal(sys.stdout)
        if editing:
            with suppress(ImportError):
                import readline  # noqa: PLC0415 - arrow keys and history for `input`

                self._readline = readline
        while True:
            text = self._edited() if editing else self._plain()
            if text is None:
                break
            # Several lines can be pasted in one go.
            yield from filter(None, (_encode(line) for line in text.split("\n")))
        streams.end_prompt_line()

    def _edited(self) -> str | None:
        """Ask through readline, which writes the prompt by itself; None at the end of the input."""
        # Not everywhere can readline tell when it has written it.
        hook = getattr(self._readline, "set_pre_input_hook", None)
        self._writing.acquire()
        try:
            if hook is None:
                self._stands()
            else:
                hook(self._stands)
            return input(_PROMPT)
        except EOFError:
            return None
        finally:
            if hook is not None:
                hook(None)
            if not self._asked:
                self._writing.release()
            self._asked = False

    def _stands(self) -> None:
        """Let notices through: they find the prompt there."""
        if not self._asked:
            self._asked = True
            self._writing.release()

    def _plain(self) -> str | None:
        """Ask on stderr, where stdout goes elsewhere; None at the end of the input."""
        try:
            with self._writing:
                sys.stderr.write(_PROMPT)
                sys.stderr.flush()
                self._asked = True
            return sys.stdin.readline() or None
        finally:
            self._asked = False


def _encode(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode(sys.stdin.encoding, "surrogateescape")
