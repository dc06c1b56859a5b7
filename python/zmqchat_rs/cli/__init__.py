"""The command ``zmqchat``: a file for each of its commands, and here what is common to all.

Payload goes to stdout and notices to stderr. Exit codes: 0 ok, 1 error, 2 usage, 3 time-out
before the count, 130 Ctrl+C, 143 SIGTERM.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError, __version__, build_info

from . import chat, demo, doctor, ip, log, pub, relay, replay, streams, sub
from .options import UsageError

if TYPE_CHECKING:
    from types import FrameType
    from typing import Iterator, NoReturn, Sequence

OK, ERROR, USAGE, TIMED_OUT = 0, 1, 2, 3
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM

_DESCRIPTION = """\
Publish and subscribe over ZeroMQ: type in one window, read in the others."""

_EXAMPLES = """\
examples:
  zmqchat demo                    see it work, in this window alone
  zmqchat pub                     window 1: type messages here ...
  zmqchat sub                     window 2: ... and read them here
  zmqchat sub 192.168.1.12        or on another laptop (there: zmqchat ip)
  zmqchat relay                   one address for many publishers and readers
  zmqchat doctor 192.168.1.12     no message comes? find out why

exit codes:
  0 ok, 1 error, 2 usage, 3 time-out before the count, 130 Ctrl+C

'zmqchat COMMAND --help' tells more about each command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The words after ``zmqchat``; None takes them from the command line.

    Returns:
        The exit code.
    """
    try:
        with _sigterm_as_exit():
            code = _run(argv)
            streams.flush()
    except BrokenPipeError:
        # Whoever read our output (`| head`) has seen enough.
        streams.abandon()
        return OK
    except KeyboardInterrupt:
        streams.end_prompt_line()
        code = INTERRUPTED
    except UsageError as error:
        streams.complain(error)
        code = USAGE
    except TimeoutError as error:
        streams.complain(error)
        code = TIMED_OUT
    except (ZmqChatError, ValueError, OSError) as error:
        streams.complain(error)
        code = ERROR
    streams.flush_or_abandon()
    return code


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="zmqchat",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    version = f"zmqchat {__version__} (libzmq {build_info()['libzmq']})"
    parser.add_argument("--version", action="version", version=version)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")
    for command in (demo, pub, sub, chat, relay, ip, doctor, log, replay):
        command.add_to(commands)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
        if not hasattr(arguments, "run"):
            parser.print_help(sys.stderr)
            return USAGE
        return int(arguments.run(arguments))
    except SystemExit as end:
        # From argparse after --help or a usage error, or from SIGTERM.
        return end.code if isinstance(end.code, int) else OK


@contextmanager
def _sigterm_as_exit() -> Iterator[None]:
    """Let SIGTERM unwind, so that sockets close in order and unsent messages get their linger."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(TERMINATED)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
