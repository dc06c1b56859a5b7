"""What happens to a connection: the class `Event`, which `on_event` receives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._core import sanitize

if TYPE_CHECKING:
    from datetime import datetime

# Reasons for a missing connection that mean: another program answers at this address.
ANOTHER_PROGRAM = ("not ZeroMQ", "handshake failed", "mechanism", "not a publisher")
# libzmq closes a connection without a reason.
_PROTOCOL_VIOLATION = (
    "it violated the protocol, for example with a message above max_message_bytes; it may reconnect"
)
# The sender, if the lost messages are those of several publishers.
_SEVERAL = "several publishers"
# Events of a relay that have no peer.
_RELAY_EVENTS = {
    "overflow": (
        "a subscriber of this relay is too slow: its queue is full, and it loses messages; raise "
        'high_water_mark, or choose on_full="block"'
    ),
    "not logged": "the relay cannot log its messages: ",
}


@dataclass(frozen=True)
class Event:
    """Something that happened to a connection; the argument of `on_event`.

    Attributes:
        kind: "connected"; "disconnected"; "silent" (no peer was connected during a wait of 3 s);
            "no room" (peers are refused for lack of file descriptors, or soon will be; reported at
            most once a minute);
            "handshake failed" (of a peer that connected to an address bound here; reported once a
            minute for each host);
            "loopback" (the name that was bound resolves to an address that only this host reaches);
            "cut off" (the connection was closed because the peer violated a limit, such as the size
            of a message); "subscribed" and "unsubscribed" (publishers and relays: a peer changed
            its subscriptions); "lost" (subscribers: messages of a named publisher are missing);
            "overflow" (relays: a subscriber is too slow and loses messages); "not logged" (relays:
            the capture cannot write).
        address: The address of the peer. For "lost": the publisher's name, or "" for several
            publishers together. For "no room" and for the reason "no peer connected": the address
            that peers connect to.
        at: The time: an aware datetime in local time.
        subscription: The topic (str) or raw prefix (bytes) of "subscribed" and "unsubscribed"; None
            for other kinds.
        count: The number of lost messages (0 if unknown), or of overflows of a queue; 0 for other
            kinds.
        reason: For "silent", the result of a connection attempt: "refused", "filtered",
            "unreachable", "name not found", "handshake failed", "not a publisher" ...; or "no peer
            connected" (to the bound addresses), "not connected" (it has no address to connect to),
            "not a subscriber" (of a publisher that connects). For "handshake failed":
            "version" (an old version, or an unsuitable socket type), "mechanism" (another security
            mechanism) or "protocol". For "loopback": the name. For "not logged": the error of the
            system. For "lost": whether a connection of this subscriber was interrupted. For "cut
            off": the limit that the peer exceeded, if a publisher or relay closed the connection.
            "" for other kinds.
        advice: For "silent" and "handshake failed": what to check; "" for other kinds.
        side: For relays: "frontend" (publishers and upstream) or "backend" (subscribers). "" for
            other sockets.
    """

    kind: str
    address: str
    at: datetime
    subscription: str | bytes | None = None
    count: int = 0
    reason: str = ""
    advice: str = ""
    side: str = ""

    def __str__(self) -> str:  # noqa: PLR0911 - one for each kind
        """The event as a sentence; control characters in a peer's text are escaped."""
        address = sanitize(self.address)
        if self.kind in _RELAY_EVENTS:
            return f"{_RELAY_EVENTS[self.kind]}{self.reason}"
        if self.kind == "connected":
            return f"connected to {address}"
        if self.kind == "disconnected":
            return f"lost the connection to {address}"
        if self.kind == "silent":
            return self._with_advice(self._silence(address))
        if self.kind in ("handshake failed", "loopback"):
            return self._at_a_bound_address(address)
        if self.kind == "no room":
            return (
                f"hardly any file descriptors are left: new peers cannot connect to {address} "
                "until others disconnect; raise the limit (ulimit -n)"
            )
        if self.kind == "cut off":
            return f"cut off {address}: {self.reason or _PROTOCOL_VIOLATION}"
        if self.kind == "lost":
            plural = "" if self.count == 1 else "s"
            count = self.count or "an unknown number of"
            return f"lost {count} message{plural} from {address or _SEVERAL}: {self.reason}"
        what = self.subscription
        if isinstance(what, bytes):
            what = what.decode(errors="backslashreplace") + "*"
        verb = "joined" if self.kind == "subscribed" else "left"
        return f"{address} {verb} {sanitize(what or '')}"

    def _at_a_bound_address(self, address: str) -> str:
        if self.kind == "handshake failed":
            return f"handshake failed: {self.advice} (peer {address})"
        name, port = sanitize(self.reason), address.rpartition(":")[2]
        return (
            f"only this host can connect to {address}: the name '{name}' resolves to a loopback "
            f"address here; bind '*:{port}' or an IP address of this host (zmqchat ip)"
        )

    def _with_advice(self, silence: str) -> str:
        if self.reason == "handshake failed":
            return f"{silence}: {self.advice[:1].lower()}{self.advice[1:]}"
        return f"{silence}. {self.advice}".rstrip()

    def _silence(self, address: str) -> str:
        if self.reason == "not connected":
            return "no address to connect to"
        if self.reason == "no peer connected":
            return f"no peer has connected to {address}"
        if self.reason == "not a subscriber":
            return f"no subscriber at {address}"
        if self.reason == "ok":
            return f"not connected to {address} yet, but it answers now"
        if self.reason in ANOTHER_PROGRAM and self.reason != "handshake failed":
            return f"no publisher at {address}: {self.reason}"
        return f"cannot connect to {address}: {self.reason}"
