"""Fixtures of many tests: a connected pair, a free port, scripts in interpreters of their own."""

from __future__ import annotations

import contextlib
import itertools
import random
import signal
import socket
from typing import TYPE_CHECKING, Callable, Iterator, NamedTuple

import pytest

from tests.helpers import commands, parallel
from tests.helpers.scripts import Finished, RunPython, Script, StartPython
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from pathlib import Path

if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    # Under nohup, SIGHUP is ignored, and child processes would inherit that. They do not inherit a
    # handler.
    signal.signal(signal.SIGHUP, lambda _number, _frame: None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: no other test runs meanwhile (helpers/parallel.py)")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return parallel.worker_count(config.option.file_or_dir)


# Before the timeout of the test begins.
@pytest.hookimpl(hookwrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    if not hasattr(item.config, "workerinput"):
        yield  # the only process
        return
    with parallel.share_machine(alone=item.get_closest_marker("alone") is not None):
        yield


class Pair(NamedTuple):
    """A publisher and a subscriber to all topics, already connected."""

    publisher: Publisher
    subscriber: Subscriber


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    """A publisher on a free port."""
    with Publisher("127.0.0.1:0", linger=0) as publisher:
        yield publisher


@pytest.fixture
def pair(publisher: Publisher) -> Iterator[Pair]:
    """A publisher and a subscriber to all topics, already connected."""
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        yield Pair(publisher, subscriber)


@pytest.fixture
def topic_pair(publisher: Publisher) -> Iterator[Pair]:
    """A publisher and a subscriber to the topic room1 and to all messages, already connected."""
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["room1"], prefixes=b"") as subscriber:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        yield Pair(publisher, subscriber)


@pytest.fixture
def free_port() -> Callable[[], int]:
    """A function that returns a port on which no program listens."""

    def find() -> int:
        while True:
            # Below the range from which the system takes ports for port 0.
            port = random.randrange(10_000, 30_000)
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port

    return find


@pytest.fixture
def short_silence() -> Iterator[None]:
    """Report a missing peer after 0.3 s instead of 3 s (see helpers/commands.py)."""
    with commands.short_silence():
        yield


@pytest.fixture
def start_python(tmp_path: Path) -> Iterator[StartPython]:
    """A function that starts a script in an interpreter of its own."""
    scripts: list[Script] = []
    number = itertools.count()

    def start(script: str, *arguments: str) -> Script:
        scripts.append(Script(tmp_path / f"script_{next(number)}.py", script, arguments))
        return scripts[-1]

    yield start
    for script in scripts:
        script.clean_up()


@pytest.fixture
def run_python(start_python: StartPython) -> RunPython:
    """A function that runs a script in an interpreter of its own and returns the result."""

    def run(script: str, *arguments: str, deadline: float = TIMEOUT) -> Finished:
        return start_python(script, *arguments).finish(deadline)

    return run
