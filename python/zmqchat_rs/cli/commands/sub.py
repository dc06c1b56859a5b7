"""``zmqchat sub``: print received messages, one line each."""

from __future__ import annotations

import base64
import json
import os
import signal
import sys
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING

from zmqchat_rs._core import ClosedError, Subscriber, Transcript
from zmqchat_rs.cli import output
from zmqchat_rs.cli.notices import SubscriberNotices
from zmqchat_rs.cli.options import add_color, add_command, as_usage, seconds, whole_number
from zmqchat_rs.display.sinks import Lines, Logged, Sink, deliver

if TYPE_CHECKING:
    from argparse import Namespace
    from datetime import datetime

    from zmqchat_rs._core import Message
    from zmqchat_rs.cli.options import Commands

_DESCRIPTION = """\
Print the messages of publishers, one line each, until Ctrl+C.

HOST is the publisher's address (default: this laptop, 127.0.0.1). The default
port is 5555; add another one, as in 192.168.1.12:6000. With several HOSTs, the
messages of all of them are printed. Without -t and --prefix, all messages are."""

_EXAMPLES = """\
examples:
  zmqchat sub                          all messages of this laptop
  zmqchat sub 192.168.1.12 -t room1    room1 of another laptop
  zmqchat sub -t room1 -t room2        two rooms
  zmqchat sub --split-topics           all; 'room1:Hello' has the topic room1
  zmqchat sub --log chat.log           also to a file; see zmqchat log
  zmqchat sub -c 1 -W 10               one message; exit code 3 if none in 10 s
  zmqchat sub --json | jq .text        for scripts
  zmqchat sub --bind '*:6000'          for zmqchat pub --connect ..."""


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "sub",
        run,
        summary="print the messages of publishers",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "host",
        nargs="*",
        metavar="HOST[:PORT]",
        help="Connect to this publisher (default: 127.0.0.1).",
    )
    parser.add_argument(
        "--bind",
        action="append",
        default=[],
        metavar="ADDR",
        help="Bind this address for publishers that connect (repeatable; default: none).",
    )
    what = parser.add_argument_group("what to receive")
    what.add_argument(
        "-t",
        "--topic",
        action="append",
        default=[],
        help="Receive this exact topic (repeatable; default: all).",
    )
    what.add_argument(
        "--prefix",
        action="append",
        default=[],
        metavar="TEXT",
        help="Receive all messages that begin with this text (repeatable; default: all).",
    )
    what.add_argument(
        "--framing",
        choices=("plain", "envelope", "raw"),
        default="plain",
        help="Choose how to read frames: plain is 'topic:text'; envelope has the topic in a frame "
        "of its own; raw has no topic (default: plain).",
    )
    what.add_argument(
        "--split-topics",
        action="store_true",
        help="Use the text before the first ':' of a message as its topic, if it is a valid topic "
        "(default: only topics given with -t).",
    )
    end = parser.add_argument_group("when to end")
    end.add_argument(
        "-c",
        "--count",
        type=whole_number,
        metavar="N",
        help="Stop after N messages (default: never).",
    )
    end.add_argument(
        "-W",
        "--timeout",
        type=seconds,
        metavar="SECONDS",
        help="Stop after this time; with -c, end with exit code 3 if fewer than N messages arrived "
        "(default: never).",
    )
    how = parser.add_argument_group("how to print")
    how.add_argument(
        "--timestamps",
        choices=("none", "time", "iso", "delta"),
        default="time",
        help="Choose the time before a line: time of day, iso with date and zone, delta since the "
        "last line, or none (default: time).",
    )
    form = how.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="Print one JSON object per line.")
    form.add_argument(
        "--raw",
        action="store_true",
        help="Print the bytes of the first frame unchanged, and a newline.",
    )
    add_color(how)
    how.add_argument(
        "--log",
        metavar="FILE",
        help="Also write the messages to this file, as JSON lines if it ends with .jsonl; see "
        "'zmqchat log' (default: no log).",
    )
    how.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Report every connection (default: only lost and missing ones).",
    )
    how.add_argument(
        "--stats",
        action="store_true",
        help="Print the final counts to stderr.",
    )


