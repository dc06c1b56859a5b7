"""A process of one run: `python -m benches.worker '{"do": …}'`.

It prints one line of JSON when it is ready and starts its job when it reads a line from stdin.
It then prints one line with the result, and exits after the next line. A peer that is not a Python
library provides a program with the same protocol; README.md describes the jobs.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Callable, cast

from .jobs import calls, growth, latency, memory, relay, stream, write_line

if TYPE_CHECKING:
    from .peers import Job, PeerModule


def versions(peer: PeerModule, job: Job) -> None:
    """Reports the peer's versions."""
    del job
    write_line(versions=peer.versions())


JOBS: dict[str, Callable[[PeerModule, Job], None]] = {
    job.__name__: job
    for job in (
        stream.publish,
        stream.subscribe,
        stream.publish_and_subscribe,
        latency.ping,
        latency.pong,
        calls.send,
        calls.receive,
        calls.receive_empty,
        calls.print_lines,
        calls.write_transcript,
        memory.publisher_memory,
        memory.idle_subscribers,
        growth.backlog,
        growth.long_stream,
        relay.relay,
        versions,
    )
}


def main() -> None:
    """Run the job of the command line."""
    job: Job = json.loads(sys.argv[1])
    peer = importlib.import_module(f".peers.{job['peer']}", __package__)
    JOBS[job["do"]](cast("PeerModule", peer), job)


if __name__ == "__main__":
    main()
