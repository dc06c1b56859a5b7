"""What happens to connections, as lines on stderr.

An object's `on_event` calls these from a thread of its own, while a person may be typing.
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

# How many of one peer's subscriptions are announced; some programs have thousands.
_MOST = 10
# How much of a prefix is shown.
_LONGEST = 60
# That a peer was cut off is told once in so many seconds, and of so many peers.
_QUIET = 60.0
_CROWD = 10
# How long the end waits for a line on its way to a terminal that is held up (Ctrl+S), in seconds.
_PATIENCE = 1.0


class Notices:
    """Notices of one command; none once its `with` block is left.

    Inside that block the log's own way to stderr is closed, so that nothing is said twice.
    """

    def __init__(self, connects_to: list[str], *, verbose: bool) -> None:
        """Take the addresses that were typed; the other peers come by themselves."""
        import logging  # noqa: PLC0415 - the other commands start sooner

        self._connects_to = {typed_address(address) for address in connects_to}
        self._verbose = verbose
        # Whoever is cut off tries again, which is no news each time.
        self._cut_off = RateLimit(_QUIET, _CROWD)
        # A thread that still writes when the interpreter ends would make it abort.
        self._lock = threading.Lock()
        self._open = True
        self._log, self._nowhere = logging.getLogger("zmqchat_rs"), logging.NullHandler()

    def __call__(self, event: Event) -> None:
        """Say what there is to say of an event."""
        with self._lock:
            if self._open and not self._is_repeated(event):
                for text in self._lines(event):
                    self._write(sanitize(text))

    def _is_repeated(self, event: Event) -> bool:
        place = self._place(event.address)
        if event.kind == "cut off":
            return not self._cut_off.allows(place)
        # What comes between two cuttings off of one that we connect to.
        between = event.kind in ("connected", "disconnected") and event.address in self._connects_to
        return between and self._cut_off.is_recent(place)

    def _lines(self, event: Event) -> Iterator[str]:
        raise NotImplementedError

    def _trouble(self, event: Event) -> Iterator[str]:
        # One that came while the reason was looked for will say so itself.
        if event.reason != "ok":
            yield str(event)

    def _write(self, line: str) -> None:
        output.notice(line)

    def _place(self, address: str) -> str:
        """A peer as it was typed; without the port, where its system chose that for this once."""
        if address in self._connects_to:
            return address
        if "://" in address:
            return "somebody on this laptop"
        return address.rpartition(":")[0].strip("[]")

    def __enter__(self) -> None:
        """Begin: the log stays off stderr from here on."""
        self._log.addHandler(self._nowhere)

    def __exit__(self, *_: object) -> None:
        """End: whatever happens from here on is said by nobody."""
        self._log.removeHandler(self._nowhere)
        held = self._lock.acquire(timeout=_PATIENCE)
        self._open = False
        if held:
            self._lock.release()


# What both a publisher and a relay report, whatever the terminal.
_TROUBLE = ("silent", "no room", "handshake failed", "loopback", "cut off")


class SubscriberNotices(Notices):
    """What a subscriber wants to know: whom it hears, and whom no longer.

    A connection that comes as it should is no news, unless told to be verbose; one that was
    missed is.
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
            yield f"lost the connection to {place}; waiting for it to come back"
        elif event.kind == "silent":
            self._missed.add(place)
            # One that came while the reason was looked for will say so itself.
            if event.reason != "ok":
                yield f"{event}{_or_a_topic(event)}"
        else:
            yield str(event)


def _or_a_topic(event: Event) -> str:
    """Give the option for a topic, if a word that is not a host name was typed as a host."""
    host = event.address.rpartition(":")[0]
    if event.reason != "name not found" or "." in host:
        return ""
    return f" If '{host}' is a topic, type: -t {host}."


