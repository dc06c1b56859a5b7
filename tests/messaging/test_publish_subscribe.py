"""A subscriber receives every message of a publisher, in the order in which they were sent."""

from __future__ import annotations

import array
import struct
from typing import TYPE_CHECKING, Any, Callable

import pytest

import zmqchat_rs
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import ClosedError, Publisher, Subscriber, ZmqChatError

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython


def test_a_sent_message_is_received(pair: Pair) -> None:
    pair.publisher.send("Hello")
    message = pair.subscriber.recv(timeout=TIMEOUT)
    assert (message.topic, message.text, str(message)) == (None, "Hello", "Hello")


def test_messages_are_received_in_the_order_sent(pair: Pair) -> None:
    for number in range(1_000):
        pair.publisher.send(str(number))
    received = [pair.subscriber.recv_text(timeout=TIMEOUT) for _ in range(1_000)]
    assert received == [str(number) for number in range(1_000)]


def test_the_first_message_is_not_lost() -> None:
    for number in range(20):
        with Publisher("127.0.0.1:0", linger=0) as publisher:
            assert publisher.endpoint is not None
            with Subscriber(publisher.endpoint) as subscriber:
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                publisher.send(f"first {number}")
                assert subscriber.recv_text(timeout=TIMEOUT) == f"first {number}"


@pytest.mark.parametrize(
    ("payload", "data"),
    [
        ("text", b"text"),
        ("Grüße 👋", "Grüße 👋".encode()),
        (b"bytes", b"bytes"),
        (b"", b""),
        (bytearray(b"a bytearray"), b"a bytearray"),
        (memoryview(b"a view"), b"a view"),
        (memoryview(b"every other")[::2], b"eeyohr"),
        (array.array("d", [1.5, 2.5]), struct.pack("2d", 1.5, 2.5)),
    ],
)
def test_any_text_bytes_or_buffer_can_be_sent(topic_pair: Pair, payload: Any, data: bytes) -> None:
    topic_pair.publisher.send(payload, topic="room1")
    message = topic_pair.subscriber.recv(timeout=TIMEOUT)
    assert (message.topic, message.data, message.raw) == ("room1", data, b"room1:" + data)


def test_a_buffer_may_change_after_it_was_sent(pair: Pair) -> None:
    buffer = bytearray(b"before" * 1_000)
    pair.publisher.send(buffer)
    buffer[:] = b"after!" * 1_000
    assert pair.subscriber.recv_bytes(timeout=TIMEOUT) == b"before" * 1_000


@pytest.mark.parametrize("payload", [None, 5, 1.5, ["a list"], object()])
def test_an_invalid_payload_is_refused_with_advice(pair: Pair, payload: Any) -> None:
    with pytest.raises(TypeError, match=r"(?s)str.*bytes"):
        pair.publisher.send(payload)
    with pytest.raises(TypeError, match=r"(?s)str.*bytes"):
        pair.publisher.send_many([payload])


def test_send_many_sends_every_message_and_returns_their_number(topic_pair: Pair) -> None:
    assert topic_pair.publisher.send_many((f"{n}" for n in range(100)), topic="room1") == 100
    received = [topic_pair.subscriber.recv(timeout=TIMEOUT) for _ in range(100)]
    assert [(m.topic, m.text) for m in received] == [
        ("room1", str(number)) for number in range(100)
    ]
    assert topic_pair.publisher.send_many([]) == 0


@pytest.mark.parametrize("kind", [list, tuple, iter], ids=["list", "tuple", "iterator"])
def test_send_many_gives_each_payload_its_own_topic(pair: Pair, kind: Callable[..., Any]) -> None:
    topics = ["room1", None, "room2", "世界"]
    payloads = ["one", b"two", "three", bytearray(b"four")]
    assert pair.publisher.send_many(kind(payloads), topics=kind(topics)) == 4
    received = [pair.subscriber.recv(timeout=TIMEOUT) for _ in payloads]
    assert [(m.topic, m.text) for m in received] == [
        (None, "room1:one"),
        (None, "two"),
        (None, "room2:three"),
        (None, "世界:four"),
    ]


