"""`stats()` counts sent, received, lost and duplicate messages."""

from __future__ import annotations

import contextlib
import itertools
import time
from typing import TYPE_CHECKING, Any, Iterator

import pytest

from tests.helpers.stamps import deliver, stamp, stamping_publisher
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import ClosedError, Message, Publisher, QueueFullError, Subscriber

if TYPE_CHECKING:
    from typing import Literal

    from tests.conftest import Pair


@pytest.fixture
def alice() -> Iterator[Publisher]:
    """A publisher that has a name."""
    with Publisher("127.0.0.1:0", name="alice", linger=0) as publisher:
        yield publisher


# ---- publisher


def test_a_publisher_counts_what_it_sends(publisher: Publisher) -> None:
    assert (publisher.stats().sent, publisher.stats().bytes) == (0, 0)
    publisher.send("Grüße")
    publisher.send(b"\x00\xff", topic="room1")
    publisher.send_many(["one", "two"])
    publisher.send_json([1])
    stats = publisher.stats()
    assert (stats.sent, stats.bytes) == (5, 7 + 2 + 6 + 3)
    assert (stats.refused, stats.blocked_seconds, stats.subscribers) == (0, 0.0, 0)
    assert repr(stats).startswith("<PublisherStats sent=5 bytes=18 refused=0")


def test_a_message_that_was_not_sent_is_not_counted(publisher: Publisher) -> None:
    for payload, topic in (("Hello", "two words"), (object(), None)):
        with pytest.raises((ValueError, TypeError)):
            publisher.send(payload, topic=topic)  # type: ignore[arg-type]
    assert publisher.stats().sent == 0


def test_statistics_count_the_subscribers(pair: Pair) -> None:
    assert pair.publisher.stats().subscribers == 1
    pair.subscriber.close()
    wait_until(lambda: pair.publisher.stats().subscribers == 0)


def test_refused_sends_are_counted() -> None:
    blob = b"x" * 100_000
    with unread_publisher("raise") as publisher:
        with pytest.raises(QueueFullError):
            publisher.send_many(itertools.repeat(blob))
        first = publisher.stats()
        assert (first.bytes, first.refused) == (first.sent * len(blob), 1)
        with pytest.raises(QueueFullError):
            send_for_ever(publisher, blob)
        assert publisher.stats().refused == 2


@contextlib.contextmanager
def unread_publisher(on_full: Literal["block", "raise"]) -> Iterator[Publisher]:
    """A publisher whose only subscriber does not receive."""
    with contextlib.ExitStack() as stack:
        publisher = Publisher("127.0.0.1:0", on_full=on_full, high_water_mark=1, linger=0)
        stack.enter_context(publisher)
        stack.enter_context(Subscriber(publisher.addresses, high_water_mark=1))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        yield publisher


def send_for_ever(publisher: Publisher, blob: bytes, timeout: float | None = None) -> None:
    while True:
        publisher.send(blob, timeout=timeout)


def test_the_time_that_sends_wait_for_a_full_queue_is_counted() -> None:
    blob = b"x" * 100_000
    with unread_publisher("block") as publisher:
        with pytest.raises(TimeoutError):
            send_for_ever(publisher, blob, timeout=0.2)
        stats = publisher.stats()
    assert stats.refused == 1
    assert 0.2 <= stats.blocked_seconds < TIMEOUT


# ---- subscriber


def test_a_subscriber_counts_what_it_receives(pair: Pair) -> None:
    for payload, topic in (("Grüße", None), (b"\x00", "room1")):
        pair.publisher.send(payload, topic=topic)
        pair.subscriber.recv(timeout=TIMEOUT)
    stats = pair.subscriber.stats()
    assert (stats.received, stats.bytes) == (2, len("Grüße".encode()) + len(b"room1:\x00"))
    assert (stats.lost, stats.duplicates, stats.undecodable, stats.backlog) == (0, 0, 0, 0)
    assert repr(stats).startswith("<SubscriberStats received=2 bytes=14 lost=0")


def test_the_backlog_is_the_number_of_messages_taken_and_not_handed_out(pair: Pair) -> None:
    pair.publisher.send_many([str(number) for number in range(50)])
    wait_until(lambda: pair.publisher.stats().sent == 50)
    left = 50
    while left:
        pair.subscriber.recv(timeout=TIMEOUT)
        left -= 1
        stats = pair.subscriber.stats()
        assert stats.backlog == stats.received - (50 - left)
    assert pair.subscriber.stats().received == 50