class PublisherNotices(Notices):
    """What a publisher wants to know: who joined, and who left; if it connects, whether it is."""

    def __init__(
        self, connects_to: list[str], *, verbose: bool, say: Callable[[str], None]
    ) -> None:
        """Take what writes a notice where a person may be typing."""
        super().__init__(connects_to, verbose=verbose)
        self._person = output.is_terminal(sys.stderr)
        self._say = say
        # What each connection joined; a dict for the order.
        self._joined: dict[str, dict[str, None]] = {}
        self.changes = SubscriptionChanges()

    def __call__(self, event: Event) -> None:
        """Count the changes, and print the notices of an event."""
        self.changes(event)
        super().__call__(event)

    def _lines(self, event: Event) -> Iterator[str]:
        place = self._place(event.address)
        if event.kind in _TROUBLE:
            yield from self._trouble(event)
        elif not (self._person or self._verbose):
            return
        elif event.kind == "subscribed":
            yield from self._subscribed(event)
        elif event.kind == "unsubscribed":
            room = _room(event.subscription)
            if room in self._joined.get(event.address, ()):
                del self._joined[event.address][room]
                yield f"{place} left {room}"
        elif event.kind == "disconnected":
            rooms = self._joined.pop(event.address, None)
            if event.address in self._connects_to:
                yield f"lost the connection to {place}; waiting for it to come back"
            elif rooms:
                yield f"{place} left {', '.join(rooms)}"
        elif event.kind == "connected" and event.address in self._connects_to:
            yield f"connected to {place}"

    def _subscribed(self, event: Event) -> Iterator[str]:
        rooms = self._joined.setdefault(event.address, {})
        room = _room(event.subscription) if len(rooms) < _MOST else "more"
        if room not in rooms:
            rooms[room] = None
            yield f"{self._place(event.address)} joined {room}"

    def _write(self, line: str) -> None:
        (self._say if self._person else output.notice)(line)


class RelayNotices(Notices):
    """What a relay wants to know: who comes to either side, who goes, and who joins what."""

    def __init__(self, connects_to: list[str], publishes_to: list[str], *, verbose: bool) -> None:
        """Take the addresses that were typed."""
        super().__init__([*connects_to, *publishes_to], verbose=verbose)
        self._shows_all = verbose or output.is_terminal(sys.stderr)
        self._joined: dict[str, int] = {}

    def _lines(self, event: Event) -> Iterator[str]:
        place = self._place(event.address)
        if event.kind in (*_TROUBLE, "overflow", "not logged"):
            yield from self._trouble(event)
        elif event.address in self._connects_to and event.kind in ("connected", "disconnected"):
            came = event.kind == "connected"
            lost = f"lost the connection to {place}; waiting for it to come back"
            yield f"connected to {place}" if came else lost
        elif self._shows_all and event.side == "frontend":
            came = event.kind == "connected"
            yield f"{place} {'connected to publish' if came else 'publishes no more'}"
        elif self._shows_all:
            yield from self._audience(event, place)

    def _audience(self, event: Event, place: str) -> Iterator[str]:
        joined = self._joined.get(event.address, 0)
        if event.kind == "subscribed":
            yield from self._subscribed(event, place)
        elif event.kind == "unsubscribed" and joined <= _MOST:
            yield f"{place} left {_room(event.subscription)}"
        elif event.kind == "disconnected" and self._joined.pop(event.address, 0):
            yield f"{place} left"

    def _subscribed(self, event: Event, place: str) -> Iterator[str]:
        count = self._joined[event.address] = self._joined.get(event.address, 0) + 1
        if count <= _MOST:
            yield f"{place} joined {_room(event.subscription)}"
        elif count == _MOST + 1:
            yield f"{place} joined more"


def typed_address(address: str) -> str:
    """An address that a person typed, as events name it."""
    transport, host, port = parse_address(address)
    return f"{host}:{port}" if transport == "tcp" else f"{transport}://{host}"


def _room(subscription: str | bytes | None) -> str:
    if isinstance(subscription, str):
        return subscription
    begins = (subscription or b"").decode(errors="backslashreplace")
    if len(begins) > _LONGEST:
        begins = f"{begins[:_LONGEST]}…"
    return f"what begins with '{begins}'" if begins else "everything"
