"""``zmqchat pub``: what is typed, piped in or given goes out."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import Publisher

from . import piped, streams
from .notices import Audience
from .options import UsageError, add_command, as_usage, seconds, whole_number
from .prompt import Prompt
from .receivers import Receivers

if TYPE_CHECKING:
    from argparse import Namespace

    from .options import Commands

# Subscribers that were there before us try again every 0.1 to 0.2 s. Unless --wait says
# otherwise, they get this many seconds to arrive, and each gives the next one this many more.
_GRACE = 2.0
_NEXT = 0.3
# At the end of the input, seconds for what is still queued to reach a slow subscriber.
_LINGER = 10.0

_DESCRIPTION = """\
Publish messages: typed at a prompt, one line of a pipe each, or given with -m.

A line is sent as it is. Subscribers to room1 receive the line 'room1:Hello';
with -t room1, 'Hello' is enough. It binds port 5555 of every network unless
told otherwise; 'zmqchat sub' with the address that is printed here receives it."""

_EXAMPLES = """\
examples:
  zmqchat pub                               a prompt: room1:Hello, Enter
  zmqchat pub -t room1 -m 'Hello'           one message, then it ends
  tail -f log | zmqchat pub -t log          each line of a pipe
  zmqchat pub --wait 2 -t room1 < poem.txt  not before two listen to room1
  zmqchat pub --bind '*:6000' --name alice  another port; says who speaks

What is sent before a subscriber connects is lost: ZeroMQ keeps nothing for
later. A notice says when no subscriber takes a topic, once per change (in a
pipe with --wait 0: never). With a pipe or -m, subscribers that are already
waiting get up to 2 seconds to connect (--wait 0: none), and nothing is dropped
for one that reads slowly: the pipe waits for it."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "pub",
        run,
        summary="publish lines, typed or from a pipe",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
        stray="what to send goes after -m, its topic after -t: zmqchat pub -t room1 -m Hello",
    )
    what = parser.add_argument_group("what to send")
    what.add_argument("-t", "--topic", help="send everything to this topic")
    what.add_argument(
        "-m",
        "--message",
        action="append",
        default=[],
        metavar="TEXT",
        help="send this and end (repeatable)",
    )
    what.add_argument(
        "--name", help="say who speaks and number the messages; a second frame carries it"
    )
    what.add_argument(
        "--framing",
        choices=("plain", "envelope"),
        default="plain",
        help="plain: 'topic:text' (default); envelope: the topic, given with -t, is a frame of "
        "its own",
    )
    what.add_argument(
        "--raw",
        action="store_true",
        help="send each line of a pipe unchanged (default: remove the CR of CRLF line ends, and a "
        "byte order mark before the first line)",
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDR",
        help="default: *:5555; port 0 takes a free one (repeatable)",
    )
    where.add_argument(
        "--connect",
        action="append",
        default=[],
        metavar="ADDR",
        help="go to a subscriber that is bound, instead (repeatable)",
    )
    when = parser.add_argument_group("when")
    when.add_argument(
        "--wait",
        type=whole_number,
        metavar="N",
        help="first wait for N subscribers (with -t: who hear the topic)",
    )
    when.add_argument(
        "-W",
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="limit for --wait; exit code 3 when it is over",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="say who joins and leaves, though nobody sits at a terminal",
    )


def run(arguments: Namespace) -> int:
    """Send until the input ends."""
    if arguments.timeout is not None and not arguments.wait:
        raise UsageError("-W limits --wait: say how many to wait for, as in --wait 1 -W 10")
    typed = not arguments.message and streams.is_terminal(sys.stdin)
    prompt = Prompt()
    with as_usage():
        notices = Audience(arguments.connect, verbose=arguments.verbose, say=prompt.notice)
    with notices:
        with as_usage():
            publisher = Publisher(
                arguments.bind or None,
                connect=arguments.connect,
                name=arguments.name,
                framing=arguments.framing,
                # A prompt must never hang; a pipe can wait.
                on_full="drop" if typed else "block",
                on_event=notices,
            )
        with publisher:
            _Publishing(publisher, arguments, notices, prompt if typed else None).run()
    return 0


