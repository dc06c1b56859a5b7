"""What a queue costs that becomes long, and what a stream costs that does not end."""

from __future__ import annotations

import threading
import time
from itertools import repeat
from typing import TYPE_CHECKING

from . import payloads, say, wait_for_word
from .memory import resident_mib

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule

MIB = 1024 * 1024


def backlog(peer: PeerModule, job: Job) -> None:
    """Queues messages and takes them out again, all in one thread: bytes and nanoseconds each."""
    message, end = payloads(job)
    sender = peer.sending(job)
    receiver = peer.receiving({**job, "endpoint": sender.endpoint})
    sender.wait_for_subscribers(1)
    say(ready=True)
    wait_for_word()
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
        raise RuntimeError("the end mark was not where it belongs")
    say(ns=seconds / count * 1e9, bytes=max(0.0, grown) * MIB / count)
    wait_for_word()
    receiver.close()
    sender.close()


def flow(peer: PeerModule, job: Job) -> None:
    """Streams for so many `seconds` through TCP and loses nothing; the MiB of each second."""
    # Here, because the other libraries' processes load this file, too.
    from zmqchat_rs import ClosedError, Publisher, Subscriber  # noqa: PLC0415

    del peer
    message, _ = payloads(job)
    with Publisher(job["endpoint"], on_full="block") as publisher:
        subscriber = Subscriber(publisher.endpoint or "")
        publisher.wait_for_subscribers(1, timeout=30)
        ended = threading.Event()

        def speak() -> None:
            send, stopped = publisher.send, ended.is_set
            try:
                while not stopped():
                    send(message)
            except ClosedError:
                pass

        say(ready=True)
        wait_for_word()
        speaking = threading.Thread(target=speak, daemon=True)
        speaking.start()
        samples: list[float] = []
        count, began = 0, time.monotonic()
        while len(samples) < job["seconds"]:
            count += len(subscriber.recv_many(timeout=30))
            if time.monotonic() - began >= len(samples) + 1:
                samples.append(resident_mib())
        ended.set()
        publisher.close(linger=0)
        speaking.join()
        subscriber.close()
    say(mib=samples, count=count)
    wait_for_word()
