"""The cost of one call, in one process."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import time
from itertools import repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Any, Callable, Iterator

from . import payloads, read_line, write_line

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule, Receiving, Sending

# How often a job repeats its batch; the result is the median.
BATCHES = 9


def send(peer: PeerModule, job: Job) -> None:
    """Times sending messages without a subscriber."""
    message, _ = payloads(job)
    sender = peer.sending(job)
    call = sender.send

    def batch() -> float:
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            call(message)
        return time.perf_counter() - began

    _measure(batch, job["count"], sender)


def receive_empty(peer: PeerModule, job: Job) -> None:
    """Times a non-blocking receive from an empty queue, including the exception."""
    sender, receiver = _pair(peer, job)
    call, empty_error = receiver.receive_nowait, receiver.empty_error

    def batch() -> float:
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            try:
                call()
            except empty_error:
                continue
            raise RuntimeError("received a message although none was sent")
        return time.perf_counter() - began

    _measure(batch, job["count"], sender, receiver)


def receive(peer: PeerModule, job: Job) -> None:
    """Times receiving queued messages; the end mark must follow them directly."""
    message, end = payloads(job)
    sender, receiver = _pair(peer, job)
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
            raise RuntimeError("received another message instead of the end mark")
        return seconds

    _measure(batch, job["count"], sender, receiver)


def print_lines(peer: PeerModule, job: Job) -> None:
    """Times printing queued messages into the target that the job names."""
    message, end = payloads(job)
    sender, receiver = _pair(peer, job)

    with _opened(job.get("into")) as stream, contextlib.redirect_stdout(stream):

        def batch() -> float:
            for _ in repeat(None, job["count"]):
                sender.send(message)
            sender.send(end)
            began = time.perf_counter()
            receiver.print_lines(job["count"])
            stream.flush()
            seconds = time.perf_counter() - began
            if receiver.receive() != end:
                raise RuntimeError("received another message instead of the end mark")
            return seconds

        _measure(batch, job["count"], sender, receiver)


@contextlib.contextmanager
def _opened(into: str | None) -> Iterator[IO[str]]:
    """A file, a pipe to a program that discards its input, or the null device."""
    if into == "pipe":
        with subprocess.Popen(
            ["cat"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, encoding="utf-8"
        ) as reader:
            assert reader.stdin is not None
            yield reader.stdin
    elif into == "file":
        with TemporaryDirectory() as folder, Path(folder, "lines").open(
            "w", encoding="utf-8"
        ) as stream:
            yield stream
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as stream:
            yield stream


def write_transcript(peer: PeerModule, job: Job) -> None:
    """Times writing received messages to a transcript that survives the death of the program."""
    message, _ = payloads(job)
    sender, receiver = _pair(peer, job)
    messages: list[Any] = []
    while len(messages) < job["count"]:
        for _ in range(256):
            sender.send(message)
        more = 0
        while more < 256:
            batch_received = receiver.receive_many()
            messages += batch_received
            more += len(batch_received)
    del messages[job["count"] :]
    with TemporaryDirectory() as folder, receiver.open_transcript(Path(folder, "log")) as write:

        def batch() -> float:
            began = time.perf_counter()
            write(messages)
            return time.perf_counter() - began

        _measure(batch, job["count"], sender, receiver)


def _pair(peer: PeerModule, job: Job) -> tuple[Sending, Receiving]:
    sender = peer.sending(job)
    receiver = peer.receiving({**job, "endpoint": sender.endpoint})
    sender.wait_for_subscribers(1)
    return sender, receiver


def _measure(batch: Callable[[], float], calls: int, *sides: Sending | Receiving) -> None:
    """Follows the protocol of a run and measures; a batch returns the seconds of its calls."""
    write_line(ready=True)
    read_line()
    batch()
    seconds = statistics.median(batch() for _ in range(BATCHES))
    write_line(ns=seconds / calls * 1e9)
    read_line()
    for side in sides:
        side.close()
