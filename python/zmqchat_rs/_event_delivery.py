"""Delivers events of connections to an object's `on_event` and to `logging`.

A daemon thread reads the native queue of events. The network and the maintenance thread therefore
never wait for the interpreter, and a slow callback delays only other callbacks.
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
from .events import ANOTHER_PROGRAM, Event

if TYPE_CHECKING:
    import logging
    from typing import Callable

    from .diagnostics.probe import Probe

_starting = _threads.allocate_lock()
_reader: _threads.AnyThread | None = None
# Why messages were lost.
_INTERRUPTED = "a connection was interrupted"
_NOT_INTERRUPTED = (
    "this subscriber reads too slowly, or a connection between publisher and relay was interrupted"
)
# Kinds that are always logged as warnings; the rate of "cut off" is limited.
_WARNINGS = (
    *("silent", "no room", "handshake failed", "loopback"),
    *("lost", "overflow", "not logged"),
)
# libzmq does not report which cause of "version" it was.
_FAILED_HANDSHAKES = {
    "version": (
        "the peer uses ZMTP 2.0 or older, or is not a {other}; ZeroMQ 4.0 or later is needed"
    ),
    "mechanism": (
        "the peer uses another security mechanism (CURVE or PLAIN on one side only); use the same "
        "on both sides"
    ),
    "protocol": "the peer violated the protocol; check which program it is",
}
# A peer that connects to a bound address uses another port for each attempt.
_cut_off = RateLimit(5.0, 10)


def start() -> None:
    """Start the delivery thread of this process; the native module calls it at the first event."""
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
                # The thread continues, for the other callbacks.
                if _core._is_shutting_down():  # noqa: SLF001
                    return
                _log_failure()
    finally:
        # After an unexpected end, the next event starts another thread.
        with _starting:
            if _threads.is_current(_reader):
                _reader = None
        _core._event_reader_stopped()  # noqa: SLF001


def _log_failure() -> None:
    """Log the current exception, or print it if logging fails."""
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
    cause: str = "not connected",
    dropped: bool = False,
    side: str = "",
    why: str = "",
    interrupted: bool = False,
) -> None:
    """Log one event and call its callback.

    Args:
        callback: The object's `on_event`, or None.
        kind: As in `Event`.
        address: As in `Event`.
        at_ns: Unix nanoseconds.
        subscription: As in `Event`.
        count: As in `Event`.
        publishes: Whether the waiting object is a publisher.
        cause: Why no peer is connected: "not connected" (to this address), "no peer" (connected to
            the bound address), "no address" (neither bound nor connected) or "handshake ended" (the
            peer at this address disconnected during its handshake).
        dropped: Whether events before this one were dropped; this is logged.
        side: As in `Event`.
        why: The error of "not logged", the reason of "handshake failed", the name of "loopback", or
            the limit of "cut off".
        interrupted: For "lost": whether a connection ended since the last received message.
    """
    reason, advice = why, ""
    if kind == "silent":
        reason, advice = _why_silent(address, cause, publishes=publishes)
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
                "events were dropped: an on_event callback is too slow; more may be dropped later"
            )
        if kind in _WARNINGS or (kind == "cut off" and _cut_off.allows(address)):
            _logger().warning("%s", event)
        elif callback is None:
            _logger().info("%s", event)
    finally:
        # Even if a logging handler raises.
        if callback is not None:
            callback(event)


def _why_silent(address: str, cause: str, *, publishes: bool) -> tuple[str, str]:
    """Return the reason why no peer is connected, and what to check."""
    if cause == "no address":
        return "not connected", "Call connect with the address of a publisher."
    wanted = "subscriber" if publishes else "publisher"
    if cause == "handshake ended":
        return "handshake failed", (
            "the peer ended the connection; check that both sides use the same security (CURVE or "
            f"PLAIN), and that the program is a {wanted}."
        )
    if cause == "no peer":
        return "no peer connected", (
            f"Have a {wanted} connect to one of these addresses; check the address that it uses, "
            "and the firewall here."
        )
    # Imported here, because most programs never need it.
    from .diagnostics.probe import probe  # noqa: PLC0415

    found = probe(address, subscribe=False)
    reason, advice = _for_a_publisher(found) if publishes else (found.reason, found.advice)
    if found.others and not found.ok:
        advice += f" Other addresses of the name: {', '.join(found.others)}."
    return reason, advice


def _for_a_publisher(found: Probe) -> tuple[str, str]:
    """Return why a publisher has no subscriber at an address, from the result of a probe."""
    if found.socket_type in ("SUB", "XSUB"):
        return "ok", ""
    if found.socket_type in ("PUB", "XPUB"):
        return "not a subscriber", (
            "A publisher is bound there. Publishers connect to a relay at its frontend, port 5556, "
            "or to a bound subscriber."
        )
    if found.reason == "handshake failed":
        return found.reason, found.advice
    if found.socket_type or found.reason in ANOTHER_PROGRAM:
        what = f"A {found.socket_type} socket" if found.socket_type else "Another program"
        return "not a subscriber", (
            f"{what} is bound there: compare the port with the one that the subscriber or the "
            "relay prints."
        )
    return found.reason, (
        "Start a subscriber that binds this address, or check address, port and firewall."
    )


def _logger() -> logging.Logger:
    import logging  # noqa: PLC0415

    return logging.getLogger("zmqchat_rs")


def _forget_thread() -> None:
    """In a forked child the thread does not exist."""
    global _reader, _starting  # noqa: PLW0603
    _reader = None
    _starting = _threads.allocate_lock()


if sys.platform != "win32":
    import os

    os.register_at_fork(after_in_child=_forget_thread)
