"""``zmqchat pub``: publish lines from a prompt, a pipe or the option -m."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import Publisher
from zmqchat_rs.cli import output, piped_input
from zmqchat_rs.cli.delivery_check import DeliveryCheck
from zmqchat_rs.cli.notices import PublisherNotices
from zmqchat_rs.cli.options import UsageError, add_command, as_usage, seconds, whole_number
from zmqchat_rs.cli.prompt import Prompt

if TYPE_CHECKING:
    from argparse import Namespace

    from zmqchat_rs.cli.options import Commands

# Subscribers that were started before the publisher retry every 0.1 to 0.2 s. Without --wait, they
# get _GRACE seconds to connect. Each one that connects gives the next one _NEXT seconds.
_GRACE = 2.0
_NEXT = 0.3
# Seconds for queued messages to reach a slow subscriber after the end of the input.
_LINGER = 10.0

_DESCRIPTION = """\
Publish messages: lines typed at a prompt, lines of a pipe, or the text of -m.

A line is sent unchanged. Subscribers to room1 receive the line 'room1:Hello';
with -t room1, 'Hello' is enough. The publisher binds port 5555 of every network
(see --bind), and prints the address for 'zmqchat sub'."""

_EXAMPLES = """\
examples:
  zmqchat pub                               a prompt: room1:Hello, Enter
  zmqchat pub -t room1 -m 'Hello'           send one message and end
  tail -f log | zmqchat pub -t log          each line of a pipe
  zmqchat pub --wait 2 -t room1 < poem.txt  first wait for two subscribers
  zmqchat pub --bind '*:6000' --name alice  another port, and a name

Messages sent before a subscriber connects are lost: ZeroMQ does not keep them.
A notice reports when no subscriber receives a topic, once per change (in a pipe
with --wait 0: never). With a pipe or -m, subscribers that are already waiting
get up to 2 seconds to connect (--wait 0: no time). A pipe waits for a slow
subscriber, so that no message is dropped."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "pub",
        run,
        summary="publish lines, typed or from a pipe",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
        stray="the text to send goes after -m, its topic after -t: zmqchat pub -t room1 -m Hello",
    )
    what = parser.add_argument_group("what to send")
    what.add_argument("-t", "--topic", help="Send every message to this topic (default: none).")
    what.add_argument(
        "-m",
        "--message",
        action="append",
        default=[],
        metavar="TEXT",
        help="Send this text and end (repeatable; default: read lines).",
    )
    what.add_argument(
        "--name",
        help="Name the publisher and number its messages (default: none).",
    )
    what.add_argument(
        "--framing",
        choices=("plain", "envelope"),
        default="plain",
        help="Choose the frames: plain is 'topic:text'; envelope has the topic, given with -t, in "
        "a frame of its own (default: plain).",
    )
    what.add_argument(
        "--raw",
        action="store_true",
        help="Send each line of a pipe unchanged (default: remove the CR of CRLF line ends, and a "
        "byte order mark before the first line).",
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDR",
        help="Bind this address; port 0 selects a free one (repeatable; default: *:5555).",
    )
    where.add_argument(
        "--connect",
        action="append",
        default=[],
        metavar="ADDR",
        help="Connect to a bound subscriber or a relay instead (repeatable; default: none).",
    )
    when = parser.add_argument_group("when")
    when.add_argument(
        "--wait",
        type=whole_number,
        metavar="N",
        help="First wait for N subscribers; with -t, for N subscribers to the topic (default: do "
        "not wait; with a pipe or -m, up to 2 seconds for the first one).",
    )
    when.add_argument(
        "-W",
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="Limit the time of --wait; after it, end with exit code 3 (default: no limit).",
    )
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Report subscribers that join and leave (default: on a terminal only).",
    )


