"""pyzmq as its documentation shows it: `send` and `recv`, or their `_string` variants."""

from __future__ import annotations

import contextlib
import functools
import threading
import time
from datetime import datetime
from itertools import repeat
from typing import TYPE_CHECKING, Any, Callable, Iterator

import zmq

from . import Receiving, Relaying, Sending, not_offered
from .topics import LAST, ONE, sequence, subscribed

if TYPE_CHECKING:
    from pathlib import Path

    from . import Job


def versions() -> dict[str, str]:
    """The versions of the package and of its libzmq."""
    return {"pyzmq": zmq.pyzmq_version(), "libzmq": zmq.zmq_version()}


class Sends:
    """The loops of a sending side, as a user of pyzmq writes them."""

    def __init__(self, socket: zmq.Socket[bytes], job: Job) -> None:
        self.socket, self.job = socket, job

    def with_topic(self, text: str, count: int, end: str) -> None:
        """Sends all messages with the same topic."""
        send = self.socket.send_string
        for _ in repeat(None, count):
            send(f"{ONE}:{text}")
        send(f"{ONE}:{end}")

    def with_topics_in_turn(self, text: str, count: int, end: str) -> None:
        """Sends each message with the next topic."""
        send = self.socket.send_string
        for topic in sequence(self.job, count):
            send(f"{topic}:{text}")
        send(f"{LAST}:{end}")

    def stamped(self, text: str, count: int, end: str) -> None:
        """Sends messages of two frames."""
        send, stamp = self.socket.send_multipart, b"s" * self.job["stamp"]
        for _ in repeat(None, count):
            send([text.encode(), stamp])
        send([end.encode(), stamp])


class Receives:
    """The loops of a receiving side."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket

    def with_topic(self, end: str) -> tuple[str, int, float, float]:
        """Splits each message into topic and text."""
        receive = self.socket.recv_string
        _, _, first = receive().partition(":")
        began = time.perf_counter()
        count = 1
        while True:
            _, _, text = receive().partition(":")
            if text == end:
                return first, count, began, time.perf_counter()
            count += 1

    def stamped(self, end: str) -> tuple[str, int, float, float]:
        """Receives messages of two frames."""
        receive = self.socket.recv_multipart
        first = receive()[0].decode()
        began = time.perf_counter()
        count = 1
        while True:
            text, _ = receive()
            if text.decode() == end:
                return first, count, began, time.perf_counter()
            count += 1

    def in_loop(self, end: bytes) -> tuple[bytes, int, float, float]:
        """Receives with the asyncio socket."""
        # Imported here to keep it out of the memory of other rows.
        import asyncio  # noqa: PLC0415

        import zmq.asyncio  # noqa: PLC0415

        async def read() -> tuple[bytes, int, float, float]:
            socket = zmq.asyncio.Socket.from_socket(self.socket)
            first: bytes = await socket.recv()
            began = time.perf_counter()
            count = 1
            while await socket.recv() != end:
                count += 1
            return first, count, began, time.perf_counter()

        return asyncio.run(read())

    def frame(self) -> memoryview:
        """Receives a frame without a copy."""
        return self.socket.recv(copy=False).buffer

    def print_lines(self, count: int) -> None:
        """Receives and prints messages with the time of day in colour."""
        from colorama import Fore, Style  # noqa: PLC0415 - keeps it out of the memory of other rows

        for _ in range(count):
            text = self.socket.recv_string()
            now = datetime.now().strftime("%H:%M:%S")  # noqa: DTZ005 - as it is usually written
            print(f"{Fore.CYAN}[{now}]{Style.RESET_ALL} {text}")

    def many(self) -> list[str]:
        """Receives one message: pyzmq has no call for several."""
        return [self.socket.recv_string()]


@contextlib.contextmanager
def open_transcript(path: Path) -> Iterator[Callable[[list[Any]], object]]:
    """A file with line buffering, so that written lines survive the program."""
    with path.open("a", buffering=1, encoding="utf-8") as log:

        def write(texts: list[str]) -> None:
            for text in texts:
                now = datetime.now().isoformat()  # noqa: DTZ005 - as it is usually written
                log.write(f"{now} {text}\n")

        yield write


def sending(job: Job) -> Sending:
    """An XPUB: it sends like a PUB (libzmq's pub_t is an xpub_t) and receives subscriptions."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.XPUB)
    socket.set_hwm(0)
    # A second subscriber to the same topic causes a message, too.
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    socket.bind(job["endpoint"])
    topics = subscribed(job)

    def wait_for_subscribers(count: int) -> None:
        for _ in range(count * (1 if topics is None else len(topics))):
            if not socket.poll(30_000) or socket.recv()[:1] != b"\x01":
                raise RuntimeError("no subscriber connected within 30 s")

    calls: dict[str, Any] = {
        "asyncio": socket.send,
        "bytes": socket.send,
        "views": functools.partial(socket.send, copy=False),
    }
    sends = Sends(socket, job)
    streams: dict[str, Any] = {
        "topic": sends.with_topic,
        "filtered": sends.with_topics_in_turn,
        "stamped": sends.stamped,
    }
    return Sending(
        endpoint=socket.getsockopt_string(zmq.LAST_ENDPOINT),
        send=calls.get(job["kind"], socket.send_string),
        wait_for_subscribers=wait_for_subscribers,
        close=socket.close,
        send_stream=streams.get(job["kind"], not_offered),
    )


def receiving(job: Job) -> Receiving:
    """A SUB that subscribes to everything or to the job's topics."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.SUB)
    socket.set_hwm(0)
    topics = subscribed(job)
    for prefix in [b""] if topics is None else [f"{topic}:".encode() for topic in topics]:
        socket.subscribe(prefix)
    socket.connect(job["endpoint"])
    receives = Receives(socket)
    calls: dict[str, Any] = {"bytes": socket.recv, "views": receives.frame}
    receive = calls.get(job["kind"], socket.recv_string)
    streams: dict[str, Any] = {
        "topic": receives.with_topic,
        "stamped": receives.stamped,
        "asyncio": receives.in_loop,
    }
    return Receiving(
        receive=receive,
        receive_nowait=functools.partial(receive, zmq.NOBLOCK),
        empty_error=zmq.Again,
        close=socket.close,
        receive_stream=streams.get(job["kind"], not_offered),
        print_lines=receives.print_lines,
        # Only for transcripts; pyzmq reads streams message by message.
        receive_many=receives.many if job["kind"] == "transcript" else not_offered,
        open_transcript=open_transcript,
    )


def relaying(job: Job) -> Relaying:
    """`zmq.proxy` in a thread, which ends with the process."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    frontend: zmq.Socket[bytes] = context.socket(zmq.XSUB)
    backend: zmq.Socket[bytes] = context.socket(zmq.XPUB)
    for socket in (frontend, backend):
        socket.set_hwm(0)
        socket.linger = 0
    frontend.connect(job["upstream"])
    backend.bind(job["endpoint"])
    endpoint = backend.getsockopt_string(zmq.LAST_ENDPOINT)

    def run() -> None:
        try:
            zmq.proxy(frontend, backend)
        except zmq.ContextTerminated:
            frontend.close()
            backend.close()

    threading.Thread(target=run, daemon=True).start()
    return Relaying(endpoint=endpoint, close=context.term)
