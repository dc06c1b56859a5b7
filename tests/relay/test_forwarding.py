"""A relay forwards messages from all publishers to all subscribers; chains, pauses, statistics."""

from __future__ import annotations

import contextlib
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Callable, Iterator

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import (
    ClosedError,
    Event,
    Publisher,
    Relay,
    Subscriber,
    ZmqChatError,
)

if TYPE_CHECKING:
    FreePort = Callable[[], int]

HERE = "127.0.0.1:0"


def relay_here(**options: Any) -> Relay:
    return Relay(HERE, backend=HERE, **{"linger": 0, **options})


def publisher_of(relay: Relay, **options: Any) -> Publisher:
    return Publisher(connect=str(relay.frontend), **{"linger": 0, **options})


def subscriber_of(relay: Relay, **options: Any) -> Subscriber:
    return Subscriber(str(relay.backend), **options)


@pytest.fixture
def relay() -> Iterator[Relay]:
    with relay_here() as relay:
        yield relay


def test_every_subscriber_receives_the_messages_of_every_publisher(relay: Relay) -> None:
    with ExitStack() as stack:
        publishers = [stack.enter_context(publisher_of(relay, name=n)) for n in ("ann", "ben")]
        subscribers = [stack.enter_context(subscriber_of(relay, topics=["room1"])) for _ in "ab"]
        relay.wait_for_subscribers(2, topic="room1", timeout=TIMEOUT)
        for publisher in publishers:
            # A relay is one peer, whatever the number of its subscribers.
            assert publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT) == 1
            publisher.send("another topic", topic="room10")
            publisher.send("Hello", topic="room1")
        for subscriber in subscribers:
            messages = [subscriber.recv(timeout=TIMEOUT) for _ in publishers]
            assert {message.sender for message in messages} == {"ann", "ben"}
            assert {(message.topic, message.text) for message in messages} == {("room1", "Hello")}
            assert subscriber.stats().lost == 0


def test_messages_are_forwarded_unchanged(relay: Relay) -> None:
    with publisher_of(relay, name="ann") as stamped, subscriber_of(relay) as subscriber:
        stamped.wait_for_subscribers(timeout=TIMEOUT)
        stamped.send(b"\x00\xff", topic="a")
        stamped.send("")
        with publisher_of(relay, framing="envelope") as envelope:
            envelope.wait_for_subscribers(timeout=TIMEOUT)
            envelope.send(b"x" * 3_000_000, topic="b")
            first, second, third = (subscriber.recv(timeout=TIMEOUT) for _ in range(3))
    assert (first.data, first.sender, first.sequence) == (b"\x00\xff", "ann", 0)
    assert (second.text, second.topic, second.sequence) == ("", None, 0)
    assert third.frames == (b"b", b"x" * 3_000_000)


def test_a_relay_forwards_subscriptions_and_unsubscriptions_to_its_publishers(
    relay: Relay,
) -> None:
    with publisher_of(relay) as publisher, subscriber_of(relay, topics=["a"]) as first:
        wait_until(lambda: publisher.topics == {"a": 1})
        with subscriber_of(relay, topics=["a", "b"]) as second:
            wait_until(lambda: publisher.topics == {"a": 1, "b": 1})
            assert relay.topics == {"a": 2, "b": 1}
            first.unsubscribe("a")
            wait_until(lambda: relay.topics == {"a": 1, "b": 1})
            second.subscribe(prefix=b"raw")
            wait_until(lambda: publisher.topics == {"a": 1, "b": 1, b"raw": 1})
        wait_until(lambda: publisher.topics == {})
        assert relay.topics == {}
        first.subscribe("c")
        # The relay subscribes at a publisher that connects later, too.
        with publisher_of(relay) as late:
            wait_until(lambda: late.topics == {"c": 1})


