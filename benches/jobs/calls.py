"""What one call costs, in one process."""

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

from . import payloads, say, wait_for_word

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule, Receiving, Sending

# How often a job repeats its batch; the median counts.
BATCHES = 9


def send(peer: PeerModule, job: Job) -> None:
    """Times the sending of messages that nobody hears."""
    message, _ = payloads(job)
    sender = peer.sending(job)
    call = sender.send

    def batch() -> float:
        began = time.perf_counter()
        for _ in repeat(None, job["count"]):
            call(message)
        return time.perf_counter() - began

    _measure(batch, job["count"], sender)


def look(peer: PeerModule, job: Job) -> None:
    """Times looking for a message where none is; the exception is part of it."""
    sender, receiver = _pair(peer, job)
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

    _measure(batch, job["count"], sender, receiver)


def receive(peer: PeerModule, job: Job) -> None:
    """Times the receiving of messages that are queued; the end mark must come right after them."""
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
            raise RuntimeError("the end mark was not where it belongs")
        return seconds

    _measure(batch, job["count"], sender, receiver)


def show(peer: PeerModule, job: Job) -> None:
    """Times the printing of messages that are queued, into what the job says."""
    message, end = payloads(job)
    sender, receiver = _pair(peer, job)

    with _opened(job.get("into")) as stream, contextlib.redirect_stdout(stream):

        def batch() -> float:
            for _ in repeat(None, job["count"]):
                sender.send(message)
            sender.send(end)
            began = time.perf_counter()
            receiver.show(job["count"])
            stream.flush()
            seconds = time.perf_counter() - began
            if receiver.receive() != end:
                raise RuntimeError("the end mark was not where it belongs")
            return seconds

        _measure(batch, job["count"], sender, receiver)


@contextlib.contextmanager
def _opened(into: str | None) -> Iterator[IO[str]]:
    """A file, a pipe to a program that throws it away, or what throws it away at once."""
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


def keep(peer: PeerModule, job: Job) -> None:
    """Times the writing of messages that have come to a log that survives the program."""
    message, _ = payloads(job)
    sender, receiver = _pair(peer, job)
    messages: list[Any] = []
    while len(messages) < job["count"]:
        for _ in range(256):
            sender.send(message)
        more = 0
        while more < 256:
            came = receiver.receive_many()
            messages += came
            more += len(came)
    del messages[job["count"] :]
    with TemporaryDirectory() as folder, receiver.keeping(Path(folder, "log")) as write:

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
    """Keeps the manners of a run around a measurement; a batch gives the seconds of its calls."""
    say(ready=True)
    wait_for_word()
    batch()
    seconds = statistics.median(batch() for _ in range(BATCHES))
    say(ns=seconds / calls * 1e9)
    wait_for_word()
    for side in sides:
        side.close()
