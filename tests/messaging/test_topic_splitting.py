"""A topic is split off a message only if it is certain. Other messages are not split."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.stamps import stamp
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import (
    Message,
    MessageTable,
    Publisher,
    Relay,
    Subscriber,
    Transcript,
    read_transcript,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair

zmq = pytest.importorskip("zmq")


def received(publisher: Publisher, subscriber: Subscriber, *frames: str) -> list[Any]:
    """Send the frames unchanged and return topic and text of each received message."""
    subscriber.subscribe("the-end")
    publisher.wait_for_subscribers(1, topic="the-end", timeout=TIMEOUT)
    for frame in frames:
        publisher.send(frame)
    publisher.send("", topic="the-end")
    arrived: list[Any] = []
    while True:
        message = subscriber.recv(timeout=TIMEOUT)
        if message.topic == "the-end":
            return arrived
        arrived.append((message.topic, message.text))


@pytest.mark.parametrize(
    "text",
    ["2026-01-31T12:30:05,21.5", "12:30 lunch", "Note: buy milk", "room1:Hello", "http://a.org"],
)
def test_a_subscriber_to_everything_receives_messages_unchanged(pair: Pair, text: str) -> None:
    pair.publisher.send(text)
    message = pair.subscriber.recv(timeout=TIMEOUT)
    assert (message.topic, message.text, message.data) == (None, text, text.encode())


def test_the_text_of_a_named_publisher_is_never_split() -> None:
    publisher = Publisher("inproc://named", name="alice")
    with publisher, Subscriber("inproc://named", split_topics=True) as subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("12:30 lunch")
        publisher.send("12:30 lunch", topic="room1")
        messages = [subscriber.recv(timeout=TIMEOUT) for _ in range(2)]
    assert [(m.topic, m.text) for m in messages] == [
        (None, "12:30 lunch"),
        ("room1", "12:30 lunch"),
    ]


def test_one_of_several_exact_topics_is_split_off(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    topics = ["room1", "room10", "café", "http"]
    with Subscriber(publisher.endpoint, topics=topics) as subscriber:
        frames = ("room1:a:b", "room10:", "room1:b", "café:x", "http://a.org", "room2:x", "room1")
        assert received(publisher, subscriber, *frames) == [
            ("room1", "a:b"),
            ("room10", ""),
            ("room1", "b"),
            ("café", "x"),
            ("http", "//a.org"),
        ]


def test_messages_of_a_prefix_are_not_split_if_topics_are_also_subscribed(
    publisher: Publisher,
) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["room1"], prefixes=["room", "12"]) as subscriber:
        frames = ("room1:a", "room2:b", "12:30 lunch", "room1:c")
        assert received(publisher, subscriber, *frames) == [
            ("room1", "a"),
            (None, "room2:b"),
            (None, "12:30 lunch"),
            ("room1", "c"),
        ]


def test_a_prefix_that_ends_like_a_topic_is_not_a_topic(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=(), prefixes=["room1:"]) as subscriber:
        assert received(publisher, subscriber, "room1:a") == [(None, "room1:a")]


@pytest.mark.parametrize("options", [{"prefixes": b""}, {"topics": ["Note"], "prefixes": b""}])
def test_split_topics_splits_each_message_that_can_have_a_topic(
    publisher: Publisher, options: Any
) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, split_topics=True, **options) as subscriber:
        frames = ("room1:Hello", "12:30 lunch", "Note: buy", "a b:c", "http://a.org", '{"a":1}')
        assert received(publisher, subscriber, *frames) == [
            ("room1", "Hello"),
            ("12", "30 lunch"),
            ("Note", " buy"),
            (None, "a b:c"),
            (None, "http://a.org"),
            (None, '{"a":1}'),
        ]


def test_a_message_is_split_by_the_subscriptions_at_the_time_of_recv(
    publisher: Publisher,
) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, topics=["room1"], prefixes=b"") as subscriber:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        for _ in range(2):
            publisher.send_many(["room1:a", "room2:b"])
        publisher.send("last")
        received = [subscriber.recv(timeout=TIMEOUT) for _ in range(2)]
        subscriber.unsubscribe("room1")
        subscriber.subscribe("room2")
        received += [subscriber.recv(timeout=TIMEOUT) for _ in range(2)]
    assert [(m.topic, m.text) for m in received] == [
        ("room1", "a"),
        (None, "room2:b"),
        (None, "room1:a"),
        ("room2", "b"),
    ]


def test_raw_framing_splits_nothing(publisher: Publisher) -> None:
    assert publisher.endpoint is not None
    options: Any = {"framing": "raw", "topics": ["room1"], "split_topics": True}
    with Subscriber(publisher.endpoint, **options) as subscriber:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.send("Hello", topic="room1")
        message = subscriber.recv(timeout=TIMEOUT)
        assert (message.topic, message.text) == (None, "room1:Hello")


def test_an_envelope_subscriber_splits_its_own_topic_of_a_plain_message(
    publisher: Publisher,
) -> None:
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, framing="envelope", topics=["12"]) as subscriber:
        publisher.wait_for_subscribers(1, topic=None, timeout=TIMEOUT)
        for text in ("12 o'clock", "12:30 lunch", "123:x"):
            publisher.send(text)
        publisher.send("12:end")
        messages = [subscriber.recv(timeout=TIMEOUT) for _ in range(2)]
        assert [(m.topic, m.text) for m in messages] == [("12", "30 lunch"), ("12", "end")]


def test_every_way_to_receive_gives_the_same_topics(
    publisher: Publisher, capsys: pytest.CaptureFixture[str]
) -> None:
    assert publisher.endpoint is not None
    frames = ["room1:a", "12:30 lunch"]
    expected = [("room1", "a"), (None, "12:30 lunch")]

    async def receive(subscriber: Subscriber) -> list[Message]:
        messages = [await subscriber.arecv(timeout=TIMEOUT) for _ in frames]
        publisher.send_many(frames)
        async for message in subscriber:
            messages.append(message)
            if len(messages) == 4:
                return messages
        return messages

    with Subscriber(publisher.endpoint, topics=["room1"], prefixes=["12"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.wait_for_subscribers(1, topic="12", timeout=TIMEOUT)
        publisher.send_many(frames)
        batch: list[Message] = []
        while len(batch) < 2:
            batch += subscriber.recv_many(timeout=TIMEOUT)
        assert [(m.topic, m.text) for m in batch] == expected
        publisher.send_many(frames)
        assert [(m.topic, m.text) for m in (next(subscriber), next(subscriber))] == expected
        publisher.send_many(frames)
        messages = asyncio.run(receive(subscriber))
        assert [(m.topic, m.text) for m in messages] == expected * 2
        publisher.send_many(frames)
        subscriber.listen(count=2, timeout=TIMEOUT, timestamps="none", color="never")
        assert capsys.readouterr().out == "room1: a\n12:30 lunch\n"
        # The first frame, independent of the topic.
        publisher.send_many(frames)
        assert [subscriber.recv_text(timeout=TIMEOUT) for _ in frames] == frames


def test_a_frame_of_a_pyzmq_publisher_is_split_by_the_subscriber() -> None:
    with zmq.Context() as context, context.socket(zmq.PUB) as foreign:
        port = foreign.bind_to_random_port("tcp://127.0.0.1")
        address = f"127.0.0.1:{port}"
        with Subscriber(address, topics="room1") as one, Subscriber(address) as everything:
            while True:
                foreign.send_string("room1:Hello")
                try:
                    messages = [one.recv(timeout=0.05), everything.recv(timeout=TIMEOUT)]
                except TimeoutError:
                    continue
                break
    assert [(m.topic, m.text) for m in messages] == [("room1", "Hello"), (None, "room1:Hello")]


SPLIT = [
    Message([b"room1:Hello"]),
    Message([b"room1:Hello"], topic="room1"),
    Message([b"12:30 lunch"]),
    Message([b"12:30 lunch"], topic="12"),
    Message([b"Note: buy"]),
    Message([b"room1:Hello"], framing="raw"),
    Message([b"room1:Hello", stamp(0, "room1")]),
    Message([b"room1:Hello", stamp(0, None)]),
    Message([b"room1:Hello", stamp(0, None)], topic="room1"),
    Message([b"room1:x", b"Hello"]),
    Message([b"room1:x", b"Hello"], topic="room1"),
    Message([b"room1", b"12:30"]),
]


@pytest.mark.parametrize("format", ["text", "jsonl"])
def test_a_transcript_preserves_whether_a_message_has_a_topic(
    tmp_path: Path,
    format: Any,  # noqa: A002
) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path, format=format) as log:
        log.write_many(SPLIT)
    back = list(read_transcript(path))
    assert back == SPLIT
    assert [(m.topic, m.text, m.sender) for m in back] == [
        (m.topic, m.text, m.sender) for m in SPLIT
    ]


def test_a_transcript_is_filtered_by_the_given_topics(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write_many(SPLIT)

    def found(*topics: str) -> list[Any]:
        return [(m.topic, m.text) for m in read_transcript(path, topics=topics)]

    assert found("room1") == [
        *[("room1", "Hello")] * 5,
        *[("room1", "Hello")] * 2,
        ("room1", "12:30"),
    ]
    assert found("12") == [("12", "30 lunch")] * 2
    assert len(found("Note", "12")) == 3
    assert found("room") == []
    assert [m.topic for m in read_transcript(path, topics="Note")] == ["Note"]
    assert len(MessageTable(read_transcript(path, topics="12"))) == 2
    with pytest.raises(ValueError, match="invalid topic"):
        read_transcript(path, topics=["room 1"])


def test_a_following_reader_returns_only_the_given_topics(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log, read_transcript(path, follow=True, topics="b") as reader:
        for text in ("a:1", "b:2", "a:3", "b:4"):
            log.write(Message([text.encode()]))
        assert [next(reader).text for _ in range(2)] == ["2", "4"]


def test_a_table_has_the_topics_of_the_messages(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write_many(SPLIT)
    topics = [m.topic for m in SPLIT]
    for source in (SPLIT, path):
        frame = MessageTable(source).to_pandas()
        assert [None if pandas.isna(each) else each for each in frame["topic"]] == topics
        assert list(frame["text"]) == [m.text for m in SPLIT]


def test_the_cache_of_a_relay_matches_topics_and_splits_no_message(tmp_path: Path) -> None:
    path = tmp_path / "relay.log"
    here = "127.0.0.1:0"
    with Relay(here, backend=here, last_value_cache=True, capture=path) as relay:
        with zmq.Context() as context, context.socket(zmq.PUB) as foreign:
            foreign.connect(str(relay.frontend))
            while not relay.stats().messages:
                foreign.send_string("room1:Hello")
        with Subscriber(str(relay.backend), topics=["room1"]) as late:
            message = late.recv(timeout=TIMEOUT)
            assert (message.topic, message.text) == ("room1", "Hello")
        with Subscriber(str(relay.backend)) as late:
            message = late.recv(timeout=TIMEOUT)
            assert (message.topic, message.text) == (None, "room1:Hello")
    assert next(read_transcript(path)) == Message([b"room1:Hello"])
    assert next(read_transcript(path, topics="room1")) == Message([b"room1:Hello"], topic="room1")


def test_a_named_line_that_starts_with_a_topic_reaches_its_subscribers() -> None:
    with Publisher("inproc://line", name="alice") as publisher, ExitStack() as stack:
        everything = stack.enter_context(Subscriber("inproc://line"))
        room1 = stack.enter_context(Subscriber("inproc://line", topics="room1"))
        publisher.wait_for_subscribers(2, topic="room1", timeout=TIMEOUT)
        publisher.send("room1:Hello")
        messages = [each.recv(timeout=TIMEOUT) for each in (everything, room1)]
    assert [(m.topic, m.text, m.sender) for m in messages] == [
        (None, "room1:Hello", "alice"),
        ("room1", "Hello", "alice"),
    ]
    assert len({m.frames for m in messages}) == 1


def test_a_log_of_a_subscriber_to_everything_is_split_by_name(tmp_path: Path, pair: Pair) -> None:
    path = tmp_path / "chat.log"
    pair.publisher.send_many(["room1:Hello", "12:30 lunch"])
    with Transcript(path) as log:
        pair.subscriber.listen(log=log, count=2, timeout=TIMEOUT)
    assert [(m.topic, m.text) for m in read_transcript(path)] == [
        (None, "room1:Hello"),
        (None, "12:30 lunch"),
    ]
    assert [(m.topic, m.text) for m in read_transcript(path, topics="room1")] == [
        ("room1", "Hello")
    ]
