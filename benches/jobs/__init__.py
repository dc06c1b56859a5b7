"""The jobs that a process of a run can do; README.md describes their lines of JSON."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benches.peers import Job, Payload

# The harness reads this, even while a job redirects the standard output.
_HARNESS_OUTPUT = sys.stdout


def write_line(**fields: object) -> None:
    """Writes a line of JSON for the harness."""
    _HARNESS_OUTPUT.write(json.dumps(fields) + "\n")
    _HARNESS_OUTPUT.flush()


def read_line() -> str:
    """Returns the next line from the harness; exits if the harness has ended."""
    line = sys.stdin.readline()
    if not line:
        sys.exit(1)
    return line.strip()


def payloads(job: Job) -> tuple[Any, Any]:
    """A message, and an end mark of the same size and kind."""
    message: Payload = "x" * job["size"]
    end: Payload = "." * job["size"]
    if job["kind"] in {"asyncio", "bytes", "views"}:
        message, end = message.encode(), end.encode()
    return message, end
