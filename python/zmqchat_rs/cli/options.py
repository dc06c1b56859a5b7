"""How a command's options are declared, and the kinds of arguments that several take."""

from __future__ import annotations

import argparse
import math
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Callable, Iterator

    # The first is generic in the type stubs alone; the second is what parsers and groups share.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001
    Options = argparse._ActionsContainer  # noqa: SLF001


class UsageError(Exception):
    """Something typed after ``zmqchat`` that can never work."""


@contextmanager
def as_usage() -> Iterator[None]:
    """Report a bad value as one that was typed: addresses, topics and names are checked inside."""
    try:
        yield
    except UnicodeEncodeError:
        raise  # `not_text` tells of it
    except ValueError as error:
        raise UsageError(str(error)) from error


def not_text(error: UnicodeEncodeError) -> str:
    """Say which word on the command line is no text."""
    word = error.object
    try:
        shown = word.encode(errors="surrogateescape").decode(errors="backslashreplace")
    except UnicodeEncodeError:
        shown = word.encode(errors="backslashreplace").decode()
    return f"'{shown}' is not UTF-8: type it anew, in a window whose text is UTF-8"


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
        commands: What it is added to.
        name: What is typed.
        run: Called with the arguments; returns the exit code.
        summary: Its line in ``zmqchat --help``.
        description: What its own ``--help`` opens with; lines stay as they are.
        examples: What that closes with.
        stray: What to type instead of words that belong nowhere.

    Returns:
        The parser, for the command's options.
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
        help="Choose when to use colour; auto: on a terminal, and as NO_COLOR and FORCE_COLOR say "
        "(default: auto).",
    )


def seconds(text: str) -> float:
    """Read a time-out."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise argparse.ArgumentTypeError(f"'{text}' is no time: type seconds, for example 10")
    return value


def whole_number(text: str) -> int:
    """Read a count; one that no memory holds is the largest that there is."""
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"'{text}' is no count: type 0, 1, 2, …")
    digits = text.lstrip("0") or "0"
    # Python itself refuses to read thousands of digits.
    return sys.maxsize if len(digits) > len(str(sys.maxsize)) else min(int(digits), sys.maxsize)
