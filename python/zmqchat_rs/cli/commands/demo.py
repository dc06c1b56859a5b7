"""``zmqchat demo``: a publisher and two subscribers, in one window."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from time import sleep
from typing import TYPE_CHECKING

from zmqchat_rs._core import Publisher, Subscriber, ZmqChatError, local_addresses, paint
from zmqchat_rs.cli import output
from zmqchat_rs.cli.options import add_color, add_command
from zmqchat_rs.display.terminal import wants_color

if TYPE_CHECKING:
    from argparse import Namespace

    from zmqchat_rs.cli.options import Commands

_DESCRIPTION = """\
Run a publisher and two subscribers in this window, over TCP on 127.0.0.1 with a
free port. At the end, print what to try next."""

_EXAMPLES = """\
example:
  zmqchat demo"""

_PUBLISHER_NAME = "alice"
_TOPICS = {"ben": ["room1"], "chloe": ["room1", "room2"]}
_SCRIPT = [
    ("room1", "Hello everyone!"),
    ("room2", "Only room2 receives this."),
    ("room1", "A name always has the same colour."),
    ("room2", "So does a topic."),
]
# Seconds between two messages, and the longest wait for a message.
_PACE = 0.3
_TIMEOUT = 20.0


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "demo",
        run,
        summary="see it work, in this window only",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add_color(parser)


def run(arguments: Namespace) -> int:
    """Send the messages, and check that each subscriber receives exactly its own."""
    color = sys.stdout is not None and wants_color(sys.stdout, arguments.color)
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher("127.0.0.1:0", name=_PUBLISHER_NAME))
        subscribers = {
            name: stack.enter_context(Subscriber(publisher.addresses, topics=rooms))
            for name, rooms in _TOPICS.items()
        }
        output.print_line(
            f"A publisher at {publisher.addresses[0]}, over TCP, and two subscribers:", indent=0
        )
        for name, rooms in _TOPICS.items():
            output.print_line(
                f"  {_name(name, color=color)} subscribes to {' and '.join(rooms)}", indent=4
            )
        for room in ("room1", "room2"):
            count = sum(room in rooms for rooms in _TOPICS.values())
            publisher.wait_for_subscribers(count, topic=room, timeout=_TIMEOUT)
        output.print_line("Both are connected, so no message is lost:", indent=0)
        output.print_line()
        for room, text in _SCRIPT:
            sleep(_PACE)
            publisher.send(text, topic=room)
            for name, rooms in _TOPICS.items():
                if room in rooms:
                    message = subscribers[name].recv(timeout=_TIMEOUT)
                    line = message.render(color=color)
                    output.print_line(f"{_name(name, color=color)} receives  {line}", indent=4)
        for name, subscriber in subscribers.items():
            _check_no_message(name, subscriber)
    output.print_line()
    _print_next_steps(color=color)
    return 0


def _name(name: str, *, color: bool) -> str:
    padding = " " * (max(map(len, _TOPICS)) - len(name))
    return (paint(name, key=name) if color else name) + padding


def _check_no_message(name: str, subscriber: Subscriber) -> None:
    try:
        message = subscriber.recv(timeout=0)
    except TimeoutError:
        return
    raise ZmqChatError(f"{name} received a message of a topic that is not subscribed to: {message}")


def _print_next_steps(*, color: bool) -> None:
    title = "Now you, in two windows:"
    output.print_line(paint(title, style="bold") if color else title)
    output.print_line("  zmqchat pub                  type  room1:Hello  and press Enter")
    output.print_line("  zmqchat sub                  prints it; with  -t room1  only that topic")
    addresses = [each["address"] for each in local_addresses() if each["kind"] == "lan"]
    if addresses:
        title = "On another laptop of the same network, to receive the messages of this one:"
        output.print_line(paint(title, style="bold") if color else title)
        output.print_line(f"  zmqchat sub {addresses[0]}")
