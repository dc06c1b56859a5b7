"""The members of a chat's rooms, from the messages that it receives; without sockets and clock.

Members with presence are reported when they join, leave or are lost. Senders without presence
(pyzmq, a named `Publisher`, a plain chat) are listed for a while after their last message.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from zmqchat_rs._core import sanitize

if TYPE_CHECKING:
    from zmqchat_rs._core import Message

    # With a stamp: the instance; without: the name in the text, or the address. Then the room.
    _Key = tuple[bool, str, str]

# Heartbeats without presence after which a member is lost: three may be late or lost.
_LOST_AFTER = 3.5
# Heartbeats after their last message until senders without presence are removed.
_REMOVED_AFTER = 60.0
# Limits the memory: peers could make up any number of members.
_MOST = 2_000
# The name at the beginning of a line of `Chat(plain=True)`.
_PLAIN_NAME = re.compile(r"([^\s:]{1,32}): ")
_LONGEST_NAME = 255
# The digits of the instance in the label of members with the same name.
_DIGITS = 4


@dataclass(frozen=True)
class Member:
    """A member of a room of a `Chat`.

    Attributes:
        name: The member's name; without a name its address, or "?".
        label: The name to show. If several members have the same name, it includes the first digits
            of the instance, as in `alice#9f3c`.
        room: The room. A member of two rooms is listed once for each.
        address: The IP address of the sender of its messages, which may be a relay; "?" if unknown.
        last_seen: The time of its last message: an aware datetime in local time.
        instance: Its instance id, new at each start; None without a stamp.
        present: Whether it sends presence, so that its end is reported.
    """

    name: str
    label: str
    room: str
    address: str
    last_seen: datetime
    instance: str | None
    present: bool


@dataclass(frozen=True)
class Notice:
    """A member joined, was already present, left, or is lost; the argument of `on_notice`.

    Attributes:
        kind: "come", "here" (was present before this chat, or has returned), "go" or "lost" (no
            presence received, although it did not leave).
        name: As in `Member`.
        label: As in `Member`.
        room: As in `Member`.
        address: As in `Member`.
        at: The time: an aware datetime in local time.
        instance: As in `Member`.
    """

    kind: str
    name: str
    label: str
    room: str
    address: str
    at: datetime
    instance: str | None

    def __str__(self) -> str:
        """The notice as a sentence; control characters in names are escaped."""
        label, room = sanitize(self.label), sanitize(self.room)
        if self.kind == "come":
            return f"{label} joined {room}"
        if self.kind == "here":
            return f"{label} is in {room}"
        if self.kind == "go":
            return f"{label} left {room}"
        return f"{label} is lost: not responding in {room}"


@dataclass(frozen=True)
class ChatStats:
    """The counts of a `Chat`.

    Attributes:
        said: Sent messages.
        heard: Received messages.
        lost: Messages that are missing, by the sequence numbers in the stamps. Presence does not
            count, but it reveals that messages before it are missing.
        dropped: Unread messages that were dropped for newer ones: 10,000 are kept.
    """

    said: int
    heard: int
    lost: int
    dropped: int


@dataclass
class _Entry:
    name: str
    room: str
    address: str
    instance: str | None
    present: bool
    at: datetime
    seen: float


class Members:
    """The members of all rooms. Times are seconds of `time.monotonic`; not thread-safe."""

    def __init__(self, own_name: str, heartbeat: float) -> None:
        self._own_name = own_name
        self._lost_after = _LOST_AFTER * heartbeat
        self._removed_after = _REMOVED_AFTER * heartbeat
        self._entries: dict[_Key, _Entry] = {}

    def record(self, message: Message, now: float) -> Notice | None:
        """Record the sender of a message.

        Args:
            message: A message of another member, in a room.
            now: The current time.

        Returns:
            The notice to report, or None.
        """
        room, instance = message.topic or "", message.instance
        kind = message.kind if message._is_presence else None  # noqa: SLF001
        name = message.sender or _name_of(message)
        key = (instance is not None, instance or name, room)
        known = self._entries.get(key)
        if kind == "go":
            if known is None or not known.present:
                return None
            del self._entries[key]
            return self._notice("go", known, message.received_at)
        presence = kind in ("come", "here")
        if known is None:
            if len(self._entries) >= _MOST:
                return None
            known = _Entry(name, room, "?", instance, present=False, at=message.received_at, seen=0)
            self._entries[key] = known
        joined = presence and not known.present
        known.address = message.address or known.address
        known.present = known.present or presence
        known.at, known.seen = message.received_at, now
        return self._notice(kind or "", known, message.received_at) if joined else None

    def sweep(self, now: float) -> list[Notice]:
        """Remove silent members, and return the notices to report."""
        notices = []
        for key, entry in list(self._entries.items()):
            limit = self._lost_after if entry.present else self._removed_after
            if now - entry.seen > limit:
                if entry.present:
                    at = datetime.now(timezone.utc).astimezone()
                    notices.append(self._notice("lost", entry, at))
                del self._entries[key]
        return notices

    def leave(self, room: str) -> None:
        """Remove the members of a room that was left."""
        self._entries = {key: one for key, one in self._entries.items() if one.room != room}

    def list(self) -> list[Member]:
        """All members, by room and name."""
        found = [
            Member(
                one.name,
                self.label(one.name, one.instance),
                one.room,
                one.address,
                one.at,
                one.instance,
                one.present,
            )
            for one in self._entries.values()
        ]
        return sorted(found, key=lambda one: (one.room, one.label))

    def count(self, room: str | None = None) -> int:
        """The number of present members, in one room or in all, each counted once."""
        return len(
            {
                one.instance
                for one in self._entries.values()
                if one.present and room in (None, one.room)
            }
        )

    def label(self, name: str, instance: str | None) -> str:
        """The name to show; if another member has the same name, it includes the instance."""
        if instance is None:
            return name
        shared = name == self._own_name or any(
            one.name == name and one.instance not in (None, instance)
            for one in self._entries.values()
        )
        return f"{name}#{instance[:_DIGITS]}" if shared else name

    def label_of(self, message: Message) -> str | None:
        """The label of a message's sender; None if the text begins with its name."""
        if message.sender:
            return self.label(message.sender, message.instance)
        return None if _PLAIN_NAME.match(message.text) else message.address or "?"

    def _notice(self, kind: str, entry: _Entry, at: datetime) -> Notice:
        label = self.label(entry.name, entry.instance)
        return Notice(kind, entry.name, label, entry.room, entry.address, at, entry.instance)


def _name_of(message: Message) -> str:
    """The sender of a message without a stamp: the name in the text, or the address."""
    found = _PLAIN_NAME.match(message.text)
    return found.group(1) if found else message.address or "?"


def check_name(name: str, *, plain: bool) -> None:
    """Check the name of a plain chat; otherwise, the publisher checks it."""
    if not isinstance(name, str):
        raise TypeError(f"name is a str, not {type(name).__name__}")
    if not plain:
        return
    if not name.strip() or len(name.encode()) > _LONGEST_NAME or sanitize(name) != name:
        raise ValueError(f"a name has 1 to {_LONGEST_NAME} bytes of printable text, not {name!r}")
    if ":" in name:
        raise ValueError(f"a plain chat cannot use the name {name!r}: choose one without ':'")
