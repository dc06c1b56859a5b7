"""The lost members of a chat, which lines may not reach."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zmqchat_rs.chat import Notice

# The number of members that are remembered, since peers can make up any number of names.
_MOST = 100
# The number of members that one warning names.
_NAMED = 3


class LostMembers:
    """Members that were lost and have not returned, by room and name; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The label of each member, and whether a warning has named it.
        self._lost: dict[tuple[str, str], tuple[str, bool]] = {}

    def record(self, notice: Notice) -> None:
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
            room: The room of the line.
            alone: Whether no member is present there. If so, each line gets a warning, otherwise
                only the first line after a member was lost.

        Returns:
            The names as a list in a sentence; "" for no warning.
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
