"""When a chat sends presence: often enough to detect lost members, rarely enough for 200 members.

Each member sends presence once per heartbeat, with a random deviation of a quarter, so that not all
members send at once. When a new member subscribes, the other members answer with presence. Each
waits for a random time, which grows with the number of members, and answers once for all members
that are new by then, never twice within a tenth of a heartbeat. Therefore the load of a member is
limited: with 200 members and a heartbeat of 5 s, it receives about 40 small messages a second, and
twice as many while all of them join.
"""

from __future__ import annotations

import math
import random

from zmqchat_rs._validation import number

# The random deviation, as a part of the heartbeat.
_JITTER = 0.25
# The shortest time between two presence messages, as a part of the heartbeat.
_GAP = 0.1
# With this number of members, answers to a new member are spread over a whole heartbeat.
_CROWD = 200
# The limits of the heartbeat, in seconds.
_SHORTEST, _LONGEST = 0.05, 86_400.0


def check_heartbeat(heartbeat: float) -> float:
    """Check the seconds between two presence messages.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is too short or too long.
    """
    if isinstance(heartbeat, bool):
        raise TypeError("heartbeat is a number of seconds, not bool")
    checked = number("heartbeat", heartbeat)
    if not _SHORTEST <= checked <= _LONGEST:
        raise ValueError(
            f"heartbeat is a number of seconds from {_SHORTEST:g} to {_LONGEST:,.0f}, for example "
            f"5, not {heartbeat}"
        )
    return checked


class PresenceTimer:
    """Computes the time of the next presence message; callers pass the current time."""

    def __init__(
        self, heartbeat: float, now: float, *, chance: random.Random | None = None
    ) -> None:
        """Start the timer.

        Args:
            heartbeat: The average seconds between two presence messages.
            now: The current time, in seconds of a monotonic clock.
            chance: The source of random numbers; None for the system's.
        """
        self._heartbeat = heartbeat
        self._chance = chance or random.SystemRandom()
        self._last = -math.inf
        self._answering = False
        self.due = 0.0
        self._rest(now)

    def sent(self, now: float) -> None:
        """Record that presence was sent."""
        self._last = now
        self._answering = False
        self._rest(now)

    def schedule_answer(self, now: float, members: int) -> None:
        """Send presence soon, since a new member may not know this chat.

        Args:
            now: The current time.
            members: The number of members that may answer the same new member.
        """
        if self._answering:
            return  # the scheduled answer also reaches this member
        self._answering = True
        spread = self._heartbeat * min(1.0, members / _CROWD)
        wanted = now + self._chance.uniform(0.0, spread)
        self.due = min(self.due, max(wanted, self._last + _GAP * self._heartbeat))

    def _rest(self, now: float) -> None:
        part = self._chance.uniform(1.0 - _JITTER, 1.0 + _JITTER)
        self.due = now + self._heartbeat * part
