"""A chat with company that knows only pyzmq: in processes of their own, both ways."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.helpers.chats import chat
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

#: Prints each message as a list of texts, one for each frame.
HEARS = """
    import json, sys, zmq
    socket = zmq.Context().socket(zmq.SUB)
    socket.connect("tcp://" + sys.argv[1])
    socket.subscribe("lobby:")
    while True:
        print(json.dumps([frame.decode() for frame in socket.recv_multipart()]))
"""

#: Says each line of its input.
SPEAKS = """
    import sys, zmq
    socket = zmq.Context().socket(zmq.XPUB)
    print("127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1"))
    assert socket.recv() == b"\\x01lobby:"
    for line in sys.stdin:
        socket.send_string(line.rstrip("\\n"))
"""


def test_pyzmq_hears_a_plain_chat_in_one_frame_and_nothing_else(start_python: StartPython) -> None:
    with chat("alice", plain=True) as alice:
        hearer = start_python(HEARS, alice.addresses[0])
        alice.wait_for_listeners(timeout=TIMEOUT)
        said = alice.say("Hello")
        alice.me("waves")
        assert said.raw == b"lobby:alice: Hello"
        assert json.loads(hearer.line()) == ["lobby:alice: Hello"]
        assert json.loads(hearer.line()) == ["lobby:* alice waves"]


def test_pyzmq_hears_each_line_of_a_chat_and_a_stamp(start_python: StartPython) -> None:
    with chat("alice") as alice:
        hearer = start_python(HEARS, alice.addresses[0])
        alice.wait_for_listeners(timeout=TIMEOUT)
        alice.say("Hello")
        heard = ["lobby:"]
        kinds = []
        while heard[0] == "lobby:":
            heard = json.loads(hearer.line())
            kinds.append(json.loads(heard[1]).get("kind"))
        assert heard[0] == "lobby:Hello"
        assert json.loads(heard[1])["from"] == "alice"
        assert kinds.pop() is None
        assert set(kinds) <= {"come"}


def test_a_chat_hears_pyzmq_without_a_name(start_python: StartPython) -> None:
    speaker = start_python(SPEAKS)
    with chat("alice", peers=speaker.line()) as alice:
        for said, label in (
            ("lobby:Hello from pyzmq", "127.0.0.1"),
            # What a plain chat sends names its sender by itself.
            ("lobby:bob: Hello", None),
        ):
            speaker.send_line(said)
            heard = alice.recv(timeout=TIMEOUT)
            assert (str(heard), heard.sender, heard.address) == (said, None, "127.0.0.1")
            assert alice.label(heard) == label
            shown = heard.render(timestamps="none", sender=label)
            assert shown in ("lobby 127.0.0.1: Hello from pyzmq", "lobby: bob: Hello")
        assert [(one.name, one.address, one.instance) for one in alice.members] == [
            ("127.0.0.1", "127.0.0.1", None),
            ("bob", "127.0.0.1", None),
        ]


def test_where_no_address_is_known_there_is_a_question_mark() -> None:
    import zmq

    with zmq.Context() as context, context.socket(zmq.XPUB) as speaker:
        speaker.linger = 0
        speaker.rcvtimeo = int(TIMEOUT * 1000)
        speaker.bind("ipc://@zmqchat-test-chat")
        with chat("alice", peers="ipc://@zmqchat-test-chat") as alice:
            assert speaker.recv() == b"\x01lobby:"
            speaker.send(b"lobby:Hello")
            heard = alice.recv(timeout=TIMEOUT)
            assert (heard.address, alice.label(heard)) == (None, "?")
            assert heard.render(timestamps="none", sender="?") == "lobby ?: Hello"