@pytest.mark.parametrize(
    ("payloads", "topics"), [(["a", "b"], ["room1"]), (["a"], ["room1", "room2"]), ([], ["room1"])]
)
def test_the_number_of_topics_must_equal_the_number_of_payloads(
    pair: Pair, payloads: list[str], topics: list[str]
) -> None:
    with pytest.raises(ValueError, match=f"{len(payloads)} payloads but {len(topics)} topics"):
        pair.publisher.send_many(payloads, topics=topics)
    # Iterators have no length: the messages before the difference are sent.
    with pytest.raises(ValueError, match="ended first"):
        pair.publisher.send_many(iter(payloads), topics=iter(topics))
    both = min(len(payloads), len(topics))
    assert pair.publisher.stats().sent == both


def test_an_invalid_topic_among_several_is_refused_with_advice(pair: Pair) -> None:
    with pytest.raises(ValueError, match="invalid topic"):
        pair.publisher.send_many(["a", "b"], topics=["room1", "room 2"])
    with pytest.raises(TypeError, match="a topic is a str or None, not int"):
        pair.publisher.send_many(["a"], topics=[5])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="pass topic for the same one"):
        pair.publisher.send_many(["a"], topics="room1")
    with pytest.raises(TypeError, match="both topic and topics are given"):
        pair.publisher.send_many(["a"], topic="room1", topics=["room1"])
    assert pair.publisher.stats().sent == 1


def test_an_exception_of_the_iterable_passes_through_send_many(pair: Pair) -> None:
    def two_and_a_failure() -> Any:
        yield "one"
        yield "two"
        raise LookupError("no third")

    with pytest.raises(LookupError, match="no third"):
        pair.publisher.send_many(two_and_a_failure())
    pair.publisher.send("another")
    assert [pair.subscriber.recv_text(timeout=TIMEOUT) for _ in range(3)] == [
        "one",
        "two",
        "another",
    ]


@pytest.mark.parametrize(
    "value",
    [
        {"a": 1},
        {"a": {"b": [1, 2.5, None, True]}},
        [1, {"t:x": "y"}],
        "a:b",
        "text",
        7,
        None,
        "Grüße",
    ],
)
@pytest.mark.parametrize("topic", [None, "room1"])
@pytest.mark.parametrize("options", [{}, {"name": "alice"}, {"framing": "envelope"}])
def test_json_arrives_unchanged(options: Any, topic: str | None, value: Any) -> None:
    pub = Publisher("inproc://json", **options)
    with pub, Subscriber("inproc://json", topics=["room1"], prefixes=b"") as sub:
        pub.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        pub.wait_for_subscribers(1, timeout=TIMEOUT)
        pub.send_json(value, topic=topic)
        assert sub.recv(timeout=TIMEOUT).json() == value


def test_a_value_that_json_cannot_encode_is_refused(pair: Pair) -> None:
    with pytest.raises(TypeError, match="JSON"):
        pair.publisher.send_json({"a": object()})


def test_recv_many_returns_the_queued_messages(pair: Pair) -> None:
    pair.publisher.send_many(["a", "b", "c", "d"])
    received: list[str] = []
    while len(received) < 4:
        batch = pair.subscriber.recv_many(3, timeout=TIMEOUT)
        assert 1 <= len(batch) <= 3
        received += [message.text for message in batch]
    assert received == ["a", "b", "c", "d"]


@pytest.mark.parametrize("end", ["", "\0", "\x7f", "\x80", "é", "世", "👋"])
def test_text_of_any_length_arrives_unchanged(pair: Pair, end: str) -> None:
    mebi = 1024 * 1024
    for length in (0, 1, 2, 7, 8, 9, 63, 64, 65, mebi - 1, mebi, mebi + 1):
        text = "x" * length + end
        pair.publisher.send(text)
        received = pair.subscriber.recv_text(timeout=TIMEOUT)
        assert received == text
        assert hash(received) == hash(text)
        assert received.isascii() == text.isascii()


def test_recv_text_and_recv_bytes_return_the_first_frame_unchanged(pair: Pair) -> None:
    pair.publisher.send("Hello", topic="room1")
    pair.publisher.send(b"\xff", topic="room1")
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "room1:Hello"
    assert pair.subscriber.recv_bytes(timeout=TIMEOUT) == b"room1:\xff"


def test_the_ways_to_read_can_be_mixed(pair: Pair) -> None:
    pair.publisher.send_many([str(n) for n in range(6)])
    received = [pair.subscriber.recv(timeout=TIMEOUT).text, next(pair.subscriber).text]
    received += [pair.subscriber.recv_text(timeout=TIMEOUT)]
    received += [pair.subscriber.recv_bytes(timeout=TIMEOUT).decode()]
    while len(received) < 6:
        received += [message.text for message in pair.subscriber.recv_many(timeout=TIMEOUT)]
    assert received == ["0", "1", "2", "3", "4", "5"]


