"""What a process of a run can do; README.md has the jobs and their lines."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benches.peers import Job, Payload

# The harness listens here, wherever a job lets the peer print.
_TO_HARNESS = sys.stdout


def say(**words: object) -> None:
    """Prints a line for the harness."""
    _TO_HARNESS.write(json.dumps(words) + "\n")
    _TO_HARNESS.flush()


def wait_for_word() -> str:
    """Returns the harness's next line; ends with the harness."""
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
