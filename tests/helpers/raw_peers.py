"""What may sit at an address: a server that talks as a test wants, or a pyzmq socket."""

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

#: Seconds for a look that waits in vain, after the other side did its part.
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
    with contextlib.suppress(OSError):
        while connection.recv(65536):
            pass


def says(data: bytes) -> Callable[[socket.socket], None]:
    """Talk like this, whatever one hears, and wait for the other side to hang up."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        wait_until_closed(connection)

    return talk


def hear(connection: socket.socket, count: int) -> None:
    """Wait for so many bytes, or for the other side to hang up."""
    while count > 0:
        heard = len(connection.recv(count))
        count -= heard or count


def handshake(connection: socket.socket, kind: bytes) -> None:
    """Shake hands; who speaks before it heard the other side out breaks the protocol."""
    connection.settimeout(TIMEOUT)
    connection.sendall(greeting() + ready(kind))
    hear(connection, 64 + 1)
    hear(connection, connection.recv(1)[0])


def closes_after(data: bytes, count: int) -> Callable[[socket.socket], None]:
    """Talk like this, and hang up once so many bytes came."""

    def talk(connection: socket.socket) -> None:
        connection.sendall(data)
        hear(connection, count)

    return talk


@contextlib.contextmanager
def server(talk: Callable[[socket.socket], None]) -> Iterator[str]:
    """A TCP server that talks like this to each who comes, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(TIMEOUT)
                    if closing.is_set():
                        return
                    with contextlib.suppress(OSError):
                        talk(connection)

        closing = threading.Event()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        try:
            yield f"127.0.0.1:{port}"
        finally:
            closing.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join(TIMEOUT)


@contextlib.contextmanager
def pyzmq(kind: int, **options: Any) -> Iterator[tuple[zmq.Socket[bytes], str]]:
    with zmq.Context() as context, context.socket(kind) as theirs:
        theirs.linger = 0
        for name, value in options.items():
            setattr(theirs, name, value)
        port = theirs.bind_to_random_port("tcp://127.0.0.1")
        yield theirs, f"127.0.0.1:{port}"


def resolves(monkeypatch: pytest.MonkeyPatch, addresses: list[str]) -> None:
    """Give the name `lab-pc` these addresses."""
    genuine = socket.getaddrinfo

    def several(host: str, port: int, family: int = 0, kind: int = 0, **kwargs: Any) -> Any:
        if host != "lab-pc":
            return genuine(host, port, family, **{"type": kind, **kwargs})
        if kwargs.get("flags"):
            raise socket.gaierror(socket.EAI_NONAME, "not a literal")
        return [(socket.AF_INET, 1, 6, "", (address, port)) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", several)


def look(address: str, timeout: float = TIMEOUT, **options: Any) -> Probe:
    """Look, and hold what is true of every look."""
    found = probe(address, timeout=timeout, **options)
    assert found.reason in REASONS
    assert found.ok is (found.reason == "ok")
    assert bool(found.advice) is not found.ok
    assert (found.stage == "done") is found.ok
    assert found.advice.isprintable()
    return found
