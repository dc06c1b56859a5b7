"""NATS, through a nats-server. Its client uses asyncio: a stream stays in one event loop."""

from __future__ import annotations

import asyncio
import importlib
import time
from importlib import metadata
from typing import TYPE_CHECKING, Any

from . import Receiving, Sending
from .brokers import channel

if TYPE_CHECKING:
    from . import Job

# The library is not type-checked here.
Untyped = Any

_nats = importlib.import_module("nats")


def versions() -> dict[str, str]:
    """The version of the client."""
    return {"nats-py": metadata.version("nats-py")}


def _connected(endpoint: str) -> tuple[asyncio.AbstractEventLoop, Any]:
    try:
        loop = asyncio.get_event_loop_policy().get_event_loop()
    except RuntimeError:
        loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    return loop, loop.run_until_complete(_nats.connect(endpoint))


def sending(job: Job) -> Sending:
    """A client that publishes after a greeting from its subscriber."""
    loop, client = _connected(job["endpoint"])
    name = channel(job)
    hello = loop.run_until_complete(client.subscribe(f"{name}.hello"))
    # The answer confirms that the server has the subscription.
    loop.run_until_complete(client.flush())

    def wait_for_subscribers(count: int) -> None:
        for _ in range(count):
            loop.run_until_complete(hello.next_msg(timeout=30))

    async def publish(message: bytes) -> None:
        await client.publish(name, message)
        # Lets the client's task write: the event loop does not run between our calls.
        for _ in range(3):
            await asyncio.sleep(0)

    async def publish_all(message: bytes, count: int, end: bytes) -> None:
        for _ in range(count):
            await client.publish(name, message)
        await client.publish(name, end)
        await client.flush()

    return Sending(
        endpoint=job["endpoint"],
        send=lambda message: loop.run_until_complete(publish(message)),
        wait_for_subscribers=wait_for_subscribers,
        close=lambda: loop.run_until_complete(client.close()),
        send_stream=lambda message, count, end: loop.run_until_complete(
            publish_all(message, count, end)
        ),
    )


def receiving(job: Job) -> Receiving:
    """A client with an unlimited subscription; it sends a greeting once the server has it."""
    loop, client = _connected(job["endpoint"])
    name = channel(job)

    async def subscribed() -> Untyped:
        subscription = await client.subscribe(name, pending_msgs_limit=0, pending_bytes_limit=0)
        await client.flush()
        await client.publish(f"{name}.hello", b"")
        await client.flush()
        return subscription

    messages = loop.run_until_complete(subscribed()).messages

    async def next_message() -> bytes:
        data: bytes = (await messages.__anext__()).data
        return data

    async def receive_all(end: bytes) -> tuple[bytes, int, float, float]:
        first = await next_message()
        began = time.perf_counter()
        count = 1
        async for message in messages:
            if message.data == end:
                break
            count += 1
        return first, count, began, time.perf_counter()

    return Receiving(
        receive=lambda: loop.run_until_complete(next_message()),
        close=lambda: loop.run_until_complete(client.close()),
        receive_stream=lambda end: loop.run_until_complete(receive_all(end)),
    )
