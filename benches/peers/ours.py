"""zmqchat_rs."""

from __future__ import annotations

import contextlib
import functools
import time
from functools import partial
from itertools import repeat
from typing import TYPE_CHECKING, Any, Callable, Iterator

from zmqchat_rs import Publisher, Relay, Subscriber, Transcript, build_info

from . import Receiving, Relaying, Sending, not_offered
from .topics import LAST, ONE, sequence, subscribed

if TYPE_CHECKING:
    from pathlib import Path

    from . import Job


def versions() -> dict[str, str]:
    """The versions of the package and of its libzmq."""
    built = build_info()
    return {"zmqchat_rs": built["version"], "libzmq": built["libzmq"]}


def sending(job: Job) -> Sending:
    """A publisher; `send` takes text and bytes alike."""
    kind = job["kind"]
    name = "benches" if kind == "stamped" else None
    publisher = Publisher(job["endpoint"], high_water_mark=0, name=name)
    bound = publisher.endpoint
    if bound is None:
        raise RuntimeError(f"did not bind {job['endpoint']}")

    def send_with_topic(text: str, count: int, end: str) -> None:
        send = publisher.send
        for _ in repeat(None, count):
            send(text, topic=ONE)
        send(end, topic=ONE)

    def send_topics_in_turn(text: str, count: int, end: str) -> None:
        send = publisher.send
        for topic in sequence(job, count):
            send(text, topic=topic)
        send(end, topic=LAST)

    def send_topics_batched(text: str, count: int, end: str) -> None:
        publisher.send_many(repeat(text, count), topics=sequence(job, count))
        publisher.send(end, topic=LAST)

    streams: dict[str, Any] = {
        "topic": send_with_topic,
        "filtered": send_topics_batched if job.get("batched") else send_topics_in_turn,
    }

    return Sending(
        endpoint=bound,
        send=publisher.send,
        wait_for_subscribers=partial(_wait_for_subscribers, publisher, job),
        close=publisher.close,
        send_many=publisher.send_many,
        send_stream=streams.get(kind, not_offered),
    )


def _wait_for_subscribers(publisher: Publisher, job: Job, count: int) -> None:
    kind = job["kind"]
    if kind != "filtered":
        publisher.wait_for_subscribers(count, timeout=30, topic=ONE if kind == "topic" else None)
        return
    publisher.wait_for_subscribers(count, timeout=30, topic=LAST)
    deadline = time.monotonic() + 30
    while len(publisher.topics) <= job["topics"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"only {len(publisher.topics)} topics were subscribed within 30 s")
        time.sleep(0.01)


@contextlib.contextmanager
def open_transcript(path: Path) -> Iterator[Callable[[list[Any]], object]]:
    """A transcript."""
    with Transcript(path) as log:
        yield log.write_many


def receiving(job: Job) -> Receiving:
    """A subscriber to everything or to the job's topics."""
    kind = job["kind"]
    topics = subscribed(job)
    subscriber = Subscriber(job["endpoint"], high_water_mark=0, topics=topics)

    def read_texts(end: str) -> tuple[str, int, float, float]:
        first = subscriber.recv().text
        began = time.perf_counter()
        count = 1
        for message in subscriber:
            if message.text == end:
                break
            count += 1
        return first, count, began, time.perf_counter()

    def read_view() -> memoryview:
        return subscriber.recv().view

    def read_in_loop(end: bytes) -> tuple[bytes, int, float, float]:
        import asyncio  # noqa: PLC0415 - keeps it out of the memory of other rows

        async def read() -> tuple[bytes, int, float, float]:
            first = await subscriber.arecv_bytes()
            began = time.perf_counter()
            count = 1
            async for message in subscriber:
                if message.raw == end:
                    break
                count += 1
            return first, count, began, time.perf_counter()

        return asyncio.run(read())

    streams: dict[str, Any] = {"topic": read_texts, "stamped": read_texts, "asyncio": read_in_loop}
    calls: dict[str, Any] = {"bytes": subscriber.recv_bytes, "views": read_view}
    receive = calls.get(kind, subscriber.recv_text)
    return Receiving(
        receive=receive,
        receive_nowait=functools.partial(receive, timeout=0),
        empty_error=TimeoutError,
        close=subscriber.close,
        receive_many=subscriber.recv_many,
        receive_stream=streams.get(kind, not_offered),
        print_lines=lambda count: subscriber.listen(count=count, color="always"),
        open_transcript=open_transcript,
    )


def relaying(job: Job) -> Relaying:
    """A relay without a frontend of its own."""
    relay = Relay(None, backend=job["endpoint"], connect=job["upstream"], high_water_mark=0)
    bound = relay.backend
    if bound is None:
        raise RuntimeError(f"did not bind {job['endpoint']}")
    return Relaying(endpoint=bound, close=relay.close)
