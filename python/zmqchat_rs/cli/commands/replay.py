"""``zmqchat replay``: print or publish a transcript again, with its pauses."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import Publisher, read_transcript
from zmqchat_rs.cli import output
from zmqchat_rs.cli.delivery_check import DeliveryCheck, SubscriptionChanges
from zmqchat_rs.cli.options import (
    UsageError,
    add_color,
    add_command,
    as_usage,
    seconds,
    whole_number,
)
from zmqchat_rs.display.sinks import Lines

from .log import check_readable

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Callable

    from zmqchat_rs._core import Message
    from zmqchat_rs.cli.options import Commands

# Seconds for subscribers that were started before to connect; they retry every 0.1 to 0.2 s.
_GRACE = 2.0
# Seconds for queued messages to reach a slow subscriber at the end.
_LINGER = 10.0

_DESCRIPTION = """\
Print the messages of a transcript with the original pauses, or publish them
again with --to."""

_EXAMPLES = """\
examples:
  zmqchat replay chat.log                  on the screen, with the pauses
  zmqchat replay chat.log --speed 10       ten times as fast
  zmqchat replay chat.log --to '*:5555' --wait 1
                                           wait for 'zmqchat sub', then publish
  zmqchat replay chat.log --to '*:5555' --speed 0
                                           without pauses

Topic and text are published, with --name as the sender. Further frames of
messages from other programs are not published."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "replay",
        run,
        summary="print or publish a transcript again",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", help="Read this transcript, text or jsonl.")
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="X",
        help="Multiply the speed by X; 0 makes no pauses (default: 1).",
    )
    parser.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="Also read the older files FILE.1, FILE.2, ... (default: FILE only).",
    )
    add_color(parser)
    to = parser.add_argument_group("publishing")
    to.add_argument(
        "--to",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="Bind this address, such as *:5555, and publish there (repeatable; default: print).",
    )
    to.add_argument(
        "--connect",
        action="append",
        default=[],
        metavar="ADDRESS",
        help="Connect to a bound subscriber or a relay instead (repeatable; default: none).",
    )
    to.add_argument("--name", help="Name the publisher and number its messages (default: none).")
    to.add_argument(
        "--framing",
        choices=("plain", "envelope"),
        default="plain",
        help="Choose the frames: plain is 'topic:text'; envelope has the topic in a frame of its "
        "own (default: plain).",
    )
    to.add_argument(
        "--wait",
        type=whole_number,
        metavar="N",
        help="First wait for N subscribers (default: up to 2 seconds for the first one).",
    )
    to.add_argument(
        "-W",
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="Limit the time of --wait; after it, end with exit code 3 (default: no limit).",
    )


def run(arguments: Namespace) -> int:
    """Print or publish the whole transcript."""
    if arguments.to or arguments.connect:
        return _publish(arguments)
    if arguments.name or arguments.wait:
        raise UsageError("--name and --wait are for publishing: add --to '*:5555'")
    sink = Lines(color=arguments.color, timestamps="time")

    def show(message: Message) -> None:
        sink.show(message)
        if arguments.speed:
            sink.flush()

    _play(arguments, show)
    sink.flush()
    return 0


def _publish(arguments: Namespace) -> int:
    if arguments.timeout is not None and not arguments.wait:
        raise UsageError("-W limits --wait: give a number of subscribers, as in --wait 1 -W 10")
    changes = SubscriptionChanges()
    with as_usage():
        publisher = Publisher(
            arguments.to or None,
            connect=arguments.connect,
            name=arguments.name,
            framing=arguments.framing,
            on_full="block",
            on_event=changes,
        )
    receivers = DeliveryCheck(publisher, changes, framing=arguments.framing)
    shortened = 0

    def send(message: Message) -> None:
        nonlocal shortened
        missing = ""
        if arguments.wait != 0:
            missing = receivers.missing(message.data, message.topic)
        publisher.send(message.data, topic=message.topic)
        if missing:
            output.notice(missing)
        shortened += _has_more(message)

    with publisher:
        if output.has_system_port(arguments.to) or output.is_terminal(sys.stderr):
            for address in publisher.addresses:
                output.notice(f"Subscribe with:  zmqchat sub {address}")
            output.notice_port_forwarding(publisher.addresses)
        _wait(publisher, arguments)
        _play(arguments, send)
        publisher.close(linger=_LINGER)
    if shortened:
        output.print_error(f"{shortened} messages had further frames, which were not published")
    return 0


def _wait(publisher: Publisher, arguments: Namespace) -> None:
    if arguments.wait is not None:
        publisher.wait_for_subscribers(arguments.wait, timeout=arguments.timeout)
        return
    with suppress(TimeoutError):
        publisher.wait_for_subscribers(1, timeout=_GRACE)


def _has_more(message: Message) -> bool:
    """Whether a message of another program has frames besides topic and payload."""
    frames = message.frames
    if message.sender is not None or len(frames) == 1:
        return False
    return frames[-1] != message.data or (message.topic is None and frames[0] != b"")


def _play(arguments: Namespace, out: Callable[[Message], None]) -> None:
    """Pass each message to `out` at its time."""
    began, elapsed, before = monotonic(), 0.0, None
    with read_transcript(arguments.file, rotated=arguments.all) as reader:
        for message in reader:
            if message._is_presence:  # noqa: SLF001
                continue  # presence of a chat, in the log of a relay
            now = message.received_at
            # No pause if the clock was set back.
            if before is not None and now > before:
                elapsed += (now - before).total_seconds()
            before = now
            if arguments.speed:
                output.wait_until(began + elapsed / arguments.speed)
            out(message)
    check_readable(arguments.file, reader)


def _speed(text: str) -> float:
    try:
        return seconds(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(
            f"invalid speed '{text}': expected 1, 10, 0.5, or 0 for no pauses"
        ) from None
