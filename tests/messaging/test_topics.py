"""Rooms: a topic is exact, a prefix is not, and both may change at any time."""

from __future__ import annotations

from typing import Any, Callable, Iterator, Literal

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Publisher, Subscriber


@pytest.fixture
def hears(publisher: Publisher) -> Iterator[Callable[..., Subscriber]]:
    """A function that makes a subscriber which is connected, whatever it subscribes to."""
    opened: list[Subscriber] = []

    def subscriber(**options: Any) -> Subscriber:
        assert publisher.endpoint is not None
        # A prefix does not say where the topic ends.
        opened.append(Subscriber(publisher.endpoint, **{"split_topics": True, **options}))
        return opened[-1]

    yield subscriber
    for each in opened:
        each.close()


def heard(publisher: Publisher, subscriber: Subscriber, *topics: str | None) -> list[str | None]:
    """Which of `topics` arrive when a message is sent to each, in this order."""
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


def test_a_topic_does_not_leak_into_another_that_starts_alike(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1"])
    assert heard(publisher, subscriber, "room10", "room1", "room", "Room1", None) == ["room1"]


def test_one_topic_may_be_given_as_a_string(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    assert heard(publisher, hears(topics="room1"), "r", "room1", "o") == ["room1"]


def test_several_topics_are_heard_together(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=("room1", "café"))
    assert heard(publisher, subscriber, "café", "room2", "room1") == ["café", "room1"]


@pytest.mark.parametrize("prefix", ["room1", b"room1"])
def test_a_prefix_hears_all_that_starts_with_it(
    publisher: Publisher, hears: Callable[..., Subscriber], prefix: str | bytes
) -> None:
    subscriber = hears(topics=(), prefixes=[prefix])
    assert heard(publisher, subscriber, "room10", "room2", "room1") == ["room10", "room1"]


@pytest.mark.parametrize("prefix", ["room1", b"room1"])
def test_a_single_prefix_may_be_given_as_it_is(
    publisher: Publisher, hears: Callable[..., Subscriber], prefix: str | bytes
) -> None:
    assert heard(publisher, hears(topics=(), prefixes=prefix), "r", "room10") == ["room10"]


def test_without_topics_everything_is_heard(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears()
    wait_until(lambda: publisher.topics == {b"": 1})
    publisher.send("Hello")
    publisher.send("Hello", topic="room1")
    assert [subscriber.recv(timeout=TIMEOUT).topic for _ in range(2)] == [None, "room1"]


def test_an_empty_prefix_hears_everything(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(prefixes=b"")
    assert heard(publisher, subscriber, None, "room1") == [None, "room1"]


def test_the_first_subscribe_narrows_what_is_heard(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears()
    wait_until(lambda: publisher.topics == {b"": 1})
    subscriber.subscribe("room1")
    wait_until(lambda: publisher.topics == {"room1": 1})
    assert heard(publisher, subscriber, None, "room2", "room1") == ["room1"]


def test_no_topics_hears_nothing_until_it_subscribes(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=())
    assert subscriber.subscriptions == []
    assert heard(publisher, subscriber, None, "room1") == []


def test_taking_away_the_last_topic_leaves_nothing(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears()
    subscriber.subscribe("room1")
    subscriber.unsubscribe("room1")
    assert subscriber.subscriptions == []
    assert heard(publisher, subscriber, None, "room1") == []


def test_subscribing_twice_and_unsubscribing_once_is_silence(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1", "room1"])
    subscriber.subscribe("room1")
    wait_until(lambda: publisher.topics == {"room1": 1})
    subscriber.unsubscribe("room1")
    assert heard(publisher, subscriber, "room1", "room2") == []


def test_unsubscribing_from_what_was_never_asked_for_changes_nothing(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1"])
    subscriber.unsubscribe("room2")
    subscriber.unsubscribe(prefix="room")
    assert heard(publisher, subscriber, "room1", "room2") == ["room1"]


def test_what_waits_already_is_not_handed_out_after_an_unsubscribe(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1", "room2"])
    publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
    publisher.wait_for_subscribers(1, topic="room2", timeout=TIMEOUT)
    for topic in ("room1", "room1", "room2", "room1", "room2"):
        publisher.send("Hello", topic=topic)
    assert subscriber.recv(timeout=TIMEOUT).topic == "room1"
    subscriber.unsubscribe("room1")
    assert [subscriber.recv(timeout=TIMEOUT).topic for _ in range(2)] == ["room2", "room2"]


def test_a_topic_and_a_prefix_that_covers_it_are_two_things(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1"], prefixes=["room"])
    subscriber.unsubscribe(prefix="room")
    assert subscriber.subscriptions == ["room1"]
    assert heard(publisher, subscriber, "room1", "room2") == ["room1"]


def test_subscriptions_lists_topics_as_text_and_prefixes_as_bytes(
    hears: Callable[..., Subscriber],
) -> None:
    subscriber = hears(topics=["room1"], prefixes=["sensor/", b"\xff"])
    assert set(subscriber.subscriptions) == {"room1", b"sensor/", b"\xff"}
    assert hears().subscriptions == [b""]


def test_a_topic_can_be_added_while_another_thread_waits_for_messages(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["room1"])
    reader = Background(subscriber.recv)
    reader.wait_until_blocked()
    subscriber.subscribe("room2")
    publisher.wait_for_subscribers(1, topic="room2", timeout=TIMEOUT)
    publisher.send("Hello", topic="room2")
    assert reader.result().topic == "room2"


def test_the_publisher_sees_topics_and_prefixes_come_and_go(
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    one = hears(topics=["room1"], prefixes=["sensor/"])
    two = hears(topics=["room1", "café"])
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
    publisher: Publisher, hears: Callable[..., Subscriber]
) -> None:
    subscriber = hears(topics=["first"])
    publisher.wait_for_subscribers(1, topic="first", timeout=TIMEOUT)
    # With the first, as many as a publisher takes from one peer.
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
def test_what_is_no_topic_is_refused_everywhere_with_advice(
    publisher: Publisher, hears: Callable[..., Subscriber], topic: str, advice: str
) -> None:
    subscriber = hears()
    uses: list[Callable[[], object]] = [
        lambda: publisher.send("Hello", topic=topic),
        lambda: publisher.send_many(["Hello"], topic=topic),
        lambda: publisher.send_json({}, topic=topic),
        lambda: publisher.wait_for_subscribers(1, topic=topic, timeout=0),
        lambda: subscriber.subscribe(topic),
        lambda: hears(topics=[topic]),
    ]
    for use in uses:
        with pytest.raises(ValueError, match=f"(?i){advice}") as caught:
            use()
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("topic", ["r", "x" * 255, "é" * 127, "a/b.c-d_e", "世界", "👋"])
def test_what_is_a_topic_goes_there_and_back(
    publisher: Publisher, hears: Callable[..., Subscriber], topic: str
) -> None:
    assert heard(publisher, hears(topics=[topic]), topic) == [topic]


def test_subscribe_wants_a_topic_or_a_prefix_and_not_both(hears: Callable[..., Subscriber]) -> None:
    subscriber = hears()
    for change in (subscriber.subscribe, subscriber.unsubscribe):
        with pytest.raises((TypeError, ValueError), match="prefix"):
            change("room1", prefix="room1")
        with pytest.raises((TypeError, ValueError), match="prefix"):
            change()


def test_an_envelope_subscriber_hears_its_topic_exactly() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, framing="envelope", topics=["room1"]) as subscriber:
            publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
            for topic in ("room10", "room1"):
                publisher.send("Hello", topic=topic)
            message = subscriber.recv(timeout=TIMEOUT)
            assert (message.topic, message.frames) == ("room1", (b"room1", b"Hello"))


def test_a_plain_subscriber_hears_envelopes_by_prefix() -> None:
    with Publisher("127.0.0.1:0", framing="envelope", linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, topics=(), prefixes=b"room1") as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send("Hello", topic="room1")
            message = subscriber.recv(timeout=TIMEOUT)
            assert (message.topic, message.text, message.raw) == ("room1", "Hello", b"room1")


@pytest.mark.parametrize("framing", ["plain", "envelope"])
def test_a_topic_and_a_prefix_that_are_one_to_libzmq_come_and_go_as_one(
    framing: Literal["plain", "envelope"],
) -> None:
    prefix = "x:" if framing == "plain" else "x"
    with Publisher("127.0.0.1:0", framing=framing) as publisher:
        assert publisher.endpoint is not None
        # From the second round on, the connection has the descriptor of a departed one.
        for _ in range(3):
            with Subscriber(publisher.endpoint, topics=["x"], framing=framing) as subscriber:
                subscriber.subscribe(prefix=prefix)
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                subscriber.unsubscribe("x")
                publisher.send("by its prefix", topic="x")
                message = subscriber.recv(timeout=TIMEOUT)
                # A prefix does not say where a topic ends.
                whole = "x:by its prefix" if framing == "plain" else "by its prefix"
                assert message.text == whole
                subscriber.subscribe("x")
                subscriber.unsubscribe(prefix=prefix)
                publisher.send("by its topic", topic="x")
                assert subscriber.recv(timeout=TIMEOUT).text == "by its topic"
                subscriber.unsubscribe("x")
                wait_until(lambda: publisher.topics == {})
                wait_until(lambda: publisher.subscriber_count == 0)
