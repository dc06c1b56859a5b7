"""Notices about connections: lines on stderr for events of a command's socket.

`on_event` calls these objects in another thread, while a person may be typing.
"""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING

from zmqchat_rs._core import parse_address, sanitize
from zmqchat_rs._rate_limit import RateLimit

from . import output
from .delivery_check import SubscriptionChanges

if TYPE_CHECKING:
    from typing import Callable, Iterator

    from zmqchat_rs.events import Event

# The number of one peer's subscriptions that are reported; some programs have thousands.
_MOST_SUBSCRIPTIONS = 10
# The number of characters of a prefix that are shown.
_LONGEST_PREFIX = 60
# "cut off" is reported once per interval in seconds for a peer, and for a limited number of peers.
_CUT_OFF_INTERVAL = 60.0
_MOST_CUT_OFF = 10
# Seconds that the end waits for a notice that a stopped terminal (Ctrl+S) delays.
_LAST_NOTICE = 1.0


class Notices:
    """The notices of one command, printed until its `with` block ends.

    In this block, `logging` does not print to stderr, so that no event is reported twice.
    """

    def __init__(self, connects_to: list[str], *, verbose: bool) -> None:
        """Prepare notices.

        Args:
            connects_to: The typed addresses. All other peers connect to this command.
            verbose: Whether to report more events.
        """
        import logging  # noqa: PLC0415 - the other commands start sooner

        self._connects_to = {typed_address(address) for address in connects_to}
        self._verbose = verbose
        # A peer that was cut off reconnects repeatedly.
        self._cut_off = RateLimit(_CUT_OFF_INTERVAL, _MOST_CUT_OFF)
        # A thread that writes while the interpreter ends would abort it.
        self._lock = threading.Lock()
        self._open = True
        self._logger, self._null_handler = logging.getLogger("zmqchat_rs"), logging.NullHandler()

    def __call__(self, event: Event) -> None:
        """Print the notices of an event."""
        with self._lock:
            if self._open and not self._is_repeated(event):
                for text in self._lines(event):
                    self._write(sanitize(text))

    def _is_repeated(self, event: Event) -> bool:
        place = self._place(event.address)
        if event.kind == "cut off":
            return not self._cut_off.allows(place)
        # A peer that this command connects to is connected again between two cuts.
        between = event.kind in ("connected", "disconnected") and event.address in self._connects_to
        return between and self._cut_off.is_recent(place)

    def _lines(self, event: Event) -> Iterator[str]:
        raise NotImplementedError

    def _problem(self, event: Event) -> Iterator[str]:
        # "ok": the peer was started while its address was probed, and will be connected.
        if event.reason != "ok":
            yield str(event)

    def _write(self, line: str) -> None:
        output.notice(line)

    def _place(self, address: str) -> str:
        """The typed address of a peer; of a peer that connected here, the address without port."""
        if address in self._connects_to:
            return address
        if "://" in address:
            return "a program on this laptop"
        return address.rpartition(":")[0].strip("[]")

    def __enter__(self) -> None:
        """Start: `logging` does not print to stderr from now on."""
        self._logger.addHandler(self._null_handler)

    def __exit__(self, *_: object) -> None:
        """End: later events are not reported."""
        self._logger.removeHandler(self._null_handler)
        held = self._lock.acquire(timeout=_LAST_NOTICE)
        self._open = False
        if held:
            self._lock.release()


# Kinds that publishers and relays always report.
_PROBLEMS = ("silent", "no room", "handshake failed", "loopback", "cut off")


class SubscriberNotices(Notices):
    """Notices of a subscriber: lost and missing connections, and their return.

    A connection without trouble is reported if `verbose`.
    """

    def __init__(self, connects_to: list[str], *, verbose: bool) -> None:
        super().__init__(connects_to, verbose=verbose)
        self._missed: set[str] = set()

    def _lines(self, event: Event) -> Iterator[str]:
        place = self._place(event.address)
        if event.kind == "connected":
            if self._verbose or place in self._missed:
                yield f"connected to {place}"
            self._missed.discard(place)
        elif event.kind == "disconnected":
            self._missed.add(place)
            yield f"lost the connection to {place}; reconnecting"
        elif event.kind == "silent":
            self._missed.add(place)
            # "ok": as in `_problem`.
            if event.reason != "ok":
                yield f"{event}{_topic_hint(event)}"
        else:
            yield str(event)


def _topic_hint(event: Event) -> str:
    """A hint for a topic that was typed where a host is expected."""
    host = event.address.rpartition(":")[0]
    if event.reason != "name not found" or "." in host:
        return ""
    return f" If '{host}' is a topic, type: -t {host}."


