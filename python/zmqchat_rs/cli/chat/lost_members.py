"""Which members of a chat were lost, so that lines may not reach them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqchat_rs.chat.members import Notice

# Peers can make up any number of names; the oldest are forgotten.
_MOST = 100
# How many are named in one warning.
_NAMED = 3


class LostMembers:
    """Members that were lost and did not return, by room and name; threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The label of each, and whether a line was sent with a warning since.
        self._lost: dict[tuple[str, str], tuple[str, bool]] = {}

    def take(self, notice: Notice) -> None:
        """Record a notice of the chat."""
        key = (notice.room, notice.name)
        with self._lock:
            self._lost.pop(key, None)
            if notice.kind == "lost":
                self._lost[key] = (notice.label, False)
                if len(self._lost) > _MOST:
                    del self._lost[next(iter(self._lost))]

    def to_warn_of(self, room: str, *, alone: bool) -> str:
        """Name the members that a line may not reach.

        Args:
            room: Where the line was sent.
            alone: Whether no member is present there. Then every line has a warning; otherwise the
                first one after a member was lost.

        Returns:
            Their names, or "" for no warning.
        """
        with self._lock:
            found = [
                (key, label)
                for key, (label, warned) in self._lost.items()
                if key[0] == room and (alone or not warned)
            ]
            for key, label in found:
                self._lost[key] = (label, True)
        labels = [label for _, label in found]
        if len(labels) > _NAMED:
            labels[_NAMED:] = [f"{len(labels) - _NAMED} others"]
        return " and ".join(filter(None, [", ".join(labels[:-1]), *labels[-1:]]))
