"""A chat exchanges messages with pyzmq programs in other processes, in both directions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.helpers.chats import chat
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

#: Prints each message as a list of texts, one for each frame.
RECEIVES = """
    import json, sys, zmq
    socket = zmq.Context().socket(zmq.SUB)
    socket.connect("tcp://" + sys.argv[1])
    socket.subscribe("lobby:")
    while True:
        print(json.dumps([frame.decode() for frame in socket.recv_multipart()]))
"""

#: Publishes each line of its input.
PUBLISHES = """
    import sys, zmq
    socket = zmq.Context().socket(zmq.XPUB)
    print("127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1"))
    assert socket.recv() == b"\\x01lobby:"
    for line in sys.stdin:
        socket.send_string(line.rstrip("\\n"))
"""


def test_pyzmq_receives_only_one_frame_for_each_line_of_a_plain_chat(
    start_python: StartPython,
) -> None:
    with chat("alice", plain=True) as alice:
        script = start_python(RECEIVES, alice.addresses[0])
        alice.wait_for_listeners(timeout=TIMEOUT)
        sent = alice.say("Hello")
        alice.me("waves")
        assert sent.raw == b"lobby:alice: Hello"
        assert json.loads(script.line()) == ["lobby:alice: Hello"]
        assert json.loads(script.line()) == ["lobby:* alice waves"]


def test_pyzmq_receives_each_line_of_a_chat_with_a_stamp(start_python: StartPython) -> None:
    with chat("alice") as alice:
        script = start_python(RECEIVES, alice.addresses[0])
        alice.wait_for_listeners(timeout=TIMEOUT)
        alice.say("Hello")
        received = ["lobby:"]
        kinds = []
        while received[0] == "lobby:":
            received = json.loads(script.line())
            kinds.append(json.loads(received[1]).get("kind"))
        assert received[0] == "lobby:Hello"
        assert json.loads(received[1])["from"] == "alice"
        assert kinds.pop() is None
        assert set(kinds) <= {"come"}


def test_a_chat_receives_messages_of_pyzmq_without_a_sender_name(start_python: StartPython) -> None:
    publisher = start_python(PUBLISHES)
    with chat("alice", peers=publisher.line()) as alice:
        for line, label in (
            ("lobby:Hello from pyzmq", "127.0.0.1"),
            # A line of a plain chat contains the name of its sender.
            ("lobby:bob: Hello", None),
        ):
            publisher.send_line(line)
            received = alice.recv(timeout=TIMEOUT)
            assert (str(received), received.sender, received.address) == (line, None, "127.0.0.1")
            assert alice.label(received) == label
            rendered = received.render(timestamps="none", sender=label)
            assert rendered in ("lobby 127.0.0.1: Hello from pyzmq", "lobby: bob: Hello")
        assert [(member.name, member.address, member.instance) for member in alice.members] == [
            ("127.0.0.1", "127.0.0.1", None),
            ("bob", "127.0.0.1", None),
        ]


def test_a_sender_without_name_and_address_is_labelled_with_a_question_mark() -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.XPUB) as publisher:
        publisher.linger = 0
        publisher.rcvtimeo = int(TIMEOUT * 1000)
        publisher.bind("ipc://@zmqchat-test-chat")
        with chat("alice", peers="ipc://@zmqchat-test-chat") as alice:
            assert publisher.recv() == b"\x01lobby:"
            publisher.send(b"lobby:Hello")
            received = alice.recv(timeout=TIMEOUT)
            assert (received.address, alice.label(received)) == (None, "?")
            assert received.render(timestamps="none", sender="?") == "lobby ?: Hello"
