"""A look at one address over a raw socket: why a connection stands, or why it does not.

libzmq connects without a word and tells no reasons, so this speaks the opening of ZMTP by itself:
TCP, greeting, handshake without security, a PING and a subscription. It is no second client: it
reads a bounded number of bytes for a bounded time, and hangs up.
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

#: What is subscribed to. No topic has a space in it, so hardly a message begins like this.
SUBSCRIPTION = b"zmqchat doctor"

_LONGEST_TIMEOUT = 3600.0
# How long the other side may take to speak first, in seconds.
_FIRST_WORD = 0.5
_READY = zmtp.command("READY", b"\x0bSocket-Type\0\0\0\x03SUB")
# It takes a few dozen bytes.
_LONGEST_READY = 8 * 1024
_LONGEST_QUOTE = 60
_INPROC = (
    "An inproc:// address joins objects of one program and cannot be seen from outside: check that "
    "both use the same name in the same process."
)
# In the order in which a look reaches them.
_STAGES = (
    *("address", "name", "connect", "greeting", "security", "handshake", "socket type"),
    *("subscription", "done"),
)
_SPOKEN = {
    b"SSH-": "an SSH server",
    b"HTTP": "a web server",
    b"220 ": "a mail or FTP server",
    b"220-": "a mail or FTP server",
    b"\x15\x03": "a server that wants TLS",
}


class Probe(NamedTuple):
    """What a look at one address found out.

    Attributes:
        address: Where it looked, as a person types it: "192.168.1.12:5555".
        host: The host, or what follows ``ipc://`` or ``inproc://``.
        port: The port; 0 where there is none.
        addresses: The IP addresses of the host, in the order in which they were tried.
        stage: The step at which it ended: "address", "name", "connect", "greeting", "security",
            "handshake", "socket type", "subscription", or "done".
        reason: "ok", "name not found", "refused", "filtered", "unreachable", "not ZeroMQ",
            "handshake failed", "mechanism", "not a publisher", or "not checked".
        advice: What to do, in one sentence; empty when all is well.
        version: The ZMTP version of the other side, such as "3.1".
        mechanism: What it secures connections with: "NULL", "PLAIN", "CURVE", …
        socket_type: What it is: "PUB", "XPUB", …
        subscribed: Whether it took a subscription; None when that could not be seen.
        connect_seconds: How long TCP took to connect.
        round_trip_seconds: From a ZMTP PING to its PONG; None before ZMTP 3.1.
        tried: The IP address that all this is about: the first that works, else the one where the
            look got furthest.
        others: Why the other addresses that were tried do not work: ("10.0.0.1: refused",).
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
        """Whether a subscriber would be connected."""
        return self.reason == "ok"


