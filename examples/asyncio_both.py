"""Send and receive in one thread with asyncio: while one task waits, the other runs.

python examples/asyncio_both.py                               to and from itself
python examples/asyncio_both.py 192.168.1.34                  receives from another laptop
python examples/asyncio_both.py 127.0.0.1:6002 '*:6001'       two on one laptop, with
python examples/asyncio_both.py 127.0.0.1:6001 '*:6002'       two ports
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from zmqchat_rs import Publisher, Subscriber

theirs = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
ours = sys.argv[2] if len(sys.argv) > 2 else "*:5555"


async def send(pub: Publisher) -> None:
    await pub.await_for_subscribers(1)
    for number in itertools.count(1):
        await pub.asend(f"Hello number {number}", topic="room1")
        await asyncio.sleep(1)  # not time.sleep, which would block the other task, too


async def receive(sub: Subscriber) -> None:
    async for message in sub:
        print(f"{message.sender}: {message.text}", flush=True)


async def main() -> None:
    with Publisher(ours, name=f"me at {ours}") as pub, Subscriber(theirs, topics=["room1"]) as sub:
        print("Connect to:", *pub.addresses, flush=True)
        await asyncio.gather(send(pub), receive(sub))


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("Stopped.")

# Try next: a third task that prints the number of messages every minute.
