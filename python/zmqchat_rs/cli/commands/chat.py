"""``zmqchat chat``: chat in a terminal or through pipes."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from typing import TYPE_CHECKING

from zmqchat_rs._core import ZmqChatError
from zmqchat_rs.cli import output
from zmqchat_rs.cli.options import UsageError, add_color, add_command, as_usage, seconds

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Union

    from zmqchat_rs.cli.chat.lines import LineFrontend
    from zmqchat_rs.cli.chat.screen import ScreenFrontend
    from zmqchat_rs.cli.chat.session import ChatSession
    from zmqchat_rs.cli.options import Commands

    Frontend = Union[LineFrontend, ScreenFrontend]

# Seconds for queued lines to reach a slow peer at the end.
_LINGER = 2.0

_DESCRIPTION = """\
Chat with others: each line is sent to all members of the room.

Each laptop binds port 5555 and connects to the given HOSTs, so each one needs
the addresses of all others (zmqchat ip). With a relay (--via), the address of
the relay is enough.

Incoming lines do not disturb the line that you type. In a pipe, each input line
is sent, received lines are printed to stdout, and notices to stderr."""

_EXAMPLES = """\
examples:
  zmqchat chat --name alice 192.168.1.13        bob there types our address
  zmqchat chat --name carol --via teacher-pc    through the teacher's relay
  zmqchat chat --room team1 --log team1.log ..  another room, with a log
  zmqchat chat --bind '*:5557' 127.0.0.1        a second chat on this laptop
  uptime | zmqchat chat --via teacher-pc        send one line and end
  zmqchat chat --plain ..                       for subscribers in pyzmq

Type /help in the chat for its commands. Typed lines are kept in memory only,
for the arrow keys, unless --log is given."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "chat",
        run,
        summary="chat with others",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "host",
        nargs="*",
        metavar="HOST[:PORT]",
        help="Connect to this chat (default: none).",
    )
    parser.add_argument("--name", help="Use this name (default: your login name).")
    parser.add_argument("--room", default="lobby", help="Start in this room (default: lobby).")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--via",
        metavar="HOST",
        help="Use the relay on HOST: receive from port 5555, and send to port 5556. HOST:6000 "
        "receives from 6000 and sends to 6001. FRONTEND,BACKEND gives both addresses (default: "
        "no relay).",
    )
    where.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDR",
        help="Bind this address (repeatable; default: *:5555, or none with --via).",
    )
    where.add_argument(
        "--plain",
        action="store_true",
        help="Send 'lobby:alice: Hello' in one frame, and no presence, for pyzmq subscribers.",
    )
    where.add_argument(
        "--heartbeat",
        type=_heartbeat,
        default=5.0,
        metavar="SECONDS",
        help="Send presence at this interval, 0.05 to 86400, the same for all members. A member "
        "without presence for 3.5 intervals is lost (default: 5).",
    )
    how = parser.add_argument_group("how to print")
    how.add_argument(
        "--timestamps",
        choices=("none", "time", "iso", "delta"),
        default="time",
        help="Choose the time before a line: time of day, iso with date and zone, delta since the "
        "last line, or none (default: time).",
    )
    add_color(how)
    how.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="Do not report members that join or leave.",
    )
    how.add_argument(
        "--log",
        metavar="FILE",
        help="Also write the lines to this file, as JSON lines if it ends with .jsonl; see "
        "'zmqchat log' (default: no log).",
    )


def run(arguments: Namespace) -> int:
    """Chat until the input ends."""
    # Imported here, so that other commands start sooner.
    from zmqchat_rs.chat.relay import relay_addresses  # noqa: PLC0415

    if arguments.name is None:
        arguments.name = _login_name()
    with as_usage():
        if arguments.via is not None:
            relay_addresses(arguments.via)
        frontend = _frontend(arguments)
        session = _open(arguments, frontend)
    with session:
        session.begin()
        code = frontend.run(session)
        session.chat.close(linger=_LINGER)
    return code


def _open(arguments: Namespace, frontend: Frontend) -> ChatSession:
    from zmqchat_rs.cli.chat.session import ChatSession  # noqa: PLC0415

    try:
        return ChatSession(arguments, frontend)
    except ZmqChatError as error:
        cause = error.__cause__
        if error.errno != errno.EADDRINUSE or not isinstance(cause, OSError):
            raise
        raise ZmqChatError(
            error.errno,
            f"{cause.strerror}. A second chat on this laptop needs another port, such as --bind "
            "'*:5557'; if a relay uses this one, connect to it: --via 127.0.0.1",
        ) from error


def _frontend(arguments: Namespace) -> Frontend:
    """A screen if stdin and stdout are terminals, otherwise plain lines."""
    typed, shown = output.is_terminal(sys.stdin), output.is_terminal(sys.stdout)
    if typed and shown and os.environ.get("TERM", "dumb") != "dumb":
        try:
            # The only import of prompt_toolkit.
            from zmqchat_rs.cli.chat.screen import ScreenFrontend  # noqa: PLC0415
        except ImportError:
            output.notice(
                "zmqchat: received lines will disturb the line you type; to avoid this: "
                "pip install prompt_toolkit"
            )
        else:
            return ScreenFrontend(arguments.color)
    from zmqchat_rs.cli.chat.lines import LineFrontend  # noqa: PLC0415

    return LineFrontend(arguments.color, commands=typed)


def _heartbeat(text: str) -> float:
    from zmqchat_rs.chat.presence import check_heartbeat  # noqa: PLC0415

    value = seconds(text)
    try:
        return check_heartbeat(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _login_name() -> str:
    import getpass  # noqa: PLC0415 - only without --name

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise UsageError(
            "your login name is unknown: add a name, for example --name alice"
        ) from None
