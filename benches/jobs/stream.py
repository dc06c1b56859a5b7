"""Throughput: a stream of messages, counted up to its end mark."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any, Callable

from benches.peers import not_offered, topics

from . import payloads, read_line, write_line

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule, Receiving, Sending

# Messages per call of `send_many`.
BATCH = 256


@dataclass(frozen=True)
class Received:
    """The messages of one subscriber, and the times of the first message and the end mark."""

    count: int
    intact: bool
    began: float
    ended: float


def send_all(sender: Sending, job: Job) -> None:
    """Sends `count` messages and the end mark."""
    message, end = payloads(job)
    count = job["count"]
    send, send_many = sender.send, sender.send_many
    if sender.send_stream is not not_offered:
        sender.send_stream(message, count, end)
        return
    if job["kind"].startswith("batched") and send_many is not not_offered:
        whole, rest = divmod(count, BATCH)
        batch = [message] * BATCH
        for _ in repeat(None, whole):
            send_many(batch)
        send_many([message] * rest)
    else:
        for _ in repeat(None, count):
            send(message)
    send(end)


def receive_all(receiver: Receiving, job: Job) -> Received:
    """Counts up to the end mark; measures from the first message to the mark."""
    message, end = payloads(job)
    if receiver.receive_stream is not not_offered:
        first, count, began, ended = receiver.receive_stream(end)
        return Received(count, first == message, began, ended)
    if job["kind"] == "filtered":
        message, end = f"{topics.published(job)[0]}:{message}", f"{topics.LAST}:{end}"
    elif job["kind"].startswith("batched") and receiver.receive_many is not not_offered:
        every_text = job["kind"] == "batched, read"
        return _receive_batches(receiver.receive_many, message, end, every_text=every_text)
    intact = receiver.receive() == message
    began = time.perf_counter()
    # The cheapest loop in Python with one call per message: `iter` calls, compares and stops at the
    # mark; `deque` keeps the last numbered message.
    last = deque(enumerate(iter(receiver.receive, end), 2), maxlen=1)
    return Received(last[0][0] if last else 1, intact, began, time.perf_counter())


def _receive_batches(
    receive_many: Callable[[], Any], message: str, end: str, *, every_text: bool
) -> Received:
    batch = receive_many()
    began = time.perf_counter()
    intact = batch[0].text == message
    count = len(batch)
    if every_text:
        while [received.text for received in batch][-1] != end:
            batch = receive_many()
            count += len(batch)
    else:
        while batch[-1].text != end:
            batch = receive_many()
            count += len(batch)
    return Received(count - 1, intact, began, time.perf_counter())


def publish(peer: PeerModule, job: Job) -> None:
    """Sends once all subscribers have subscribed."""
    sender = peer.sending(job)
    write_line(endpoint=sender.endpoint)
    read_line()
    sender.wait_for_subscribers(job.get("subscribers", 1))
    began = time.perf_counter()
    send_all(sender, job)
    write_line(seconds=time.perf_counter() - began)
    read_line()
    sender.close()


def subscribe(peer: PeerModule, job: Job) -> None:
    """Receives; several subscribers have a thread each."""
    receivers = [peer.receiving(job) for _ in range(job.get("subscribers", 1))]
    write_line(ready=True)
    read_line()
    received: list[Received] = []
    if len(receivers) == 1:
        received.append(receive_all(receivers[0], job))
    else:
        threads = [
            threading.Thread(target=lambda one=one: received.append(receive_all(one, job)))
            for one in receivers
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    _report(received, min(one.began for one in received))
    read_line()
    for one in receivers:
        one.close()


def publish_and_subscribe(peer: PeerModule, job: Job) -> None:
    """Sends and receives in two threads of this process; measures from the first send."""
    sender = peer.sending(job)
    receiver = peer.receiving({**job, "endpoint": sender.endpoint})
    sender.wait_for_subscribers(1)
    write_line(ready=True)
    read_line()
    received: list[Received] = []
    reader = threading.Thread(target=lambda: received.append(receive_all(receiver, job)))
    reader.start()
    began = time.perf_counter()
    send_all(sender, job)
    reader.join()
    _report(received, began)
    read_line()
    receiver.close()
    sender.close()


def _report(received: list[Received], began: float) -> None:
    write_line(
        counts=[one.count for one in received],
        seconds=max(one.ended for one in received) - began,
        intact=all(one.intact for one in received),
    )
