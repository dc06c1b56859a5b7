"""Messages as notebooks show them: HTML without scripts, and the same as text.

Colours are those of the terminal, on whatever background the page has; what peers send is escaped.
Every piece of text is in a ``<pre>`` or ``<code>``, in which JupyterLab does not typeset formulas.
"""

from __future__ import annotations

import html
from collections import deque
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError, _html_block, _tail, sanitize, use_color

if TYPE_CHECKING:
    from typing import Any, Iterable, Sequence

    from zmqchat_rs._core import Message, MessageTable, Transcript, TranscriptReader

    from .terminal import Color, Timestamps

# How many messages of a file, and how many lines of text stand for what HTML shows in full.
_FEW = 20
# How many rows of a table are shown at its beginning and at its end, and how many columns.
_ROWS = 10
_COLUMNS = 20
# JupyterLab indents text output by 1ch; these variables are its own.
_INDENT = "min(1ch,calc(9*var(--jp-code-padding,0px)))"
# Grows from the bottom, where it also begins to scroll: the newest line is in sight. The bar at the
# left takes no room where lines are indented.
_SCROLLED = (
    "display:flex;flex-direction:column-reverse;max-height:24em;overflow:auto;"
    "box-shadow:inset 3px 0 rgba(128,128,128,.4);"
    "padding:2px 0 2px max(0px,calc(8px - 9*var(--jp-code-padding,0px)));margin:2px 0"
)
# As a block of lines has it, without what pages add to code.
_FONT = (
    "font-size:var(--jp-code-font-size,13px);"
    "font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,monospace))"
)
_CODE = f"background:none;color:inherit;padding:0;border:0;line-height:1.45;{_FONT}"


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


def table_html(table: MessageTable) -> str:
    """The first and the last rows of a table."""
    rows, names = len(table), table.column_names
    more = len(names) - _COLUMNS
    head = [*names[:_COLUMNS], *([f"… {more} more"] if more > 0 else [])]
    shown = range(rows) if rows <= 2 * _ROWS else [*range(_ROWS), *range(rows - _ROWS, rows)]
    body: list[Sequence[str | None]] = []
    for place, row in enumerate(shown):
        if place == _ROWS and rows > 2 * _ROWS:
            body.append(["…"] * len(head))
        cells = table._row(row, _COLUMNS)  # noqa: SLF001
        body.append([*cells, *([""] if more > 0 else [])])
    plural = "" if rows == 1 else "s"
    heading = _html_block([text(f"MessageTable: {rows:,} message{plural}")])
    return f'<div style="overflow-x:auto">{heading}{html_table(body, head=head)}</div>'


def html_table(
    rows: Iterable[Sequence[str | None]],
    *,
    head: Sequence[str] = (),
    first: dict[str, str] | None = None,
    wraps: bool = False,
) -> str:
    """Rows of text as a table.

    Args:
        rows: The texts, None for a missing value.
        head: The names of the columns.
        first: A style for each text of the first column.
        wraps: Whether lines of the last column are wrapped.
    """

    def cells(texts: Sequence[str | None], tag: str, border: str) -> str:
        made = []
        box = f"text-align:left;vertical-align:top;padding:1px 16px 1px 0;{border}"
        for place, each in enumerate(texts):
            style, space = _CODE, "pre"
            if place == 0 and first is not None and each is not None:
                style += f";{first[each]}"
            if wraps and place == len(texts) - 1:
                space = "pre-wrap;overflow-wrap:anywhere"
            # A missing value differs from an empty text.
            shown = '<span style="opacity:.5">None</span>' if each is None else text(each)
            code = f'<code style="{style};white-space:{space}">{shown}</code>'
            made.append(f'<{tag} style="{box}">{code}</{tag}>')
        return f'<tr style="background:none">{"".join(made)}</tr>'

    line = "border:0;border-bottom:1px solid rgba(128,128,128,.5)"
    top = f"<thead>{cells(head, 'th', line)}</thead>" if head else ""
    body = "".join(cells(row, "td", "border:0") for row in rows)
    # MathJax passes by both classes.
    return (
        '<table class="mathjax_ignore tex2jax_ignore" style="border-collapse:collapse;'
        f'color:inherit;margin:0 0 0 {_INDENT};{_FONT}">{top}<tbody>{body}</tbody></table>'
    )
