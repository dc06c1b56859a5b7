"""Writing lines to a stream that may be a terminal: its colours, its width, its encoding."""

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
    """Whether to colour what is written to `stream`."""
    # A cell's output is the kernel's own stream; one that is redirected inside a notebook is not.
    notebook = any(kind.__module__.startswith("ipykernel.") for kind in type(stream).__mro__)
    isatty = getattr(stream, "isatty", None)
    return use_color(color, isatty=isatty is not None and isatty(), jupyter=notebook)


def columns_of(stream: TextIO) -> int | None:
    """The width of the terminal that `stream` writes to; None where it is not a terminal."""
    try:
        if not stream.isatty():
            return None
        columns = os.get_terminal_size(stream.fileno()).columns
    except (AttributeError, OSError, ValueError):
        return None
    # A console of Windows moves to the next line once its last column is filled.
    return max(0, columns - (sys.platform == "win32")) or None


def wrapped(stream: TextIO, line: str, *, indent: int) -> str:
    """Wrap a finished line at words for the terminal that `stream` writes to.

    Args:
        stream: Where the line will be written; what is not a terminal gets it in one piece.
        line: The line, with or without colours.
        indent: How far the lines after the first are indented, in columns.

    Returns:
        The line, or several of them with line breaks in between.
    """
    width = columns_of(stream)
    return line if width is None else _wrap(line, width=width, indent=indent)


def write_line(stream: TextIO, text: str) -> None:
    """Write one line, escaping what the stream's encoding has no character for."""
    try:
        stream.write(f"{text}\n")
    except UnicodeEncodeError:
        encoding = getattr(stream, "encoding", None) or "ascii"
        escaped = text.encode(encoding, "backslashreplace").decode(encoding)
        stream.write(f"{escaped}\n")
