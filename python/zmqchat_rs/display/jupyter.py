"""HTML for notebooks, without scripts, and the same content as text.

The colours are those of the terminal, on the background of the page; text of peers is escaped. All
text is in ``<pre>`` or ``<code>``, where JupyterLab does not typeset formulas.
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

# The number of messages of a file, and of lines in the text form of a longer HTML display.
_FEW = 20
# The number of rows at the beginning and at the end of a table, and of columns.
_ROWS = 10
_COLUMNS = 20
# JupyterLab indents text output by 1ch; the variable is defined by JupyterLab.
_INDENT = "min(1ch,calc(9*var(--jp-code-padding,0px)))"
# Grows and scrolls from the bottom, so that the newest line is visible. The bar at the left needs
# no space if lines are indented.
_SCROLLED = (
    "display:flex;flex-direction:column-reverse;max-height:24em;overflow:auto;"
    "box-shadow:inset 3px 0 rgba(128,128,128,.4);"
    "padding:2px 0 2px max(0px,calc(8px - 9*var(--jp-code-padding,0px)));margin:2px 0"
)
# The font of a block of lines, without the styles that pages add to code.
_FONT = (
    "font-size:var(--jp-code-font-size,13px);"
    "font-family:var(--jp-code-font-family,var(--vscode-editor-font-family,monospace))"
)
_CODE = f"background:none;color:inherit;padding:0;border:0;line-height:1.45;{_FONT}"


def text(unescaped: str) -> str:
    """Escape any text for HTML."""
    return html.escape(sanitize(unescaped))


class Rows:
    """The newest messages as lines, each rendered once."""

    def __init__(self, *, max_rows: int, color: Color, timestamps: Timestamps) -> None:
        self._color = use_color(color, isatty=False, jupyter=True)
        self._timestamps = timestamps
        self._lines: deque[str] = deque(maxlen=max_rows)
        self._newest: deque[Message] = deque(maxlen=min(_FEW, max_rows))
        self._previous: Message | None = None
        self._waiting: deque[tuple[Message, Message | None]] = deque(maxlen=max_rows)

    def add(self, messages: Iterable[Message]) -> None:
        """Add messages; those that are dropped before they are shown are not rendered."""
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
        """The last few messages as text, for clients that do not show HTML."""
        return "\n".join(message.render(timestamps=self._timestamps) for message in self._newest)


def bundle(heading: str, rows: Rows, details: str = "") -> dict[str, Any]:
    """The display of IPython: a heading, the rows below it, and further text below them."""
    head = f'<div style="opacity:.8">{_html_block([text(heading)])}</div>'
    body = rows.html()
    scrolled = f'<div style="{_SCROLLED}"><div>{body}</div></div>' if body else ""
    more = _html_block([text(line) for line in details.splitlines()]) if details else ""
    plain = "\n".join(filter(None, [sanitize(heading), rows.text(), _lines(details)]))
    return {"text/html": f"<div>{head}{scrolled}{more}</div>", "text/plain": plain}


def _lines(details: str) -> str:
    return "\n".join(sanitize(line) for line in details.splitlines())


def _last(transcript: Transcript | TranscriptReader) -> tuple[str, Sequence[Message]]:
    """A heading, and the last messages of a transcript."""
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
    """The path of a transcript, and its last messages, as HTML."""
    heading, messages = _last(transcript)
    rows = Rows(max_rows=_FEW, color="auto", timestamps="time")
    rows.add(messages)
    shown: str = bundle(heading, rows)["text/html"]
    return shown


def transcript_text(transcript: Transcript | TranscriptReader) -> str:
    """The same content as text."""
    heading, messages = _last(transcript)
    return "\n".join([sanitize(heading), *(message.render() for message in messages)])


def table_html(table: MessageTable) -> str:
    """The first and the last rows of a table, as HTML."""
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
    """An HTML table of texts.

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
    # MathJax ignores both classes.
    return (
        '<table class="mathjax_ignore tex2jax_ignore" style="border-collapse:collapse;'
        f'color:inherit;margin:0 0 0 {_INDENT};{_FONT}">{top}<tbody>{body}</tbody></table>'
    )
