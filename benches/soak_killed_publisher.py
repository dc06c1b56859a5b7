"""A publisher that runs until it is killed: `python -m benches.soak_killed_publisher ADDRESS`."""

from __future__ import annotations

import os
import sys
import threading

from zmqchat_rs import Publisher


def end_with_parent() -> None:
    """Exits when the parent process ends."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Publishes numbered messages, about a thousand per second."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    pause = threading.Event()
    with Publisher(sys.argv[1], name="killed", on_full="block") as publisher:
        while True:
            publisher.send_many(["running"] * 10, topic="killed")
            pause.wait(0.01)


if __name__ == "__main__":
    main()
