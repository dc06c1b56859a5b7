"""The same as publisher.py, with pyzmq alone. subscriber.py receives its messages.

    pip install pyzmq
    python examples/pyzmq_publisher.py
    python examples/pyzmq_publisher.py 'tcp://*:6000' room2

On the wire, a message is just the text "room1:Hello number 1".
"""

import itertools
import sys
import time

import zmq

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://*:5555"
room = sys.argv[2] if len(sys.argv) > 2 else "room1"

with zmq.Context() as context, context.socket(zmq.PUB) as socket:
    # Without a linger, pyzmq waits forever at exit for messages that cannot be sent.
    socket.linger = 1000
    socket.bind(address)
    try:
        # A PUB socket does not know its subscribers: messages sent before they connect are lost.
        for number in itertools.count(1):
            socket.send_string(f"{room}:Hello number {number}")
            time.sleep(1)
    except KeyboardInterrupt:
        print("Stopped.")