def test_texts_with_undecodable_bytes_are_counted_when_they_are_read(pair: Pair) -> None:
    for payload in (b"\xff\xfe", b"fine"):
        pair.publisher.send(payload)
    bad, good = (pair.subscriber.recv(timeout=TIMEOUT) for _ in range(2))
    assert bad.data == b"\xff\xfe"
    assert pair.subscriber.stats().undecodable == 0
    assert bad.text == bad.text == "\ufffd\ufffd"
    assert good.text == "fine"
    assert pair.subscriber.stats().undecodable == 1


def test_statistics_are_a_snapshot(pair: Pair) -> None:
    ours, theirs = pair.publisher.stats(), pair.subscriber.stats()
    pair.publisher.send("Hello")
    pair.subscriber.recv(timeout=TIMEOUT)
    assert (ours.sent, theirs.received) == (0, 0)
    with pytest.raises(AttributeError):
        theirs.received = 1  # type: ignore[misc]


def test_statistics_after_close_raise_closed_error(pair: Pair) -> None:
    for each in pair:
        each.close()
        with pytest.raises(ClosedError):
            each.stats()


# ---- loss and duplicates


def test_a_gap_is_counted_when_a_later_message_arrives() -> None:
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        # A subscriber that connects late has lost no message.
        assert deliver(alice, subscriber, 7) == (0, 0)
        assert deliver(alice, subscriber, 8, 11) == (2, 0)
        assert deliver(alice, subscriber, 12, 13) == (2, 0)
        assert deliver(alice, subscriber, 20) == (8, 0)


def test_a_repeated_or_late_message_is_a_duplicate_and_is_handed_out() -> None:
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        assert deliver(alice, subscriber, 0, 1, 1) == (0, 1)
        assert deliver(alice, subscriber, 0) == (0, 2)
        assert deliver(alice, subscriber, 2) == (0, 2)


def test_instances_and_topics_are_counted_separately() -> None:
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        assert deliver(alice, subscriber, 0, topic="room1") == (0, 0)
        assert deliver(alice, subscriber, 5, topic="room2") == (0, 0)
        assert deliver(alice, subscriber, 9, id="2", topic="room1") == (0, 0)
        assert deliver(alice, subscriber, 3) == (0, 0)
        assert deliver(alice, subscriber, 2, topic="room1") == (1, 0)
        assert deliver(alice, subscriber, 8, topic="room2") == (3, 0)
        assert deliver(alice, subscriber, 10, id="2", topic="room1") == (3, 0)
        assert deliver(alice, subscriber, 5) == (4, 0)


@pytest.mark.parametrize("wanted", [{"topics": ["room1"]}, {"prefixes": "room1:Hello 7"}])
def test_messages_that_do_not_match_a_subscription_are_not_lost(
    alice: Publisher, wanted: dict[str, Any]
) -> None:
    with Subscriber(alice.addresses, **wanted) as subscriber:
        alice.wait_for_subscribers(timeout=TIMEOUT)
        for number in range(100):
            alice.send(f"Hello {number}", topic="room1")
            alice.send(f"Hello {number}", topic="room2")
        alice.send("Hello 7, the last", topic="room1")
        while not subscriber.recv(timeout=TIMEOUT).text.endswith("last"):
            pass
        stats = subscriber.stats()
    assert stats.received == (101 if "topics" in wanted else 12)
    assert (stats.lost, stats.duplicates) == (0, 0)


def test_after_a_new_subscription_earlier_messages_are_not_lost(alice: Publisher) -> None:
    with Subscriber(alice.addresses, topics=["room1", "room2"]) as subscriber:

        def exchange() -> None:
            for topic in subscriber.subscriptions:
                alice.wait_for_subscribers(1, topic=str(topic), timeout=TIMEOUT)
                alice.send("Hello", topic=str(topic))
                subscriber.recv(timeout=TIMEOUT)

        exchange()
        subscriber.unsubscribe("room1")
        wait_until(lambda: "room1" not in alice.topics)
        for _ in range(10):
            alice.send("not received", topic="room1")
        subscriber.subscribe("room1")
        exchange()
        exchange()
        assert (subscriber.stats().lost, subscriber.stats().received) == (0, 6)


def test_a_restart_of_a_named_publisher_is_not_a_loss() -> None:
    with Publisher("127.0.0.1:0", name="alice") as publisher:
        address = publisher.addresses[0]
        subscriber = Subscriber(address)
        exchange(publisher, subscriber, 3)
    with subscriber, Publisher(address, name="alice") as publisher:
        exchange(publisher, subscriber, 2)
        assert (subscriber.stats().lost, subscriber.stats().duplicates) == (0, 0)


