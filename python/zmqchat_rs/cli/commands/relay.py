"""``zmqchat relay``: forward messages of all publishers to all subscribers."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs._core import Relay, parse_address
from zmqchat_rs.cli import output
from zmqchat_rs.cli.notices import RelayNotices
from zmqchat_rs.cli.options import add_color, add_command, as_usage, whole_number

if TYPE_CHECKING:
    from argparse import Namespace

    from zmqchat_rs.cli.options import Commands

_FRONTEND, _BACKEND = "*:5556", "*:5555"
# Each connection needs a file descriptor.
_DESCRIPTORS = 65_536
# Seconds that the final counts wait for a slow disk.
_LOG_TIMEOUT = 1.0

_DESCRIPTION = """\
Forward the messages of all publishers to all subscribers, until Ctrl+C.

Publishers connect to the frontend, subscribers to the backend; the commands for
both are printed at the start. After a restart of the relay all of them
reconnect. Messages sent meanwhile are lost."""

_EXAMPLES = """\
examples:
  zmqchat relay                          publishers: 5556, subscribers: 5555
  zmqchat relay --log class.log          also to a file; see zmqchat log
  zmqchat relay --last-value             late subscribers get the latest message
  zmqchat relay --connect 192.168.1.12   also messages of another relay
  zmqchat relay --frontend '*:7001' --backend '*:7000'
                                         other ports

On the other laptops, where this one is 192.168.1.10:
  zmqchat pub --connect 192.168.1.10:5556
  zmqchat sub 192.168.1.10"""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "relay",
        run,
        summary="forward messages of all publishers to all subscribers",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    where = parser.add_argument_group("where")
    where.add_argument(
        "--frontend",
        action="append",
        default=[],
        metavar="ADDR",
        help=f"Bind this address for publishers (repeatable; default: {_FRONTEND}).",
    )
    where.add_argument(
        "--backend",
        action="append",
        default=[],
        metavar="ADDR",
        help=f"Bind this address for subscribers (repeatable; default: {_BACKEND}).",
    )
    where.add_argument(
        "--connect",
        action="append",
        default=[],
        metavar="UPSTREAM",
        help="Also forward messages of this relay or publisher (repeatable; default: none).",
    )
    where.add_argument(
        "--publish-to",
        action="append",
        default=[],
        metavar="ADDR",
        help="Also forward to this frontend of another relay (repeatable; default: none). Messages "
        "circulate forever if that relay also forwards to this one.",
    )
    how = parser.add_argument_group("how")
    how.add_argument(
        "--on-full",
        choices=("drop", "block"),
        default="drop",
        help="Choose what happens if a subscriber is too slow: drop its messages, or block all "
        "publishers (default: drop).",
    )
    how.add_argument(
        "--last-value",
        type=whole_number,
        nargs="?",
        const=True,
        default=False,
        metavar="TOPICS",
        help="Send a late subscriber the latest message of its topic, for at most this number of "
        "topics (default: off; without a number 10000).",
    )
    how.add_argument(
        "--log",
        metavar="FILE",
        help="Also write all messages to this file, as JSON lines if it ends with .jsonl; see "
        "'zmqchat log' (default: no log).",
    )
    what = parser.add_argument_group("what to show")
    what.add_argument("--stats", action="store_true", help="Print the final counts to stderr.")
    what.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Report peers that connect and disconnect (default: on a terminal only).",
    )
    add_color(what)


def _raise_descriptor_limit() -> None:
    """Raise the limit of file descriptors, as far as the system allows it."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - Windows has none

        now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = _DESCRIPTORS if most == resource.RLIM_INFINITY else min(most, _DESCRIPTORS)
        if now != resource.RLIM_INFINITY and now < wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))


def run(arguments: Namespace) -> int:
    """Forward messages until Ctrl+C."""
    _raise_descriptor_limit()
    with as_usage():
        notices = RelayNotices(
            arguments.connect,
            arguments.publish_to,
            verbose=arguments.verbose,
        )
    with notices:
        with as_usage():
            relay = Relay(
                arguments.frontend or _FRONTEND,
                backend=arguments.backend or _BACKEND,
                connect=arguments.connect,
                publish_to=arguments.publish_to,
                on_full=arguments.on_full,
                capture=arguments.log,
                last_value_cache=arguments.last_value,
                on_event=notices,
            )
        with relay:
            return _forward(relay, arguments)


def _forward(relay: Relay, arguments: Namespace) -> int:
    try:
        _announce(relay, arguments)
        output.wait_until(None)
    except KeyboardInterrupt:
        output.end_prompt_line()
        return 128 + signal.SIGINT
    finally:
        if arguments.stats:
            _report(relay, logs=arguments.log is not None)
    return 0


def _announce(relay: Relay, arguments: Namespace) -> None:
    """Print the commands for publishers and subscribers, also without a terminal."""
    for address in relay.frontend_addresses:
        output.notice(f"Publish with:    zmqchat pub --connect {address}")
    for address in relay.backend_addresses:
        output.notice(f"Subscribe with:  zmqchat sub {_short(address)}")
    output.notice_port_forwarding([*relay.backend_addresses, *relay.frontend_addresses])
    if not (arguments.frontend or arguments.backend):
        for address in relay.backend_addresses:
            output.notice(f"Chat with:       zmqchat chat --via {_short(address)}")
    if arguments.connect:
        output.notice(f"Forwarding messages from {', '.join(arguments.connect)}.")
    if arguments.publish_to:
        output.notice(f"Forwarding messages to {', '.join(arguments.publish_to)}.")
    if output.is_terminal(sys.stderr):
        output.notice("Ctrl+C ends.")


def _short(address: str) -> str:
    """The address without the default port."""
    transport, host, port = parse_address(address)
    usual = transport == "tcp" and port == parse_address("x")[2] and ":" not in host
    return host if usual else address


def _report(relay: Relay, *, logs: bool) -> None:
    names = ["messages", "bytes", "overflows", "publishers", "subscribers"]
    if logs:
        names += ["captured", "capture_skipped"]
        _finish_log(relay)
    stats = relay.stats()
    words = ", ".join(f"{name.replace('_', ' ')} {getattr(stats, name)}" for name in names)
    output.notice(words)


def _finish_log(relay: Relay) -> None:
    """Stop the relay and wait until its log is complete, so that the counts agree."""
    relay.pause()
    clock, deadline = threading.Event(), monotonic() + _LOG_TIMEOUT
    while monotonic() < deadline:
        stats = relay.stats()
        if stats.captured + stats.capture_skipped >= stats.messages:
            break
        clock.wait(0.01)
