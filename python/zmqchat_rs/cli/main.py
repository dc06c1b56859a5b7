"""The entry of the command ``zmqchat``: parses the arguments, runs a command, reports errors.

Payload goes to stdout, notices to stderr. Exit codes: 0 success, 1 error, 2 usage, 3 timeout before
the count, 130 Ctrl+C, 143 SIGTERM, 129 SIGHUP (the window was closed).
"""

from __future__ import annotations

import argparse
import signal
import sys
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError, __version__, build_info, sanitize

from . import output, signals, suggestions
from .commands import chat, demo, doctor, ip, log, pub, relay, replay, sub
from .options import UsageError, not_text

if TYPE_CHECKING:
    from typing import Sequence

OK, ERROR, USAGE, TIMED_OUT = 0, 1, 2, 3
INTERRUPTED = 128 + signal.SIGINT
HUNG_UP = 129  # 128 + SIGHUP, which Windows does not define

#: The module of each command.
COMMANDS = {
    "demo": demo,
    "pub": pub,
    "sub": sub,
    "chat": chat,
    "relay": relay,
    "ip": ip,
    "doctor": doctor,
    "log": log,
    "replay": replay,
}

_DESCRIPTION = """\
Publish and subscribe over ZeroMQ: type in one window, read in the others."""

_EXAMPLES = """\
examples:
  zmqchat demo                    see it work, in this window only
  zmqchat pub                     window 1: type messages here ...
  zmqchat sub                     window 2: ... and read them here
  zmqchat sub 192.168.1.12        or on another laptop (there: zmqchat ip)
  zmqchat relay                   one address for publishers and subscribers
  zmqchat chat 192.168.1.12       chat with another laptop
  zmqchat doctor 192.168.1.12     no message arrives? find out why

exit codes:
  0 success, 1 error, 2 usage, 3 timeout before the count, 130 Ctrl+C

'zmqchat COMMAND --help' describes each command."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments after ``zmqchat``; None takes them from the command line.

    Returns:
        The exit code.
    """
    try:
        with signals.on_termination(signals.exit_on_signal):
            code = _run(argv)
            # A closed window cannot show an error.
            (output.flush_or_discard if code == HUNG_UP else output.flush)()
    except BrokenPipeError:
        # The reader of stdout, such as `| head`, has closed the pipe.
        output.discard_stdout()
        return OK
    except KeyboardInterrupt:
        output.end_prompt_line()
        code = INTERRUPTED
    except UsageError as error:
        output.print_error(error)
        code = USAGE
    except UnicodeEncodeError as error:
        output.print_error(not_text(error))
        code = USAGE
    except TimeoutError as error:
        output.print_error(error)
        code = TIMED_OUT
    except (ZmqChatError, ValueError, OSError) as error:
        output.print_error(error)
        code = ERROR
    output.flush_or_discard()
    return code


def build_parser() -> argparse.ArgumentParser:
    """Make the argument parser with all commands."""
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
    for command in COMMANDS.values():
        command.add_to(commands)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    parser = build_parser()
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if words and not words[0].startswith("-") and words[0] not in COMMANDS:
            meant = suggestions.command_meant(words[0], list(COMMANDS))
            instead = f"type: zmqchat {meant}" if meant else f"choose from {', '.join(COMMANDS)}"
            parser.error(f"unknown command '{sanitize(words[0])}'; {instead}")
        arguments, strays = parser.parse_known_args(words)
        if strays:
            command = words[0] if words[0] in COMMANDS else ""
            hint = suggestions.hint(command, words[1:], strays) or getattr(arguments, "stray", "")
            if strays == ["-v"] and not command:
                hint = "type: zmqchat --version"
            hint = f" ({hint})" if hint else ""
            # Print the usage of the command, not that of zmqchat.
            words_shown = sanitize(" ".join(strays))
            getattr(arguments, "parser", parser).error(
                f"unrecognized arguments: {words_shown}{hint}"
            )
        if not hasattr(arguments, "run"):
            parser.print_help(sys.stderr)
            return USAGE
        output.choose_color(getattr(arguments, "color", "auto"))
        return int(arguments.run(arguments))
    except SystemExit as end:
        # From argparse (--help, usage error) or from a signal.
        return end.code if isinstance(end.code, int) else OK
