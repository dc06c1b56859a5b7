"""Notices of ``pub`` and ``replay`` about messages that no subscriber receives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zmqchat_rs._core import _leading_topic, sanitize

if TYPE_CHECKING:
    from zmqchat_rs._core import Publisher
    from zmqchat_rs.events import Event

# The number of subscriptions in a notice, and the number of characters of a prefix.
_MOST = 5
_LONGEST = 40
# The number of remembered topics; a feed may have any number of topics.
_REMEMBERED = 1_000


class SubscriptionChanges:
    """Counts changes of subscriptions and connections; used as a publisher's `on_event`."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, event: Event) -> None:
        """Count one event."""
        self.count += event.kind in ("subscribed", "unsubscribed", "disconnected")


class DeliveryCheck:
    """Compares messages with the subscriptions of the publisher."""

    def __init__(
        self,
        publisher: Publisher,
        changes: SubscriptionChanges,
        *,
        framing: str,
        typed: bool = False,
    ) -> None:
        """Prepare the check of a publisher's messages.

        Lines that are `typed` are all compared. A pipe can deliver a million messages a second:
        its topics are compared again only after one of the `changes`.
        """
        self._publisher = publisher
        self._changes = changes
        self._framing = framing
        self._typed = typed
        # The last notice of each topic; empty if a subscriber received it.
        self._reported: dict[str | None, str] = {}
        # Topics to compare again after a change.
        self._due: set[str | None] = set()
        self._compared_at = 0

    def missing(self, data: bytes, topic: str | None) -> str:
        """Return the notice to print before this message is sent; empty for none.

        Args:
            data: The payload.
            topic: The topic; None if the payload may contain one.
        """
        shown = topic
        if topic is None and self._framing == "plain":
            shown = _leading_topic(data)
        changes = self._changes.count
        if changes != self._compared_at:
            self._compared_at = changes
            self._due = set(self._reported)
        if not self._typed and shown in self._reported and shown not in self._due:
            return ""
        self._due.discard(shown)
        text = "" if self._is_received(data, topic) else self._notice(shown)
        if len(self._reported) >= _REMEMBERED:
            self._reported.clear()
        before, self._reported[shown] = self._reported.get(shown, ""), text
        return "" if text == before else text

    def _is_received(self, data: bytes, topic: str | None) -> bool:
        if self._framing == "envelope":
            first = (topic or "").encode()
        else:
            first = data if topic is None else b"%s:%s" % (topic.encode(), data)
        return self._publisher._receiver_count(first) > 0  # noqa: SLF001

    def _notice(self, topic: str | None) -> str:
        subscribed = self._publisher.topics
        if not subscribed:
            hint = "" if self._typed else "; --wait 1 would wait for one"
            return f"(no subscriber: messages are lost until one connects{hint})"
        names = sorted(each for each in subscribed if isinstance(each, str))
        prefixes = sorted(each for each in subscribed if isinstance(each, bytes))
        shown = names[:_MOST] + [_prefix(each) for each in prefixes[:_MOST]]
        more = len(subscribed) - len(shown[:_MOST])
        listed = ", ".join(shown[:_MOST]) + (f" and {more} more" if more else "")
        if topic is not None:
            return sanitize(f"(no subscriber for {topic}; subscribed: {listed})")
        splits = self._typed and self._framing == "plain"
        hint = f"; type {names[0]}:Hello" if names and splits else ""
        return sanitize(f"(no subscriber for messages without topic; subscribed: {listed}{hint})")


def _prefix(prefix: bytes) -> str:
    text = prefix.decode(errors="backslashreplace")
    return f"prefix '{text[:_LONGEST]}{'…' if len(text) > _LONGEST else ''}'"
