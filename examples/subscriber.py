"""Print the messages of one room.

    python examples/subscriber.py                       this laptop, port 5555, room1
    python examples/subscriber.py 192.168.1.12          another laptop
    python examples/subscriber.py 192.168.1.12 room2    another room

Start it before or after publisher.py: it connects when the publisher is running.
"""

import sys

from zmqchat_rs import Subscriber

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
room = sys.argv[2] if len(sys.argv) > 2 else "room1"

with Subscriber(address, topics=[room]) as sub:
    try:
        for message in sub:  # waits for the next one
            time = message.received_at.strftime("%H:%M:%S")
            print(f"[{time}] {message.topic}: {message.text}", flush=True)
    except KeyboardInterrupt:
        print(sub.stats().received, "messages were received.")

# Try next: sub.listen() instead of the loop, for colours.
