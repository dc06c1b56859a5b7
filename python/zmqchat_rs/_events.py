"""Reports what happens to connections: to an object's `on_event`, and to `logging`.

One daemon thread reads the native queue, so that neither the network nor the housekeeping ever
waits for the interpreter, and a slow callback delays only other callbacks.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from dataclasses import dataclass
from datetime import datetime, timezone
from time import monotonic
from typing import TYPE_CHECKING

from . import _core, _threads
from ._threads import start_thread

if TYPE_CHECKING:
    import logging
    from typing import Callable

    from .probe import Probe

_starting = _threads.allocate_lock()
_reader: _threads.AnyThread | None = None
# Reasons for silence although a program listens there.
_SOMEBODY = ("not ZeroMQ", "handshake failed", "mechanism", "not a publisher")
# Why libzmq ended a connection.
_BROKE_A_RULE = (
    "it broke a rule of the protocol, such as a message above max_message_bytes; it may try again"
)
# In place of a name, where messages of many publishers were lost.
_SEVERAL = "several publishers"
# Why messages were lost.
_INTERRUPTED = "a connection was interrupted"
_NOT_INTERRUPTED = (
    "read too slowly, or a connection between the publisher and a relay was interrupted"
)
# What is logged as a warning each time; "cut off" is limited.
_WARNINGS = (
    *("silent", "no room", "handshake failed", "loopback"),
    *("lost", "overflow", "not logged"),
)
# libzmq does not report which of the causes of "version" it was.
_FAILED_HANDSHAKES = {
    "version": (
        "the peer speaks ZMTP 2.0 or older, or is not a {other}; ZeroMQ 4.0 or later is needed"
    ),
    "mechanism": (
        "the peer uses another security mechanism (CURVE or PLAIN on one side only); use the same "
        "on both sides"
    ),
    "protocol": "the peer broke the protocol; check which program it is",
}
# What happens in a relay, with no peer to name.
_OF_A_RELAY = {
    "overflow": (
        "a subscriber of this relay is too slow: its queue ran full, and it loses messages; raise "
        'high_water_mark, or choose on_full="block"'
    ),
    "not logged": "the relay cannot log what it passes on: ",
}


class Seldom:
    """Says what is news: each key once in so many seconds, and no crowd of keys."""

    def __init__(self, seconds: float, most: int) -> None:
        """Begin; of `most` keys no more is news until one of them is old."""
        self.seconds = seconds
        self._most = most
        self._known: dict[str, float] = {}

    def is_news(self, key: str) -> bool:
        """Whether to say it; if so, it is no news for a while."""
        if self.was_told(key) or len(self._known) >= self._most:
            return False
        self._known[key] = monotonic()
        return True

    def was_told(self, key: str) -> bool:
        """Whether it was said a short while ago."""
        now = monotonic()
        self._known = {one: at for one, at in self._known.items() if now - at < self.seconds}
        return key in self._known


# Each attempt of a peer that connects itself has its own address.
_cut_off = Seldom(5.0, 10)


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
        address = _core.sanitize(self.address)
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
        return f"{address} {verb} {_core.sanitize(what or '')}"

    def _at_a_bound_address(self, address: str) -> str:
        if self.kind == "handshake failed":
            return f"handshake failed: {self.advice} (peer {address})"
        name, port = _core.sanitize(self.reason), address.rpartition(":")[2]
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
        whom = "no publisher" if self.reason in _SOMEBODY else "nobody"
        return f"{whom} at {address}: {self.reason}"


def start() -> None:
    """Start the reading thread, once a process; called by the native module at the first event."""
    global _reader  # noqa: PLW0603
    with _starting:
        if _reader is None or not _reader.is_alive():
            _reader = _threads.make(_run, "zmqchat-events")
            start_thread(_reader)


def _run() -> None:
    global _reader  # noqa: PLW0603
    try:
        while True:
            found = _core._next_event()  # noqa: SLF001
            if found is None:
                return
            callback, details = found
            try:
                deliver(callback, **details)
            except BaseException:  # noqa: BLE001 - `sys.exit` in a callback, too
                # One callback's failure must not end the thread for all others.
                if _core._ending():  # noqa: SLF001
                    return
                _log_failure()
    finally:
        # Should it end all the same, the next event starts another one.
        with _starting:
            if _threads.is_current(_reader):
                _reader = None
        _core._stop_reading()  # noqa: SLF001


def _log_failure() -> None:
    """Log the exception that is being handled, or print it where logging fails."""
    try:
        _logger().exception("on_event failed")
    except BaseException:  # noqa: BLE001
        with contextlib.suppress(BaseException):
            traceback.print_exc()


def deliver(  # noqa: PLR0913
    callback: Callable[[Event], object] | None,
    *,
    kind: str,
    address: str,
    at_ns: int,
    subscription: str | bytes | None = None,
    count: int = 0,
    publishes: bool = False,
    awaited: str = "link",
    dropped: bool = False,
    side: str = "",
    why: str = "",
    interrupted: bool = False,
) -> None:
    """Log one event and call its callback.

    Args:
        callback: The object's `on_event`; None for none.
        kind: As in `Event`.
        address: As in `Event`.
        at_ns: Unix nanoseconds.
        subscription: As in `Event`.
        count: As in `Event`.
        publishes: Whether it is a publisher that waits.
        awaited: The awaited peer: "link" (at that address), "anybody" (any that connects to it),
            "nobody" (there is no address) or "refused" (as "anybody"; the peer at this address
            connected and hung up).
        dropped: Whether events before this one were dropped, which is logged.
        side: As in `Event`.
        why: For "not logged" the error; for "handshake failed" the reason; for "loopback" the name;
            for "cut off" the limit.
        interrupted: Whether a connection ended since the last message that was not lost.
    """
    reason, advice = why, ""
    if kind == "silent":
        reason, advice = _why_silent(address, awaited, publishes=publishes)
    elif kind == "handshake failed":
        advice = _FAILED_HANDSHAKES[why].format(other="subscriber" if publishes else "publisher")
    elif kind == "lost":
        reason = _INTERRUPTED if interrupted else _NOT_INTERRUPTED
    event = Event(
        kind,
        address,
        datetime.fromtimestamp(at_ns / 1e9, timezone.utc).astimezone(),
        subscription,
        count,
        reason,
        advice,
        side,
    )
    try:
        if dropped:
            _logger().warning(
                "events were dropped, now and perhaps again: an on_event is slower than they come"
            )
        if kind in _WARNINGS or (kind == "cut off" and _cut_off.is_news(address)):
            _logger().warning("%s", event)
        elif callback is None:
            _logger().info("%s", event)
    finally:
        # Whatever becomes of the log.
        if callback is not None:
            callback(event)


def _why_silent(address: str, awaited: str, *, publishes: bool) -> tuple[str, str]:
    """Find the reason why no peer is connected, and what to check."""
    if awaited == "nobody":
        return "not connected", "Call connect with the address of a publisher."
    others = "subscriber" if publishes else "publisher"
    if awaited == "refused":
        return "handshake failed", (
            "the peer ended the connection; check that both sides use the same security (CURVE or "
            f"PLAIN), and that the program is a {others}."
        )
    if awaited == "anybody":
        return "nobody came", (
            f"Have a {others} connect to one of these addresses; check the address that it uses, "
            "and the firewall here."
        )
    # Imported only now: most programs never need it.
    from .probe import probe  # noqa: PLC0415

    seen = probe(address, subscribe=False)
    reason, advice = _as_a_publisher_sees(seen) if publishes else (seen.reason, seen.advice)
    if seen.others and not seen.ok:
        advice += f" Other addresses of the name: {', '.join(seen.others)}."
    return reason, advice


def _as_a_publisher_sees(seen: Probe) -> tuple[str, str]:
    """Say of what a look found, which takes a subscriber's view, why no subscriber is there."""
    if seen.socket_type in ("SUB", "XSUB"):
        return "ok", ""
    if seen.socket_type in ("PUB", "XPUB"):
        return "not a subscriber", (
            "A publisher is there; publishers connect to a relay at its frontend, port 5556, or to "
            "a subscriber that listens."
        )
    if seen.reason == "handshake failed":
        return seen.reason, seen.advice
    if seen.socket_type or seen.reason in _SOMEBODY:
        what = f"A {seen.socket_type} socket" if seen.socket_type else "Something else"
        return "not a subscriber", (
            f"{what} is there: check the port against the one that the subscriber, or the relay, "
            "shows."
        )
    return seen.reason, (
        "Start a subscriber that listens there, or check address, port and firewall."
    )


def _logger() -> logging.Logger:
    import logging  # noqa: PLC0415

    return logging.getLogger("zmqchat_rs")


def _forget_thread() -> None:
    """In a forked child the thread is not there."""
    global _reader, _starting  # noqa: PLW0603
    _reader = None
    _starting = _threads.allocate_lock()


if sys.platform != "win32":
    import os

    os.register_at_fork(after_in_child=_forget_thread)
