"""What may be at an address: a TCP server that sends what a test wants, or a pyzmq socket."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any, Callable, Iterator

import zmq

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs.probe import Probe, probe

if TYPE_CHECKING:
    import pytest

#: The timeout of a probe that gets no answer, in seconds, after the peer did its part.
PROBE_TIMEOUT = 1.0
REASONS = {
    *("ok", "name not found", "refused", "filtered", "unreachable", "not ZeroMQ"),
    *("handshake failed", "mechanism", "not a publisher", "not checked"),
}

SIGNATURE = b"\xff" + bytes(8) + b"\x7f"


def greeting(version: bytes = b"\x03\x01", mechanism: bytes = b"NULL") -> bytes:
    return SIGNATURE + version + mechanism.ljust(20, b"\0") + bytes(32)


def ready(kind: bytes = b"XPUB") -> bytes:
    body = b"\x05READY" + b"\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind
    return bytes([4, len(body)]) + body


def error(text: bytes) -> bytes:
    body = b"\x05ERROR" + bytes([len(text)]) + text
    return bytes([4, len(body)]) + body


def wait_until_closed(connection: socket.socket) -> None:
    """Read until the peer closes or resets the connection."""
    connection.settimeout(TIMEOUT)
    with contextlib.suppress(ConnectionResetError):
        while connection.recv(65_536):
            pass


def receive(connection: socket.socket, count: int) -> None:
    """Read this number of bytes, or until the peer closes the connection."""
    while count > 0:
        received = len(connection.recv(count))
        count -= received or count


def handshake(connection: socket.socket, kind: bytes) -> None:
    """Send greeting and READY; then read the peer's, without which sending breaks the protocol."""
    connection.settimeout(TIMEOUT)
    connection.sendall(greeting() + ready(kind))
    receive(connection, 64 + 1)
    receive(connection, connection.recv(1)[0])


def sends(data: bytes) -> Callable[[socket.socket], None]:
    """Send this at once, and wait until the peer closes the connection."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        wait_until_closed(connection)

    return serve


def closes_after(data: bytes, count: int) -> Callable[[socket.socket], None]:
    """Send this at once, and close the connection after this number of bytes was received."""

    def serve(connection: socket.socket) -> None:
        connection.sendall(data)
        receive(connection, count)

    return serve


@contextlib.contextmanager
def tcp_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that calls `serve` for each connection, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    if closing.is_set():
                        return
                    with contextlib.suppress(OSError):
                        serve(connection)

        closing = threading.Event()
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield f"127.0.0.1:{port}"
        finally:
            closing.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(TIMEOUT)


@contextlib.contextmanager
def pyzmq_socket(kind: int, **options: Any) -> Iterator[tuple[zmq.Socket[bytes], str]]:
    """A pyzmq socket that is bound to a free port, and its address."""
    with zmq.Context() as context, context.socket(kind) as bound:
        bound.linger = 0
        for name, value in options.items():
            setattr(bound, name, value)
        port = bound.bind_to_random_port("tcp://127.0.0.1")
        yield bound, f"127.0.0.1:{port}"


def resolve_lab_pc(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Let the host name `lab-pc` have these addresses."""
    genuine = socket.getaddrinfo

    def several(host: str, port: int, family: int = 0, kind: int = 0, **kwargs: Any) -> Any:
        if host != "lab-pc":
            return genuine(host, port, family, **{"type": kind, **kwargs})
        if kwargs.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not a literal")
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", several)


def checked_probe(address: str, timeout: float = TIMEOUT, **options: Any) -> Probe:
    """Probe an address, and check what is true of every result."""
    found = probe(address, timeout=timeout, **options)
    assert found.reason in REASONS
    assert found.ok is (found.reason == "ok")
    assert bool(found.advice) is not found.ok
    assert (found.stage == "done") is found.ok
    assert found.advice.isprintable()
    return found
