"""The function `probe`: tests the connection to one address over a raw socket.

libzmq does not report why a connection fails. Therefore this module performs the beginning of ZMTP
itself: TCP, greeting, handshake without security, a PING and a subscription. It reads a limited
number of bytes for a limited time, and disconnects.
"""

from __future__ import annotations

import socket
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from zmqchat_rs._core import parse_address, sanitize
from zmqchat_rs._validation import number

from . import tcp, zmtp
from .tcp import StoppedError

if TYPE_CHECKING:
    from typing import Any

#: The subscribed prefix. Topics have no spaces, so hardly any message begins with it.
SUBSCRIPTION = b"zmqchat doctor"

_LONGEST_TIMEOUT = 3600.0
# Seconds in which the peer may send READY first.
_PEER_FIRST = 0.5
_READY = zmtp.command("READY", b"\x0bSocket-Type\0\0\0\x03SUB")
# READY usually has a few dozen bytes.
_LONGEST_READY = 8 * 1024
_LONGEST_QUOTE = 60
_INPROC = (
    "An inproc:// address connects objects of one program and cannot be probed: check that both "
    "use the same name in the same process."
)
# In the order of a probe.
_STAGES = (
    *("address", "name", "connect", "greeting", "security", "handshake", "socket type"),
    *("subscription", "done"),
)
_KNOWN_SERVERS = {
    b"SSH-": "an SSH server",
    b"HTTP": "a web server",
    b"220 ": "a mail or FTP server",
    b"220-": "a mail or FTP server",
    b"\x15\x03": "a TLS server",
}


