"""The first stages of `probe`: resolve the name, connect, and find the cause of a failure."""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import TYPE_CHECKING

from zmqchat_rs import _threads
from zmqchat_rs._core import ZmqChatError
from zmqchat_rs._threads import start_thread

from .zmtp import time_left

if TYPE_CHECKING:
    from typing import Any

_NEIGHBOURS = "/proc/net/arp"
_UNREACHABLE = {
    getattr(errno, name)
    for name in ("ENETUNREACH", "EHOSTUNREACH", "ENETDOWN", "EHOSTDOWN", "EADDRNOTAVAIL")
    if hasattr(errno, name)
}


class StoppedError(Exception):
    """A stage of a probe failed, so the probe ends.

    Attributes:
        reason: One of the reasons of a `Probe`.
        advice: What to do.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason = reason
        self.advice = f"{advice[0].upper()}{advice[1:]}."


def resolve(host: str, port: int, deadline: float) -> list[Any]:
    """Return the result of `socket.getaddrinfo` for a host, IPv4 first, as subscribers use it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        found = _resolve_name(host, port, deadline)
    return sorted(found, key=lambda each: each[0] != socket.AF_INET)


def _resolve_name(host: str, port: int, deadline: float) -> list[Any]:
    """Resolve a name in another thread, since a resolver has no timeout."""
    answers: list[list[Any]] = []
    errors: list[Exception] = []

    def ask() -> None:
        try:
            answers.append(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            errors.append(error)

    thread = _threads.make(ask, "zmqchat-probe")
    try:
        start_thread(thread)
    except ZmqChatError as error:
        raise StoppedError("not checked", f"cannot resolve a name: {error.strerror}") from error
    thread.join(max(0.0, deadline - monotonic()))
    if answers:
        return answers[0]
    instead = "or type the other laptop's IP address (there: zmqchat ip)"
    if not errors or getattr(errors[0], "errno", None) == socket.EAI_AGAIN:
        raise StoppedError(
            "name not found",
            f"no name server answers for '{host}': check that this laptop is connected to the "
            "network, " + instead,
        )
    raise StoppedError(
        "name not found", f"no host has the name '{host}': check the spelling, {instead}"
    )


def connect_tcp(family: int, place: Any, deadline: float) -> socket.socket:  # noqa: ANN401
    """Connect to one of the addresses of `resolve`."""
    try:
        sock = _connect(family, place, deadline)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Without a listener, TCP can connect a socket to itself by chance.
            to_itself = sock.getsockname() == sock.getpeername()
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise _connection_error(str(place[0]), place[1], error) from error
    if to_itself:
        sock.close()
        raise _connection_error(str(place[0]), place[1], ConnectionRefusedError())
    return sock


def connect_ipc(path: str, deadline: float) -> socket.socket:
    """Connect to a Unix socket."""
    # An `@` means the NUL of Linux's abstract names.
    place = "\0" + path[1:] if path.startswith("@") else path
    try:
        return _connect(socket.AF_UNIX, place, deadline)
    except FileNotFoundError:
        reason, advice = "name not found", "no such file: start the publisher, and check the path"
    except ConnectionRefusedError:
        reason = "refused"
        advice = "no program listens at this path any more: start the publisher again"
    except PermissionError:
        reason = "unreachable"
        advice = "this user may not open the socket: check the permissions of file and folder"
    except (socket.timeout, BlockingIOError):
        reason, advice = "filtered", "the program there accepts no connection: start it again"
    except OSError as error:
        reason, advice = "unreachable", f"{error.strerror or error}: check the path"
    raise StoppedError(reason, advice)


def _connect(family: int, place: Any, deadline: float) -> socket.socket:  # noqa: ANN401
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        why = f"this program cannot open another socket: {error.strerror or error}"
        raise StoppedError("not checked", why) from error
    try:
        sock.settimeout(time_left(deadline))
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _connection_error(host: str, port: int, error: OSError) -> StoppedError:
    """Distinguish refused, filtered and unreachable."""
    timed_out = isinstance(error, (socket.timeout, TimeoutError))
    if isinstance(error, (ConnectionRefusedError, ConnectionResetError)):
        if host.startswith("127.") or host == "::1":
            return StoppedError(
                "refused",
                f"no program on this laptop listens on port {port}: start the publisher (in "
                "another window: zmqchat pub), or type the other laptop's address",
            )
        return StoppedError(
            "refused",
            f"{host} answers, but no program listens on its port {port}, or its firewall rejects "
            "the connection: start the publisher there, and compare IP and port with its output (a "
            "publisher bound to 127.0.0.1 is reachable on its own laptop only)",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoppedError(
            "filtered",
            f"a firewall here or in between forbids it: allow TCP to {host} port {port}",
        )
    if error.errno in _UNREACHABLE or (timed_out and _has_no_neighbour(host)):
        return StoppedError(
            "unreachable",
            f"{host} cannot be reached: check its IP (there: zmqchat ip), that it is switched "
            "on, and that both laptops are on the same network (a strict firewall there can have "
            "the same effect)",
        )
    if timed_out:
        return StoppedError(
            "filtered",
            f"{host} does not answer: check its IP (there: zmqchat ip), that both laptops are "
            f"on the same network, and that its firewall allows TCP port {port} (there: sudo ufw "
            f"allow {port}/tcp)",
        )
    return StoppedError("unreachable", f"{error.strerror or error}: check the address {host}")


def _has_no_neighbour(address: str) -> bool:
    """Whether no host on this network has the address, from Linux's table of neighbours.

    The kernel itself reports this only after 3 seconds; before, the address seems to be filtered.
    """
    try:
        with open(_NEIGHBOURS, encoding="ascii") as table:  # noqa: PTH123 - sooner than pathlib
            rows = [line.split() for line in table]
    except (OSError, ValueError):
        return False
    return any(row[0] == address and row[2] == "0x0" for row in rows[1:] if row[2:])