def test_every_subscriber_receives_every_message(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    subscribers = [Subscriber(publisher.endpoint) for _ in range(10)]
    assert publisher.wait_for_subscribers(10, timeout=TIMEOUT) == 10
    publisher.send_many(["a", "b"])
    for subscriber in subscribers:
        with subscriber:
            assert [subscriber.recv_text(timeout=TIMEOUT) for _ in range(2)] == ["a", "b"]


def test_400_subscribers_fit_in_one_process(run_python: RunPython) -> None:
    finished = run_python(
        """
        import resource
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
        from zmqchat_rs import Publisher, Subscriber
        with Publisher("127.0.0.1:0") as pub:
            room = [Subscriber(pub.endpoint) for _ in range(400)]
            pub.wait_for_subscribers(400, timeout=60)
            pub.send("Hello")
            print([sub.recv_text(timeout=60) for sub in room] == ["Hello"] * 400)
        """,
        deadline=90,
    )
    assert finished == (0, "True\n", "")


def test_a_subscriber_may_start_before_the_publisher(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as subscriber, Publisher(address) as publisher:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert subscriber.recv_text(timeout=TIMEOUT) == "Hello"


def test_the_context_manager_closes(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint) as subscriber:
        assert not subscriber.closed
    assert subscriber.closed
    with publisher:
        assert not publisher.closed
    assert publisher.closed


def test_close_may_be_called_twice(pair: Pair) -> None:
    for _ in range(2):
        pair.subscriber.close()
        pair.publisher.close()


def test_an_exception_in_the_with_block_passes_through(publisher: Publisher) -> None:
    with pytest.raises(LookupError, match="mine"), publisher:
        raise LookupError("mine")
    assert publisher.closed


def test_the_repr_names_the_class_and_the_addresses(pair: Pair) -> None:
    port = str(pair.publisher.endpoint).rpartition(":")[2]
    assert repr(pair.publisher).startswith("<Publisher") or "Publisher(" in repr(pair.publisher)
    assert port in repr(pair.publisher)
    assert "Subscriber" in repr(pair.subscriber)
    assert port in repr(pair.subscriber)
    pair.subscriber.close()
    pair.publisher.close()
    assert "closed" in repr(pair.publisher)
    assert "closed" in repr(pair.subscriber)


def test_a_message_above_the_limit_is_not_received_and_later_ones_are(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, max_message_bytes=1_000) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("before")
        publisher.send(b"x" * 2_000)
        assert subscriber.recv_text(timeout=TIMEOUT) == "before"

        def received_again() -> bool:
            publisher.send("after")
            try:
                return subscriber.recv_text(timeout=0.05) == "after"
            except TimeoutError:
                return False

        wait_until(received_again, "a message after the one above the limit")


def test_a_referenced_message_does_not_hold_the_memory_of_its_batch(
    run_python: RunPython,
) -> None:
    finished = run_python(
        """
        from pathlib import Path
        from zmqchat_rs import Publisher, Subscriber

        def resident():
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            return pages * 4096

        def exchange(keep):
            referenced = []
            for _ in range(250):
                pub.send_many(batch)
                for number in range(1_000):
                    message = sub.recv(timeout=30)
                    if keep and number % 40 == 0:
                        referenced.append(message)
            return referenced

        with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
            pub.wait_for_subscribers(1, timeout=30)
            batch = [b"x" * 200] * 1_000
            exchange(keep=False)
            before = resident()
            referenced = exchange(keep=True)
            print(len(referenced), resident() - before)
        """,
        deadline=90,
    )
    assert (finished.code, finished.stderr) == (0, "")
    count, growth = map(int, finished.stdout.split())
    # 250,000 messages of 200 bytes are 50 MB. The referenced ones are 1.25 MB plus their objects.
    assert count == 6_250
    assert growth < 12_000_000


def test_closed_error_is_a_zmqchat_error_and_an_os_error() -> None:
    assert issubclass(ZmqChatError, OSError)
    assert issubclass(ClosedError, ZmqChatError)
    assert issubclass(zmqchat_rs.QueueFullError, ZmqChatError)
