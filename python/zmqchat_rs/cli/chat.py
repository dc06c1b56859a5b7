"""``zmqchat chat``: talk with others, in a terminal or through pipes."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from typing import TYPE_CHECKING

from zmqchat_rs._chat_presence import check_heartbeat
from zmqchat_rs._chat_relay import relay_addresses
from zmqchat_rs._core import ZmqChatError

from . import streams
from .chat_lines import LineFront
from .chat_talk import Talk
from .options import UsageError, add_color, add_command, as_usage, seconds

if TYPE_CHECKING:
    from argparse import Namespace

    from .chat_talk import Front
    from .options import Commands

# At the end, seconds for what is still queued to reach a slow peer.
_LINGER = 2.0

_DESCRIPTION = """\
Talk with others: everybody says lines, everybody hears them.

Each laptop waits at port 5555 and goes to the HOSTs that are given, so each
needs the others' addresses (zmqchat ip). Or all go through one relay, --via,
and need its address alone.

What comes in never disturbs the line that you type. In a pipe, each line of
the input is said, what others say is on stdout, and all else on stderr."""

_EXAMPLES = """\
examples:
  zmqchat chat --name alice 192.168.1.13        with bob, who types our address
  zmqchat chat --name carol --via teacher-pc    through the teacher's relay
  zmqchat chat --room team1 --log team1.log ..  another room than lobby, logged
  zmqchat chat --bind '*:5557' 127.0.0.1        a second chat on this laptop
  uptime | zmqchat chat --via teacher-pc        says a line and ends
  zmqchat chat --plain ..                       for readers that use pyzmq

type /help there for what can be typed. The lines that you typed are kept in
memory, for the arrow keys, and nowhere else, unless you say --log."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "chat",
        run,
        summary="talk with others",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "host", nargs="*", metavar="HOST[:PORT]", help="the others; /connect HOST adds one later"
    )
    parser.add_argument("--name", help="who speaks; default: your login name")
    parser.add_argument("--room", default="lobby", help="the room to begin in; default: lobby")
    where = parser.add_argument_group("where")
    where.add_argument(
        "--via",
        metavar="HOST",
        help="go through the relay there, heard at port 5555 and spoken to at port 5556; "
        "HOST:6000 is heard there and spoken to at 6001; or SPEAK,HEAR: both addresses",
    )
    where.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDR",
        help="where others come; default: *:5555, or nowhere with --via (repeatable)",
    )
    where.add_argument(
        "--plain",
        action="store_true",
        help="send 'lobby:alice: Hello' in one frame, and nothing else, for readers with pyzmq",
    )
    where.add_argument(
        "--heartbeat",
        type=_heartbeat,
        default=5.0,
        metavar="SECONDS",
        help="say so often that we are here, 0.05 to 86400, the same for all; default: 5. Who is "
        "silent for three and a half is lost",
    )
    how = parser.add_argument_group("how to print")
    how.add_argument(
        "--timestamps",
        choices=("none", "time", "iso", "delta"),
        default="time",
        help="time of day (default), iso with date and zone, delta since the last, or none",
    )
    add_color(how)
    how.add_argument(
        "-q", "--quiet", action="store_true", help="do not say who comes and goes (see /who)"
    )
    how.add_argument(
        "--log",
        metavar="FILE",
        help="also keep what is said in this file: 'zmqchat log FILE' looks through it; JSON "
        "lines if it ends with .jsonl",
    )


def run(arguments: Namespace) -> int:
    """Talk until the input ends."""
    if arguments.name is None:
        arguments.name = _login_name()
    with as_usage():
        if arguments.via is not None:
            relay_addresses(arguments.via)
        talk = _open(arguments)
    with talk:
        code = talk.run()
        talk.chat.close(linger=_LINGER)
    return code


def _open(arguments: Namespace) -> Talk:
    try:
        return Talk(arguments, _front(arguments))
    except ZmqChatError as error:
        cause = error.__cause__
        if error.errno != errno.EADDRINUSE or not isinstance(cause, OSError):
            raise
        raise ZmqChatError(
            error.errno,
            f"{cause.strerror}. Another chat on this laptop takes a port of its own, such as "
            "--bind '*:5557'; where a relay holds this one, go through it: --via 127.0.0.1",
        ) from error


def _front(arguments: Namespace) -> Front:
    """A screen for two terminals, lines for all else."""
    typed, shown = streams.is_terminal(sys.stdin), streams.is_terminal(sys.stdout)
    if typed and shown and os.environ.get("TERM", "dumb") != "dumb":
        try:
            # The one user of prompt_toolkit; the other commands start without it.
            from .chat_screen import ScreenFront  # noqa: PLC0415
        except ImportError:
            streams.notice(
                "zmqchat: lines that come will break the one you type; this helps: "
                "pip install prompt_toolkit"
            )
        else:
            return ScreenFront(arguments.color)
    return LineFront(arguments.color, commands=typed)


def _heartbeat(text: str) -> float:
    value = seconds(text)
    try:
        return check_heartbeat(value)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _login_name() -> str:
    import getpass  # noqa: PLC0415 - where no name was given

    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        raise UsageError("say who you are, for example --name alice") from None
