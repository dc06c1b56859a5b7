"""A named publisher of pyzmq, whose sequence numbers the test chooses."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any, Iterator

import zmq

from tests.helpers.raw_peers import pyzmq_socket
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from zmqchat_rs import Subscriber


def stamp(seq: object, topic: str | None = None, **changes: Any) -> bytes:
    """The stamp frame of a message."""
    keys = {"zmqchat": 1, "from": "alice", "id": "1", "topic": topic, "seq": seq, "sent_ns": 0}
    return json.dumps({**keys, **changes}).encode()


class StampingPublisher:
    """A pyzmq socket that sends stamped messages."""

    def __init__(self, sock: zmq.Socket[bytes], address: str) -> None:
        self._socket = sock
        self.address = address
        sock.rcvtimeo = int(TIMEOUT * 1000)

    def wait(self) -> None:
        """Wait for one subscription."""
        assert self._socket.recv().startswith(b"\x01")

    def send(self, *seqs: int, topic: str | None = None, **changes: Any) -> None:
        """Send messages with these sequence numbers."""
        first = b"Hello" if topic is None else f"{topic}:Hello".encode()
        for seq in seqs:
            self._socket.send_multipart([first, stamp(seq, topic, **changes)])

    def send_frames(self, *frames: bytes) -> None:
        self._socket.send_multipart(frames)


@contextlib.contextmanager
def stamping_publisher() -> Iterator[StampingPublisher]:
    """A stamping publisher that is bound to a free port."""
    with pyzmq_socket(zmq.XPUB) as (sock, address):
        yield StampingPublisher(sock, address)


def deliver(
    alice: StampingPublisher, subscriber: Subscriber, *seqs: int, **options: Any
) -> tuple[int, int]:
    """Send and receive these sequence numbers; return the lost and duplicate messages so far."""
    alice.send(*seqs, **options)
    for _ in seqs:
        subscriber.recv(timeout=TIMEOUT)
    stats = subscriber.stats()
    return stats.lost, stats.duplicates
