"""Whether a TCP port of this host is free, and which program uses it."""

from __future__ import annotations

import errno
import os
import socket
import sys
from pathlib import Path
from typing import NamedTuple

_PROC = Path("/proc")
_LISTENING = "0A"  # Linux: include/net/tcp_states.h


class Holder(NamedTuple):
    """The program that listens on a port.

    Attributes:
        name: The program, as text in a sentence.
        pid: Its process id; None if the system does not report it.
        address: The address at which this host reaches it.
    """

    name: str
    pid: int | None = None
    address: str = "127.0.0.1"


def is_free(port: int) -> bool:
    """Whether a publisher could bind the port on every interface.

    The port is bound for a moment without listening, so no connection is refused.

    Raises:
        OSError: If it cannot be bound for another reason, such as missing permission.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        # As libzmq: remains of closed connections do not block the port, a listener does.
        if sys.platform == "win32":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind(("", port))
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
    return True


def holder_of(port: int) -> Holder | None:
    """Find the program that listens on a port; None if the system does not report it."""
    listeners = _listeners(port)
    if not listeners:
        return None
    wanted = {f"socket:[{inode}]" for inode, _, _ in listeners}
    _, user, address = listeners[0]
    for process in _PROC.glob("[0-9]*"):
        if _holds(process, wanted):
            pid = int(process.name)
            name = "this program" if pid == os.getpid() else _name(process)
            return Holder(f"{name} (pid {pid})", pid, address)
    return Holder(f"a program of the user {_user_name(user)}", None, address)


def _listeners(port: int) -> list[tuple[str, int, str]]:
    """Return the inode, user and address of each socket that listens on this port.

    The format is described in Linux's Documentation/networking/proc_net_tcp.rst.
    """
    found = []
    for table in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / table).read_text(encoding="ascii").splitlines()[1:]
        except (OSError, ValueError):
            continue
        for line in lines:
            fields = line.split()
            host, _, number = fields[1].partition(":")
            if fields[3] == _LISTENING and int(number, 16) == port:
                found.append((fields[9], int(fields[7]), _readable(host)))
    return found


def _readable(host: str) -> str:
    """The address of a listener, from an IPv4 address in the kernel's byte order."""
    data = bytes.fromhex(host)
    if len(data) != 4 or not any(data):  # noqa: PLR2004 - IPv4
        return "127.0.0.1"
    return socket.inet_ntoa(int(host, 16).to_bytes(4, sys.byteorder))


def _holds(process: Path, wanted: set[str]) -> bool:
    try:
        with os.scandir(process / "fd") as descriptors:
            return any(_target(descriptor.path) in wanted for descriptor in descriptors)
    except OSError:
        return False  # of another user, or already ended


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""  # already closed


def _name(process: Path) -> str:
    try:
        return (process / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "a program"


def _user_name(number: int) -> str:
    try:
        import pwd  # noqa: PLC0415 - Windows has none

        return pwd.getpwuid(number).pw_name
    except (ImportError, KeyError):
        return str(number)
