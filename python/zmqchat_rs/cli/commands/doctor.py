"""``zmqchat doctor``: find out why no message arrives."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from zmqchat_rs.cli import output
from zmqchat_rs.cli.options import add_color, add_command, as_usage, seconds
from zmqchat_rs.display.terminal import wants_color

if TYPE_CHECKING:
    from argparse import Namespace

    from zmqchat_rs.cli.options import Commands

_DESCRIPTION = """\
Find out why no message arrives. Checks of this laptop: versions, environment,
network, and whether the port is free for a publisher. Checks of the publisher
at HOST: name, TCP (refused, filtered or unreachable), ZeroMQ, security, socket
type, subscription, round trip.

Each check has a line: ok, warning or failed, the result, and what to do. The
default port is 5555; add another one, as in 192.168.1.12:6000. The publisher
sees a subscriber that connects and disconnects."""

_EXAMPLES = """\
examples:
  zmqchat doctor                          this laptop
  zmqchat doctor 192.168.1.12             this laptop and that publisher
  zmqchat doctor 192.168.1.12 --json | jq .ok

exit codes:
  0 nothing failed, 1 something failed"""

# Green, yellow and red of the terminal.
_COLORS = {"ok": "32", "warning": "33", "failed": "1;31"}


def add_to(commands: Commands) -> None:
    """Declare the command."""
    parser = add_command(
        commands,
        "doctor",
        run,
        summary="find out why no message arrives",
        description=_DESCRIPTION,
        examples=_EXAMPLES,
    )
    parser.add_argument(
        "host", nargs="?", metavar="HOST[:PORT]", help="Also check this publisher (default: none)."
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=4.0,
        metavar="SECONDS",
        help="Limit the time for the check of the publisher (default: 4).",
    )
    parser.add_argument("--json", action="store_true", help="Print the report as one JSON object.")
    add_color(parser)


def run(arguments: Namespace) -> int:
    """Print the report."""
    from zmqchat_rs.diagnostics.doctor import DETAIL_COLUMN, doctor  # noqa: PLC0415 - the other commands start sooner

    with as_usage():
        report = doctor(arguments.host, timeout=arguments.timeout)
    if arguments.json:
        # json.dumps does not escape DEL.
        output.print_line(json.dumps(report.to_dict()).replace("\x7f", "\\u007f"))
    else:
        color = sys.stdout is not None and wants_color(sys.stdout, arguments.color)
        for check in report.checks:
            line = str(check)
            if color:
                word = check.status
                line = f"\x1b[{_COLORS[word]}m{word}\x1b[0m{line[len(word) :]}"
            output.print_line(line, indent=DETAIL_COLUMN)
    return 0 if report.ok else 1