class PublisherNotices(Notices):
    """Notices of a publisher: subscribers that join and leave, and its own connections."""

    def __init__(
        self, connects_to: list[str], *, verbose: bool, say: Callable[[str], None]
    ) -> None:
        """Prepare notices; `say` prints one while a person may be typing."""
        super().__init__(connects_to, verbose=verbose)
        self._person = output.is_terminal(sys.stderr)
        self._say = say
        # The topics of each connection; dicts keep their order.
        self._joined: dict[str, dict[str, None]] = {}
        self.changes = SubscriptionChanges()

    def __call__(self, event: Event) -> None:
        """Count the changes, and print the notices of an event."""
        self.changes(event)
        super().__call__(event)

    def _lines(self, event: Event) -> Iterator[str]:
        place = self._place(event.address)
        if event.kind in _PROBLEMS:
            yield from self._problem(event)
        elif not (self._person or self._verbose):
            return
        elif event.kind == "subscribed":
            yield from self._subscribed(event)
        elif event.kind == "unsubscribed":
            topic = _topic(event.subscription)
            if topic in self._joined.get(event.address, ()):
                del self._joined[event.address][topic]
                yield f"{place} left {topic}"
        elif event.kind == "disconnected":
            topics = self._joined.pop(event.address, None)
            if event.address in self._connects_to:
                yield f"lost the connection to {place}; reconnecting"
            elif topics:
                yield f"{place} left {', '.join(topics)}"
        elif event.kind == "connected" and event.address in self._connects_to:
            yield f"connected to {place}"

    def _subscribed(self, event: Event) -> Iterator[str]:
        topics = self._joined.setdefault(event.address, {})
        more = len(topics) >= _MOST_SUBSCRIPTIONS
        topic = "more topics" if more else _topic(event.subscription)
        if topic not in topics:
            topics[topic] = None
            yield f"{self._place(event.address)} joined {topic}"

    def _write(self, line: str) -> None:
        (self._say if self._person else output.notice)(line)


class RelayNotices(Notices):
    """Notices of a relay: publishers that connect, and subscribers that join and leave."""

    def __init__(self, connects_to: list[str], publishes_to: list[str], *, verbose: bool) -> None:
        """Prepare notices for the typed addresses."""
        super().__init__([*connects_to, *publishes_to], verbose=verbose)
        self._shows_all = verbose or output.is_terminal(sys.stderr)
        self._joined: dict[str, int] = {}

    def _lines(self, event: Event) -> Iterator[str]:
        place = self._place(event.address)
        if event.kind in (*_PROBLEMS, "overflow", "not logged"):
            yield from self._problem(event)
        elif event.address in self._connects_to and event.kind in ("connected", "disconnected"):
            lost = f"lost the connection to {place}; reconnecting"
            yield f"connected to {place}" if event.kind == "connected" else lost
        elif self._shows_all and event.side == "frontend":
            yield f"publisher {place} {event.kind}"
        elif self._shows_all:
            yield from self._backend_lines(event, place)

    def _backend_lines(self, event: Event, place: str) -> Iterator[str]:
        joined = self._joined.get(event.address, 0)
        if event.kind == "subscribed":
            yield from self._subscribed(event, place)
        elif event.kind == "unsubscribed" and joined <= _MOST_SUBSCRIPTIONS:
            yield f"{place} left {_topic(event.subscription)}"
        elif event.kind == "disconnected" and self._joined.pop(event.address, 0):
            yield f"{place} left"

    def _subscribed(self, event: Event, place: str) -> Iterator[str]:
        count = self._joined[event.address] = self._joined.get(event.address, 0) + 1
        if count <= _MOST_SUBSCRIPTIONS:
            yield f"{place} joined {_topic(event.subscription)}"
        elif count == _MOST_SUBSCRIPTIONS + 1:
            yield f"{place} joined more topics"


def typed_address(address: str) -> str:
    """A typed address in the form that events use."""
    transport, host, port = parse_address(address)
    return f"{host}:{port}" if transport == "tcp" else f"{transport}://{host}"


def _topic(subscription: str | bytes | None) -> str:
    if isinstance(subscription, str):
        return subscription
    prefix = (subscription or b"").decode(errors="backslashreplace")
    if len(prefix) > _LONGEST_PREFIX:
        prefix = f"{prefix[:_LONGEST_PREFIX]}…"
    return f"prefix '{prefix}'" if prefix else "all topics"
