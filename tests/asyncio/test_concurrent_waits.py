"""In asyncio: several kinds of waits on one object at the same time."""

from __future__ import annotations

import asyncio

from tests.helpers.event_loops import wait_until_suspended
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber


def test_a_wait_for_connections_does_not_consume_the_wake_up_of_a_receive() -> None:
    async def main() -> None:
        relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", last_value_cache=True)
        assert relay.frontend is not None
        assert relay.backend is not None
        source = Publisher(connect=relay.frontend)
        background = Publisher("127.0.0.1:0")
        assert background.endpoint is not None
        background_subscriber = Subscriber(background.endpoint)
        with relay, source, background, background_subscriber:
            source.wait_for_subscribers(timeout=TIMEOUT)
            source.send("latest", topic="a")
            wait_until(lambda: relay.stats().cached == 1)
            background.wait_for_subscribers(timeout=TIMEOUT)

            async def exchange_messages() -> None:
                while True:
                    background.send("x")
                    await background_subscriber.arecv()
                    await asyncio.sleep(0.002)

            exchange = asyncio.create_task(exchange_messages())
            for _ in range(40):
                with Subscriber(topics=["a"]) as subscriber:
                    received = asyncio.create_task(subscriber.arecv(timeout=TIMEOUT))
                    connected = asyncio.create_task(subscriber.await_connected(2))
                    await wait_until_suspended(connected)
                    # The connection and the latest message arrive at the same time.
                    subscriber.connect(relay.backend)
                    assert (await received).text == "latest"
                    connected.cancel()
                    await asyncio.gather(connected, return_exceptions=True)
            exchange.cancel()
            await asyncio.gather(exchange, return_exceptions=True)

    asyncio.run(main())
