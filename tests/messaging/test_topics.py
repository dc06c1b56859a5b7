"""Topics match exactly, prefixes match by their start, and both may change at any time."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Literal

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Publisher, Subscriber


@pytest.fixture
def subscriber_with(publisher: Publisher) -> Iterator[Callable[..., Subscriber]]:
    """A function that creates a connected subscriber with these options."""
    opened: list[Subscriber] = []

    def subscriber(**options: Any) -> Subscriber:
        assert publisher.endpoint is not None
        # A prefix does not determine the end of the topic.
        opened.append(Subscriber(publisher.endpoint, **{"split_topics": True, **options}))
        return opened[-1]

    yield subscriber
    for each in opened:
        each.close()


def received(publisher: Publisher, subscriber: Subscriber, *topics: str | None) -> list[str | None]:
    """Send a message to each of `topics` and return the topics that arrive, in order."""
    subscriber.subscribe("the-end")
    publisher.wait_for_subscribers(1, topic="the-end", timeout=TIMEOUT)
    for topic in topics:
        publisher.send("Hello", topic=topic)
    publisher.send("Hello", topic="the-end")
    arrived: list[str | None] = []
    while True:
        message = subscriber.recv(timeout=TIMEOUT)
        if message.topic == "the-end":
            return arrived
        arrived.append(message.topic)


def test_a_topic_does_not_match_another_that_begins_with_it(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1"])
    assert received(publisher, subscriber, "room10", "room1", "room", "Room1", None) == ["room1"]


def test_one_topic_may_be_given_as_a_string(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    assert received(publisher, subscriber_with(topics="room1"), "r", "room1", "o") == ["room1"]


def test_a_subscriber_receives_several_topics(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=("room1", "café"))
    assert received(publisher, subscriber, "café", "room2", "room1") == ["café", "room1"]


@pytest.mark.parametrize("prefix", ["room1", b"room1"])
def test_a_prefix_matches_every_topic_that_begins_with_it(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber], prefix: str | bytes
) -> None:
    subscriber = subscriber_with(topics=(), prefixes=[prefix])
    assert received(publisher, subscriber, "room10", "room2", "room1") == ["room10", "room1"]


@pytest.mark.parametrize("prefix", ["room1", b"room1"])
def test_a_single_prefix_may_be_given_without_a_list(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber], prefix: str | bytes
) -> None:
    assert received(publisher, subscriber_with(topics=(), prefixes=prefix), "r", "room10") == [
        "room10"
    ]


def test_without_topics_everything_is_received(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with()
    wait_until(lambda: publisher.topics == {b"": 1})
    publisher.send("Hello")
    publisher.send("Hello", topic="room1")
    assert [subscriber.recv(timeout=TIMEOUT).topic for _ in range(2)] == [None, "room1"]


def test_an_empty_prefix_matches_everything(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(prefixes=b"")
    assert received(publisher, subscriber, None, "room1") == [None, "room1"]


def test_the_first_subscribe_ends_the_subscription_to_everything(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with()
    wait_until(lambda: publisher.topics == {b"": 1})
    subscriber.subscribe("room1")
    wait_until(lambda: publisher.topics == {"room1": 1})
    assert received(publisher, subscriber, None, "room2", "room1") == ["room1"]


def test_with_empty_topics_nothing_is_received_until_subscribe(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=())
    assert subscriber.subscriptions == []
    assert received(publisher, subscriber, None, "room1") == []


def test_after_the_last_topic_is_removed_nothing_is_received(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with()
    subscriber.subscribe("room1")
    subscriber.unsubscribe("room1")
    assert subscriber.subscriptions == []
    assert received(publisher, subscriber, None, "room1") == []


def test_one_unsubscribe_ends_a_repeated_subscribe(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1", "room1"])
    subscriber.subscribe("room1")
    wait_until(lambda: publisher.topics == {"room1": 1})
    subscriber.unsubscribe("room1")
    assert received(publisher, subscriber, "room1", "room2") == []


def test_unsubscribe_from_an_unknown_topic_has_no_effect(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1"])
    subscriber.unsubscribe("room2")
    subscriber.unsubscribe(prefix="room")
    assert received(publisher, subscriber, "room1", "room2") == ["room1"]


def test_queued_messages_are_not_handed_out_after_an_unsubscribe(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1", "room2"])
    publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
    publisher.wait_for_subscribers(1, topic="room2", timeout=TIMEOUT)
    for topic in ("room1", "room1", "room2", "room1", "room2"):
        publisher.send("Hello", topic=topic)
    assert subscriber.recv(timeout=TIMEOUT).topic == "room1"
    subscriber.unsubscribe("room1")
    assert [subscriber.recv(timeout=TIMEOUT).topic for _ in range(2)] == ["room2", "room2"]


def test_a_topic_and_a_prefix_that_covers_it_are_two_subscriptions(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1"], prefixes=["room"])
    subscriber.unsubscribe(prefix="room")
    assert subscriber.subscriptions == ["room1"]
    assert received(publisher, subscriber, "room1", "room2") == ["room1"]


def test_subscriptions_lists_topics_as_text_and_prefixes_as_bytes(
    subscriber_with: Callable[..., Subscriber],
) -> None:
    subscriber = subscriber_with(topics=["room1"], prefixes=["sensor/", b"\xff"])
    assert set(subscriber.subscriptions) == {"room1", b"sensor/", b"\xff"}
    assert subscriber_with().subscriptions == [b""]


def test_a_topic_can_be_added_while_another_thread_waits_for_messages(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["room1"])
    reader = Background(subscriber.recv)
    reader.wait_until_blocked()
    subscriber.subscribe("room2")
    publisher.wait_for_subscribers(1, topic="room2", timeout=TIMEOUT)
    publisher.send("Hello", topic="room2")
    assert reader.result().topic == "room2"


def test_the_publisher_reports_added_and_removed_topics_and_prefixes(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    one = subscriber_with(topics=["room1"], prefixes=["sensor/"])
    two = subscriber_with(topics=["room1", "café"])
    wait_until(lambda: publisher.topics == {"room1": 2, "café": 1, b"sensor/": 1})
    one.unsubscribe("room1")
    wait_until(lambda: publisher.topics == {"room1": 1, "café": 1, b"sensor/": 1})
    two.close()
    wait_until(lambda: publisher.topics == {b"sensor/": 1})
    one.close()
    wait_until(lambda: publisher.topics == {})


def test_20_000_topics_at_once_all_arrive_and_again_after_a_reconnect(
    free_port: Callable[[], int],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    topics = [f"sensor-{number}" for number in range(20_000)]
    everything = dict.fromkeys(topics, 1)
    with Subscriber(address, topics=topics) as subscriber:
        for _ in range(2):
            with Publisher(address, linger=0) as publisher:
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                wait_until(lambda: len(publisher.topics) >= 20_000, "20,000 topics")
                assert publisher.topics == everything
        assert len(subscriber.subscriptions) == 20_000


def test_20_000_topics_can_be_added_while_connected(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber]
) -> None:
    subscriber = subscriber_with(topics=["first"])
    publisher.wait_for_subscribers(1, topic="first", timeout=TIMEOUT)
    # Together with the first one, the maximum that a publisher accepts from a peer.
    for number in range(19_999):
        subscriber.subscribe(f"sensor-{number}")
    wait_until(lambda: len(publisher.topics) == 20_000, "20,000 topics")
    publisher.send("Hello", topic="sensor-19998")
    assert subscriber.recv(timeout=TIMEOUT).topic == "sensor-19998"


@pytest.mark.parametrize(
    ("topic", "advice"),
    [
        ("room:1", ":"),
        ("room 1", "space"),
        ("", "empty"),
        ("x" * 256, "255"),
        ("é" * 128, "255"),
        ("room\n", r"\\n"),
        ("room\x1b", r"\\x1b"),
        ("room\N{RIGHT-TO-LEFT OVERRIDE}", "u.?202e"),
    ],
)
def test_every_call_refuses_an_invalid_topic_with_advice(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber], topic: str, advice: str
) -> None:
    subscriber = subscriber_with()
    uses: list[Callable[[], object]] = [
        lambda: publisher.send("Hello", topic=topic),
        lambda: publisher.send_many(["Hello"], topic=topic),
        lambda: publisher.send_json({}, topic=topic),
        lambda: publisher.wait_for_subscribers(1, topic=topic, timeout=0),
        lambda: subscriber.subscribe(topic),
        lambda: subscriber_with(topics=[topic]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=f"(?i){advice}") as caught:
            use()
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("topic", ["r", "x" * 255, "é" * 127, "a/b.c-d_e", "世界", "👋"])
def test_a_valid_topic_arrives_unchanged(
    publisher: Publisher, subscriber_with: Callable[..., Subscriber], topic: str
) -> None:
    assert received(publisher, subscriber_with(topics=[topic]), topic) == [topic]


def test_subscribe_requires_either_a_topic_or_a_prefix(
    subscriber_with: Callable[..., Subscriber],
) -> None:
    subscriber = subscriber_with()
    for change in (subscriber.subscribe, subscriber.unsubscribe):
        with pytest.raises((TypeError, ValueError), match="prefix"):
            change("room1", prefix="room1")
        with pytest.raises((TypeError, ValueError), match="prefix"):
            change()


def test_an_envelope_subscriber_receives_exactly_its_topic() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, framing="envelope", topics=["room1"]) as subscriber:
            publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
            for topic in ("room10", "room1"):
                publisher.send("Hello", topic=topic)
            message = subscriber.recv(timeout=TIMEOUT)
            assert (message.topic, message.frames) == ("room1", (b"room1", b"Hello"))


def test_a_plain_subscriber_receives_envelopes_by_prefix() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, topics=(), prefixes=b"room1") as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send("Hello", topic="room1")
            message = subscriber.recv(timeout=TIMEOUT)
            assert (message.topic, message.text, message.raw) == ("room1", "Hello", b"room1")


@pytest.mark.parametrize("framing", ["plain", "envelope"])
def test_a_topic_and_an_equal_prefix_of_libzmq_are_one_subscription(
    framing: Literal["plain", "envelope"],
) -> None:
    prefix = "x:" if framing == "plain" else "x"
    with Publisher("127.0.0.1:0", framing=framing) as publisher:
        assert publisher.endpoint is not None
        # From the second round on, the connection has the descriptor of a closed one.
        for _ in range(3):
            with Subscriber(publisher.endpoint, topics=["x"], framing=framing) as subscriber:
                subscriber.subscribe(prefix=prefix)
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                subscriber.unsubscribe("x")
                publisher.send("by its prefix", topic="x")
                message = subscriber.recv(timeout=TIMEOUT)
                # A prefix does not determine the end of the topic.
                text = "x:by its prefix" if framing == "plain" else "by its prefix"
                assert message.text == text
                subscriber.subscribe("x")
                subscriber.unsubscribe(prefix=prefix)
                publisher.send("by its topic", topic="x")
                assert subscriber.recv(timeout=TIMEOUT).text == "by its topic"
                subscriber.unsubscribe("x")
                wait_until(lambda: publisher.topics == {})
                wait_until(lambda: publisher.subscriber_count == 0)
