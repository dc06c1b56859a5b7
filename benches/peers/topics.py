"""The topics of rows with topics. `reference/src/stream.rs` uses the same."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from . import Job

# The topic of rows with a single topic.
ONE = "room1"
# The topic of the end mark in rows with many topics.
LAST = "end"


def published(job: Job) -> list[str]:
    """The topics of a filtered row's messages, which repeat in this order."""
    return [f"t{number:06}" for number in range(job["topics"] * job["every"])]


def sequence(job: Job, count: int) -> Iterator[str]:
    """The topics of `count` messages."""
    return islice(cycle(published(job)), count)


def subscribed(job: Job) -> list[str] | None:
    """The topics of a subscriber; None for everything."""
    if job["kind"] == "topic":
        return [ONE]
    if job["kind"] == "filtered":
        return [*published(job)[:: job["every"]], LAST]
    return None
