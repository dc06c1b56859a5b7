"""Plain sockets: one TCP connection, a length before each message, in the usual loop."""

from __future__ import annotations

import platform
import socket
import struct
from typing import TYPE_CHECKING

from . import Receiving, Sending

if TYPE_CHECKING:
    from . import Job

_LENGTH = struct.Struct("!I")


def versions() -> dict[str, str]:
    """The version of Python, which contains the module."""
    return {"socket": f"Python {platform.python_version()}"}


def sending(job: Job) -> Sending:
    """Listens; the first to connect is the subscriber."""
    del job
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(30)
    port = listener.getsockname()[1]
    connections: list[socket.socket] = []

    def wait_for_subscribers(count: int) -> None:
        while len(connections) < count:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connections.append(connection)

    def send(message: bytes) -> None:
        connections[0].sendall(_LENGTH.pack(len(message)) + message)

    def close() -> None:
        for opened in (listener, *connections):
            opened.close()

    return Sending(f"tcp://127.0.0.1:{port}", send, wait_for_subscribers, close)


def receiving(job: Job) -> Receiving:
    """Connects, and reads through a buffer."""
    port = int(job["endpoint"].rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port))
    stream = connection.makefile("rb", buffering=64 * 1024)
    read, unpack = stream.read, _LENGTH.unpack

    def receive() -> bytes:
        (length,) = unpack(read(4))
        message: bytes = read(length)
        return message

    def close() -> None:
        stream.close()
        connection.close()

    return Receiving(receive, close)
