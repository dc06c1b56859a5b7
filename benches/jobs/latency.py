"""Latency: round trips of a message between two processes, over two connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import payloads, read_line, write_line

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def ping(peer: PeerModule, job: Job) -> None:
    """Sends, waits for the answer, and reports half of each round trip in microseconds."""
    message, end = payloads(job)
    there = peer.sending({**job, "direction": "there"})
    back = peer.receiving({**job, "direction": "back", "endpoint": job["back"]})
    write_line(endpoint=there.endpoint)
    read_line()
    there.wait_for_subscribers(1)
    send, receive, clock = there.send, back.receive, time.perf_counter
    # The other side sends first, once its subscriber is connected.
    receive()
    count = job["count"]
    times: list[float] = []
    for _ in range(count + count // 10):
        began = clock()
        send(message)
        answer = receive()
        ended = clock()
        if answer != message:
            raise RuntimeError("the returned message differs from the sent one")
        times.append(ended - began)
    send(end)
    # The first tenth is warm-up.
    write_line(us=[seconds / 2 * 1e6 for seconds in times[-count:]])
    read_line()
    there.close()
    back.close()


def pong(peer: PeerModule, job: Job) -> None:
    """Sends each received message back, up to the end mark."""
    message, end = payloads(job)
    back = peer.sending({**job, "direction": "back"})
    write_line(endpoint=back.endpoint)
    there = peer.receiving({**job, "direction": "there", "endpoint": read_line()})
    back.wait_for_subscribers(1)
    back.send(message)
    send = back.send
    for received in iter(there.receive, end):
        send(received)
    write_line(ready=True)
    read_line()
    there.close()
    back.close()
