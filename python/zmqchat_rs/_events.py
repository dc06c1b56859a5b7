"""What happens to connections, told: to an object's `on_event`, and to `logging`.

One daemon thread reads the native queue, so that neither the network nor the housekeeping ever
waits for the interpreter, and a slow callback delays only other callbacks.
"""

from __future__ import annotations

import sys
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import _core

if TYPE_CHECKING:
    import logging
    from typing import Callable

_starting = threading.Lock()
_reader: threading.Thread | None = None


@dataclass(frozen=True)
class Event:
    """Something that happened to a connection; what `on_event` is called with.

    Attributes:
        kind: "connected", "disconnected", "silent" (somebody waited for 3 s and nobody was there),
            "cut off" (the peer broke a rule, such as the size of a message), "subscribed" and
            "unsubscribed" (publishers: what a peer asks for), "lost" (subscribers: messages of a
            named publisher are missing).
        address: The peer as a person would type it; for "lost" the publisher's name.
        at: When: an aware datetime in local time.
        subscription: The topic (str) or raw prefix (bytes) of the two kinds that have one.
        count: How many messages were lost; 0 for other kinds.
        reason: For "silent": why, from a look of our own: "refused", "filtered", "unreachable",
            "name not found", "handshake failed", "not a publisher" ...; "" for other kinds.
        advice: For "silent": what to check; "" for other kinds.
    """

    kind: str
    address: str
    at: datetime
    subscription: str | bytes | None = None
    count: int = 0
    reason: str = ""
    advice: str = ""

    def __str__(self) -> str:
        """The event as a sentence for people; what a stranger named is shown escaped."""
        address = _core.sanitize(self.address)
        if self.kind == "connected":
            return f"connected to {address}"
        if self.kind == "disconnected":
            return f"lost the connection to {address}"
        if self.kind == "silent":
            why = f": {self.reason}" if self.reason and self.reason != "ok" else ""
            return f"nobody at {address}{why}. {self.advice}".rstrip()
        if self.kind == "cut off":
            return (
                f"cut off {address}: it broke a rule of the protocol, such as a message above "
                "max_message_bytes; trying again"
            )
        if self.kind == "lost":
            plural = "" if self.count == 1 else "s"
            return (
                f"{self.count} message{plural} of {address} lost: this subscriber was too slow, or "
                "the connection broke"
            )
        what = self.subscription
        if isinstance(what, bytes):
            what = what.decode(errors="backslashreplace") + "*"
        verb = "joined" if self.kind == "subscribed" else "left"
        return f"{address} {verb} {_core.sanitize(what or '')}"


def start() -> None:
    """Start the reading thread, once a process; called by the native module at the first event."""
    global _reader  # noqa: PLW0603
    with _starting:
        if _reader is None or not _reader.is_alive():
            _reader = threading.Thread(target=_run, name="zmqchat-events", daemon=True)
            _reader.start()


def _run() -> None:
    while True:
        try:
            found = _core._next_event()  # noqa: SLF001
        except _core.ClosedError:
            return
        if found is None:
            return
        callback, details = found
        try:
            deliver(callback, **details)
        except Exception:  # noqa: BLE001
            # One callback's failure must not end the thread for all others.
            _logger().exception("on_event failed")


def deliver(  # noqa: PLR0913
    callback: Callable[[Event], object] | None,
    *,
    kind: str,
    address: str,
    at_ns: int,
    subscription: str | bytes | None = None,
    count: int = 0,
    publishes: bool = False,
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
    """
    reason = advice = ""
    if kind == "silent":
        # Imported only now: most programs never need it.
        from .probe import probe  # noqa: PLC0415

        seen = probe(address, subscribe=False)
        reason, advice = seen.reason, seen.advice
        if publishes:
            # The probe takes a subscriber's view.
            advice = "Start a subscriber that listens there, or check address, port and firewall."
            if reason == "not a publisher":
                reason = ""
    event = Event(
        kind,
        address,
        datetime.fromtimestamp(at_ns / 1e9, timezone.utc).astimezone(),
        subscription,
        count,
        reason,
        advice,
    )
    if kind in ("silent", "cut off", "lost"):
        _logger().warning("%s", event)
    elif callback is None:
        _logger().info("%s", event)
    if callback is not None:
        callback(event)


def _logger() -> logging.Logger:
    import logging  # noqa: PLC0415

    return logging.getLogger("zmqchat_rs")


def _forget_thread() -> None:
    """In a forked child the thread is not there."""
    global _reader, _starting  # noqa: PLW0603
    _reader = None
    _starting = threading.Lock()


if sys.platform != "win32":
    import os

    os.register_at_fork(after_in_child=_forget_thread)