@pytest.mark.parametrize("count", [2, 3, 5])
def test_a_chain_of_relays_forwards_messages_and_subscriptions(count: int) -> None:
    with ExitStack() as stack:
        relays = [stack.enter_context(relay_here())]
        for _ in range(count - 1):
            relays.append(stack.enter_context(relay_here(connect=str(relays[-1].backend))))
        top, bottom = relays[0], relays[-1]
        publisher = stack.enter_context(publisher_of(top, name="ann"))
        with subscriber_of(bottom, topics=["room1"]) as subscriber:
            wait_until(lambda: publisher.topics == {"room1": 1})
            assert bottom.wait_connected(timeout=TIMEOUT) == 1
            publisher.send_many([str(number) for number in range(1_000)], topic="room1")
            received = [subscriber.recv(timeout=TIMEOUT).text for _ in range(1_000)]
            assert received == [str(number) for number in range(1_000)]
            assert subscriber.stats().lost == 0
        # Unsubscribed at every relay of the chain.
        wait_until(lambda: publisher.topics == {})
        assert [relay.stats().messages for relay in relays] == [1_000] * count


def test_a_relay_publishes_to_another_relay(relay: Relay) -> None:
    with relay_here(publish_to=str(relay.frontend)) as lower:
        assert relay.wait_connected(timeout=TIMEOUT) == 1
        with publisher_of(lower) as publisher, subscriber_of(relay, topics=["a"]) as subscriber:
            publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
            publisher.send("up", topic="a")
            assert subscriber.recv(timeout=TIMEOUT).text == "up"


def test_a_relay_connects_to_publishers_that_bind(publisher: Publisher) -> None:
    with Relay(None, backend=HERE, connect=publisher.addresses) as relay:
        assert relay.frontend is None
        assert relay.frontend_addresses == []
        with subscriber_of(relay) as subscriber:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("Hello")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
        assert [peer.state for peer in relay.publishers] == ["connected"]


def test_inproc_addresses_work_within_a_process() -> None:
    with Relay("inproc://in", backend="inproc://out") as relay:
        with publisher_of(relay) as publisher, subscriber_of(relay, topics=["a"]) as subscriber:
            publisher.wait_for_subscribers(topic="a", timeout=TIMEOUT)
            publisher.send("Hello", topic="a")
            assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
        wait_until(lambda: relay.topics == {})


def test_a_pause_delays_messages_and_loses_none(relay: Relay) -> None:
    with publisher_of(relay) as publisher, subscriber_of(relay) as subscriber:
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        relay.pause()
        relay.pause()
        assert relay.paused
        assert relay.stats().paused
        publisher.send_many([str(number) for number in range(5_000)])
        # A new subscriber may connect meanwhile.
        with subscriber_of(relay, topics=["a"]):
            wait_until(lambda: "a" in publisher.topics)
        with pytest.raises(TimeoutError):
            subscriber.recv(timeout=0.2)
        assert relay.stats().messages == 0
        relay.resume()
        received = [subscriber.recv(timeout=TIMEOUT).text for _ in range(5_000)]
        assert received == [str(number) for number in range(5_000)]
        assert not relay.paused


def test_a_long_pause_blocks_a_publisher_under_block() -> None:
    options: dict[str, Any] = {"on_full": "block", "high_water_mark": 10}
    with ExitStack() as stack:
        relay = stack.enter_context(relay_here(**options))
        subscriber = stack.enter_context(subscriber_of(relay))
        publisher = stack.enter_context(publisher_of(relay, **options))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        relay.pause()
        count = 2_000
        sending = Background(publisher.send_many, [b"x" * 20_000] * count)
        sending.wait_until_blocked(lambda: publisher.stats().sent)
        assert 0 < publisher.stats().sent < count
        relay.resume()
        for _ in range(count):
            assert len(subscriber.recv(timeout=TIMEOUT).data) == 20_000
        assert sending.result() == count


