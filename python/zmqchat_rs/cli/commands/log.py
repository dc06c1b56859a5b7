"""``zmqchat log``: print messages of a transcript."""

from __future__ import annotations

import argparse
import re
import sys
from collections import deque
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from zmqchat_rs._core import read_transcript, transcript_line
from zmqchat_rs.cli import output
from zmqchat_rs.cli.options import add_color, add_command, as_usage, whole_number
from zmqchat_rs.display.sinks import Lines, Sink
from zmqchat_rs.display.terminal import write_line

if TYPE_CHECKING:
    from argparse import Namespace
    from typing import Iterator

    from zmqchat_rs._core import Message, TranscriptReader
    from zmqchat_rs.cli.options import Commands

_DESCRIPTION = """\
Print the messages of a transcript, the file that 'zmqchat sub --log FILE'
writes, one line each. A message must meet all conditions."""

_EXAMPLES = """\
examples:
  zmqchat log chat.log                     every message
  zmqchat log chat.log -t room1 --grep '(?i)deadline'
  zmqchat log chat.log --since 2h -n 20    the last 20 of two hours
  zmqchat log chat.log --since 9:00 --until 10:30
  zmqchat log chat.log -f                  also new messages
  zmqchat log chat.log --json | jq .text   for scripts"""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "log",
        run,
        summary="print messages of a transcript",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument("file", metavar="FILE", help="Read this transcript, text or jsonl.")
    what = parser.add_argument_group("what to print")
    what.add_argument(
        "--grep",
        type=_pattern,
        metavar="PATTERN",
        help="Print messages whose text matches this regular expression (default: all).",
    )
    what.add_argument(
        "-t",
        "--topic",
        action="append",
        default=[],
        help="Print messages of this exact topic, also those that were logged without a topic and "
        "begin with 'TOPIC:' (repeatable; default: all).",
    )
    what.add_argument(
        "--from",
        dest="sender",
        action="append",
        default=[],
        metavar="NAME",
        help="Print messages of this sender (repeatable; default: all).",
    )
    what.add_argument(
        "--since",
        type=_moment,
        metavar="TIME",
        help="Start at this time: 10m, 2h or 3d ago, 14:30 today, 2026-01-31 or 2026-01-31T14:30 "
        "(default: the first message).",
    )
    what.add_argument(
        "--until",
        type=_moment,
        metavar="TIME",
        help="Stop before this time (default: the last message).",
    )
    what.add_argument(
        "-n",
        "--last",
        type=whole_number,
        metavar="N",
        help="Print only the last N messages (default: all).",
    )
    what.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="Also read the older files FILE.1, FILE.2, ... (default: FILE only).",
    )
    what.add_argument(
        "-f",
        "--follow",
        action="store_true",
        help="Also print new messages, until Ctrl+C (default: stop at the end).",
    )
    how = parser.add_argument_group("how to print")
    how.add_argument(
        "--timestamps",
        choices=("none", "time", "iso", "delta"),
        default="iso",
        help="Choose the time before a line: time of day, iso with date and zone, delta since the "
        "last line, or none (default: iso).",
    )
    how.add_argument("--json", action="store_true", help="Print one JSON object per line.")
    add_color(how)


def run(arguments: Namespace) -> int:
    """Print the selected messages."""
    sink: Sink
    if arguments.json:
        sink = _Json()
    else:
        sink = Lines(color=arguments.color, timestamps=arguments.timestamps)
    with as_usage():
        reader = read_transcript(
            arguments.file,
            follow=arguments.follow,
            rotated=arguments.all,
            topics=arguments.topic or None,
        )
    with reader:
        output.on_closed_stdout(reader.close)

        def selected(message: Message) -> bool:
            return _is_selected(message, arguments)

        present: Iterator[Message] = filter(selected, _present(reader))
        # Without -n, each message is printed at once.
        if arguments.last is not None:
            present = iter(deque(present, maxlen=arguments.last))
        for message in present:
            sink.show(message)
        sink.flush()
        if arguments.follow:
            for message in reader:
                if selected(message):
                    sink.show(message)
                    sink.flush()
    check_readable(arguments.file, reader)
    return 0


def check_readable(path: str, reader: TranscriptReader) -> None:
    """Raise ValueError if no message of a file could be read; an empty file is not an error."""
    if reader.skipped and not reader._messages:  # noqa: SLF001
        raise ValueError(f"'{path}' contains no readable messages")


def _present(reader: TranscriptReader) -> Iterator[Message]:
    """Yield the messages that are in the file now."""
    while True:
        message = reader._next(timeout=0)  # noqa: SLF001
        if message is None:
            return
        yield message


def _is_selected(message: Message, arguments: Namespace) -> bool:
    if message._is_presence:  # noqa: SLF001
        return False  # presence of a chat, in the log of a relay
    if arguments.sender and message.sender not in arguments.sender:
        return False
    at = message.received_at
    if arguments.since is not None and at < arguments.since:
        return False
    if arguments.until is not None and at >= arguments.until:
        return False
    return arguments.grep is None or arguments.grep.search(message.text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise argparse.ArgumentTypeError(f"invalid pattern '{text}': {error}") from error


def _moment(text: str) -> datetime:
    """Parse a time: an age, a time of today, or a date."""
    now = datetime.now().astimezone()
    ago = re.fullmatch(r"(\d{1,6})([smhd])", text, re.ASCII)
    if ago:
        try:
            return now - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
        except OverflowError:
            raise argparse.ArgumentTypeError(
                f"invalid time '{text}': before the year 1; expected for example 3d"
            ) from None
    if re.fullmatch(r"\d{1,2}:\d\d(:\d\d)?", text, re.ASCII):
        text = f"{now:%Y-%m-%d}T{text:0>{8 if text.count(':') > 1 else 5}}"
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone()
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(
            f"invalid time '{text}': expected 10m, 2h, 3d, 14:30, 2026-01-31 or 2026-01-31T14:30"
        ) from None


class _Json(Sink):
    """Prints lines as in a transcript of the format jsonl."""

    def show(self, message: Message) -> None:
        if sys.stdout is not None:
            write_line(sys.stdout, transcript_line(message, format="jsonl"))
        self.shown += 1
