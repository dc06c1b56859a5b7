"""Who is in a chat's rooms, as far as one hears: the books of `Chat`; pure, no sockets, no clock.

Members whose presence was heard are announced when they come, go or fall silent. Whoever only says
something (pyzmq, a named `Publisher`, a plain chat) has none: they are listed while they talk.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING

from zmqchat_rs._core import sanitize

if TYPE_CHECKING:
    from zmqchat_rs._core import Message

    # Stamped ones by their instance, others by what they call themselves or where they are.
    _Key = tuple[bool, str, str]

# How many heartbeats without a sign of life are one too many: three may be late or lost.
_SILENCES = 3.5
# So many heartbeats after their last message those without presence are forgotten.
_TALKS = 60.0
# A room has a few hundred members; strangers could invent any number.
_MOST = 2_000
# How `Chat(plain=True)` begins its lines. Longer, or with a space, it is hardly a name.
_PLAIN_NAME = re.compile(r"([^\s:]{1,32}): ")
_LONGEST_NAME = 255
# Digits of an instance that tell two of the same name apart.
_DIGITS = 4


@dataclass(frozen=True)
class Member:
    """Somebody in a room of a `Chat`, as last heard.

    Attributes:
        name: The name that they gave themselves, or the address of somebody without one, or "?".
        label: The name to show: where several have the same one, with the first digits of the
            instance, as in `alice#9f3c`.
        room: The room. Whoever is in two rooms is listed for each.
        address: The IP address that their messages come from, a relay's where there is one; "?"
            where none is known.
        last_seen: When they were last heard: an aware datetime in local time.
        instance: Their instance id, new at each start; None without a stamp.
        present: Whether their presence is heard, so that going would be noticed.
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
    """Somebody came, was there already, went, or is lost; what `on_notice` is called with.

    Attributes:
        kind: "come", "here" (was there before us, or is back), "go" or "lost" (fell silent without
            a good-bye).
        name: As in `Member`.
        label: As in `Member`.
        room: As in `Member`.
        address: As in `Member`.
        at: When it was noticed: an aware datetime in local time.
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
        """The notice as a sentence; what a stranger named is shown escaped."""
        who, room = sanitize(self.label), sanitize(self.room)
        if self.kind == "come":
            return f"{who} came to {room}"
        if self.kind == "here":
            return f"{who} is in {room}"
        if self.kind == "go":
            return f"{who} left {room}"
        return f"{who} is lost: nothing heard from there in {room}"


@dataclass(frozen=True)
class ChatStats:
    """What a `Chat` has done so far.

    Attributes:
        said: Messages said.
        heard: Messages of others.
        lost: Messages of others that are missing, by the numbers in their stamps. Presence does not
            count; it shows that the last messages before it are missing.
        dropped: Messages that were dropped for newer ones because they were not read: 10,000 are
            kept.
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
    """The books. Times are `time.monotonic` seconds, passed in; not thread-safe by itself."""

    def __init__(self, own_name: str, heartbeat: float) -> None:
        self._own_name = own_name
        self._lost_after = _SILENCES * heartbeat
        self._forgotten_after = _TALKS * heartbeat
        self._entries: dict[_Key, _Entry] = {}

    def heard(self, message: Message, now: float) -> Notice | None:
        """Book what a message tells of its sender.

        Args:
            message: From somebody else, in a room.
            now: The time.

        Returns:
            What is to be told of it; None for nothing.
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
        came = presence and not known.present
        known.address = message.address or known.address
        known.present = known.present or presence
        known.at, known.seen = message.received_at, now
        return self._notice(kind or "", known, message.received_at) if came else None

    def sweep(self, now: float) -> list[Notice]:
        """Take out who fell silent, and give what is to be told."""
        notices = []
        for key, entry in list(self._entries.items()):
            limit = self._lost_after if entry.present else self._forgotten_after
            if now - entry.seen > limit:
                if entry.present:
                    at = datetime.now(timezone.utc).astimezone()
                    notices.append(self._notice("lost", entry, at))
                del self._entries[key]
        return notices

    def leave(self, room: str) -> None:
        """Forget who is in a room that is not heard any more."""
        self._entries = {key: one for key, one in self._entries.items() if one.room != room}

    def list(self) -> list[Member]:
        """Everybody, by room and name."""
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
        """How many are present, in a room or in all; each once."""
        return len(
            {
                one.instance
                for one in self._entries.values()
                if one.present and room in (None, one.room)
            }
        )

    def label(self, name: str, instance: str | None) -> str:
        """A name as it is shown: one that others have too is told apart by its instance."""
        if instance is None:
            return name
        shared = name == self._own_name or any(
            one.name == name and one.instance not in (None, instance)
            for one in self._entries.values()
        )
        return f"{name}#{instance[:_DIGITS]}" if shared else name

    def label_of(self, message: Message) -> str | None:
        """Whom to name as a message's sender; None where its text does that by itself."""
        if message.sender:
            return self.label(message.sender, message.instance)
        return None if _PLAIN_NAME.match(message.text) else message.address or "?"

    def _notice(self, kind: str, entry: _Entry, at: datetime) -> Notice:
        label = self.label(entry.name, entry.instance)
        return Notice(kind, entry.name, label, entry.room, entry.address, at, entry.instance)


def _name_of(message: Message) -> str:
    """Somebody without a stamp: by the name that the text begins with, or by address."""
    found = _PLAIN_NAME.match(message.text)
    return found.group(1) if found else message.address or "?"


def check_name(name: str, *, plain: bool) -> None:
    """Refuse, without stamps, what they could not carry either or could not be told from the text.

    With stamps, the publisher does.
    """
    if not isinstance(name, str):
        raise TypeError(f"name is a str, not {type(name).__name__}")
    if not plain:
        return
    if not name.strip() or len(name.encode()) > _LONGEST_NAME or sanitize(name) != name:
        raise ValueError(f"a name has 1 to {_LONGEST_NAME} bytes of text that shows, not {name!r}")
    if ":" in name:
        raise ValueError(f"without stamps a name ends at its ':', which {name!r} has inside")