def test_under_block_a_slow_subscriber_delays_all_and_no_message_is_lost() -> None:
    with relay_here(on_full="block", high_water_mark=10) as relay:
        slow = subscriber_of(relay, high_water_mark=10)
        publisher = publisher_of(relay, on_full="block", high_water_mark=10)
        with slow, publisher:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            count = 2_000
            texts = [b"%d " % number + b"x" * 20_000 for number in range(count)]
            sending = Background(publisher.send_many, texts)
            sending.wait_until_blocked(lambda: (publisher.stats().sent, relay.stats().messages))
            assert relay.stats().messages < publisher.stats().sent < count
            for text in texts:
                assert slow.recv(timeout=TIMEOUT).data == text
            assert sending.result() == count
            assert relay.stats().overflows == 0


def test_under_drop_only_a_slow_subscriber_loses_messages_which_are_reported_and_counted() -> None:
    events: list[Event] = []
    with relay_here(high_water_mark=10, on_event=events.append) as relay, ExitStack() as stack:
        slow = stack.enter_context(subscriber_of(relay, high_water_mark=1))
        quick = stack.enter_context(subscriber_of(relay, high_water_mark=0))
        relay.wait_for_subscribers(2, timeout=TIMEOUT)
        publisher = stack.enter_context(publisher_of(relay, name="ann", on_full="block"))
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        count = 3_000
        for _ in range(count):
            publisher.send(b"x" * 20_000)
            quick.recv(timeout=TIMEOUT)
        assert relay.stats().overflows > 0
        wait_until(lambda: any(event.kind == "overflow" for event in events))
        overflow = next(event for event in events if event.kind == "overflow")
        assert "too slow" in str(overflow)
        publisher.send("the end", topic="end")
        received = 0
        while slow.recv(timeout=TIMEOUT).text != "the end":
            received += 1
            if slow.stats().backlog == 0:
                # A loss is detected when a later message arrives.
                publisher.send("the end")
        assert 0 < received < count
        assert slow.stats().lost > 0
        assert quick.stats().lost == 0


def test_statistics_count_messages_bytes_and_connections(relay: Relay) -> None:
    before = relay.stats()
    assert (before.messages, before.bytes, before.publishers, before.subscribers) == (0, 0, 0, 0)
    with publisher_of(relay) as publisher, subscriber_of(relay) as subscriber:
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("Hello")
        subscriber.recv(timeout=TIMEOUT)
        stats = relay.stats()
        assert (stats.messages, stats.bytes, stats.publishers, stats.subscribers) == (1, 5, 1, 1)
        assert stats.since == before.since
        assert stats.since.tzinfo is not None
        assert [peer.state for peer in relay.publishers + relay.subscribers] == ["connected"] * 2
        assert relay.subscriber_count == 1
        assert "publishers=1 subscribers=1" in repr(relay)
        assert repr(stats).startswith("<RelayStats messages=1 bytes=5 ")
    wait_until(lambda: relay.stats().publishers == relay.stats().subscribers == 0)


def test_events_name_the_side_of_the_relay() -> None:
    events: list[tuple[str, str]] = []

    def record(event: Event) -> None:
        events.append((event.side, event.kind))

    with relay_here(on_event=record) as relay:
        with publisher_of(relay), subscriber_of(relay, topics=["a"]):
            wait_until(lambda: ("backend", "subscribed") in events)
            wait_until(lambda: ("frontend", "connected") in events)
        wait_until(lambda: ("frontend", "disconnected") in events)
        wait_until(lambda: ("backend", "disconnected") in events)


