"""In asyncio: tasks that send, and wait for queue space while other tasks run."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Callable, Coroutine

import pytest

from tests.helpers.event_loops import run
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, QueueFullError, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair


def test_other_tasks_run_while_tasks_send_forever(publisher: Publisher) -> None:
    async def repeat(send: Callable[[], Coroutine[Any, Any, object]]) -> None:
        while True:
            await send()

    async def main() -> None:
        tasks = [
            asyncio.create_task(repeat(lambda: publisher.asend("x"))),
            asyncio.create_task(repeat(lambda: publisher.asend_many(["x"] * 1_000_000))),
        ]
        for _ in range(10):
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [asyncio.CancelledError] * 2

    run(main())


@pytest.mark.parametrize("on_full", ["drop", "raise", "block"])
def test_sending_in_asyncio_follows_on_full(on_full: Any) -> None:
    async def main() -> None:
        with Publisher("127.0.0.1:0", on_full=on_full, high_water_mark=1, linger=0) as publisher:
            assert publisher.endpoint is not None
            with Subscriber(publisher.endpoint, high_water_mark=1) as subscriber:
                await publisher.await_for_subscribers(timeout=TIMEOUT)
                blob = b"x" * 1_000_000

                async def fill(timeout: float | None = None) -> None:
                    while True:
                        await publisher.asend(blob, timeout=timeout)

                if on_full == "drop":
                    assert await publisher.asend_many([blob] * 100) == 100
                elif on_full == "raise":
                    with pytest.raises(QueueFullError):
                        await fill()
                    with pytest.raises(QueueFullError) as caught:
                        await publisher.asend_many([blob] * 100)
                    assert caught.value.sent < 100
                else:
                    with pytest.raises(TimeoutError, match="stayed full"):
                        await fill(0.05)
                    with pytest.raises(TimeoutError):
                        await publisher.asend(blob, timeout=0)
                    stats = publisher.stats()
                    assert stats.refused == 2
                    assert stats.blocked_seconds > 0.04
                    for _ in range(stats.sent):
                        assert await subscriber.arecv_bytes(timeout=TIMEOUT) == blob

    run(main())


def test_under_block_no_message_is_lost_and_a_cancelled_send_sends_nothing() -> None:
    async def main() -> None:
        with Publisher("127.0.0.1:0", on_full="block", high_water_mark=1, linger=0) as publisher:
            assert publisher.endpoint is not None
            with Subscriber(publisher.endpoint, high_water_mark=1) as subscriber:
                await publisher.await_for_subscribers(timeout=TIMEOUT)
                blob = "x" * 300_000
                sent: list[str] = []
                received: list[str] = []

                async def send() -> None:
                    for number in range(60):
                        while True:
                            task = asyncio.create_task(publisher.asend(f"{number}{blob}"))
                            await asyncio.wait([task], timeout=0.002)
                            task.cancel()
                            try:
                                await task
                            except asyncio.CancelledError:
                                continue
                            sent.append(str(number))
                            break
                    await publisher.asend("end")

                async def receive() -> None:
                    async for message in subscriber:
                        if message.text == "end":
                            return
                        received.append(message.text.rstrip("x"))
                        # Receive more slowly than the sender sends.
                        await asyncio.sleep(0.003)

                await asyncio.gather(send(), receive())
                assert sent == received == [*map(str, range(60))]

    run(main())


def test_all_tasks_that_wait_for_queue_space_send_their_messages() -> None:
    async def main() -> None:
        with Publisher("127.0.0.1:0", on_full="block", high_water_mark=1, linger=0) as publisher:
            assert publisher.endpoint is not None
            with Subscriber(publisher.endpoint, high_water_mark=1) as subscriber:
                await publisher.await_for_subscribers(timeout=TIMEOUT)
                blob = "x" * 500_000
                tasks = [
                    asyncio.create_task(publisher.asend_many([f"{task}{blob}"] * 5))
                    for task in range(8)
                ]
                received = [(await subscriber.arecv_text()).rstrip("x") for _ in range(40)]
                assert await asyncio.gather(*tasks) == [5] * 8
                assert sorted(received) == sorted(str(number % 8) for number in range(40))

    run(main())


def test_asend_many_sends_each_payload_with_its_own_topic(pair: Pair) -> None:
    async def main() -> None:
        sent = await pair.publisher.asend_many(["one", "two", "three"], topics=["a", None, "b"])
        assert sent == 3
        with pytest.raises(ValueError, match="1 payloads but 2 topics"):
            await pair.publisher.asend_many(["one"], topics=["a", "b"])

    asyncio.run(main())
    received = [pair.subscriber.recv(timeout=TIMEOUT) for _ in range(3)]
    assert [str(message) for message in received] == ["a:one", "two", "b:three"]