def run(arguments: Namespace) -> int:
    """Send until the input ends."""
    if arguments.timeout is not None and not arguments.wait:
        raise UsageError("-W limits --wait: give a number of subscribers, as in --wait 1 -W 10")
    typed = not arguments.message and output.is_terminal(sys.stdin)
    prompt = Prompt()
    with as_usage():
        notices = PublisherNotices(arguments.connect, verbose=arguments.verbose, say=prompt.notice)
    with notices:
        with as_usage():
            publisher = Publisher(
                arguments.bind or None,
                connect=arguments.connect,
                name=arguments.name,
                framing=arguments.framing,
                # A prompt must not block; a pipe may wait.
                on_full="drop" if typed else "block",
                on_event=notices,
            )
        with publisher:
            _Publishing(publisher, arguments, notices, prompt if typed else None).run()
    return 0


class _Publishing:
    """Sends the lines, and reports lines that no subscriber receives."""

    def __init__(
        self,
        publisher: Publisher,
        arguments: Namespace,
        notices: PublisherNotices,
        prompt: Prompt | None,
    ) -> None:
        self._publisher = publisher
        self._arguments = arguments
        self._prompt = prompt
        self._receivers = DeliveryCheck(
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
            else piped_input.lines(raw=arguments.raw)
        )
        for number, line in enumerate(lines):
            if number == 0 and arguments.wait is None:
                _wait_for_early_subscribers(publisher, arguments.topic, until=opened + _GRACE)
            self._send(line)
        publisher.close(linger=_LINGER)

    def _send(self, line: bytes) -> None:
        """Send one line, and report when no subscriber receives it."""
        topic = self._arguments.topic
        # Checked before the line is sent: a subscriber may disconnect after it has received it.
        missing = ""
        if self._prompt is not None or self._arguments.wait != 0:
            missing = self._receivers.missing(line, topic)
        self._publisher.send(line, topic=topic)
        if missing:
            output.notice(missing)


def _announce(publisher: Publisher, arguments: Namespace, *, typed: bool) -> None:
    """Print the addresses on a terminal; in a pipe, only where the system chose the port."""
    person = output.is_terminal(sys.stderr)
    if not (person or output.has_system_port(arguments.bind)):
        return
    topic = "" if arguments.topic is None else f" -t {arguments.topic}"
    for address in publisher.addresses:
        output.notice(f"Subscribe with:  zmqchat sub {address}{topic}")
    output.notice_port_forwarding(publisher.addresses)
    if arguments.connect:
        output.notice(f"Publishing to {', '.join(arguments.connect)}.")
    if typed:
        where = f" It is sent to {arguments.topic}." if topic else ""
        if not topic and arguments.framing == "plain":
            where = " room1:Hello is sent to room1."
        output.notice(f"Type a message and press Enter.{where} Ctrl+D ends.")


def _wait(publisher: Publisher, arguments: Namespace) -> None:
    wanted, topic, timeout = arguments.wait, arguments.topic, arguments.timeout
    if output.is_terminal(sys.stderr):
        plural = "" if wanted == 1 else "s"
        output.notice(f"Waiting for {wanted} subscriber{plural} ...")
    try:
        publisher.wait_for_subscribers(wanted, topic=topic, timeout=timeout)
    except TimeoutError as error:
        text = str(error).replace("within the timeout", f"within {timeout:g} s", 1)
        raise TimeoutError(text) from None


def _wait_for_early_subscribers(publisher: Publisher, topic: str | None, *, until: float) -> None:
    """Give subscribers that were started before the publisher the time to connect."""
    count = 0
    with suppress(TimeoutError):
        while True:
            left = max(0.0, until - monotonic())
            timeout = min(left, _NEXT) if count else left
            count = publisher.wait_for_subscribers(count + 1, topic=topic, timeout=timeout)


def _check_topic(publisher: Publisher, topic: str | None) -> None:
    """Reject an invalid topic before the first line is read."""
    with suppress(TimeoutError):
        publisher.wait_for_subscribers(1, topic=topic, timeout=0)