class _Publishing:
    """One run: where the lines come from, and what is said of their subscribers."""

    def __init__(
        self,
        publisher: Publisher,
        arguments: Namespace,
        notices: Audience,
        prompt: Prompt | None,
    ) -> None:
        self._publisher = publisher
        self._arguments = arguments
        self._prompt = prompt
        self._receivers = Receivers(
            publisher, notices.changes, framing=arguments.framing, typed=prompt is not None
        )

    def run(self) -> None:
        """Send until the input ends."""
        publisher, arguments, prompt = self._publisher, self._arguments, self._prompt
        opened = monotonic()
        with as_usage():
            _check_topic(publisher, arguments.topic)
        _announce(publisher, arguments, typed=prompt is not None)
        if arguments.wait:
            _wait(publisher, arguments)
        if prompt is not None:
            for line in prompt.lines():
                self._send(line)
            return
        lines = (
            map(os.fsencode, arguments.message)
            if arguments.message
            else piped.lines(raw=arguments.raw)
        )
        for number, line in enumerate(lines):
            if number == 0 and arguments.wait is None:
                _let_arrive(publisher, arguments.topic, until=opened + _GRACE)
            self._send(line)
        publisher.close(linger=_LINGER)

    def _send(self, line: bytes) -> None:
        """Send one line, and say when no subscriber receives it."""
        topic = self._arguments.topic
        # Before it is sent: a subscriber that received it may have left afterwards.
        missing = ""
        if self._prompt is not None or self._arguments.wait != 0:
            missing = self._receivers.missing(line, topic)
        self._publisher.send(line, topic=topic)
        if missing:
            streams.notice(missing)


def _announce(publisher: Publisher, arguments: Namespace, *, typed: bool) -> None:
    """Say where it is heard, to a person; and to all a port that nobody could know otherwise."""
    person = streams.is_terminal(sys.stderr)
    if not (person or streams.has_free_port(arguments.bind)):
        return
    topic = "" if arguments.topic is None else f" -t {arguments.topic}"
    for address in publisher.addresses:
        streams.notice(f"Others read it with:  zmqchat sub {address}{topic}")
    streams.notice_of_isolation(publisher.addresses)
    if arguments.connect:
        streams.notice(f"Publishing to {', '.join(arguments.connect)}.")
    if typed:
        rooms = f" It goes to {arguments.topic}." if topic else ""
        if not topic and arguments.framing == "plain":
            rooms = " room1:Hello goes to room1."
        streams.notice(f"Type a message and press Enter.{rooms} Ctrl+D ends.")


def _wait(publisher: Publisher, arguments: Namespace) -> None:
    wanted, topic, timeout = arguments.wait, arguments.topic, arguments.timeout
    if streams.is_terminal(sys.stderr):
        plural = "" if wanted == 1 else "s"
        streams.notice(f"Waiting for {wanted} subscriber{plural} ...")
    try:
        publisher.wait_for_subscribers(wanted, topic=topic, timeout=timeout)
    except TimeoutError as error:
        text = str(error).replace("within the timeout", f"within {timeout:g} s", 1)
        raise TimeoutError(text) from None


def _let_arrive(publisher: Publisher, topic: str | None, *, until: float) -> None:
    """Give subscribers that are trying to connect the time to arrive."""
    here = 0
    with suppress(TimeoutError):
        while True:
            left = max(0.0, until - monotonic())
            patience = min(left, _NEXT) if here else left
            here = publisher.wait_for_subscribers(here + 1, topic=topic, timeout=patience)


def _check_topic(publisher: Publisher, topic: str | None) -> None:
    """Refuse a topic that can never be one before the first line is read."""
    with suppress(TimeoutError):
        publisher.wait_for_subscribers(1, topic=topic, timeout=0)
