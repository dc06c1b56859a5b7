"""Messages as notebooks show them: HTML without scripts, and the same as text.

Colours are those of the terminal, on whatever background the page has; what strangers send is
escaped in Rust. Every piece of text stands in a ``<pre>``, which JupyterLab does not typeset.
"""

from __future__ import annotations

import html
from collections import deque
from typing import TYPE_CHECKING

from ._core import ZmqChatError, _html_block, _tail, sanitize, use_color

if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence

    from ._core import Message, Transcript, TranscriptReader
    from ._listening import Color, Timestamps

# How many messages of a file, and how many lines of text stand for what HTML shows in full.
_FEW = 20
# Grows from the bottom, where it also begins to scroll: the newest line is in sight.
_SCROLLED = (
    "display:flex;flex-direction:column-reverse;max-height:24em;overflow:auto;"
    "border-left:3px solid rgba(128,128,128,.4);padding:2px 0 2px 8px;margin:2px 0"
)


def text(ours_or_theirs: str) -> str:
    """Any text as HTML shows it."""
    return html.escape(sanitize(ours_or_theirs))


class Rows:
    """The newest messages, finished lines that are rendered once each."""

    def __init__(self, *, max_rows: int, color: Color, timestamps: Timestamps) -> None:
        self._color = use_color(color, isatty=False, jupyter=True)
        self._timestamps = timestamps
        self._lines: deque[str] = deque(maxlen=max_rows)
        self._newest: deque[Message] = deque(maxlen=min(_FEW, max_rows))
        self._previous: Message | None = None
        self._waiting: deque[tuple[Message, Message | None]] = deque(maxlen=max_rows)

    def add(self, messages: Iterable[Message]) -> None:
        """Take messages in; those that are pushed out before they are shown cost no rendering."""
        for message in messages:
            self._waiting.append((message, self._previous))
            self._newest.append(message)
            self._previous = message

    def html(self) -> str:
        """All lines, as one element."""
        while self._waiting:
            message, previous = self._waiting.popleft()
            line = message._html_line(  # noqa: SLF001
                color=self._color, timestamps=self._timestamps, previous=previous
            )
            self._lines.append(line)
        return _html_block(list(self._lines)) if self._lines else ""

    def text(self) -> str:
        """The last few, for whoever shows no HTML."""
        return "\n".join(message.render(timestamps=self._timestamps) for message in self._newest)


def bundle(heading: str, rows: Rows, details: str = "") -> dict[str, Any]:
    """What IPython displays: a heading, the rows below it, and some more text below these."""
    head = f'<div style="opacity:.8">{_html_block([text(heading)])}</div>'
    body = rows.html()
    scrolled = f'<div style="{_SCROLLED}"><div>{body}</div></div>' if body else ""
    more = _html_block([text(line) for line in details.splitlines()]) if details else ""
    plain = "\n".join(filter(None, [sanitize(heading), rows.text(), _lines(details)]))
    return {"text/html": f"<div>{head}{scrolled}{more}</div>", "text/plain": plain}


def _lines(details: str) -> str:
    return "\n".join(sanitize(line) for line in details.splitlines())


def _last(transcript: Transcript | TranscriptReader) -> tuple[str, Sequence[Message]]:
    """A heading, and the last messages of the file."""
    name = repr(transcript)
    try:
        messages, more = _tail(transcript.path, _FEW)
    except ZmqChatError as error:
        return f"{name}: {error.strerror}", []
    if more:
        return f"{name}: the last {len(messages)} messages", messages
    plural = "" if len(messages) == 1 else "s"
    return f"{name}: {len(messages)} message{plural}", messages


def transcript_html(transcript: Transcript | TranscriptReader) -> str:
    """Where a transcript is, and its last messages."""
    heading, messages = _last(transcript)
    rows = Rows(max_rows=_FEW, color="auto", timestamps="time")
    rows.add(messages)
    shown: str = bundle(heading, rows)["text/html"]
    return shown


def transcript_text(transcript: Transcript | TranscriptReader) -> str:
    """The same as text."""
    heading, messages = _last(transcript)
    return "\n".join([sanitize(heading), *(message.render() for message in messages)])
