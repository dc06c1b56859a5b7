"""One side of one run, in a process of its own: `python -m benches.worker '{"do": …}'`.

It prints one line of JSON when it is ready, does its job when a line comes on stdin, prints one
line with the result, and ends with the next line. A peer that is no Python library provides a
program with these manners; the jobs and their lines are in README.md.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import TYPE_CHECKING, Callable, cast

from .jobs import calls, growth, latency, memory, relay, say, stream

if TYPE_CHECKING:
    from .peers import Job, PeerModule


def versions(peer: PeerModule, job: Job) -> None:
    """Tells the peer's versions."""
    del job
    say(versions=peer.versions())


JOBS: dict[str, Callable[[PeerModule, Job], None]] = {
    job.__name__: job
    for job in (
        stream.publish,
        stream.subscribe,
        stream.together,
        latency.ping,
        latency.pong,
        calls.send,
        calls.receive,
        calls.look,
        calls.show,
        calls.keep,
        memory.stand,
        memory.attend,
        growth.backlog,
        growth.flow,
        relay.relay,
        versions,
    )
}


def main() -> None:
    """Does the job of the command line."""
    job: Job = json.loads(sys.argv[1])
    peer = importlib.import_module(f".peers.{job['peer']}", __package__)
    JOBS[job["do"]](cast("PeerModule", peer), job)


if __name__ == "__main__":
    main()
