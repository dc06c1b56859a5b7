"""When a chat says that it is here: often enough to be missed soon, seldom enough for a class.

Each member says so every heartbeat, give or take a quarter, so that 200 of them do not speak at
once. When somebody comes, all others answer, so that the newcomer knows them: each after a moment
of its own choice, the longer the more there are, once for all who come until then, and never twice
within a tenth of a heartbeat. So what one member hears is bounded, whatever the others do: with 200
members and a heartbeat of 5 s about 40 small messages a second, and twice that while a class comes.
"""

from __future__ import annotations

import math
import random

from zmqchat_rs._validation import number

# The heartbeat varies by so much of itself.
_JITTER = 0.25
# Never two within this part of a heartbeat.
_GAP = 0.1
# With so many members or more, answers to a newcomer spread over a whole heartbeat.
_CROWD = 200
# Below, a chat would do little else; above, nobody would miss anybody. In seconds.
_SHORTEST, _LONGEST = 0.05, 86_400.0


def check_heartbeat(heartbeat: float) -> float:
    """Check seconds between two signs of life.

    Raises:
        TypeError: It is no number.
        ValueError: Nobody could live by it.
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


class Pulse:
    """The time of the next sign of life; pure: the time is passed in."""

    def __init__(
        self, heartbeat: float, now: float, *, chance: random.Random | None = None
    ) -> None:
        """Begin.

        Args:
            heartbeat: Seconds between two signs of life, on average.
            now: The time, in seconds of any clock that does not jump.
            chance: Where chance comes from; None for the system's.
        """
        self._heartbeat = heartbeat
        self._chance = chance or random.SystemRandom()
        self._last = -math.inf
        self._nudged = False
        self.due = 0.0
        self._rest(now)

    def sent(self, now: float) -> None:
        """One was sent."""
        self._last = now
        self._nudged = False
        self._rest(now)

    def nudge(self, now: float, members: int) -> None:
        """Have one sent soon, since somebody may not know of us.

        Args:
            now: The time.
            members: How many others may answer the same person.
        """
        if self._nudged:
            return  # the answer that is due reaches this one as well
        self._nudged = True
        spread = self._heartbeat * min(1.0, members / _CROWD)
        wanted = now + self._chance.uniform(0.0, spread)
        self.due = min(self.due, max(wanted, self._last + _GAP * self._heartbeat))

    def _rest(self, now: float) -> None:
        part = self._chance.uniform(1.0 - _JITTER, 1.0 + _JITTER)
        self.due = now + self._heartbeat * part
