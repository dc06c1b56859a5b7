"""In asyncio: several kinds of waits at the same time on one object."""

from __future__ import annotations

import asyncio

from tests.helpers.event_loops import wait_until_suspended
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber


def test_a_task_that_waits_for_connections_does_not_delay_a_receive() -> None:
    async def main() -> None:
        relay = Relay("127.0.0.1:0", backend="127.0.0.1:0", last_value_cache=True)
        assert relay.frontend is not None
        assert relay.backend is not None
        source = Publisher(connect=relay.frontend)
        noise = Publisher("127.0.0.1:0")
        assert noise.endpoint is not None
        heard_noise = Subscriber(noise.endpoint)
        with relay, source, noise, heard_noise:
            source.wait_for_subscribers(timeout=TIMEOUT)
            source.send("latest", topic="a")
            wait_until(lambda: relay.stats().cached == 1)
            noise.wait_for_subscribers(timeout=TIMEOUT)

            async def chatter() -> None:
                while True:
                    noise.send("x")
                    await heard_noise.arecv()
                    await asyncio.sleep(0.002)

            chattering = asyncio.create_task(chatter())
            for _ in range(40):
                with Subscriber(topics=["a"]) as subscriber:
                    heard = asyncio.create_task(subscriber.arecv(timeout=TIMEOUT))
                    connected = asyncio.create_task(subscriber.await_connected(2))
                    await wait_until_suspended(connected)
                    # The connection and the latest message arrive at the same time.
                    subscriber.connect(relay.backend)
                    assert (await heard).text == "latest"
                    connected.cancel()
                    await asyncio.gather(connected, return_exceptions=True)
            chattering.cancel()
            await asyncio.gather(chattering, return_exceptions=True)

    asyncio.run(main())
