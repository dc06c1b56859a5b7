"""A sensor that sends a reading as JSON twice a second.

python examples/sensor_feed.py                  on port 5555 of this laptop
python examples/sensor_feed.py '*:5555' attic   the sensor in the attic

zmqchat sub -t attic                            prints the readings
python examples/logger.py attic.log             logs them; then, in a notebook:

zmqchat_rs.to_pandas("attic.log", json=True).plot(x="received_at", y="celsius")
"""

from __future__ import annotations

import math
import random
import sys
import time

from zmqchat_rs import Publisher

address = sys.argv[1] if len(sys.argv) > 1 else "*:5555"
sensor = sys.argv[2] if len(sys.argv) > 2 else "attic"
PAUSE = 0.5  # seconds


def measure() -> dict[str, float]:
    """Simulate a sensor: warm at noon, with some noise."""
    day = time.time() % 86_400 / 86_400
    celsius = 20 - 5 * math.cos(2 * math.pi * day) + random.gauss(0, 0.2)
    return {"celsius": round(celsius, 2), "humidity": round(random.uniform(40, 60), 1)}


# A publisher with a name numbers its messages, so that a subscriber can count lost ones.
with Publisher(address, name=sensor) as pub:
    try:
        print("Connect to:", *pub.addresses, flush=True)
        due = time.monotonic()
        while True:
            pub.send_json(measure(), topic=sensor)
            due += PAUSE  # not "sleep PAUSE", which would drift by the time of the rest
            time.sleep(max(0, due - time.monotonic()))
    except KeyboardInterrupt:
        print(pub.stats().sent, "readings were sent.")

# Try next: a second sensor, and one subscriber to both.
