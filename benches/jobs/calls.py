"""What one call costs, in one process."""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, Callable

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
    """Times the printing of messages that are queued, to a file that keeps nothing."""
    message, end = payloads(job)
    sender, receiver = _pair(peer, job)

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(
        nowhere
    ):

        def batch() -> float:
            for _ in repeat(None, job["count"]):
                sender.send(message)
            sender.send(end)
            began = time.perf_counter()
            receiver.show(job["count"])
            nowhere.flush()
            seconds = time.perf_counter() - began
            if receiver.receive() != end:
                raise RuntimeError("the end mark was not where it belongs")
            return seconds

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
