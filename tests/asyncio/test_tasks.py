"""In asyncio: tasks that receive, send and wait while other tasks run, in any event loop."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import math
import sys
import threading
from typing import TYPE_CHECKING, Any, Callable, Coroutine

import pytest

from tests.helpers.event_loops import LOOPS, run, run_in, wait_until, wait_until_suspended
from tests.helpers.timeouts import TIMEOUT, Background
from tests.helpers.timeouts import wait_until as wait_until_sync
from zmqchat_rs import ClosedError, Message, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair

Receive = Callable[..., Coroutine[Any, Any, Any]]

RECEIVES: list[Callable[[Subscriber], Receive]] = [
    lambda subscriber: subscriber.arecv,
    lambda subscriber: subscriber.arecv_text,
    lambda subscriber: subscriber.arecv_bytes,
    lambda subscriber: lambda timeout=None: subscriber.arecv_many(timeout=timeout),
]


def discard(coroutine: object) -> None:
    """Drop a coroutine without awaiting it."""
    del coroutine


each_receive = pytest.mark.parametrize(
    "receive", RECEIVES, ids=["arecv", "arecv_text", "arecv_bytes", "arecv_many"]
)


@LOOPS
def test_a_publisher_and_a_subscriber_exchange_messages_in_one_loop(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> list[str]:
        async with Publisher("127.0.0.1:0") as publisher:
            assert publisher.endpoint is not None
            async with Subscriber(publisher.endpoint, split_topics=True) as subscriber:
                assert await subscriber.await_connected(timeout=TIMEOUT) == 1
                assert await publisher.await_for_subscribers(timeout=TIMEOUT) == 1
                waiting = asyncio.ensure_future(subscriber.arecv())
                await wait_until_suspended(waiting)
                await publisher.asend("first", topic="room1")
                message = await waiting
                assert (message.topic, message.text) == ("room1", "first")
                assert await publisher.asend_many(["a", "b", "c"]) == 3
                received = [
                    await subscriber.arecv_text(),
                    (await subscriber.arecv_bytes()).decode(),
                ]
                async for message in subscriber:
                    received.append(message.text)
                    break
        assert publisher.closed
        assert subscriber.closed
        return received

    assert run_in(new_loop(), main()) == ["a", "b", "c"]


def test_async_for_ends_when_the_subscriber_is_closed(pair: Pair) -> None:
    async def receive_all() -> list[str]:
        return [message.text async for message in pair.subscriber]

    async def main() -> list[str]:
        task = asyncio.create_task(receive_all())
        pair.publisher.send_many(["a", "b"])
        await wait_until_suspended(task)
        await wait_until(lambda: pair.subscriber.stats().received == 2)
        await wait_until_suspended(task)
        await pair.subscriber.aclose()
        return await task

    assert run(main()) == ["a", "b"]


def test_a_batch_returns_the_queued_messages(pair: Pair) -> None:
    async def main() -> None:
        received: list[str] = []
        pair.publisher.send_many(map(str, range(100)))
        while len(received) < 100:
            batch = await pair.subscriber.arecv_many(30)
            assert 1 <= len(batch) <= 30
            received += [message.text for message in batch]
        assert received == [*map(str, range(100))]

    run(main())


@each_receive
def test_a_receive_times_out(pair: Pair, receive: Callable[[Subscriber], Receive]) -> None:
    async def main() -> None:
        for timeout in (0, 0.0, 0.01, 0.1):
            # It is the builtin also before Python 3.11, where asyncio.TimeoutError differs.
            with pytest.raises(TimeoutError, match="no message"):
                await receive(pair.subscriber)(timeout=timeout)

    run(main())


@each_receive
def test_a_timeout_beyond_the_range_of_the_clock_waits_forever(
    pair: Pair, receive: Callable[[Subscriber], Receive]
) -> None:
    async def main() -> None:
        for timeout in (1e9, 1e18, 1e300, math.inf, None):
            task = asyncio.create_task(receive(pair.subscriber)(timeout=timeout))
            await wait_until_suspended(task)
            pair.publisher.send("Hello")
            assert await task

    run(main())


@each_receive
def test_an_invalid_timeout_is_rejected(
    pair: Pair, receive: Callable[[Subscriber], Receive]
) -> None:
    for timeout in (-1, -0.001, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            discard(receive(pair.subscriber)(timeout=timeout))
    with pytest.raises(TypeError):
        discard(receive(pair.subscriber)(timeout="1"))


def test_waits_for_peers_time_out_and_report_the_number_of_peers(publisher: Publisher) -> None:
    async def main() -> None:
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError, match="0 of 3 subscribers of topic 'room1'"):
                await publisher.await_for_subscribers(3, topic="room1", timeout=timeout)
            async with Subscriber("127.0.0.1:9") as subscriber:
                with pytest.raises(TimeoutError, match="0 of 2 connections"):
                    await subscriber.await_connected(2, timeout=timeout)
        assert await publisher.await_for_subscribers(0) == 0

    run(main())


def test_invalid_arguments_are_rejected_before_the_await(pair: Pair) -> None:
    publisher: Any = pair.publisher
    subscriber: Any = pair.subscriber
    with pytest.raises(ValueError, match="room 1"):
        publisher.asend("x", topic="room 1")
    with pytest.raises(ValueError, match="room 1"):
        publisher.await_for_subscribers(topic="room 1")
    with pytest.raises(TypeError, match="send_json"):
        publisher.asend({"a": 1})
    with pytest.raises(TypeError, match="use send for a single one"):
        publisher.asend_many("text")
    with pytest.raises(ValueError, match="max_count"):
        subscriber.arecv_many(0)
    with pytest.raises(ValueError, match="count"):
        subscriber.await_connected(-1)


def test_the_error_of_a_wait_outside_a_loop_names_the_remedy(pair: Pair) -> None:
    with pytest.raises(RuntimeError, match=r"async def.*asyncio\.run"):
        pair.subscriber.arecv().send(None)


def test_a_coroutine_that_is_never_awaited_has_no_effect_and_warns(pair: Pair) -> None:
    with pytest.warns(RuntimeWarning, match=r"'Publisher\.asend' was never awaited"):
        discard(pair.publisher.asend("lost"))
    pair.publisher.send("kept")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "kept"
    pair.publisher.send("still here")
    with pytest.warns(RuntimeWarning, match=r"'Subscriber\.arecv' was never awaited"):
        discard(pair.subscriber.arecv())
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "still here"


def test_a_coroutine_can_be_awaited_only_once(pair: Pair) -> None:
    async def main() -> None:
        pair.publisher.send_many(["a", "b"])
        coroutine = pair.subscriber.arecv_text()
        assert asyncio.iscoroutine(coroutine)
        assert await coroutine == "a"
        with pytest.raises(RuntimeError, match="already awaited"):
            await coroutine
        assert await pair.subscriber.arecv_text() == "b"

    run(main())


def test_receives_work_in_tasks_gather_wait_for_and_shield(pair: Pair) -> None:
    async def main() -> None:
        subscriber = pair.subscriber
        tasks = [asyncio.create_task(subscriber.arecv_text()) for _ in range(2)]
        gathered = asyncio.gather(subscriber.arecv_text(), subscriber.arecv_text())
        limited = asyncio.create_task(asyncio.wait_for(subscriber.arecv_text(), TIMEOUT))
        shielded = asyncio.shield(subscriber.arecv_text())
        await asyncio.sleep(0)
        pair.publisher.send_many("abcdef"[index] for index in range(6))
        received = [*await gathered, await limited, await shielded, *[await task for task in tasks]]
        assert sorted(received) == [*"abcdef"]
        assert "Subscriber.arecv_text" in repr(tasks[0])

    run(main())
    pair.publisher.send("alone")
    assert asyncio.run(pair.subscriber.arecv_text(timeout=TIMEOUT)) == "alone"


def test_a_thousand_tasks_receive_one_message_each(pair: Pair) -> None:
    async def main() -> list[str]:
        tasks = [asyncio.create_task(pair.subscriber.arecv_text()) for _ in range(1000)]
        await wait_until_suspended(*tasks)
        await pair.publisher.asend_many(map(str, range(1000)))
        return list(await asyncio.gather(*tasks))

    assert sorted(run(main()), key=int) == [*map(str, range(1000))]


def test_tasks_receive_in_the_order_in_which_they_began_to_wait(pair: Pair) -> None:
    async def main() -> list[str]:
        tasks = []
        for _ in range(20):
            tasks.append(asyncio.create_task(pair.subscriber.arecv_text()))
            await wait_until_suspended(*tasks)
        tasks.pop(7).cancel()
        await pair.publisher.asend_many(map(str, range(19)))
        return list(await asyncio.gather(*tasks))

    assert run(main()) == [*map(str, range(19))]


def test_other_tasks_run_while_messages_are_always_available(pair: Pair) -> None:
    async def main() -> int:
        iterations = 0

        async def receive_slowly() -> None:
            async for message in pair.subscriber:
                # This takes much longer than the arrival of the next message.
                sum(range(10_000))
                if message.text == "last":
                    return

        async def count() -> None:
            nonlocal iterations
            while True:
                iterations += 1
                await asyncio.sleep(0)

        pair.publisher.send_many(["x"] * 1_000)
        pair.publisher.send("last")
        # From here on, a message is always available.
        await pair.subscriber.arecv()
        counter = asyncio.create_task(count())
        await receive_slowly()
        counter.cancel()
        return iterations

    assert run(main()) > 5


def test_other_tasks_run_while_a_task_polls_without_a_pause(pair: Pair) -> None:
    async def poll() -> str:
        while True:
            with contextlib.suppress(TimeoutError):
                return await pair.subscriber.arecv_text(timeout=0)

    async def main() -> str:
        task = asyncio.create_task(poll())
        await asyncio.sleep(0.01)
        await pair.publisher.asend("Hello")
        return await task

    assert run(main()) == "Hello"


def test_loops_in_two_threads_and_a_blocked_thread_share_all_messages(pair: Pair) -> None:
    count = 3_000

    async def receive_all() -> list[str]:
        return [message.text async for message in pair.subscriber]

    loops = [Background(run, receive_all()) for _ in range(2)]
    blocked = Background(lambda: [message.text for message in pair.subscriber])
    for reader in (*loops, blocked):
        reader.wait_until_blocked()
    for number in range(count):
        pair.publisher.send(str(number))
        if number % 100 == 0:
            # Every 100 messages the queue becomes empty, and all readers wait again.
            wait_until_received(pair, number + 1)
    wait_until_received(pair, count)
    wait_until_sync(lambda: pair.subscriber.stats().backlog == 0, "the messages to be read")
    pair.subscriber.close()
    received = [reader.result() for reader in (*loops, blocked)]
    for texts in received:
        assert texts == sorted(texts, key=int)
    assert sorted((text for texts in received for text in texts), key=int) == [
        *map(str, range(count))
    ]


def wait_until_received(pair: Pair, count: int) -> None:
    wait_until_sync(lambda: pair.subscriber.stats().received >= count, "the messages to arrive")


@each_receive
def test_a_close_in_another_thread_ends_a_receive(
    pair: Pair, receive: Callable[[Subscriber], Receive]
) -> None:
    async def main() -> None:
        task = asyncio.create_task(receive(pair.subscriber)())
        await wait_until_suspended(task)
        threading.Thread(target=pair.subscriber.close).start()
        with pytest.raises(ClosedError, match="closed"):
            await task
        with pytest.raises(ClosedError):
            await receive(pair.subscriber)()

    run(main())


def test_a_close_ends_every_other_wait(publisher: Publisher) -> None:
    async def main() -> None:
        subscriber = Subscriber("127.0.0.1:9")
        tasks = [
            asyncio.create_task(publisher.await_for_subscribers(9)),
            asyncio.create_task(subscriber.await_connected()),
        ]
        await wait_until_suspended(*tasks)
        threading.Thread(target=publisher.close).start()
        threading.Thread(target=subscriber.close).start()
        for task in tasks:
            with pytest.raises(ClosedError):
                await task
        with pytest.raises(ClosedError):
            async with publisher:
                pass

    run(main())


def test_asyncio_calls_return_the_same_messages_as_blocking_calls(topic_pair: Pair) -> None:
    async def main() -> None:
        await topic_pair.publisher.asend(bytearray(b"buffer"), topic="room1")
        message = await topic_pair.subscriber.arecv()
        assert isinstance(message, Message)
        assert (message.topic, message.data, message.raw) == ("room1", b"buffer", b"room1:buffer")
        await topic_pair.publisher.asend(b"\xff")
        assert await topic_pair.subscriber.arecv_text() == "\ufffd"
        assert topic_pair.subscriber.stats().undecodable == 1
        large = b"x" * 3_000_000
        await topic_pair.publisher.asend(large)
        assert (await topic_pair.subscriber.arecv()).data == large

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 10), reason="anext is new in Python 3.10")
def test_anext_returns_one_message(pair: Pair) -> None:
    async def main() -> None:
        pair.publisher.send("Hello")
        message = await vars(builtins)["anext"](pair.subscriber)
        assert message.text == "Hello"

    run(main())
