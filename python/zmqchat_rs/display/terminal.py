"""Lines for a stream that may be a terminal: colour, width and encoding."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from zmqchat_rs._core import _wrap, use_color

if TYPE_CHECKING:
    from typing import Literal, TextIO, Union

    Color = Union[Literal["auto", "always", "never"], bool]
    Timestamps = Literal["none", "time", "iso", "delta"]


def wants_color(stream: TextIO, color: Color) -> bool:
    """Whether to colour the output to `stream`."""
    # The output of a cell is a stream of the kernel; a redirected one is not.
    notebook = any(kind.__module__.startswith("ipykernel.") for kind in type(stream).__mro__)
    isatty = getattr(stream, "isatty", None)
    return use_color(color, isatty=isatty is not None and isatty(), jupyter=notebook)


def columns_of(stream: TextIO) -> int | None:
    """The width of the terminal of `stream`; None if it is not a terminal."""
    try:
        if not stream.isatty():
            return None
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return None
    # A Windows console begins a new line when its last column is filled.
    return max(0, columns - (sys.platform == "win32")) or None


def wrapped(stream: TextIO, line: str, *, indent: int) -> str:
    """Wrap a line at words for the terminal of `stream`.

    Args:
        stream: The stream; without a terminal, the line is not wrapped.
        line: The line, with or without colours.
        indent: The indentation of the lines after the first one, in columns.

    Returns:
        The text, with line breaks.
    """
    width = columns_of(stream)
    return line if width is None else _wrap(line, width=width, indent=indent)


def write_line(stream: TextIO, text: str) -> None:
    """Write one line; characters that the stream cannot encode are escaped."""
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        escaped = text.encode(encoding, "backslashreplace").decode(encoding)
        stream.write(f"{escaped}\n")