def test_close_under_traffic_returns_at_once_and_frees_the_ports(relay: Relay) -> None:
    stop = threading.Event()

    def flood(publisher: Publisher) -> None:
        while not stop.is_set():
            publisher.send_many(["x" * 60] * 500)

    def read(subscriber: Subscriber) -> None:
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                subscriber.recv_many(timeout=0.05)

    with ExitStack() as stack:
        threads = [
            Background(read, stack.enter_context(subscriber_of(relay))),
            Background(flood, stack.enter_context(publisher_of(relay))),
            Background(flood, stack.enter_context(publisher_of(relay))),
        ]
        stack.callback(stop.set)
        wait_until(lambda: relay.stats().messages > 10_000)
        addresses = str(relay.frontend), str(relay.backend)
        for call in (relay.pause, relay.resume, relay.stats, relay.close):
            began = time.monotonic()
            call()
            # Far above the time that it takes: the forwarder releases its locks.
            assert time.monotonic() - began < 5
        # The publishers and the subscriber reconnect to the next relay on these addresses.
        with Relay(addresses[0], backend=addresses[1], linger=0) as again:
            wait_until(lambda: again.stats().messages > 10_000)
            assert again.stats().publishers == 2
        stop.set()
        for thread in threads:
            thread.result()


def test_a_closed_relay_raises_closed_error(relay: Relay) -> None:
    waiting = Background(relay.wait_for_subscribers, 99)
    connected = Background(relay.wait_connected, 99)
    for each in (waiting, connected):
        each.wait_until_blocked()
    relay.close()
    relay.close()
    assert relay.closed
    assert repr(relay) == "<Relay closed>"
    uses: list[Callable[[], object]] = [
        waiting.result,
        connected.result,
        relay.stats,
        relay.pause,
        relay.resume,
        lambda: relay.topics,
        lambda: relay.paused,
        lambda: relay.subscriber_count,
        lambda: relay.publishers,
        lambda: relay.subscribers,
        relay.__enter__,
    ]
    for use in uses:
        with pytest.raises(ClosedError, match="this Relay is closed: make a new Relay"):
            use()


def test_the_error_for_a_port_in_use_names_the_object_that_is_bound_to_it(
    publisher: Publisher, relay: Relay
) -> None:
    with pytest.raises(ZmqChatError, match="in use by another Publisher of this program"):
        Relay(publisher.endpoint, backend=HERE)
    with pytest.raises(ZmqChatError, match="in use by another Relay of this program"):
        Relay(HERE, backend=relay.backend)


def test_if_one_side_cannot_be_bound_the_other_is_closed(relay: Relay, free_port: FreePort) -> None:
    address = f"127.0.0.1:{free_port()}"
    with pytest.raises(ZmqChatError):
        Relay(address, backend=relay.backend)
    with Publisher(address, linger=0):
        pass


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"frontend": "127.0.0.1:99999"}, "99999"),
        ({"frontend": "*:5556", "backend": "*:5556"}, "have the same port"),
        ({"frontend": "*:7000", "backend": "127.0.0.1:7000"}, "have the same port"),
        ({"frontend": None}, "the relay has no publishers: bind a frontend"),
        ({"backend": ()}, "the relay has no subscribers: bind a backend"),
        ({"connect": "55x5:1:2"}, "55x5"),
        ({"backend": "127.0.0.1:7003", "connect": "127.0.0.1:7003"}, "forwarded forever"),
        ({"frontend": "*:7003", "publish_to": "localhost:7003"}, "forwarded forever"),
        ({"on_full": "raise"}, '"drop" or "block"'),
        ({"on_full": "wait"}, "on_full"),
        ({"high_water_mark": -1}, "high_water_mark"),
        ({"max_message_bytes": 0}, "max_message_bytes"),
        ({"last_value_cache": -1}, "last_value_cache"),
        ({"linger": float("inf")}, "linger"),
    ],
)
def test_the_error_for_an_impossible_configuration_names_the_remedy(
    arguments: Any, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Relay(**{"frontend": HERE, "backend": HERE, **arguments})
    # No socket is still bound.
    with relay_here():
        pass


@pytest.mark.parametrize(
    "arguments", [{"frontend": 5556}, {"backend": b"*:5555"}, {"last_value_cache": "yes"}]
)
def test_a_wrong_type_raises_type_error(arguments: Any) -> None:
    with pytest.raises(TypeError):
        Relay(**{"frontend": HERE, "backend": HERE, **arguments})
