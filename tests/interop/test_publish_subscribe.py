"""A plain pyzmq program works as publisher and as subscriber, without any option on our side.

The pyzmq side runs in a process of its own and does not import this package.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import Script, StartPython

MANY = 100_000
BIG = bytes(range(256)) * (10 * 1024 * 4)

#: Subscribes at the address in the first argument; prints each message as hexadecimal frames.
RECEIVES = """
    import json, sys, zmq
    socket = zmq.Context().socket(zmq.SUB)
    socket.rcvhwm = 0
    address, count, prefixes = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
    for prefix in prefixes or [""]:
        socket.setsockopt_string(zmq.SUBSCRIBE, prefix)
    if address == "bind":
        print("tcp://127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1"))
    else:
        socket.connect(address)
    for _ in range(count):
        print(json.dumps([frame.hex() for frame in socket.recv_multipart()]))
"""

#: Publishes "hello?" until a line of input arrives, then runs `send` and publishes "the end".
PUBLISHES = """
    import select, sys, zmq
    socket = zmq.Context().socket(zmq.PUB)
    socket.sndhwm = 0
    if len(sys.argv) > 1:
        socket.connect(sys.argv[1])
    else:
        print("tcp://127.0.0.1:%d" % socket.bind_to_random_port("tcp://127.0.0.1"))
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        socket.send_string("hello?")
    sys.stdin.readline()
    {send}
    socket.send_string("the end")
    sys.stdin.readline()
