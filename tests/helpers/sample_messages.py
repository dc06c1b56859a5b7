"""Messages with a fixed time of receipt."""

from __future__ import annotations

from datetime import datetime, timezone

from zmqchat_rs import Message

AT = datetime(2026, 1, 31, 11, 3, 11, 42, timezone.utc)


def numbered(count: int) -> list[Message]:
    """Messages with the texts "0", "1", ..."""
    return [
        Message([b"room1:%d" % number], topic="room1", received_at=AT) for number in range(count)
    ]