def probe(address: str, *, timeout: float = 2.0, subscribe: bool = True) -> Probe:
    """Look at one address and say why a connection stands or does not.

    Of a host with several IP addresses, each is tried until one works.

    A publisher sees a connection that comes and goes and, with `subscribe`, for that moment a
    subscriber to `SUBSCRIPTION`, to which it sends nothing.

    Args:
        address: Where a subscriber would connect to: "192.168.1.12", "lab-pc:6000", "ipc://…".
        timeout: Seconds for all of it, above 0.
        subscribe: Whether to try a subscription, too.

    Returns:
        What was found; trouble with the network or the other side is a `reason`, never raised.

    Raises:
        ValueError: `address` or `timeout` can never work.
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
        return _look_at(found, None, deadline, subscribe=subscribe)
    try:
        answers = tcp.look_up(host, port, deadline)
    except StoppedError as end:
        return found._replace(stage="name", reason=end.reason, advice=end.advice)
    places = {str(place[0]): (family, place) for family, _, _, _, place in answers}
    found = found._replace(addresses=tuple(places))
    seen: list[Probe] = []
    for tried, place in places.items():
        # A silent address leaves the others their share of the time.
        share = (deadline - monotonic()) / (len(places) - len(seen))
        one = found._replace(tried=tried)
        seen.append(_look_at(one, place, monotonic() + share, subscribe=subscribe))
        if seen[-1].ok:
            break
    best = max(seen, key=lambda one: _STAGES.index(one.stage))
    others = (f"{one.tried}: {one.reason}" for one in seen if one is not best)
    return best._replace(others=tuple(others))


def _look_at(
    found: Probe, place: tuple[int, Any] | None, deadline: float, *, subscribe: bool
) -> Probe:
    """Look at one IP address, a pair of family and socket address; None for a Unix socket."""
    look = _Look(found, deadline)
    try:
        with look.connect(place) as connection:
            look.greet(connection)
            look.shake_hands(connection)
            look.try_out(connection, subscribe=subscribe)
    except StoppedError as end:
        return look.found._replace(reason=end.reason, advice=end.advice)
    return look.found._replace(stage="done", reason="ok")


class _Look:
    """One look under way: what was found so far, and the time by which it ends."""

    def __init__(self, found: Probe, deadline: float) -> None:
        self.found = found
        self._deadline = deadline

    def connect(self, place: tuple[int, Any] | None) -> zmtp.Connection:
        """Connect to an IP address, or through a file."""
        self._at("connect")
        began = monotonic()
        if place is None:
            sock = tcp.connect_ipc(self.found.host, self._deadline)
        else:
            sock = tcp.connect_tcp(*place, self._deadline)
        self.found = self.found._replace(connect_seconds=monotonic() - began)
        return zmtp.Connection(sock, self._deadline)

    def greet(self, connection: zmtp.Connection) -> None:
        """Exchange greetings; its mechanism must be ours."""
        self._at("greeting")
        peer = f"what listens on {self.found.address}"
        check = "check the port against the one that the publisher shows"
        try:
            connection.open_greeting()
            start = connection.peek()
            if start[:1] != zmtp.SIGNATURE[:1]:
                raise StoppedError("not ZeroMQ", f"{peer} is {_looks_like(start)}: {check}")
            if connection.read(10)[9:] != zmtp.SIGNATURE[9:]:
                raise StoppedError("not ZeroMQ", f"{peer} speaks no ZeroMQ: {check}")
        except socket.timeout:
            raise StoppedError(
                "not ZeroMQ",
                f"{peer} says nothing: {check}, and that the program is not stopped (Ctrl+Z stops "
                "it, fg wakes it)",
            ) from None
        except OSError:
            raise StoppedError(
                "not ZeroMQ",
                f"{peer} accepts a connection and closes it without a greeting: {check}. Where a "
                "port forwarding listens there (docker, ssh -L, WSL), check that the publisher "
                "runs behind it, bound to '*'",
            ) from None
        try:
            version, mechanism = connection.read_greeting()
        except zmtp.OldVersionError as error:
            self.found = self.found._replace(version=error.version)
            raise StoppedError("handshake failed", error.why) from None
        except OSError as error:
            raise _failed(error) from None
        self.found = self.found._replace(version=version, mechanism=_quote(mechanism))
        self._at("security")
        if self.found.mechanism != "NULL":
            raise StoppedError(
                "mechanism",
                f"the other side demands {self.found.mechanism} security and a plain subscriber "
                "has none: use its keys or password, or start it without them",
            )

    def shake_hands(self, connection: zmtp.Connection) -> None:
        """Exchange READY; its socket type must be a publisher's."""
        self._at("handshake")
        # A libzmq that dislikes our READY hangs up without one of its own, so ours comes second,
        # unless the other side waits for it.
        owed = connection.comes_within(min(_FIRST_WORD, (self._deadline - monotonic()) / 2))
        try:
            if not owed:
                connection.send(_READY)
            name, body = connection.read_frame(_LONGEST_READY)
        except OSError as error:
            raise _failed(error) from None
        if name == b"ERROR":
            raise _failed(f"it says '{_quote(body[1:])}'")
        if name != b"READY":
            raise _failed("it makes no sense")
        kind = _quote(zmtp.properties(body).get(b"socket-type", b""))
        self.found = self.found._replace(socket_type=kind)
        self._at("socket type")
        if kind not in ("PUB", "XPUB"):
            hears = kind in ("SUB", "XSUB")
            too = ", which subscribes like this one" if hears else ""
            relay = "; subscribers of a relay connect to its backend, port 5555" if hears else ""
            raise StoppedError(
                "not a publisher",
                f"at {self.found.address} is a {kind or 'nameless'} socket{too}: connect to a "
                f"publisher (PUB, XPUB, zmqchat pub), or check the port{relay}",
            )
        if owed:
            self._at("subscription")
            try:
                connection.send(_READY)
            except OSError as error:
                raise _failed(error) from None

    def try_out(self, connection: zmtp.Connection, *, subscribe: bool) -> None:
        """Measure a round trip, and see that a subscription is taken."""
        self._at("subscription")
        major, _, minor = (self.found.version or "").partition(".")
        if (int(major), int(minor)) < (3, 1):
            return  # nothing there answers, so nothing would show
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
            return  # busy, or far away; it did shake hands
        except OSError:
            if subscribing:
                self.found = self.found._replace(subscribed=False)
            raise StoppedError(
                "handshake failed",
                "the other side hung up right after the handshake: check its own messages, and "
                "whom it lets in",
            ) from None

    def _at(self, stage: str) -> None:
        self.found = self.found._replace(stage=stage)


def _quote(data: bytes) -> str:
    """A stranger's words, made short and harmless."""
    return sanitize(data[:_LONGEST_QUOTE].decode("ascii", "backslashreplace"))


def _failed(error: OSError | str) -> StoppedError:
    """A handshake that came to nothing."""
    why = "it hangs up"
    if isinstance(error, str):
        why = error
    elif isinstance(error, socket.timeout):
        why = "it falls silent"
    elif isinstance(error, zmtp.BrokenError):
        why = error.why
    return StoppedError(
        "handshake failed",
        f"the other side does not finish the handshake ({why}): check its own messages, whom it "
        "lets in, and what program it is",
    )


def _looks_like(start: bytes) -> str:
    for opening, name in _SPOKEN.items():
        if start.startswith(opening):
            return f"{name}, no ZeroMQ"
    return f"no ZeroMQ (it says '{_quote(start)}')"