class Probe(NamedTuple):
    """The result of a probe of one address.

    Attributes:
        address: The address, as a person types it: "192.168.1.12:5555".
        host: The host, or the text after ``ipc://`` or ``inproc://``.
        port: The port; 0 if there is none.
        addresses: The IP addresses of the host, in the order of the attempts.
        stage: The last stage: "address", "name", "connect", "greeting", "security", "handshake",
            "socket type", "subscription", or "done".
        reason: "ok", "name not found", "refused", "filtered", "unreachable", "not ZeroMQ",
            "handshake failed", "mechanism", "not a publisher", or "not checked".
        advice: What to do, in one sentence; empty if the reason is "ok".
        version: The ZMTP version of the peer, such as "3.1".
        mechanism: The security mechanism of the peer: "NULL", "PLAIN", "CURVE", …
        socket_type: The socket type of the peer: "PUB", "XPUB", …
        subscribed: Whether the peer accepted a subscription; None if unknown.
        connect_seconds: The duration of the TCP connect.
        round_trip_seconds: The time from a ZMTP PING to its PONG; None before ZMTP 3.1.
        tried: The IP address of these results: the first one that works, or else the one that
            reached the latest stage.
        others: The other addresses that were tried, and why they do not work:
            ("10.0.0.1: refused",).
    """

    address: str
    host: str
    port: int
    addresses: tuple[str, ...] = ()
    stage: str = "address"
    reason: str = "not checked"
    advice: str = ""
    version: str | None = None
    mechanism: str | None = None
    socket_type: str | None = None
    subscribed: bool | None = None
    connect_seconds: float | None = None
    round_trip_seconds: float | None = None
    tried: str = ""
    others: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether a subscriber can connect."""
        return self.reason == "ok"


def probe(address: str, *, timeout: float = 2.0, subscribe: bool = True) -> Probe:
    """Test the connection to one address.

    If a host has several IP addresses, each one is tried until one works.

    The publisher sees a peer that connects and disconnects. With `subscribe`, this peer subscribes
    to `SUBSCRIPTION`; the publisher sends no message to it.

    Args:
        address: The address of a publisher: "192.168.1.12", "lab-pc:6000", "ipc://…".
        timeout: Seconds for the whole probe, above 0.
        subscribe: Whether to test a subscription, too.

    Returns:
        The result. Problems of the network or the peer are a `reason`, not an exception.

    Raises:
        ValueError: If `address` or `timeout` is invalid.
    """
    transport, host, port = parse_address(address)
    timeout = number("timeout", timeout)
    if not 0 < timeout <= _LONGEST_TIMEOUT:  # NaN too
        raise ValueError(f"timeout is {timeout}: use seconds above 0, for example 2")
    typed = f"{host}:{port}" if transport == "tcp" else f"{transport}://{host}"
    if transport == "inproc":
        return Probe(typed, host, port, advice=_INPROC)
    host = host[1:-1] if host.startswith("[") else host
    found = Probe(typed, host, port)
    deadline = monotonic() + timeout
    if transport == "ipc":
        return _probe_address(found, None, deadline, subscribe=subscribe)
    try:
        answers = tcp.resolve(host, port, deadline)
    except StoppedError as end:
        return found._replace(stage="name", reason=end.reason, advice=end.advice)
    places = {str(place[0]): (family, place) for family, _, _, _, place in answers}
    found = found._replace(addresses=tuple(places))
    seen: list[Probe] = []
    for tried, place in places.items():
        # Each address gets an equal share of the remaining time.
        share = (deadline - monotonic()) / (len(places) - len(seen))
        one = found._replace(tried=tried)
        seen.append(_probe_address(one, place, monotonic() + share, subscribe=subscribe))
        if seen[-1].ok:
            break
    best = max(seen, key=lambda one: _STAGES.index(one.stage))
    others = (f"{one.tried}: {one.reason}" for one in seen if one is not best)
    return best._replace(others=tuple(others))


def _probe_address(
    found: Probe, place: tuple[int, Any] | None, deadline: float, *, subscribe: bool
) -> Probe:
    """Probe one IP address, a pair of family and socket address, or None for a Unix socket."""
    attempt = _Attempt(found, deadline)
    try:
        with attempt.connect(place) as connection:
            attempt.greet(connection)
            attempt.handshake(connection)
            attempt.test_subscription(connection, subscribe=subscribe)
    except StoppedError as end:
        return attempt.found._replace(reason=end.reason, advice=end.advice)
    return attempt.found._replace(stage="done", reason="ok")


class _Attempt:
    """A probe in progress: its results so far, and its deadline."""

    def __init__(self, found: Probe, deadline: float) -> None:
        self.found = found
        self._deadline = deadline

    def connect(self, place: tuple[int, Any] | None) -> zmtp.Connection:
        """Connect to an IP address, or to a Unix socket."""
        self._at("connect")
        began = monotonic()
        if place is None:
            sock = tcp.connect_ipc(self.found.host, self._deadline)
        else:
            sock = tcp.connect_tcp(*place, self._deadline)
        self.found = self.found._replace(connect_seconds=monotonic() - began)
        return zmtp.Connection(sock, self._deadline)

    def greet(self, connection: zmtp.Connection) -> None:
        """Exchange greetings; the peer must use no security."""
        self._at("greeting")
        peer = f"the program at {self.found.address}"
        check = "compare the port with the one that the publisher prints"
        try:
            connection.open_greeting()
            start = connection.peek()
            if start[:1] != zmtp.SIGNATURE[:1]:
                raise StoppedError("not ZeroMQ", f"{peer} is {_looks_like(start)}: {check}")
            if connection.read(10)[9:] != zmtp.SIGNATURE[9:]:
                raise StoppedError("not ZeroMQ", f"{peer} does not use ZeroMQ: {check}")
        except socket.timeout:
            raise StoppedError(
                "not ZeroMQ",
                f"{peer} sends nothing: {check}, and check that it is not stopped (by Ctrl+Z; fg "
                "continues it)",
            ) from None
        except OSError:
            raise StoppedError(
                "not ZeroMQ",
                f"{peer} accepts a connection and closes it without a greeting: {check}. If the "
                "port is forwarded (docker, ssh -L, WSL), check that the publisher runs behind it, "
                "bound to '*'",
            ) from None
        try:
            version, mechanism = connection.read_greeting()
        except zmtp.OldVersionError as error:
            self.found = self.found._replace(version=error.version)
            raise StoppedError("handshake failed", error.why) from None
        except OSError as error:
            raise _handshake_failed(error) from None
        self.found = self.found._replace(version=version, mechanism=_escaped(mechanism))
        self._at("security")
        if self.found.mechanism != "NULL":
            raise StoppedError(
                "mechanism",
                f"the publisher requires {self.found.mechanism} security, which a plain subscriber "
                "does not have: use its keys or password, or start it without them",
            )

    def handshake(self, connection: zmtp.Connection) -> None:
        """Exchange READY; the peer must be a publisher."""
        self._at("handshake")
        # libzmq disconnects without a READY if it rejects ours. So ours is sent second, unless the
        # peer waits for it.
        owed = connection.is_readable_within(min(_PEER_FIRST, (self._deadline - monotonic()) / 2))
        try:
            if not owed:
                connection.send(_READY)
            name, body = connection.read_frame(_LONGEST_READY)
        except OSError as error:
            raise _handshake_failed(error) from None
        if name == b"ERROR":
            raise _handshake_failed(f"error '{_escaped(body[1:])}'")
        if name != b"READY":
            raise _handshake_failed("unexpected frame")
        kind = _escaped(zmtp.properties(body).get(b"socket-type", b""))
        self.found = self.found._replace(socket_type=kind)
        self._at("socket type")
        if kind not in ("PUB", "XPUB"):
            subscribes = kind in ("SUB", "XSUB")
            too = ", which subscribes, too" if subscribes else ""
            relay = ""
            if subscribes:
                relay = "; subscribers of a relay connect to its backend, port 5555"
            raise StoppedError(
                "not a publisher",
                f"{self.found.address} is a {kind or 'nameless'} socket{too}: connect to a "
                f"publisher (PUB, XPUB, zmqchat pub), or check the port{relay}",
            )
        if owed:
            self._at("subscription")
            try:
                connection.send(_READY)
            except OSError as error:
                raise _handshake_failed(error) from None

    def test_subscription(self, connection: zmtp.Connection, *, subscribe: bool) -> None:
        """Measure a round trip, and check that the subscription is accepted."""
        self._at("subscription")
        major, _, minor = (self.found.version or "").partition(".")
        if (int(major), int(minor)) < (3, 1):
            return  # older versions do not answer
        subscribing = False
        try:
            began = monotonic()
            connection.ping(b"1")
            self.found = self.found._replace(round_trip_seconds=monotonic() - began)
            if subscribe:
                subscribing = True
                connection.send(zmtp.command("SUBSCRIBE", SUBSCRIPTION))
                connection.ping(b"2")
                self.found = self.found._replace(subscribed=True)
        except socket.timeout:
            return  # slow, but the handshake has succeeded
        except OSError:
            if subscribing:
                self.found = self.found._replace(subscribed=False)
            raise StoppedError(
                "handshake failed",
                "the publisher disconnected after the handshake: check its log, and which peers it "
                "accepts",
            ) from None

    def _at(self, stage: str) -> None:
        self.found = self.found._replace(stage=stage)


def _escaped(data: bytes) -> str:
    """Text of the peer, shortened and escaped."""
    return sanitize(data[:_LONGEST_QUOTE].decode("ascii", "backslashreplace"))


def _handshake_failed(error: OSError | str) -> StoppedError:
    """The error of a failed handshake."""
    why = "it disconnects"
    if isinstance(error, str):
        why = error
    elif isinstance(error, socket.timeout):
        why = "it sends nothing more"
    elif isinstance(error, zmtp.BrokenError):
        why = error.why
    return StoppedError(
        "handshake failed",
        f"the peer does not complete the handshake ({why}): check its log, which peers it accepts, "
        "and which program it is",
    )


def _looks_like(start: bytes) -> str:
    for opening, name in _KNOWN_SERVERS.items():
        if start.startswith(opening):
            return f"{name}, not ZeroMQ"
    return f"not ZeroMQ (it sends '{_escaped(start)}')"
