"""Reports what happens to connections: to an object's `on_event`, and to `logging`.

One daemon thread reads the native queue, so that neither the network nor the housekeeping ever
waits for the interpreter, and a slow callback delays only other callbacks.
"""

from __future__ import annotations

import contextlib
import sys
import traceback
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from . import _core, _threads
from ._rate_limit import RateLimit
from ._threads import start_thread
from .events import NOT_A_PUBLISHER, Event

if TYPE_CHECKING:
    import logging
    from typing import Callable

    from .diagnostics.probe import Probe

_starting = _threads.allocate_lock()
_reader: _threads.AnyThread | None = None
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
# Each attempt of a peer that connects itself has its own address.
_cut_off = RateLimit(5.0, 10)


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
                if _core._is_shutting_down():  # noqa: SLF001
                    return
                _log_failure()
    finally:
        # Should it end all the same, the next event starts another one.
        with _starting:
            if _threads.is_current(_reader):
                _reader = None
        _core._event_reader_stopped()  # noqa: SLF001


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
    from .diagnostics.probe import probe  # noqa: PLC0415

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
    if seen.socket_type or seen.reason in NOT_A_PUBLISHER:
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
