"""One side of one run, in a process of its own: `python -m benches.worker '{"do": …}'`.

It prints one line of JSON when it is ready, does its job when a line comes on stdin, prints one
line with the result, and ends with the next line. A peer that is no Python library provides a
program with these manners; the jobs and their lines are in README.md.
"""

from __future__ import annotations

import importlib
import json
import statistics
import sys
import time
from collections import deque
from itertools import repeat
from typing import TYPE_CHECKING, Any, Callable, cast

if TYPE_CHECKING:
    from .peers import Payload, PeerModule, Receiving, Sending

# How often a job in one process repeats its batch; the median counts.
BATCHES = 9


def say(**words: object) -> None:
    """Prints a line for the harness."""
    print(json.dumps(words), flush=True)


def wait_for_word() -> None:
    """Returns with the harness's next line; ends with the harness."""
    if not sys.stdin.readline():
        sys.exit(1)


def payloads(job: dict[str, Any]) -> list[Payload]:
    """A message, and an end mark of the same size and kind."""
    message, end = "x" * job["size"], "." * job["size"]
    return [message, end] if job["kind"] == "text" else [message.encode(), end.encode()]


def publish(peer: PeerModule, job: dict[str, Any]) -> None:
    """Sends `count` messages and the end mark, once a subscriber is there."""
    message, end = payloads(job)
    sender = peer.sending(job["kind"], job["endpoint"])
    say(endpoint=sender.endpoint)
    wait_for_word()
    sender.wait_for_subscriber()
    send = sender.send
    began = time.perf_counter()
    for _ in repeat(None, job["count"]):
        send(message)
    send(end)
    say(seconds=time.perf_counter() - began)
    wait_for_word()
    sender.close()


def subscribe(peer: PeerModule, job: dict[str, Any]) -> None:
    """Counts messages up to the end mark; the clock runs from the first of them to the mark."""
    message, end = payloads(job)
    receiver = peer.receiving(job["kind"], job["endpoint"])
    say(ready=True)
    wait_for_word()
    intact = receiver.receive() == message
    began = time.perf_counter()
    # The least that one call a message can cost in Python: `iter` calls, compares, and stops at
    # the mark; of the numbered messages `deque` keeps the last.
    last = deque(enumerate(iter(receiver.receive, end), 2), maxlen=1)
    seconds = time.perf_counter() - began
    say(count=last[0][0] if last else 1, seconds=seconds, intact=intact)
    wait_for_word()
    receiver.close()


def median_ns(batch: Callable[[], float], calls: int) -> float:
    """Nanoseconds a call; a batch gives the seconds of `calls` calls."""
    batch()
    return statistics.median(batch() for _ in range(BATCHES)) / calls * 1e9


def send(peer: PeerModule, job: dict[str, Any]) -> None:
    """Times the sending of messages that nobody hears."""
    message, _ = payloads(job)
    sender = peer.sending(job["kind"], job["endpoint"])
    call = sender.send

    def batch() -> float:
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            call(message)
        return time.perf_counter() - began

    in_one_process(lambda: median_ns(batch, job["count"]), sender)


def look(peer: PeerModule, job: dict[str, Any]) -> None:
    """Times looking for a message where none is; the exception is part of it."""
    sender = peer.sending(job["kind"], job["endpoint"])
    receiver = peer.receiving(job["kind"], sender.endpoint)
    sender.wait_for_subscriber()
    call, nothing_there = receiver.look, receiver.nothing_there

    def batch() -> float:
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            try:
                call()
            except nothing_there:
                continue
            raise RuntimeError("a message came where none was sent")
        return time.perf_counter() - began

    in_one_process(lambda: median_ns(batch, job["count"]), sender, receiver)


def receive(peer: PeerModule, job: dict[str, Any]) -> None:
    """Times the receiving of messages that are queued; the end mark must come right after them."""
    message, end = payloads(job)
    sender = peer.sending(job["kind"], job["endpoint"])
    receiver = peer.receiving(job["kind"], sender.endpoint)
    sender.wait_for_subscriber()
    call = receiver.receive

    def batch() -> float:
        for _ in repeat(None, job["count"]):
            sender.send(message)
        sender.send(end)
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            call()
        seconds = time.perf_counter() - began
        if call() != end:
            raise RuntimeError("the end mark was not where it belongs")
        return seconds

    in_one_process(lambda: median_ns(batch, job["count"]), sender, receiver)


def in_one_process(measure: Callable[[], float], *sides: Sending | Receiving) -> None:
    """Keeps the manners of a run around a measurement."""
    say(ready=True)
    wait_for_word()
    say(ns=measure())
    wait_for_word()
    for side in sides:
        side.close()


def versions(peer: PeerModule, job: dict[str, Any]) -> None:
    """Tells the peer's versions."""
    del job
    say(versions=peer.versions())


JOBS: dict[str, Callable[[PeerModule, dict[str, Any]], None]] = {
    job.__name__: job for job in (publish, subscribe, send, look, receive, versions)
}


def main() -> None:
    """Does the job of the command line."""
    job = json.loads(sys.argv[1])
    peer = importlib.import_module(f".peers.{job['peer']}", __package__)
    JOBS[job["do"]](cast("PeerModule", peer), job)


if __name__ == "__main__":
    main()
