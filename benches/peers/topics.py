"""The topics of the rows that have some. `reference/src/stream.rs` has the same."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING, Iterator

if TYPE_CHECKING:
    from . import Job

# The one topic of rows with one.
ONE = "room1"
# What the end mark is sent under where there are many.
LAST = "end"


def published(job: Job) -> list[str]:
    """The topics that a filtered row's messages go round."""
    return [f"t{number:06}" for number in range(job["topics"] * job["every"])]


def sequence(job: Job, count: int) -> Iterator[str]:
    """The topics of so many messages."""
    return islice(cycle(published(job)), count)


def subscribed(job: Job) -> list[str] | None:
    """What a subscriber asks for; None is everything."""
    if job["kind"] == "topic":
        return [ONE]
    if job["kind"] == "filtered":
        return [*published(job)[:: job["every"]], LAST]
    return None
