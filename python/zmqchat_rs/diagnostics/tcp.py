"""The way to an address, for `probe`: its name, a connection, and why there is none."""

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
    """Here a look ends.

    Attributes:
        reason: One of the reasons of a `Probe`.
        advice: What to do.
    """

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason, advice)
        self.reason = reason
        self.advice = f"{advice[0].upper()}{advice[1:]}."


def look_up(host: str, port: int, deadline: float) -> list[Any]:
    """Find a host's addresses, as `socket.getaddrinfo` gives them.

    They are in the order in which a subscriber tries them: IPv4 first.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except OSError:
        found = _ask_for(host, port, deadline)
    return sorted(found, key=lambda each: each[0] != socket.AF_INET)


def _ask_for(host: str, port: int, deadline: float) -> list[Any]:
    """Look a name up in a thread: a resolver takes its time, and cannot be called off."""
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
        raise StoppedError("not checked", f"no name can be looked up: {error.strerror}") from error
    thread.join(max(0.0, deadline - monotonic()))
    if answers:
        return answers[0]
    instead = "or type the other laptop's IP address (there: zmqchat ip)"
    if not errors or getattr(errors[0], "errno", None) == socket.EAI_AGAIN:
        raise StoppedError(
            "name not found",
            f"no name server answers for '{host}': check that this laptop is on the network, "
            + instead,
        )
    raise StoppedError(
        "name not found", f"no computer is called '{host}': check the spelling, {instead}"
    )


def connect_tcp(family: int, place: Any, deadline: float) -> socket.socket:  # noqa: ANN401
    """Connect to one of the addresses that `look_up` found."""
    try:
        sock = _connect(family, place, deadline)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Where nobody listens, TCP may by chance connect a socket to itself.
            to_itself = sock.getsockname() == sock.getpeername()
        except BaseException:
            sock.close()
            raise
    except OSError as error:
        raise _why_not(str(place[0]), place[1], error) from error
    if to_itself:
        sock.close()
        raise _why_not(str(place[0]), place[1], ConnectionRefusedError())
    return sock


def connect_ipc(path: str, deadline: float) -> socket.socket:
    """Connect to a Unix socket."""
    # An `@` stands for the NUL of Linux's abstract names.
    place = "\0" + path[1:] if path.startswith("@") else path
    try:
        return _connect(socket.AF_UNIX, place, deadline)
    except FileNotFoundError:
        reason, advice = "name not found", "no such file: start the publisher, and check the path"
    except ConnectionRefusedError:
        reason = "refused"
        advice = "nobody listens at this path any more: start the publisher again"
    except PermissionError:
        reason = "unreachable"
        advice = "this user may not open the socket: check the permissions of file and folder"
    except (socket.timeout, BlockingIOError):
        reason, advice = "filtered", "the program there takes no connection: start it again"
    except OSError as error:
        reason, advice = "unreachable", f"{error.strerror or error}: check the path"
    raise StoppedError(reason, advice)


def _connect(family: int, place: Any, deadline: float) -> socket.socket:  # noqa: ANN401
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        why = f"this program can open no further socket: {error.strerror or error}"
        raise StoppedError("not checked", why) from error
    try:
        sock.settimeout(time_left(deadline))
        sock.connect(place)
    except BaseException:
        sock.close()
        raise
    return sock


def _why_not(host: str, port: int, error: OSError) -> StoppedError:
    """Tell refused, filtered and unreachable apart."""
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
            f"{host} is there, but no program listens on its port {port} or its firewall says no: "
            "start the publisher there, and compare IP and port with what it shows (one bound to "
            "127.0.0.1 is heard on its own laptop alone)",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return StoppedError(
            "filtered",
            f"a firewall here or on the way forbids it: allow TCP to {host} port {port}",
        )
    if error.errno in _UNREACHABLE or (timed_out and _is_nobody(host)):
        return StoppedError(
            "unreachable",
            f"no way leads to {host}: check its IP (there: zmqchat ip), that it is switched on, "
            "and that both laptops are on the same network (a strict firewall there may look like "
            "this, too)",
        )
    if timed_out:
        return StoppedError(
            "filtered",
            f"nothing comes back from {host}: check its IP (there: zmqchat ip), that both laptops "
            f"are on the same network, and that its firewall allows TCP port {port} (there: sudo "
            f"ufw allow {port}/tcp)",
        )
    return StoppedError("unreachable", f"{error.strerror or error}: check the address {host}")


def _is_nobody(address: str) -> bool:
    """Whether nobody on this network has the address, as Linux's table of neighbours tells.

    The kernel takes 3 seconds to say so by itself; until then it looks as if filtered.
    """
    try:
        with open(_NEIGHBOURS, encoding="ascii") as table:  # noqa: PTH123 - sooner than pathlib
            rows = [line.split() for line in table]
    except (OSError, ValueError):
        return False
    return any(row[0] == address and row[2] == "0x0" for row in rows[1:] if row[2:])
