"""The same as subscriber.py, with pyzmq alone. It receives from publisher.py.

pip install pyzmq
python examples/pyzmq_subscriber.py
python examples/pyzmq_subscriber.py tcp://192.168.1.12:5555 room2
"""

import sys

import zmq

address = sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5555"
room = sys.argv[2] if len(sys.argv) > 2 else "room1"

with zmq.Context() as context, context.socket(zmq.SUB) as socket:
    socket.connect(address)
    # ZeroMQ matches prefixes: "room1" would also match "room10", "room1:" does not.
    socket.subscribe(f"{room}:")
    try:
        while True:
            topic, _, text = socket.recv_string().partition(":")
            print(f"{topic}: {text}", flush=True)
    except KeyboardInterrupt:
        print("Stopped.")
