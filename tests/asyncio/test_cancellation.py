"""In asyncio, under load: every message is received exactly once, whatever is cancelled."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import threading
from typing import TYPE_CHECKING, Any, Awaitable, Callable

import pytest

from tests.helpers.event_loops import LOOPS, run_in
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from tests.conftest import Pair
    from zmqchat_rs import Publisher, Subscriber

#: How often a receive is cancelled: less often by a timeout, because selectors round it up to 1 ms.
CANCELLED = 10_000
TIMED_OUT = 1_000

Append = Callable[[str], None]


class NumberPublisher:
    """A thread that publishes numbers, a few at a time, until `stop`."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._publish, daemon=True)
        self.sent = 0
        self._thread.start()

    def _publish(self) -> None:
        while not self._stop.is_set():
            for _ in range(1 + self.sent % 7):
                self._publisher.send(str(self.sent))
                self.sent += 1
            # The queue becomes empty for longer than 1 ms, the shortest timeout of a selector.
            # Otherwise no receive would be cancelled.
            self._stop.wait(0.005)
        self._publisher.send("end")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)


async def by_cancelling(subscriber: Subscriber, append: Append) -> int:
    """Cancel a task after 0, 1 and 2 iterations of the event loop."""
    cancelled = 0
    for iterations in range(3):
        task = asyncio.create_task(subscriber.arecv_text())
        for _ in range(iterations):
            await asyncio.sleep(0)
        task.cancel()
        try:
            append(await task)
        except asyncio.CancelledError:
            cancelled += 1
    return cancelled


async def by_wait_for(subscriber: Subscriber, append: Append) -> int:
    """Cancel with `asyncio.wait_for`, at about the time at which a message arrives."""
    try:
        append(await asyncio.wait_for(subscriber.arecv_text(), 0.0001))
    except asyncio.TimeoutError:
        return 1
    return 0


async def by_timeout_argument(subscriber: Subscriber, append: Append) -> int:
    """Use the `timeout` of the call itself."""
    try:
        append(await subscriber.arecv_text(timeout=0.0001))
    except TimeoutError:
        return 1
    return 0


async def by_timeout_block(subscriber: Subscriber, append: Append) -> int:
    """Leave a block with `asyncio.timeout` in the middle of a batch."""
    try:
        async with asyncio.timeout(0.0001):  # type: ignore[attr-defined,unused-ignore]
            while True:
                append(await subscriber.arecv_text())
    except TimeoutError:
        return 1


async def by_task_group(subscriber: Subscriber, append: Append) -> int:
    """Let one task of a group fail, which cancels the others."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    tasks: list[asyncio.Task[str]] = []
    try:
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
            tasks = [group.create_task(subscriber.arecv_text()) for _ in range(4)]
            group.create_task(fail())
    except Exception as error:
        if type(error).__name__ != "ExceptionGroup":  # this class is new in Python 3.11
            raise
    for task in tasks:
        if not task.cancelled():
            append(task.result())
    return sum(task.cancelled() for task in tasks)


CANCELLATIONS: list[Any] = [
    (by_cancelling, CANCELLED),
    (by_wait_for, TIMED_OUT),
    (by_timeout_argument, TIMED_OUT),
]
if sys.version_info >= (3, 11):
    CANCELLATIONS += [(by_timeout_block, TIMED_OUT), (by_task_group, CANCELLED)]


@pytest.mark.parametrize(
    ("cancel", "times"), CANCELLATIONS, ids=[cancel.__name__ for cancel, _ in CANCELLATIONS]
)
@LOOPS
def test_every_message_is_received_once_while_thousands_of_receives_are_cancelled(
    pair: Pair,
    cancel: Callable[[Subscriber, Append], Awaitable[int]],
    times: int,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    received: list[str] = []

    async def main() -> int:
        cancelled = 0
        while cancelled < times:
            cancelled += await cancel(pair.subscriber, received.append)
        publisher.stop()
        async for message in pair.subscriber:
            if message.text == "end":
                break
            received.append(message.text)
        return cancelled

    publisher = NumberPublisher(pair.publisher)
    try:
        assert run_in(new_loop(), main()) >= times
    finally:
        publisher.stop()
    if cancel is by_task_group:
        # The tasks of a group end in any order.
        received.sort(key=int)
    assert received == [*map(str, range(publisher.sent))]


@LOOPS
def test_cancelled_batch_receives_lose_no_message(
    pair: Pair, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    received: list[str] = []

    async def main() -> None:
        for _ in range(2_000):
            with contextlib.suppress(asyncio.TimeoutError):
                batch = await asyncio.wait_for(pair.subscriber.arecv_many(5), 0.0001)
                received.extend(message.text for message in batch)
        publisher.stop()
        while "end" not in received[-5:]:
            received.extend(message.text for message in await pair.subscriber.arecv_many())

    publisher = NumberPublisher(pair.publisher)
    try:
        run_in(new_loop(), main())
    finally:
        publisher.stop()
    assert received == [*map(str, range(publisher.sent)), "end"]


def test_tasks_share_all_messages_while_other_receives_are_cancelled(pair: Pair) -> None:
    received: list[str] = []
    end = "stop"

    async def receive() -> None:
        while True:
            text = await pair.subscriber.arecv_text()
            if text == end:
                return
            received.append(text)

    async def main() -> None:
        tasks = [asyncio.create_task(receive()) for _ in range(5)]
        for _ in range(1_000):
            cancelled = [asyncio.create_task(pair.subscriber.arecv_text()) for _ in range(5)]
            await asyncio.sleep(0)
            for task in cancelled:
                task.cancel()
            for outcome in await asyncio.gather(*cancelled, return_exceptions=True):
                if isinstance(outcome, str):
                    received.append(outcome)
                else:
                    assert isinstance(outcome, asyncio.CancelledError)
        publisher.stop()
        pair.publisher.send_many([end] * len(tasks))
        await asyncio.gather(*tasks)

    publisher = NumberPublisher(pair.publisher)
    try:
        run_in(asyncio.new_event_loop(), main())
    finally:
        publisher.stop()
    received.remove("end")
    assert sorted(received, key=int) == [*map(str, range(publisher.sent))]