"""


def receive_frames(script: Script) -> list[bytes]:
    frames: list[str] = json.loads(script.line())
    return [bytes.fromhex(frame) for frame in frames]


def start_subscriber(
    start_python: StartPython, publisher: Publisher, count: int, *topics: str
) -> Script:
    assert publisher.endpoint is not None
    script = start_python(RECEIVES, publisher.endpoint, str(count), *topics)
    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    return script


def receive_all(start_python: StartPython, send: str, **options: Any) -> list[tuple[bytes, ...]]:
    """Return the frames of each message that our subscriber receives while pyzmq runs `send`."""
    script = start_python(PUBLISHES.replace("{send}", send))
    with Subscriber(script.line(), high_water_mark=0, **options) as subscriber:
        assert subscriber.recv_text(timeout=TIMEOUT) == "hello?"
        script.send_line("received")
        messages = []
        while True:
            frames = subscriber.recv(timeout=TIMEOUT).frames
            if frames == (b"the end",):
                break
            if frames != (b"hello?",):
                messages.append(frames)
        script.send_line("exit")
        assert script.finish().code == 0
    return messages


@pytest.mark.parametrize(
    ("payload", "topic", "wire"),
    [
        ("Hello", None, b"Hello"),
        ("Hello everyone!", "room1", b"room1:Hello everyone!"),
        ("Grüße, 世界 👋", "café", "café:Grüße, 世界 👋".encode()),
        ("", None, b""),
        ("", "room1", b"room1:"),
        (b"\x00\x01\xff\xfe", None, b"\x00\x01\xff\xfe"),
        (b"\x00\xff\n", "room1", b"room1:\x00\xff\n"),
        (bytearray(b"buffer"), "room1", b"room1:buffer"),
        (memoryview(b"a view of it")[2:6], None, b"view"),
    ],
)
def test_a_pyzmq_subscriber_receives_exactly_these_bytes(
    start_python: StartPython, publisher: Publisher, payload: Any, topic: str | None, wire: bytes
) -> None:
    script = start_subscriber(start_python, publisher, 1)
    publisher.send(payload, topic=topic)
    assert receive_frames(script) == [wire]


def test_recv_string_of_pyzmq_returns_topic_and_text(
    start_python: StartPython, publisher: Publisher
) -> None:
    assert publisher.endpoint is not None
    script = start_python(
        """
        import sys, zmq
        socket = zmq.Context().socket(zmq.SUB)
        socket.connect(sys.argv[1])
        socket.setsockopt_string(zmq.SUBSCRIBE, "room1")
        print(socket.recv_string())
        """,
        publisher.endpoint,
    )
    publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
    publisher.send("Hello", topic="room1")
    assert script.line() == "room1:Hello"


def test_a_pyzmq_subscriber_receives_the_first_message_and_all_later_ones(
    start_python: StartPython, publisher: Publisher
) -> None:
    script = start_subscriber(start_python, publisher, 2)
    publisher.send("first")
    publisher.send("second")
    assert [receive_frames(script) for _ in range(2)] == [[b"first"], [b"second"]]


def test_a_pyzmq_subscriber_to_one_topic_does_not_receive_others(
    start_python: StartPython, publisher: Publisher
) -> None:
    script = start_subscriber(start_python, publisher, 2, "room1:")
    for topic in ("room2", "room1", "room10", "room1"):
        publisher.send("Hello", topic=topic)
    assert [receive_frames(script) for _ in range(2)] == [[b"room1:Hello"]] * 2


def test_a_pyzmq_subscriber_receives_ten_megabytes(
    start_python: StartPython, publisher: Publisher
) -> None:
    script = start_subscriber(start_python, publisher, 1)
    publisher.send(BIG)
    (frame,) = receive_frames(script)
    assert hashlib.sha256(frame).digest() == hashlib.sha256(BIG).digest()


@pytest.mark.parametrize("on_full", ["drop", "block"])
def test_a_pyzmq_subscriber_loses_none_of_100_000_messages(
    start_python: StartPython, on_full: Any
) -> None:
    high_water_mark = 0 if on_full == "drop" else 1_000
    with Publisher(
        "127.0.0.1:0", high_water_mark=high_water_mark, on_full=on_full, linger=0
    ) as publisher:
        assert publisher.endpoint is not None
        script = start_python(
            f"""
            import sys, zmq
            socket = zmq.Context().socket(zmq.SUB)
            socket.rcvhwm = {high_water_mark}
            socket.setsockopt(zmq.SUBSCRIBE, b"")
            socket.connect(sys.argv[1])
            for number in range({MANY}):
                text = socket.recv_string()
                assert text == "n:%d" % number, (text, number)
            print("all received")
            """,
            publisher.endpoint,
        )
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        assert publisher.send_many((str(n) for n in range(MANY)), topic="n") == MANY
        assert script.line() == "all received"


def test_a_bound_pyzmq_subscriber_receives_from_a_publisher_that_connects(
    start_python: StartPython,
) -> None:
    script = start_python(RECEIVES, "bind", "1")
    with Publisher(connect=script.line()) as publisher:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello", topic="room1")
        assert receive_frames(script) == [b"room1:Hello"]


def test_a_pyzmq_subscriber_receives_an_envelope_as_two_frames(start_python: StartPython) -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher:
        script = start_subscriber(start_python, publisher, 2)
        publisher.send("Hello", topic="room1")
        publisher.send("Hello")
        assert receive_frames(script) == [b"room1", b"Hello"]
        assert receive_frames(script) == [b"", b"Hello"]


def test_a_pyzmq_subscriber_receives_the_stamp_of_a_named_publisher(
    start_python: StartPython,
) -> None:
    with Publisher("127.0.0.1:0", name="alice", linger=0) as publisher:
        script = start_subscriber(start_python, publisher, 3)
        publisher.send("Hello", topic="room1")
        publisher.send("Hello", topic="room2")
        publisher.send("Hello again", topic="room1")
        received = [receive_frames(script) for _ in range(3)]
    assert [frames[0] for frames in received] == [
        b"room1:Hello",
        b"room2:Hello",
        b"room1:Hello again",
    ]
    stamps = [json.loads(stamp) for _, stamp in received]
    assert [list(stamp) for stamp in stamps] == [
        ["zmqchat", "from", "id", "topic", "seq", "sent_ns"]
    ] * 3
    assert [(s["zmqchat"], s["from"], s["topic"], s["seq"]) for s in stamps] == [
        (1, "alice", "room1", 0),
        (1, "alice", "room2", 0),
        (1, "alice", "room1", 1),
    ]
    assert len({stamp["id"] for stamp in stamps}) == 1
    assert stamps[0]["sent_ns"] <= stamps[1]["sent_ns"] <= stamps[2]["sent_ns"]


@pytest.mark.parametrize(
    ("send", "wire"),
    [
        ('socket.send_string("Hello")', [b"Hello"]),
        ('socket.send_string("room1:Hello")', [b"room1:Hello"]),
        ('socket.send(b"")', [b""]),
        (r'socket.send(b"\x00\x01\xff")', [b"\x00\x01\xff"]),
        ('socket.send_multipart([b"room1", b"Hello"])', [b"room1", b"Hello"]),
        ('socket.send_multipart([b"a", b"", b"c", b"d"])', [b"a", b"", b"c", b"d"]),
    ],
)
def test_our_subscriber_receives_exactly_the_bytes_of_pyzmq(
    start_python: StartPython, send: str, wire: list[bytes]
) -> None:
    assert receive_all(start_python, send) == [tuple(wire)]


def test_our_subscriber_splits_the_topic_of_a_pyzmq_message_by_default(
    start_python: StartPython,
) -> None:
    script = start_python(
        PUBLISHES.replace("{send}", 'socket.send_string("room1:Hello everyone!")')
    )
    with Subscriber(script.line(), topics=["room1"], prefixes="hello") as subscriber:
        assert subscriber.recv_text(timeout=TIMEOUT) == "hello?"
        script.send_line("received")
        message = subscriber.recv(timeout=TIMEOUT)
        while str(message) == "hello?":
            message = subscriber.recv(timeout=TIMEOUT)
        assert (message.topic, message.text) == ("room1", "Hello everyone!")
        assert str(message) == "room1:Hello everyone!"
        script.send_line("exit")


def test_our_subscriber_keeps_bytes_that_are_not_text(start_python: StartPython) -> None:
    script = start_python(PUBLISHES.replace("{send}", r'socket.send(b"room1:caf\xe9")'))
    with Subscriber(script.line(), topics=["room1"], prefixes=b"") as subscriber:
        subscriber.recv(timeout=TIMEOUT)
        script.send_line("received")
        message = subscriber.recv(timeout=TIMEOUT)
        while str(message) == "hello?":
            message = subscriber.recv(timeout=TIMEOUT)
        assert message.topic == "room1"
        assert message.text == "caf\N{REPLACEMENT CHARACTER}"
        assert message.data == b"caf\xe9"
        assert message.raw == b"room1:caf\xe9"
        script.send_line("exit")


def test_our_subscriber_receives_ten_megabytes(start_python: StartPython) -> None:
    (frames,) = receive_all(start_python, "socket.send(bytes(range(256)) * (10 * 1024 * 4))")
    assert [hashlib.sha256(frame).digest() for frame in frames] == [hashlib.sha256(BIG).digest()]


def test_our_subscriber_loses_none_of_100_000_messages(start_python: StartPython) -> None:
    send = f"for n in range({MANY}): socket.send_string(str(n))"
    received = receive_all(start_python, send)
    assert received == [(b"%d" % number,) for number in range(MANY)]


def test_our_bound_subscriber_receives_from_a_pyzmq_publisher_that_connects(
    start_python: StartPython,
) -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        assert subscriber.endpoint is not None
        script = start_python(PUBLISHES.replace("{send}", "pass"), subscriber.endpoint)
        assert subscriber.recv_text(timeout=TIMEOUT) == "hello?"
        script.send_line("received")
        script.send_line("exit")


def test_a_message_that_an_xsub_sends_upstream_is_not_a_subscription(
    start_python: StartPython, pair: Pair
) -> None:
    assert pair.publisher.endpoint is not None
    script = start_python(
        """
        import sys, zmq
        socket = zmq.Context().socket(zmq.XSUB)
        socket.connect(sys.argv[1])
        socket.send(b"hello there")
        socket.send(b"")
        socket.send_multipart([b"hello", b"there"])
        socket.send(b"\\x01room1:")
        print(socket.recv_string())
        """,
        pair.publisher.endpoint,
    )
    wait_until(lambda: pair.publisher.subscriber_count == 2, "the second subscriber")
    assert pair.publisher.topics == {b"": 1, "room1": 1}
    pair.publisher.send("Hello", topic="room1")
    assert script.line() == "room1:Hello"


def test_a_peer_with_an_oversized_subscription_is_cut_off(
    start_python: StartPython, pair: Pair
) -> None:
    assert pair.publisher.endpoint is not None
    script = start_python(
        """
        import sys, zmq
        from zmq.utils.monitor import recv_monitor_message
        socket = zmq.Context().socket(zmq.SUB)
        events = socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        socket.setsockopt(zmq.SUBSCRIBE, b"x" * 20_000)
        socket.connect(sys.argv[1])
        recv_monitor_message(events)
        print("cut off")
        """,
        pair.publisher.endpoint,
    )
    assert script.line() == "cut off"
    assert pair.publisher.topics == {b"": 1}
    pair.publisher.send("still here")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "still here"
