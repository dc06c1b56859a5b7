"""Connection events, recorded so that tests can wait for them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.helpers.timeouts import wait_until

if TYPE_CHECKING:
    from zmqchat_rs import Event


class RecordedEvents:
    """An `on_event` that records the events and the threads that called it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.threads: set[threading.Thread] = set()

    def __call__(self, event: Event) -> None:
        self.events.append(event)
        self.threads.add(threading.current_thread())

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    def wait_for(self, *kinds: str) -> None:
        wait_until(lambda: self.kinds() == [*kinds], f"{kinds}, not {self.events}")
