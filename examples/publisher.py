"""Send a message every second to all subscribers.

    python examples/publisher.py                  on port 5555 of this laptop
    python examples/publisher.py '*:6000'         on another port
    python examples/publisher.py '*:5555' room2   in another room

Then start subscriber.py in a second window, or on a second laptop.
"""

import itertools
import sys
import time

from zmqchat_rs import Publisher

address = sys.argv[1] if len(sys.argv) > 1 else "*:5555"
room = sys.argv[2] if len(sys.argv) > 2 else "room1"

with Publisher(address) as pub:
    try:
        print("Connect to:", *pub.addresses, flush=True)
        # A subscriber does not receive earlier messages: wait for the first one to connect.
        pub.wait_for_subscribers(1, topic=room)
        for number in itertools.count(1):
            pub.send(f"Hello number {number}", topic=room)
            print("sent", number, "to", pub.subscriber_count, "subscribers", flush=True)
            time.sleep(1)
    except KeyboardInterrupt:
        print("Stopped.")  # leaving the `with` block closes the port

# Try next: start two subscribers, stop one, and watch the count.
