"""Redis's publish/subscribe, through a redis-server."""

from __future__ import annotations

import importlib
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from . import Receiving, Sending
from .brokers import channel

if TYPE_CHECKING:
    from . import Job

_redis = importlib.import_module("redis")


def versions() -> dict[str, str]:
    """The version of the client."""
    return {"redis-py": metadata.version("redis")}


def sending(job: Job) -> Sending:
    """A client that publishes."""
    name = channel(job)
    client: Any = _redis.Redis.from_url(job["endpoint"])

    def wait_for_subscribers(count: int) -> None:
        deadline = time.monotonic() + 30
        while client.pubsub_numsub(name)[0][1] < count:
            if time.monotonic() > deadline:
                raise RuntimeError("no subscriber connected within 30 s")
            time.sleep(0.01)

    def send(message: bytes) -> None:
        client.publish(name, message)

    return Sending(job["endpoint"], send, wait_for_subscribers, client.close)


def receiving(job: Job) -> Receiving:
    """A client that subscribes."""
    client: Any = _redis.Redis.from_url(job["endpoint"])
    subscription = client.pubsub(ignore_subscribe_messages=True)
    subscription.subscribe(channel(job))

    def receive() -> bytes:
        while True:
            message = subscription.get_message(timeout=None)
            if message is not None:
                data: bytes = message["data"]
                return data

    return Receiving(receive, client.close)
