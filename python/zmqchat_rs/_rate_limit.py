"""A limit for repeated reports, so that they do not flood a log or a terminal."""

from __future__ import annotations

from time import monotonic


class RateLimit:
    """Allows one report of each key per interval, and a limited number of keys."""

    def __init__(self, seconds: float, most: int) -> None:
        """Start without reports.

        Args:
            seconds: The interval.
            most: The maximum number of recent keys. At the maximum, a new key is refused.
        """
        self.seconds = seconds
        self._most = most
        self._reported: dict[str, float] = {}

    def allows(self, key: str) -> bool:
        """Whether to report this key now; if so, it counts as reported."""
        if self.is_recent(key) or len(self._reported) >= self._most:
            return False
        self._reported[key] = monotonic()
        return True

    def is_recent(self, key: str) -> bool:
        """Whether this key was reported during the last interval."""
        now = monotonic()
        self._reported = {one: at for one, at in self._reported.items() if now - at < self.seconds}
        return key in self._reported
