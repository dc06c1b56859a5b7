"""Talk and listen in one thread, with asyncio: while one waits, the other goes on.

python examples/asyncio_both.py                               to itself
python examples/asyncio_both.py 192.168.1.34                  hears another laptop
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


async def speak(pub: Publisher) -> None:
    await pub.await_for_subscribers(1)
    for number in itertools.count(1):
        await pub.asend(f"Hello number {number}", topic="room1")
        await asyncio.sleep(1)  # never time.sleep: it would stop the other one as well


async def hear(sub: Subscriber) -> None:
    async for message in sub:
        print(f"{message.sender}: {message.text}", flush=True)


async def main() -> None:
    with Publisher(ours, name=f"me at {ours}") as pub, Subscriber(theirs, topics=["room1"]) as sub:
        print("Connect to:", *pub.addresses, flush=True)
        await asyncio.gather(speak(pub), hear(sub))


try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("That was all.")

# Try next: a third task that counts, every minute, how many messages came.
