"""The part of ZMTP that `probe` uses: greeting, frames and commands over one socket.

The format is that of ZMTP 3.1 (https://rfc.zeromq.org/spec/37/). Of 2.0
(https://rfc.zeromq.org/spec/15/) only the version is read: no connection is made with it. All reads
are limited in bytes and in time.
"""

from __future__ import annotations

import errno
import socket
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing_extensions import Self

#: The first ten bytes of a greeting.
SIGNATURE = b"\xff" + bytes(8) + b"\x7f"

# The major version is sent first, so that the peer can adapt; then the minor version, no security,
# the client role, and zeros up to 64 bytes.
_MAJOR = b"\x03"
_REST_OF_GREETING = b"\x01" + b"NULL".ljust(20, b"\0") + bytes(32)
# RFC 15, "Revision", at the position of the major version: 1 and 2 both mean ZMTP 2.0.
_OLD_VERSIONS = {0: "1.0", 1: "2.0", 2: "2.0"}

_MORE, _LONG, _COMMAND = 1, 2, 4
# The number of other bytes that may arrive before a PONG.
_BEFORE_PONG = 256 * 1024

# This socket must not end the program with SIGPIPE.
_NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


class BrokenError(ConnectionAbortedError):
    """The peer disconnected, or violated the protocol."""

    def __init__(self, why: str) -> None:
        super().__init__(errno.ECONNABORTED, why)
        self.why = why


class OldVersionError(BrokenError):
    """The peer uses a version of ZMTP that is not supported."""

    def __init__(self, version: str) -> None:
        super().__init__(f"the peer uses ZMTP {version}; ZeroMQ 4.0 or later is needed")
        self.version = version


class Connection:
    """A connected socket; each call may raise `socket.timeout` or another `OSError`."""

    def __init__(self, sock: socket.socket, deadline: float) -> None:
        self._socket = sock
        self._deadline = deadline
        self._buffer = b""

    def __enter__(self) -> Self:
        """Return the connection itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the socket."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send all data."""
        self._socket.settimeout(time_left(self._deadline))
        self._socket.sendall(data, _NO_SIGNAL)

    def peek(self) -> bytes:
        """Wait for the first bytes, without consuming them."""
        self._fill(1)
        return self._buffer

    def is_readable_within(self, seconds: float) -> bool:
        """Whether data, the end or an error of the connection arrives within `seconds`."""
        if self._buffer:
            return True
        self._socket.settimeout(max(seconds, 0.001))
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except socket.timeout:
            return False
        except OSError:
            return True  # the next read raises it, too
        return True

    def read(self, count: int) -> bytes:
        """Read `count` bytes."""
        self._fill(count)
        data, self._buffer = self._buffer[:count], self._buffer[count:]
        return data

    def open_greeting(self) -> None:
        """Send the signature and the major version."""
        self.send(SIGNATURE + _MAJOR)

    def read_greeting(self) -> tuple[str, bytes]:
        """Read the rest of the peer's greeting, and send the rest of ours.

        Returns:
            The version and the security mechanism.

        Raises:
            OldVersionError: If the version is below 3.0.
        """
        major = self.read(1)[0]
        if major in _OLD_VERSIONS:
            raise OldVersionError(_OLD_VERSIONS[major])
        self.send(_REST_OF_GREETING)
        rest = self.read(53)
        return f"{major}.{rest[0]}", rest[1:21].rstrip(b"\0")

    def read_frame(self, limit: int) -> tuple[bytes | None, bytes]:
        """Read one frame of at most `limit` bytes.

        Returns:
            The name and body of a command; None and the body of a message frame.
        """
        flags = self.read(1)[0]
        if flags & ~(_MORE | _LONG | _COMMAND):
            raise BrokenError("it sends an invalid frame")
        size = int.from_bytes(self.read(8 if flags & _LONG else 1), "big")
        if size > limit:
            raise BrokenError("it sends a too long frame")
        body = self.read(size)
        if not flags & _COMMAND:
            return None, body
        length = body[0] if body else 0
        return body[1 : 1 + length], body[1 + length :]

    def ping(self, context: bytes) -> None:
        """Send a PING and wait for its PONG; other frames are ignored."""
        self.send(
            command("PING", b"\0\0" + context)
        )  # time-to-live 0: no timeout for further commands
        left = _BEFORE_PONG
        while left > 0:
            name, body = self.read_frame(left)
            if (name, body) == (b"PONG", context):
                return
            left -= len(body) + 2
        raise socket.timeout("no PONG among the received frames")

    def _fill(self, count: int) -> None:
        while len(self._buffer) < count:
            self._socket.settimeout(time_left(self._deadline))
            data = self._socket.recv(max(64, min(count - len(self._buffer), 65536)))
            if not data:
                raise BrokenError("it disconnects")
            self._buffer += data


def time_left(deadline: float) -> float:
    """Seconds until a time of `monotonic`, above 0; raises `socket.timeout` after it."""
    left = deadline - monotonic()
    if left <= 0:
        raise socket.timeout("the deadline has passed")
    return left


def command(name: str, body: bytes) -> bytes:
    """Encode a command frame with at most 255 bytes."""
    content = bytes([len(name)]) + name.encode() + body
    return bytes([_COMMAND, len(content)]) + content


def properties(body: bytes) -> dict[bytes, bytes]:
    """Decode the properties of READY, with names in lower case."""
    found = {}
    while body:
        name, body = body[1 : 1 + body[0]], body[1 + body[0] :]
        size = int.from_bytes(body[:4], "big")
        found[name.lower()], body = body[4 : 4 + size], body[4 + size :]
    return found
