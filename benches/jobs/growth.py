"""The cost of a long queue and of a long stream."""

from __future__ import annotations

import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING

from . import payloads, read_line, write_line
from .memory import resident_mib

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule

MIB = 1024 * 1024


def backlog(peer: PeerModule, job: Job) -> None:
    """Queues and receives messages in one thread: bytes and nanoseconds per message."""
    message, end = payloads(job)
    sender = peer.sending(job)
    receiver = peer.receiving({**job, "endpoint": sender.endpoint})
    sender.wait_for_subscribers(1)
    write_line(ready=True)
    read_line()
    count = job["count"]
    before = resident_mib()
    for _ in repeat(None, count):
        sender.send(message)
    sender.send(end)
    grown = resident_mib() - before
    began = time.perf_counter()
    for _ in repeat(None, count):
        receiver.receive()
    seconds = time.perf_counter() - began
    if receiver.receive() != end:
        raise RuntimeError("received another message instead of the end mark")
    write_line(ns=seconds / count * 1e9, bytes=max(0.0, grown) * MIB / count)
    read_line()
    receiver.close()
    sender.close()


def long_stream(peer: PeerModule, job: Job) -> None:
    """Streams over TCP for `seconds` without loss; samples the memory each second."""
    # Imported here because the processes of other libraries also load this file.
    from zmqchat_rs import ClosedError, Publisher, Subscriber  # noqa: PLC0415

    del peer
    message, _ = payloads(job)
    with Publisher(job["endpoint"], on_full="block") as publisher:
        subscriber = Subscriber(publisher.endpoint or "")
        publisher.wait_for_subscribers(1, timeout=30)
        ended = threading.Event()

        def send_until_stopped() -> None:
            send, stopped = publisher.send, ended.is_set
            try:
                while not stopped():
                    send(message)
            except ClosedError:
                pass

        write_line(ready=True)
        read_line()
        sender_thread = threading.Thread(target=send_until_stopped, daemon=True)
        sender_thread.start()
        samples: list[float] = []
        count, began = 0, time.monotonic()
        while len(samples) < job["seconds"]:
            count += len(subscriber.recv_many(timeout=30))
            if time.monotonic() - began >= len(samples) + 1:
                samples.append(resident_mib())
        ended.set()
        publisher.close(linger=0)
        sender_thread.join()
        subscriber.close()
    write_line(mib=samples, count=count)
    read_line()
