"""What happens to a connection, as a record and as a sentence: what `on_event` is called with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._core import sanitize

if TYPE_CHECKING:
    from datetime import datetime

# Reasons for silence although a program listens there.
NOT_A_PUBLISHER = ("not ZeroMQ", "handshake failed", "mechanism", "not a publisher")
# Why libzmq ended a connection.
_BROKE_A_RULE = (
    "it broke a rule of the protocol, such as a message above max_message_bytes; it may try again"
)
# In place of a name, where messages of many publishers were lost.
_SEVERAL = "several publishers"
# What happens in a relay, with no peer to name.
_OF_A_RELAY = {
    "overflow": (
        "a subscriber of this relay is too slow: its queue is full, and it loses messages; raise "
        'high_water_mark, or choose on_full="block"'
    ),
    "not logged": "the relay cannot log its messages: ",
}


@dataclass(frozen=True)
class Event:
    """Something that happened to a connection; what `on_event` is called with.

    Attributes:
        kind: "connected"; "disconnected"; "silent" (no peer was connected during a wait of 3 s);
            "no room" (peers are refused for lack of descriptors, or soon will be; reported at most
            once a minute);
            "handshake failed" (of a peer that connected to an address bound here; reported once a
            minute for each host);
            "loopback" (the name that was bound leads to an address that only this host reaches);
            "cut off" (the peer broke a rule, such as the size of a message); "subscribed" and
            "unsubscribed" (publishers and relays: a peer changed its subscriptions); "lost"
            (subscribers: messages of a named publisher are missing); "overflow" (relays: a
            subscriber is too slow and loses messages); "not logged" (relays: the capture cannot
            write).
        address: The address of the peer. For "lost" the publisher's name, or "" for several
            publishers together. For "no room", and for the reason "nobody came", the address that
            peers connect to.
        at: The time: an aware datetime in local time.
        subscription: The topic (str) or raw prefix (bytes) of the two kinds that have one.
        count: The number of lost messages (0 if unknown), or of overflows of a queue; 0 for other
            kinds.
        reason: For "silent", the result of a connection attempt: "refused", "filtered",
            "unreachable", "name not found", "handshake failed", "not a publisher" ...; or "nobody
            came" (no peer connected to the bound addresses), "not connected" (it has no address),
            "not a subscriber" (a publisher waits for one). For "handshake failed": "version" (an
            old one, or an unsuitable socket type), "mechanism" (other security) or "protocol". For
            "loopback": the name. For "not logged": the error of the system. For "lost": whether a
            connection of this subscriber was interrupted. For "cut off": the limit that the peer
            exceeded, if a publisher or relay cut it off. "" for other kinds.
        advice: For "silent" and "handshake failed": what to check; "" for other kinds.
        side: Of a relay: "frontend" (publishers and upstream) or "backend" (subscribers); "" else.
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
        """The event as a sentence for people; what a stranger named is shown escaped."""
        address = sanitize(self.address)
        if self.kind in _OF_A_RELAY:
            return f"{_OF_A_RELAY[self.kind]}{self.reason}"
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
                f"hardly any room for more peers at {address}: this program may open hardly any "
                "more files; raise the limit (ulimit -n), or newcomers stay outside until others "
                "leave"
            )
        if self.kind == "cut off":
            return f"cut off {address}: {self.reason or _BROKE_A_RULE}"
        if self.kind == "lost":
            plural = "" if self.count == 1 else "s"
            count = self.count or "an unknown number of"
            return f"{count} message{plural} of {address or _SEVERAL} lost: {self.reason}"
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
            f"only this host can connect to {address}: the name '{name}' leads to a loopback "
            f"address here; bind '*:{port}' or an IP address of this host (zmqchat ip)"
        )

    def _with_advice(self, silence: str) -> str:
        if self.reason == "handshake failed":
            return f"{silence}: {self.advice[:1].lower()}{self.advice[1:]}"
        return f"{silence}. {self.advice}".rstrip()

    def _silence(self, address: str) -> str:
        if self.reason == "not connected":
            return "connected to nobody"
        if self.reason == "nobody came":
            return f"nobody has connected to {address}"
        if self.reason == "not a subscriber":
            return f"no subscriber at {address}"
        if self.reason == "ok":
            return f"not connected to {address} yet, though it answers now"
        if self.reason == "handshake failed":
            return f"no connection with {address}: {self.reason}"
        whom = "no publisher" if self.reason in NOT_A_PUBLISHER else "nobody"
        return f"{whom} at {address}: {self.reason}"
