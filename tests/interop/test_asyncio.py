"""Messages between asyncio calls of this package and zmq.asyncio, in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.helpers.event_loops import run
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

COUNT = 20_000

RECEIVES = f"""
    import asyncio, sys, zmq, zmq.asyncio

    async def main():
        socket = zmq.asyncio.Context().socket(zmq.SUB)
        socket.rcvhwm = 0
        socket.subscribe("room1:")
        socket.connect(sys.argv[1])
        received = [await socket.recv_string() for _ in range({COUNT})]
        print(received == [f"room1:{{number}}" for number in range({COUNT})])

    asyncio.run(main())
"""

PUBLISHES = f"""
    import asyncio, sys, zmq, zmq.asyncio

    async def main():
        socket = zmq.asyncio.Context().socket(zmq.XPUB)
        socket.sndhwm = 0
        print("tcp://127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1"))
        assert await socket.recv() == b"\\x01room1:"
        for number in range({COUNT}):
            await socket.send_string(f"room1:{{number}}")
        sys.stdin.readline()

    asyncio.run(main())
"""


def test_zmq_asyncio_receives_messages_that_a_task_sends(start_python: StartPython) -> None:
    async def main() -> str:
        async with Publisher("127.0.0.1:0", on_full="block", linger=TIMEOUT) as publisher:
            assert publisher.endpoint is not None
            script = start_python(RECEIVES, publisher.endpoint)
            await publisher.await_for_subscribers(topic="room1", timeout=TIMEOUT)
            for number in range(COUNT // 2):
                await publisher.asend(str(number), topic="room1")
            await publisher.asend_many(map(str, range(COUNT // 2, COUNT)), topic="room1")
            return script.line()

    assert run(main()) == "True"


def test_a_task_receives_messages_that_zmq_asyncio_sends(start_python: StartPython) -> None:
    script = start_python(PUBLISHES)

    async def main() -> list[str]:
        received: list[str] = []
        async with Subscriber(script.line(), topics="room1", high_water_mark=0) as subscriber:
            async for message in subscriber:
                received.append(message.text)
                if len(received) == COUNT:
                    return received
        return received

    assert run(main()) == [*map(str, range(COUNT))]
    script.send_line("")
    assert (script.finish().code, script.finish().stderr) == (0, "")
