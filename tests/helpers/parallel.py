"""Which tests may run at the same time.

The suite runs in several processes (pytest-xdist). A test with the marker `alone` measures time,
memory or descriptors of the machine: it waits until no other test runs, and no other test starts
meanwhile. This includes the tests of other runs on this machine, such as those of `.ci/run`.
A run in a single process takes no part.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any, Callable, Iterator, TypeVar

import pytest

Test = TypeVar("Test", bound=Callable[..., Any])

#: Processes for each processor: tests wait more than they compute.
WORKERS_PER_PROCESSOR = 2
MOST_WORKERS = 8

#: All runs on a machine share it; read before a test replaces the environment.
LOCKS = Path(tempfile.gettempdir())


def worker_count(paths: list[str]) -> int:
    """The number of processes; 0 runs the tests in this one, as suits a few files.

    `paths` are the files, folders and test names on the command line.
    """
    if paths and all(Path(path.partition("::")[0]).is_file() for path in paths):
        return 0
    return min(MOST_WORKERS, WORKERS_PER_PROCESSOR * (os.cpu_count() or 1))


@contextlib.contextmanager
def share_machine(*, alone: bool) -> Iterator[None]:
    """Run one test together with others, or `alone`, among all runs of this user."""
    import fcntl

    folder = LOCKS / f"zmqchat_rs-tests-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    # `lockf`, not `flock`: a child process that a test has forked does not keep these locks.
    # A test that waits to be alone blocks later tests, which wait for the first lock.
    with (folder / "next").open("w+b") as following, (folder / "running").open("w+b") as running:
        fcntl.lockf(following, fcntl.LOCK_EX)
        fcntl.lockf(running, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.lockf(following, fcntl.LOCK_UN)
        yield


def measured(test: Test) -> Test:
    """Mark a test of a promised time: it runs alone, and again if it fails on a busy machine."""
    marked: Test = pytest.mark.alone(pytest.mark.flaky(reruns=1)(test))
    return marked
