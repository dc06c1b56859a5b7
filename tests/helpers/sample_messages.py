"""Messages made by hand, at a time that tests know."""

from __future__ import annotations

from datetime import datetime, timezone

from zmqchat_rs import Message

AT = datetime(2026, 1, 31, 11, 3, 11, 42, timezone.utc)


def numbered(count: int) -> list[Message]:
    """Messages whose texts count from 0."""
    return [
        Message([b"room1:%d" % number], topic="room1", received_at=AT) for number in range(count)
    ]
