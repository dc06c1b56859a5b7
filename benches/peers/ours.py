"""zmqchat_rs."""

from __future__ import annotations

import functools
import time
from itertools import repeat
from typing import TYPE_CHECKING, Any

from zmqchat_rs import Publisher, Relay, Subscriber, build_info

from . import Receiving, Relaying, Sending, not_offered
from .topics import LAST, ONE, sequence, subscribed

if TYPE_CHECKING:
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
        raise RuntimeError(f"bound nothing at {job['endpoint']}")

    def send_with_topic(text: str, count: int, end: str) -> None:
        send = publisher.send
        for _ in repeat(None, count):
            send(text, topic=ONE)
        send(end, topic=ONE)

    def send_around(text: str, count: int, end: str) -> None:
        send = publisher.send
        for topic in sequence(job, count):
            send(text, topic=topic)
        send(end, topic=LAST)

    streams: dict[str, Any] = {"topic": send_with_topic, "filtered": send_around}

    def wait_for_subscribers(count: int) -> None:
        if kind != "filtered":
            publisher.wait_for_subscribers(
                count, timeout=30, topic=ONE if kind == "topic" else None
            )
            return
        publisher.wait_for_subscribers(count, timeout=30, topic=LAST)
        deadline = time.monotonic() + 30
        while len(publisher.topics) <= job["topics"]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {len(publisher.topics)} topics came")
            time.sleep(0.01)

    return Sending(
        endpoint=bound,
        send=publisher.send,
        wait_for_subscribers=wait_for_subscribers,
        close=publisher.close,
        send_many=publisher.send_many,
        send_stream=streams.get(kind, not_offered),
    )


def receiving(job: Job) -> Receiving:
    """A subscriber to everything, or to the job's topics."""
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

    streams: dict[str, Any] = {"topic": read_texts, "stamped": read_texts}
    receive: Any = subscriber.recv_bytes if kind == "bytes" else subscriber.recv_text
    return Receiving(
        receive=receive,
        look=functools.partial(receive, timeout=0),
        nothing_there=TimeoutError,
        close=subscriber.close,
        receive_many=subscriber.recv_many,
        receive_stream=streams.get(kind, not_offered),
        show=lambda count: subscriber.listen(count=count, color="never"),
    )


def relaying(job: Job) -> Relaying:
    """A relay without a frontend of its own."""
    relay = Relay(None, backend=job["endpoint"], connect=job["upstream"], high_water_mark=0)
    bound = relay.backend
    if bound is None:
        raise RuntimeError(f"bound nothing at {job['endpoint']}")
    return Relaying(endpoint=bound, close=relay.close)
