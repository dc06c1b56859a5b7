"""A publisher that lives until it is killed: `python -m benches.soak_killed_publisher ADDRESS`."""

from __future__ import annotations

import os
import sys
import threading

from zmqchat_rs import Publisher


def end_with_parent() -> None:
    """Ends with whoever started this process, however they end."""
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Publishes numbered messages, a few hundred a second."""
    threading.Thread(target=end_with_parent, daemon=True).start()
    pause = threading.Event()
    with Publisher(sys.argv[1], name="mortal", on_full="block") as publisher:
        while True:
            publisher.send_many(["alive"] * 10, topic="mortal")
            pause.wait(0.01)


if __name__ == "__main__":
    main()
