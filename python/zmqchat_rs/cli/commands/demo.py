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
Show a publisher and two subscribers at work, in this window alone: over TCP on
127.0.0.1 with a free port. It ends by itself and prints what to try next."""

_EXAMPLES = """\
example:
  zmqchat demo"""

_SPEAKER = "alice"
_HEARERS = {"ben": ["room1"], "chloe": ["room1", "room2"]}
_SCRIPT = [
    ("room1", "Hello everyone!"),
    ("room2", "Only room2 hears this."),
    ("room1", "A name keeps its colour, everywhere."),
    ("room2", "And a topic does, too."),
]
# Seconds between two messages, so that a reader can follow; and the longest wait for a message.
_PACE = 0.3
_PATIENCE = 20.0


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "demo",
        run,
        summary="see it work, in this window alone",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    add_color(parser)


def run(arguments: Namespace) -> int:
    """Play the script, and check that each subscriber receives its messages and no others."""
    color = sys.stdout is not None and wants_color(sys.stdout, arguments.color)
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher("127.0.0.1:0", name=_SPEAKER))
        subscribers = {
            name: stack.enter_context(Subscriber(publisher.addresses, topics=rooms))
            for name, rooms in _HEARERS.items()
        }
        output.say(
            f"A publisher at {publisher.addresses[0]}, over TCP, and two subscribers:", indent=0
        )
        for name, rooms in _HEARERS.items():
            output.say(
                f"  {_name(name, color=color)} subscribes to {' and '.join(rooms)}", indent=4
            )
        for room in ("room1", "room2"):
            hearers = sum(room in rooms for rooms in _HEARERS.values())
            publisher.wait_for_subscribers(hearers, topic=room, timeout=_PATIENCE)
        output.say("Both are connected, so no message is lost:", indent=0)
        output.say()
        for room, text in _SCRIPT:
            sleep(_PACE)
            publisher.send(text, topic=room)
            for name, rooms in _HEARERS.items():
                if room in rooms:
                    message = subscribers[name].recv(timeout=_PATIENCE)
                    line = message.render(color=color)
                    output.say(f"{_name(name, color=color)} receives  {line}", indent=4)
        for name, subscriber in subscribers.items():
            _expect_silence(name, subscriber)
    output.say()
    _say_what_next(color=color)
    return 0


def _name(name: str, *, color: bool) -> str:
    padding = " " * (max(map(len, _HEARERS)) - len(name))
    return (paint(name, key=name) if color else name) + padding


def _expect_silence(name: str, subscriber: Subscriber) -> None:
    try:
        message = subscriber.recv(timeout=0)
    except TimeoutError:
        return
    raise ZmqChatError(f"{name} heard what was not meant for them: {message}")


def _say_what_next(*, color: bool) -> None:
    title = "Now you, in two windows:"
    output.say(paint(title, style="bold") if color else title)
    output.say("  zmqchat pub                  type  room1:Hello  and press Enter")
    output.say("  zmqchat sub                  prints it; with  -t room1  only that room")
    outward = [each["address"] for each in local_addresses() if each["kind"] == "lan"]
    if outward:
        title = "On another laptop of the same network, to read what this one publishes:"
        output.say(paint(title, style="bold") if color else title)
        output.say(f"  zmqchat sub {outward[0]}")
