"""Reports each thing once in a while, so that logs and terminals are not flooded."""

from __future__ import annotations

from time import monotonic


class RateLimit:
    """Says what is news: each key once in so many seconds, and no crowd of keys."""

    def __init__(self, seconds: float, most: int) -> None:
        """Begin; of `most` keys no more is news until one of them is old."""
        self.seconds = seconds
        self._most = most
        self._known: dict[str, float] = {}

    def is_news(self, key: str) -> bool:
        """Whether to say it; if so, it is no news for a while."""
        if self.was_told(key) or len(self._known) >= self._most:
            return False
        self._known[key] = monotonic()
        return True

    def was_told(self, key: str) -> bool:
        """Whether it was said a short while ago."""
        now = monotonic()
        self._known = {one: at for one, at in self._known.items() if now - at < self.seconds}
        return key in self._known
