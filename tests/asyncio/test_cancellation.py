"""In asyncio, under load: whatever is cancelled, every message is received exactly once."""

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

#: How many times a receive is cancelled; fewer where a selector makes a millisecond of a time-out.
CANCELLED = 10_000
TIMED_OUT = 1_000

Hear = Callable[[str], None]


class Speaker:
    """A thread that publishes numbers, a few at a time, until it is stopped."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True)
        self.sent = 0
        self._thread.start()

    def _speak(self) -> None:
        while not self._stop.is_set():
            for _ in range(1 + self.sent % 7):
                self._publisher.send(str(self.sent))
                self.sent += 1
            # The queue runs dry, for longer than the millisecond that a selector makes of any
            # shorter time-out: otherwise nothing is ever cancelled.
            self._stop.wait(0.005)
        self._publisher.send("end")

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(TIMEOUT)


async def by_cancelling(subscriber: Subscriber, hear: Hear) -> int:
    """Cancels a task after a round or two of the loop."""
    cancelled = 0
    for round_ in range(3):
        task = asyncio.create_task(subscriber.arecv_text())
        for _ in range(round_):
            await asyncio.sleep(0)
        task.cancel()
        try:
            hear(await task)
        except asyncio.CancelledError:
            cancelled += 1
    return cancelled


async def by_wait_for(subscriber: Subscriber, hear: Hear) -> int:
    """A timeout at about the same time as a message."""
    try:
        hear(await asyncio.wait_for(subscriber.arecv_text(), 0.0001))
    except asyncio.TimeoutError:
        return 1
    return 0


async def by_its_own_time_out(subscriber: Subscriber, hear: Hear) -> int:
    """The call's own."""
    try:
        hear(await subscriber.arecv_text(timeout=0.0001))
    except TimeoutError:
        return 1
    return 0


async def by_timeout(subscriber: Subscriber, hear: Hear) -> int:
    """A block with a time-out, left in the middle of a batch."""
    try:
        async with asyncio.timeout(0.0001):  # type: ignore[attr-defined,unused-ignore]
            while True:
                hear(await subscriber.arecv_text())
    except TimeoutError:
        return 1


async def by_task_group(subscriber: Subscriber, hear: Hear) -> int:
    """One task of a group fails, which cancels the other tasks."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    tasks: list[asyncio.Task[str]] = []
    try:
        async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined,unused-ignore]
            tasks = [group.create_task(subscriber.arecv_text()) for _ in range(4)]
            group.create_task(fail())
    except Exception as error:
        if type(error).__name__ != "ExceptionGroup":  # which exists since 3.11
            raise
    for task in tasks:
        if not task.cancelled():
            hear(task.result())
    return sum(task.cancelled() for task in tasks)


WAYS: list[Any] = [
    (by_cancelling, CANCELLED),
    (by_wait_for, TIMED_OUT),
    (by_its_own_time_out, TIMED_OUT),
]
if sys.version_info >= (3, 11):
    WAYS += [(by_timeout, TIMED_OUT), (by_task_group, CANCELLED)]


@pytest.mark.parametrize(("way", "times"), WAYS, ids=[way.__name__ for way, _ in WAYS])
@LOOPS
def test_every_message_is_received_once_while_thousands_of_receives_are_cancelled(
    pair: Pair,
    way: Callable[[Subscriber, Hear], Awaitable[int]],
    times: int,
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    heard: list[str] = []

    async def main() -> int:
        cancelled = 0
        while cancelled < times:
            cancelled += await way(pair.subscriber, heard.append)
        speaker.stop()
        async for message in pair.subscriber:
            if message.text == "end":
                break
            heard.append(message.text)
        return cancelled

    speaker = Speaker(pair.publisher)
    try:
        assert run_in(new_loop(), main()) >= times
    finally:
        speaker.stop()
    if way is by_task_group:
        # Its tasks end in any order.
        heard.sort(key=int)
    assert heard == [*map(str, range(speaker.sent))]


@LOOPS
def test_cancelled_batches_lose_no_message(
    pair: Pair, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    heard: list[str] = []

    async def main() -> None:
        for _ in range(2_000):
            with contextlib.suppress(asyncio.TimeoutError):
                batch = await asyncio.wait_for(pair.subscriber.arecv_many(5), 0.0001)
                heard.extend(message.text for message in batch)
        speaker.stop()
        while "end" not in heard[-5:]:
            heard.extend(message.text for message in await pair.subscriber.arecv_many())

    speaker = Speaker(pair.publisher)
    try:
        run_in(new_loop(), main())
    finally:
        speaker.stop()
    assert heard == [*map(str, range(speaker.sent)), "end"]


def test_each_message_is_received_by_one_task_while_others_are_cancelled(pair: Pair) -> None:
    heard: list[str] = []
    over = "over"

    async def listen() -> None:
        while True:
            text = await pair.subscriber.arecv_text()
            if text == over:
                return
            heard.append(text)

    async def main() -> None:
        steady = [asyncio.create_task(listen()) for _ in range(5)]
        for _ in range(1_000):
            doomed = [asyncio.create_task(pair.subscriber.arecv_text()) for _ in range(5)]
            await asyncio.sleep(0)
            for task in doomed:
                task.cancel()
            for outcome in await asyncio.gather(*doomed, return_exceptions=True):
                if isinstance(outcome, str):
                    heard.append(outcome)
                else:
                    assert isinstance(outcome, asyncio.CancelledError)
        speaker.stop()
        pair.publisher.send_many([over] * len(steady))
        await asyncio.gather(*steady)

    speaker = Speaker(pair.publisher)
    try:
        run_in(asyncio.new_event_loop(), main())
    finally:
        speaker.stop()
    heard.remove("end")
    assert sorted(heard, key=int) == [*map(str, range(speaker.sent))]
