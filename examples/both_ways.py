"""Send and receive at once: each laptop has a publisher and a subscriber.

    laptop 1:  python examples/both_ways.py alice 192.168.1.34
    laptop 2:  python examples/both_ways.py bob 192.168.1.12

or both on one laptop, with two ports:

    python examples/both_ways.py alice 127.0.0.1:6002 '*:6001'
    python examples/both_ways.py bob 127.0.0.1:6001 '*:6002'

Each line that you type is sent to the other laptop; Ctrl+D ends the program.
"""

import sys
import threading

from zmqchat_rs import Publisher, Subscriber

if len(sys.argv) < 3:
    sys.exit("usage: python examples/both_ways.py YOUR_NAME THEIR_ADDRESS [YOUR_ADDRESS]")
name, theirs = sys.argv[1:3]
ours = sys.argv[3] if len(sys.argv) > 3 else "*:5555"

# A publisher with a name adds the name to each message.
with Publisher(ours, name=name) as pub, Subscriber(theirs, topics=["lobby"]) as sub:
    print(f"You are {name} at", *pub.addresses, flush=True)

    def read() -> None:
        for message in sub:  # until `sub` is closed
            print(f"{message.sender}: {message.text}", flush=True)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for line in sys.stdin:
            pub.send(line.rstrip("\n"), topic="lobby")
    except KeyboardInterrupt:
        pass
    sub.close()
    reader.join()

# Try next: a third person. A Subscriber takes a list of addresses.