def exchange(publisher: Publisher, subscriber: Subscriber, count: int) -> None:
    publisher.wait_for_subscribers(timeout=TIMEOUT)
    for number in range(count):
        publisher.send("Hello")
        assert subscriber.recv(timeout=TIMEOUT).sequence == number


def test_messages_that_a_full_queue_drops_are_counted_as_lost() -> None:
    count = 3000
    with contextlib.ExitStack() as stack:
        publisher = Publisher("127.0.0.1:0", name="alice", high_water_mark=5, linger=0)
        stack.enter_context(publisher)
        subscriber = stack.enter_context(Subscriber(publisher.addresses, high_water_mark=5))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send_many([b"x" * 10_000] * count)
        last = -1
        with contextlib.suppress(TimeoutError):
            while True:
                last = subscriber.recv(timeout=0.3).sequence or 0
        before = subscriber.stats()
        # A loss at the end is detected when a later message arrives.
        assert before.lost + before.received == last + 1
        assert before.received < count
        publisher.send("after the flood")
        assert subscriber.recv(timeout=TIMEOUT).sequence == count
        stats = subscriber.stats()
    assert stats.lost + stats.received == count + 1


def test_two_connections_to_one_publisher_deliver_duplicates() -> None:
    with Publisher("*:0", name="alice") as publisher:
        assert publisher.endpoint is not None
        port = publisher.endpoint.rpartition(":")[2]
        with Subscriber([f"127.0.0.1:{port}", f"127.0.0.2:{port}"]) as subscriber:
            publisher.wait_for_subscribers(2, timeout=TIMEOUT)
            publisher.send_many(["one", "two"])
            for _ in range(4):
                subscriber.recv(timeout=TIMEOUT)
            stats = subscriber.stats()
    assert (stats.received, stats.lost, stats.duplicates) == (4, 0, 2)


def test_messages_of_publishers_without_a_name_are_not_counted_as_lost(pair: Pair) -> None:
    for _ in range(3):
        pair.publisher.send("Hello")
        message = pair.subscriber.recv(timeout=TIMEOUT)
        assert (message.sender, message.sequence, message.delay) == (None, None, None)
    stats = pair.subscriber.stats()
    assert (stats.received, stats.lost, stats.duplicates) == (3, 0, 0)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"{",
        b'{"zmqchat":1}',
        b"\xff\xfe",
        b"[" * 5000,
        stamp(5, zmqchat=2),
        stamp(-1),
        stamp(1.5),
        stamp(2**64),
        stamp("6"),
        stamp(5, topic="two words"),
        stamp(5, id=None),
        stamp(5, id="x" * 65),
        stamp(5, **{"from": "x" * 256}),
        stamp(5, sent_ns=2**63),
    ],
)
def test_a_frame_that_is_not_a_stamp_belongs_to_the_payload(frame: bytes) -> None:
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        alice.send(1)
        alice.send_frames(b"Hello", frame)
        alice.send(2)
        messages = [subscriber.recv(timeout=TIMEOUT) for _ in range(3)]
        stats = subscriber.stats()
    assert messages[1].frames == (b"Hello", frame)
    assert (messages[1].sender, messages[1].sequence) == (None, None)
    assert (stats.received, stats.lost, stats.duplicates) == (3, 0, 0)


def test_a_forged_sequence_number_does_not_distort_the_count() -> None:
    with stamping_publisher() as alice, Subscriber(alice.address) as subscriber:
        alice.wait()
        most = 2**64 - 1
        # A gap that large has an unknown size, and adds nothing.
        assert deliver(alice, subscriber, 0, most, most, 0) == (0, 1)
        assert deliver(alice, subscriber, 0, most, id="2")[0] == 0


# ---- delay


def test_the_delay_is_the_time_from_sending_to_receiving(alice: Publisher) -> None:
    with Subscriber(alice.addresses) as subscriber:
        alice.wait_for_subscribers(timeout=TIMEOUT)
        alice.send("Hello")
        message = subscriber.recv(timeout=TIMEOUT)
    assert message.delay is not None
    assert message.sent_at is not None
    assert 0 <= message.delay < TIMEOUT
    between = (message.received_at - message.sent_at).total_seconds()
    assert message.delay == pytest.approx(between, abs=2e-6)


def test_a_senders_clock_that_is_ahead_gives_a_negative_delay() -> None:
    ahead = stamp(0, sent_ns=time.time_ns() + 3_600_000_000_000)
    delay = Message([b"Hello", ahead]).delay
    assert delay is not None
    assert -3601 < delay < -3500
