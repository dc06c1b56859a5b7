"""Options and argument types that several commands share."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable, Iterator

    # `_SubParsersAction` is generic only in type stubs; parsers and groups share the second class.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
    Options = argparse._ActionsContainer  # noqa: SLF001


class UsageError(Exception):
    """Arguments of ``zmqchat`` that are invalid."""


@contextmanager
def as_usage() -> Iterator[None]:
    """Report a ValueError of an address, topic or name as a usage error."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # reported with `not_text`
    except ValueError as error:
        raise UsageError(str(error)) from error


def not_text(error: UnicodeEncodeError) -> str:
    """Return the message for an argument that is not valid text."""
    word = error.object
    try:
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        shown = word.encode(errors="backslashreplace").decode()
    return f"'{shown}' is not UTF-8: type it again, in a window that uses UTF-8"


def add_command(  # noqa: PLR0913
    commands: Commands,
    name: str,
    run: Callable[[argparse.Namespace], int],
    *,
    summary: str,
    description: str,
    examples: str,
    stray: str = "",
) -> argparse.ArgumentParser:
    """Declare one command.

    Args:
        commands: The commands of ``zmqchat``.
        name: The name of the command.
        run: Runs the command; takes the arguments, returns the exit code.
        summary: Its line in ``zmqchat --help``.
        description: The beginning of its own help; line breaks are kept.
        examples: The end of its own help; line breaks are kept.
        stray: A hint for unrecognized arguments.

    Returns:
        The parser of the command, for its options.
    """
    parser = commands.add_parser(
        name,
        help=summary,
        description=description,
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run, parser=parser, stray=stray)
    return parser


def add_color(parser: Options) -> None:
    """Declare ``--color``."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="Choose when to use colour; auto: on a terminal; NO_COLOR and FORCE_COLOR override "
        "this (default: auto).",
    )


def seconds(text: str) -> float:
    """Parse a timeout."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"invalid time '{text}': expected seconds, for example 10")
    return value


def whole_number(text: str) -> int:
    """Parse a count; a larger one than `sys.maxsize` becomes `sys.maxsize`."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"invalid count '{text}': expected 0, 1, 2, …")
    digits = text.lstrip("0") or "0"
    # `int` raises ValueError for thousands of digits.
    return sys.maxsize if len(digits) > len(str(sys.maxsize)) else min(int(digits), sys.maxsize)
