"""Which tests may run beside each other.

The suite runs in several processes (pytest-xdist). A test with the marker `alone` measures time,
memory or descriptors of the machine: it waits until no other test runs, and no other test starts
meanwhile. Outside pytest-xdist there is nothing to wait for.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])

#: Processes for each processor: tests wait more than they compute.
WORKERS_PER_PROCESSOR = 2
MOST_WORKERS = 8


def worker_count(paths: list[str]) -> int:
    """The number of processes; 0 runs the tests in this one, as suits a few files.

    `paths` are the files, folders and test names on the command line.
    """
    if paths and all(Path(path.partition("::")[0]).is_file() for path in paths):
        return 0
    return min(MOST_WORKERS, WORKERS_PER_PROCESSOR * (os.cpu_count() or 1))


@contextlib.contextmanager
def place(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine, `alone` or with others, for one test of the run that shares `folder`."""
    import fcntl

    # A test that waits to be alone blocks later tests, which queue behind it.
    with (folder / "door.lock").open("wb") as door, (folder / "room.lock").open("wb") as room:
        fcntl.flock(door, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(door, fcntl.LOCK_UN)
        yield


def measured(test: Test) -> Test:
    """Mark a test of a promised time: it runs alone, and once more where the machine was busy."""
    marked: Test = pytest.mark.alone(pytest.mark.flaky(reruns=1)(test))
    return marked