def run(arguments: Namespace) -> int:
    """Print messages until the count, the timeout or Ctrl+C."""
    hosts = arguments.host
    if not hosts and not arguments.bind:
        hosts = ["127.0.0.1"]
    sink: Sink
    if arguments.json:
        sink = _Json()
    elif arguments.raw:
        sink = _Raw()
    else:
        sink = Lines(color=arguments.color, timestamps=arguments.timestamps)
    with as_usage():
        notices = SubscriberNotices(hosts, verbose=arguments.verbose)
    with notices, ExitStack() as opened:
        if arguments.log is not None:
            jsonl = arguments.log.endswith(".jsonl")
            with as_usage():
                log = Transcript(arguments.log, format="jsonl" if jsonl else "text")
            # `logging` does not print to stderr meanwhile.
            sink = Logged(sink, opened.enter_context(log), warn=output.print_error)
        with as_usage():
            subscriber = _open(hosts, arguments, notices)
        with subscriber:
            return _print(subscriber, sink, arguments, hosts)


def _open(hosts: list[str], arguments: Namespace, notices: SubscriberNotices) -> Subscriber:
    narrowed = bool(arguments.topic or arguments.prefix)
    return Subscriber(
        hosts,
        bind=arguments.bind,
        topics=arguments.topic if narrowed else None,
        prefixes=[os.fsencode(prefix) for prefix in arguments.prefix],
        framing=arguments.framing,
        split_topics=arguments.split_topics,
        on_event=notices,
    )


def _print(subscriber: Subscriber, sink: Sink, arguments: Namespace, hosts: list[str]) -> int:
    missed = None
    try:
        _announce(subscriber, arguments, hosts)
        output.on_closed_stdout(subscriber.close)
        deliver(subscriber, sink, count=arguments.count, timeout=arguments.timeout)
        if arguments.count is not None and sink.shown < arguments.count:
            missed = _why_fewer(subscriber, sink.shown, arguments)
    except ClosedError:
        return 0  # stdout was closed
    except KeyboardInterrupt:
        output.end_prompt_line()
        return 128 + signal.SIGINT
    finally:
        if arguments.stats:
            with suppress(ClosedError):
                _report(subscriber)
    if missed is not None:
        raise TimeoutError(missed)
    return 0


def _why_fewer(subscriber: Subscriber, shown: int, arguments: Namespace) -> str:
    """Return the number of received messages, and why it is lower than the count."""
    text = f"{shown} of {arguments.count} messages in {arguments.timeout:g} s"
    if shown and any(peer.state == "connected" for peer in subscriber.peers):
        return text
    return f"{text}: {subscriber._timeout_cause(arguments.timeout)}"  # noqa: SLF001


def _report(subscriber: Subscriber) -> None:
    stats = subscriber.stats()
    names = ("received", "bytes", "lost", "duplicates", "undecodable", "backlog")
    output.notice(", ".join(f"{name} {getattr(stats, name)}" for name in names))


def _announce(subscriber: Subscriber, arguments: Namespace, hosts: list[str]) -> None:
    """Print which messages are received; in a pipe, print only a port chosen by the system."""
    person = output.is_terminal(sys.stderr)
    if arguments.bind and (person or output.has_system_port(arguments.bind)):
        for address in subscriber.addresses:
            output.notice(f"Publish with:  zmqchat pub --connect {address}")
        output.notice_port_forwarding(subscriber.addresses)
    if person:
        prefixes = [f"prefix '{prefix}'" for prefix in arguments.prefix]
        what = ", ".join(arguments.topic + prefixes) or "all messages"
        where = f" from {', '.join(hosts)}" if hosts else ""
        output.notice(f"Receiving {what}{where}. Ctrl+C ends.")


class _Json(Sink):
    """One JSON object per line, in ASCII."""

    def show(self, message: Message) -> None:
        text = message.text
        fields: dict[str, str | int | None] = {
            "topic": message.topic,
            "text": text,
            "from": message.sender,
            "sequence": message.sequence,
            "received_at": _iso(message.received_at),
            "sent_at": _iso(message.sent_at),
        }
        if message.kind is not None:
            fields["kind"] = message.kind
        data = message.data
        if "\ufffd" in text and text.encode() != data:
            fields["data_base64"] = base64.b64encode(data).decode()
        # json.dumps does not escape DEL.
        line = json.dumps(fields).replace("\x7f", "\\u007f")
        # None if stdout was closed from the beginning (`>&-`).
        if sys.stdout is not None:
            sys.stdout.write(f"{line}\n")
        self.shown += 1


class _Raw(Sink):
    """The bytes of the first frame, and a newline."""

    def show(self, message: Message) -> None:
        if sys.stdout is not None:
            sys.stdout.buffer.write(message.raw)
            sys.stdout.buffer.write(b"\n")
        self.shown += 1


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
