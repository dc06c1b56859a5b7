"""Latency: a message goes to another process and back, over two connections."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import payloads, say, wait_for_word

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def ping(peer: PeerModule, job: Job) -> None:
    """Sends, waits for the answer, and says half of each round trip's time in microseconds."""
    message, end = payloads(job)
    there = peer.sending({**job, "lane": "there"})
    back = peer.receiving({**job, "lane": "back", "endpoint": job["back"]})
    say(endpoint=there.endpoint)
    wait_for_word()
    there.wait_for_subscribers(1)
    send, receive, clock = there.send, back.receive, time.perf_counter
    # The first word is the other side's: it has its subscriber, too.
    receive()
    count = job["count"]
    times: list[float] = []
    for _ in range(count + count // 10):
        began = clock()
        send(message)
        answer = receive()
        ended = clock()
        if answer != message:
            raise RuntimeError("what came back is not what was sent")
        times.append(ended - began)
    send(end)
    # The first tenth is to warm up.
    say(us=[seconds / 2 * 1e6 for seconds in times[-count:]])
    wait_for_word()
    there.close()
    back.close()


def pong(peer: PeerModule, job: Job) -> None:
    """Sends back what comes, up to the end mark."""
    message, end = payloads(job)
    back = peer.sending({**job, "lane": "back"})
    say(endpoint=back.endpoint)
    there = peer.receiving({**job, "lane": "there", "endpoint": wait_for_word()})
    back.wait_for_subscribers(1)
    back.send(message)
    send = back.send
    for received in iter(there.receive, end):
        send(received)
    say(ready=True)
    wait_for_word()
    there.close()
    back.close()
