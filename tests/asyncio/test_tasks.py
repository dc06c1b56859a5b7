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
from tests.helpers.timeouts import wait_until as until_now
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


def forget(coroutine: object) -> None:
    """Not to await a coroutine."""
    del coroutine


each_receive = pytest.mark.parametrize(
    "receive", RECEIVES, ids=["arecv", "arecv_text", "arecv_bytes", "arecv_many"]
)


@LOOPS
def test_a_publisher_and_a_subscriber_talk_in_one_loop(
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
                heard = [await subscriber.arecv_text(), (await subscriber.arecv_bytes()).decode()]
                async for message in subscriber:
                    heard.append(message.text)
                    break
        assert publisher.closed
        assert subscriber.closed
        return heard

    assert run_in(new_loop(), main()) == ["a", "b", "c"]


def test_a_loop_over_a_subscriber_ends_when_it_is_closed(pair: Pair) -> None:
    async def listen() -> list[str]:
        return [message.text async for message in pair.subscriber]

    async def main() -> list[str]:
        task = asyncio.create_task(listen())
        pair.publisher.send_many(["a", "b"])
        await wait_until_suspended(task)
        await wait_until(lambda: pair.subscriber.stats().received == 2)
        await wait_until_suspended(task)
        await pair.subscriber.aclose()
        return await task

    assert run(main()) == ["a", "b"]


def test_a_batch_returns_the_queued_messages(pair: Pair) -> None:
    async def main() -> None:
        heard: list[str] = []
        pair.publisher.send_many(map(str, range(100)))
        while len(heard) < 100:
            batch = await pair.subscriber.arecv_many(30)
            assert 1 <= len(batch) <= 30
            heard += [message.text for message in batch]
        assert heard == [*map(str, range(100))]

    run(main())


@each_receive
def test_a_receive_times_out(pair: Pair, receive: Callable[[Subscriber], Receive]) -> None:
    async def main() -> None:
        for timeout in (0, 0.0, 0.01, 0.1):
            # The builtin, before Python 3.11 too, where asyncio's is another.
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
def test_an_invalid_timeout_is_refused(
    pair: Pair, receive: Callable[[Subscriber], Receive]
) -> None:
    for timeout in (-1, -0.001, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            forget(receive(pair.subscriber)(timeout=timeout))
    with pytest.raises(TypeError):
        forget(receive(pair.subscriber)(timeout="1"))


def test_the_timeouts_of_waits_for_peers_name_both_counts(publisher: Publisher) -> None:
    async def main() -> None:
        for timeout in (0, 0.05):
            with pytest.raises(TimeoutError, match="0 of 3 subscribers of topic 'room1'"):
                await publisher.await_for_subscribers(3, topic="room1", timeout=timeout)
            async with Subscriber("127.0.0.1:9") as subscriber:
                with pytest.raises(TimeoutError, match="0 of 2 connections"):
                    await subscriber.await_connected(2, timeout=timeout)
        assert await publisher.await_for_subscribers(0) == 0

    run(main())


def test_bad_arguments_are_refused_before_anything_is_awaited(pair: Pair) -> None:
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
        forget(pair.publisher.asend("lost"))
    pair.publisher.send("kept")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "kept"
    pair.publisher.send("still there")
    with pytest.warns(RuntimeWarning, match=r"'Subscriber\.arecv' was never awaited"):
        forget(pair.subscriber.arecv())
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "still there"


def test_a_coroutine_is_awaited_once(pair: Pair) -> None:
    async def main() -> None:
        pair.publisher.send_many(["a", "b"])
        coroutine = pair.subscriber.arecv_text()
        assert asyncio.iscoroutine(coroutine)
        assert await coroutine == "a"
        with pytest.raises(RuntimeError, match="already awaited"):
            await coroutine
        assert await pair.subscriber.arecv_text() == "b"

    run(main())


def test_it_works_with_all_that_asyncio_does_with_coroutines(pair: Pair) -> None:
    async def main() -> None:
        subscriber = pair.subscriber
        tasks = [asyncio.create_task(subscriber.arecv_text()) for _ in range(2)]
        gathered = asyncio.gather(subscriber.arecv_text(), subscriber.arecv_text())
        limited = asyncio.create_task(asyncio.wait_for(subscriber.arecv_text(), TIMEOUT))
        shielded = asyncio.shield(subscriber.arecv_text())
        await asyncio.sleep(0)
        pair.publisher.send_many("abcdef"[place] for place in range(6))
        heard = [*await gathered, await limited, await shielded, *[await task for task in tasks]]
        assert sorted(heard) == [*"abcdef"]
        assert "Subscriber.arecv_text" in repr(tasks[0])

    run(main())
    pair.publisher.send("alone")
    assert asyncio.run(pair.subscriber.arecv_text(timeout=TIMEOUT)) == "alone"


def test_a_thousand_tasks_get_a_message_each(pair: Pair) -> None:
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


def test_other_tasks_run_while_there_are_always_more_messages(pair: Pair) -> None:
    async def main() -> int:
        rounds = 0

        async def swallow() -> None:
            async for message in pair.subscriber:
                # Much longer than the next message takes.
                sum(range(10_000))
                if message.text == "last":
                    return

        async def count() -> None:
            nonlocal rounds
            while True:
                rounds += 1
                await asyncio.sleep(0)

        pair.publisher.send_many(["x"] * 1_000)
        pair.publisher.send("last")
        # From now on there is always one more message.
        await pair.subscriber.arecv()
        counter = asyncio.create_task(count())
        await swallow()
        counter.cancel()
        return rounds

    assert run(main()) > 5


def test_a_look_without_end_lets_others_run(pair: Pair) -> None:
    async def look() -> str:
        while True:
            with contextlib.suppress(TimeoutError):
                return await pair.subscriber.arecv_text(timeout=0)

    async def main() -> str:
        task = asyncio.create_task(look())
        await asyncio.sleep(0.01)
        await pair.publisher.asend("Hello")
        return await task

    assert run(main()) == "Hello"


def test_two_loops_in_two_threads_and_a_thread_that_blocks_share_what_arrives(pair: Pair) -> None:
    count = 3_000

    async def listen() -> list[str]:
        return [message.text async for message in pair.subscriber]

    loops = [Background(run, listen()) for _ in range(2)]
    blocked = Background(lambda: [message.text for message in pair.subscriber])
    for reader in (*loops, blocked):
        reader.wait_until_blocked()
    for number in range(count):
        pair.publisher.send(str(number))
        if number % 100 == 0:
            # Now and then the queue runs dry, and all of them wait again.
            until_received(pair, number + 1)
    until_received(pair, count)
    until_now(lambda: pair.subscriber.stats().backlog == 0, "the messages to be read")
    pair.subscriber.close()
    heard = [reader.result() for reader in (*loops, blocked)]
    for texts in heard:
        assert texts == sorted(texts, key=int)
    assert sorted((text for texts in heard for text in texts), key=int) == [*map(str, range(count))]


def until_received(pair: Pair, count: int) -> None:
    until_now(lambda: pair.subscriber.stats().received >= count, "the messages to arrive")


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


def test_a_message_is_the_same_as_by_the_blocking_calls(room: Pair) -> None:
    async def main() -> None:
        await room.publisher.asend(bytearray(b"buffer"), topic="room1")
        message = await room.subscriber.arecv()
        assert isinstance(message, Message)
        assert (message.topic, message.data, message.raw) == ("room1", b"buffer", b"room1:buffer")
        await room.publisher.asend(b"\xff")
        assert await room.subscriber.arecv_text() == "\ufffd"
        assert room.subscriber.stats().undecodable == 1
        large = b"x" * 3_000_000
        await room.publisher.asend(large)
        assert (await room.subscriber.arecv()).data == large

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 10), reason="anext is not there before")
def test_anext_gives_one_message(pair: Pair) -> None:
    async def main() -> None:
        pair.publisher.send("Hello")
        message = await vars(builtins)["anext"](pair.subscriber)
        assert message.text == "Hello"

    run(main())
