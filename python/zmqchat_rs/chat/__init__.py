"""Two-way and group chat: the class `Chat` and what it reports."""

from .chat import Chat
from .members import ChatStats, Member, Notice

__all__ = ["Chat", "ChatStats", "Member", "Notice"]
