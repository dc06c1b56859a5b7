"""Event loops of several kinds, and functions that run a coroutine in one."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Callable, Coroutine, TypeVar

import pytest

from tests.helpers.timeouts import TIMEOUT

T = TypeVar("T")


class WithoutReaders(asyncio.SelectorEventLoop):
    """A loop without `add_reader` and `add_writer`, as on Windows."""

    def add_reader(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError

    def add_writer(self, *_: Any) -> None:  # type: ignore[override]
        raise NotImplementedError


def new_uvloop() -> asyncio.AbstractEventLoop:
    uvloop = pytest.importorskip("uvloop")
    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


LOOPS = pytest.mark.parametrize(
    "new_loop",
    [asyncio.SelectorEventLoop, WithoutReaders, new_uvloop],
    ids=["selector", "without readers", "uvloop"],
)


def run_in(loop: asyncio.AbstractEventLoop, main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run` in this loop, with a timeout."""
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(asyncio.wait_for(main, TIMEOUT))
    finally:
        asyncio.set_event_loop(None)
        loop.run_until_complete(loop.shutdown_asyncgens())
        if sys.version_info >= (3, 9):
            loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


def run(main: Coroutine[Any, Any, T]) -> T:
    """`asyncio.run`, with a timeout."""

    async def limited() -> T:
        return await asyncio.wait_for(main, TIMEOUT)

    return asyncio.run(limited())


async def wait_until(condition: Callable[[], object], what: str = "the condition") -> None:
    """Return as soon as `condition()` is true; fail after the timeout."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + TIMEOUT
    while not condition():
        if loop.time() > deadline:
            raise AssertionError(f"waited {TIMEOUT:g} s for {what}")
        await asyncio.sleep(0.001)


async def wait_until_suspended(*tasks: asyncio.Task[Any]) -> None:
    """Return once each task is suspended until something happens."""

    def all_wait() -> bool:
        return all(getattr(task, "_fut_waiter", True) is not None for task in tasks)

    # A task that only yields to other tasks continues within a round.
    for _ in range(5):
        await wait_until(all_wait, "the tasks to wait")
        await asyncio.sleep(0)
    assert not any(task.done() for task in tasks)
