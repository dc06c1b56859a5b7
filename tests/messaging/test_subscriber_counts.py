"""The publisher counts its connected subscribers and their subscriptions."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections import Counter
from typing import TYPE_CHECKING, Callable, Iterator

import pytest

from tests.helpers.hostile_peers import frame
from tests.helpers.parallel import measured
from tests.helpers.raw_peers import handshake
from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

#: A plain pyzmq subscriber, to be killed.
PEER = """
    import sys, zmq
    socket = zmq.Context().socket(zmq.SUB)
    for prefix in sys.argv[2:]:
        socket.setsockopt_string(zmq.SUBSCRIBE, prefix)
    socket.connect(sys.argv[1])
    socket.recv()
"""


def where(publisher: Publisher) -> str:
    assert publisher.endpoint is not None
    return publisher.endpoint


MANY = [f"topic{number}" for number in range(100)]


@measured
def test_the_wait_returns_when_all_subscriptions_of_a_peer_are_known() -> None:
    for _ in range(20):
        with Publisher("127.0.0.1:0") as publisher, Subscriber(where(publisher), topics=MANY):
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            assert len(publisher.topics) == len(MANY)


@measured
def test_the_wait_in_asyncio_returns_when_all_subscriptions_of_a_peer_are_known() -> None:
    async def wait() -> int:
        with Publisher("127.0.0.1:0") as publisher, Subscriber(where(publisher), topics=MANY):
            await publisher.await_for_subscribers(timeout=TIMEOUT)
            return len(publisher.topics)

    assert [asyncio.run(wait()) for _ in range(20)] == [len(MANY)] * 20


@measured
def test_the_wait_of_a_relay_returns_when_all_subscriptions_of_a_peer_are_known() -> None:
    for _ in range(20):
        with Relay("127.0.0.1:0", backend="127.0.0.1:0") as relay, Subscriber(
            str(relay.backend), topics=MANY
        ):
            relay.wait_for_subscribers(timeout=TIMEOUT)
            assert len(relay.topics) == len(MANY)


def test_without_subscribers_the_count_is_0(publisher: Publisher) -> None:
    assert publisher.subscriber_count == 0
    assert publisher.topics == {}
    with pytest.raises(TimeoutError):
        publisher.wait_for_subscribers(1, timeout=0)


def test_a_subscriber_with_three_topics_counts_once(publisher: Publisher) -> None:
    with Subscriber(where(publisher), topics=["a", "b", "c"], prefixes=["a"]):
        wait_until(lambda: publisher.topics == {"a": 1, "b": 1, "c": 1, b"a": 1})
        assert publisher.subscriber_count == 1
        assert publisher.wait_for_subscribers(1, timeout=TIMEOUT) == 1
        with pytest.raises(TimeoutError):
            publisher.wait_for_subscribers(2, timeout=0.05)


def test_a_subscriber_that_unsubscribes_from_one_topic_of_two_still_counts(
    publisher: Publisher,
) -> None:
    with Subscriber(where(publisher), topics=["a", "b"]) as subscriber:
        wait_until(lambda: publisher.topics == {"a": 1, "b": 1})
        subscriber.unsubscribe("a")
        wait_until(lambda: publisher.topics == {"b": 1})
        assert publisher.subscriber_count == 1
        subscriber.unsubscribe("b")
        wait_until(lambda: publisher.topics == {})
        wait_until(lambda: publisher.subscriber_count == 0)
        subscriber.subscribe("a")
        assert publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT) == 1


def test_the_wait_counts_subscribers_whose_subscriptions_match(publisher: Publisher) -> None:
    everything = Subscriber(where(publisher))
    room1 = Subscriber(where(publisher), topics=["room1"])
    rooms = Subscriber(where(publisher), topics=(), prefixes=["room"])
    both = Subscriber(where(publisher), topics=["room1", "room2"], prefixes=["room1:"])
    room10 = Subscriber(where(publisher), topics=["room10"])
    with everything, room1, rooms, both, room10:
        assert publisher.wait_for_subscribers(5, timeout=TIMEOUT) == 5
        assert publisher.wait_for_subscribers(4, topic="room1", timeout=TIMEOUT) == 4
        assert publisher.wait_for_subscribers(3, topic="room2", timeout=TIMEOUT) == 3
        assert publisher.wait_for_subscribers(3, topic="room10", timeout=TIMEOUT) == 3
        assert publisher.wait_for_subscribers(1, topic="elsewhere", timeout=TIMEOUT) == 1
        with pytest.raises(TimeoutError, match="room1"):
            publisher.wait_for_subscribers(5, topic="room1", timeout=0.05)


def test_two_subscribers_to_one_topic_count_twice(publisher: Publisher) -> None:
    with Subscriber(where(publisher), topics=["a"]), Subscriber(where(publisher), topics=["a"]):
        assert publisher.wait_for_subscribers(2, topic="a", timeout=TIMEOUT) == 2
        wait_until(lambda: publisher.topics == {"a": 2})
    wait_until(lambda: publisher.subscriber_count == 0)
    wait_until(lambda: publisher.topics == {})


def test_a_connection_without_subscriptions_does_not_count(publisher: Publisher) -> None:
    port = int(where(publisher).rpartition(":")[2])
    silent = Subscriber(where(publisher), topics=())
    connection = socket.create_connection(("127.0.0.1", port))
    with silent, connection, Subscriber(where(publisher), topics=["a"]):
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        assert publisher.subscriber_count == 1


def test_a_closed_subscriber_does_not_count(publisher: Publisher) -> None:
    subscribers = [Subscriber(where(publisher), topics=["a", "b"]) for _ in range(5)]
    publisher.wait_for_subscribers(5, timeout=TIMEOUT)
    for remaining, subscriber in zip((4, 3, 2, 1, 0), subscribers):
        subscriber.close()
        wait_until(lambda: publisher.subscriber_count == remaining)  # noqa: B023
    wait_until(lambda: publisher.topics == {})


def test_a_killed_subscriber_does_not_count(
    start_python: StartPython, publisher: Publisher
) -> None:
    peers = [start_python(PEER, where(publisher), "a:", "b:") for _ in range(3)]
    publisher.wait_for_subscribers(3, timeout=TIMEOUT)
    for remaining, peer in zip((2, 1, 0), peers):
        peer.kill()
        wait_until(lambda: publisher.subscriber_count == remaining)  # noqa: B023
    wait_until(lambda: publisher.topics == {})


def test_the_count_is_correct_after_many_connections_and_disconnections(
    publisher: Publisher,
) -> None:
    chance = random.Random(5)
    connected: list[Subscriber] = []
    for _ in range(300):
        if connected and chance.random() < 0.5:
            # The system reuses their descriptors for the next connections.
            connected.pop(chance.randrange(len(connected))).close()
        else:
            topics = chance.sample(["a", "b", "c"], chance.randint(1, 3))
            connected.append(Subscriber(where(publisher), topics=topics))
            if chance.random() < 0.3:
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    wait_until(lambda: publisher.subscriber_count == len(connected))
    total = sum(len(each.subscriptions) for each in connected)
    wait_until(lambda: sum(publisher.topics.values()) == total)
    assert publisher.subscriber_count == len(connected)
    for subscriber in connected:
        subscriber.close()
    wait_until(lambda: publisher.subscriber_count == 0)
    wait_until(lambda: publisher.topics == {})


def test_the_count_is_correct_after_brief_connections(publisher: Publisher) -> None:
    with Subscriber(where(publisher), topics=["permanent"]):
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        for number in range(100):
            with Subscriber(where(publisher), topics=["visits", f"t{number}"]):
                if number % 2:
                    publisher.wait_for_subscribers(1, topic=f"t{number}", timeout=TIMEOUT)
        wait_until(lambda: publisher.topics == {"permanent": 1})
        wait_until(lambda: publisher.subscriber_count == 1)
        with Subscriber(where(publisher), topics=["last"]):
            publisher.wait_for_subscribers(1, topic="last", timeout=TIMEOUT)
            assert publisher.subscriber_count == 2
    wait_until(lambda: publisher.subscriber_count == 0)


def test_a_wait_does_not_count_disconnected_subscribers(publisher: Publisher) -> None:
    for _ in range(10):
        with Subscriber(where(publisher)) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            subscriber.close()
            wait_until(lambda: publisher.subscriber_count == 0)
            with pytest.raises(TimeoutError):
                publisher.wait_for_subscribers(1, timeout=0)


def test_a_subscriber_that_disconnects_and_connects_again_counts_again(
    publisher: Publisher,
) -> None:
    with Subscriber(where(publisher), topics=["a"]) as subscriber:
        for _ in range(5):
            publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
            subscriber.disconnect(where(publisher))
            wait_until(lambda: publisher.subscriber_count == 0)
            subscriber.connect(where(publisher))
        publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        publisher.send("Hello", topic="a")
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def test_inproc_counts_subscriptions() -> None:
    with Publisher("inproc://count") as publisher:
        with Subscriber("inproc://count", topics=["a", "b"]) as subscriber:
            assert publisher.wait_for_subscribers(2, timeout=TIMEOUT) == 2
            assert publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT) == 1
            subscriber.unsubscribe("a")
            wait_until(lambda: publisher.subscriber_count == 1)
            assert publisher.topics == {"b": 1}
        wait_until(lambda: publisher.subscriber_count == 0)
        assert publisher.topics == {}


def test_a_subscriber_that_binds_and_does_not_receive_counts() -> None:
    with Subscriber(bind="127.0.0.1:0", topics=["a"]) as subscriber:
        assert subscriber.endpoint is not None
        for _ in range(3):
            with Publisher(connect=subscriber.endpoint) as publisher:
                publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
                publisher.send("Hello", topic="a")
                assert subscriber.recv(timeout=TIMEOUT).text == "Hello"


def test_a_change_of_topics_reaches_the_publisher_without_a_receive(publisher: Publisher) -> None:
    with Subscriber(where(publisher), topics=["a"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
        subscriber.subscribe("b")
        publisher.wait_for_subscribers(1, topic="b", timeout=TIMEOUT)
        subscriber.unsubscribe("a")
        wait_until(lambda: publisher.topics == {"b": 1})


def test_a_publisher_that_restarts_is_subscribed_to_again(free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address, topics=["a"]) as subscriber:
        for number in range(5):
            with Publisher(address) as publisher:
                publisher.wait_for_subscribers(1, topic="a", timeout=TIMEOUT)
                publisher.send(str(number), topic="a")
                assert subscriber.recv(timeout=TIMEOUT).text == str(number)


def test_topics_changed_without_a_publisher_count_after_its_restart(
    free_port: Callable[[], int],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address, topics=["a", "b"]) as subscriber:
        with Publisher(address) as publisher:
            wait_until(lambda: publisher.topics == {"a": 1, "b": 1})
        subscriber.unsubscribe("a")
        subscriber.subscribe("c")
        with Publisher(address) as publisher:
            wait_until(lambda: publisher.topics == {"b": 1, "c": 1})


def test_a_publisher_that_binds_twice_counts_the_peers_of_both_addresses() -> None:
    with Publisher(["127.0.0.1:0", "127.0.0.1:0"]) as publisher:
        one, two = publisher.endpoints
        with Subscriber(one, topics=["a"]), Subscriber(two, topics=["a"]):
            assert publisher.wait_for_subscribers(2, topic="a", timeout=TIMEOUT) == 2
        wait_until(lambda: publisher.subscriber_count == 0)


def test_a_subscriber_connected_to_two_publishers_counts_at_each() -> None:
    one, two = Publisher("127.0.0.1:0"), Publisher("127.0.0.1:0")
    with one, two, Subscriber([where(one), where(two)]):
        for publisher in (one, two):
            assert publisher.wait_for_subscribers(1, timeout=TIMEOUT) == 1


def test_a_wait_returns_at_once_when_the_last_subscriber_connects(publisher: Publisher) -> None:
    waiter = Background(publisher.wait_for_subscribers, 3, topic="a")
    subscribers = [Subscriber(where(publisher), topics=["a"]) for _ in range(2)]
    wait_until(lambda: publisher.subscriber_count == 2)
    waiter.wait_until_blocked()
    assert not waiter.done
    subscribers.append(Subscriber(where(publisher)))
    assert waiter.result() == 3
    for subscriber in subscribers:
        subscriber.close()


def test_subscription_messages_do_not_accumulate_while_the_publisher_only_sends(
    publisher: Publisher,
) -> None:
    with Subscriber(where(publisher), topics=["permanent"]) as subscriber:
        publisher.wait_for_subscribers(1, topic="permanent", timeout=TIMEOUT)
        for number in range(500):
            subscriber.subscribe("brief")
            subscriber.unsubscribe("brief")
            publisher.send(str(number), topic="permanent")
        received = [subscriber.recv(timeout=TIMEOUT).text for _ in range(500)]
        assert received == [str(number) for number in range(500)]
        wait_until(lambda: publisher.topics == {"permanent": 1})


def test_a_connected_subscriber_counts_while_thousands_connect_and_disconnect(
    publisher: Publisher,
) -> None:
    with Subscriber(where(publisher), topics=["brief"]):
        publisher.wait_for_subscribers(1, topic="brief", timeout=TIMEOUT)
        # Descriptors are reused, and libzmq does not report which peer disconnected.
        for number in range(5_000):
            topics = ["brief", f"t{number % 200}"] if number % 5 else None
            with Subscriber(where(publisher), topics=topics) as subscriber:
                if number % 2:
                    subscriber.wait_connected(timeout=TIMEOUT)
        wait_until(lambda: publisher.topics == {"brief": 1}, "the other subscribers to disconnect")
        assert publisher.subscriber_count == 1


def test_a_connection_that_is_removed_while_it_is_established_does_not_count(
    publisher: Publisher,
) -> None:
    with Subscriber() as subscriber:
        for _ in range(3_000):
            subscriber.connect(where(publisher))
            subscriber.disconnect(where(publisher))
        assert subscriber.peers == []
        wait_until(lambda: publisher.peers == [])
        wait_until(lambda: subscriber.peers == [])


# ---- the counts equal what ZeroMQ delivers


@contextlib.contextmanager
def raw_subscriber(publisher: Publisher) -> Iterator[socket.socket]:
    """A connection that may subscribe to a topic twice, as other implementations do."""
    address = ("127.0.0.1", int(where(publisher).rpartition(":")[2]))
    with socket.create_connection(address) as connection:
        handshake(connection, b"SUB")
        yield connection


def test_a_topic_subscribed_to_twice_ends_with_one_unsubscription(publisher: Publisher) -> None:
    # The second connection has the descriptor of the first, which had no subscription.
    with raw_subscriber(publisher):
        wait_until(lambda: len(publisher.peers) == 1)
    wait_until(lambda: publisher.peers == [])
    with raw_subscriber(publisher) as connection:
        connection.sendall(2 * frame(b"\x01twice:") + frame(b"\x01second:"))
        publisher.wait_for_subscribers(1, topic="second", timeout=TIMEOUT)
        assert publisher.topics == {"twice": 1, "second": 1}
        connection.sendall(frame(b"\x00twice:") + frame(b"\x01third:"))
        publisher.wait_for_subscribers(1, topic="third", timeout=TIMEOUT)
        assert publisher.topics == {"second": 1, "third": 1}
        with pytest.raises(TimeoutError):
            publisher.wait_for_subscribers(1, topic="twice", timeout=0)


def test_an_inproc_subscriber_does_not_count_after_its_close() -> None:
    with Publisher(["127.0.0.1:0", "inproc://counts"]) as publisher:
        with raw_subscriber(publisher):
            wait_until(lambda: len(publisher.peers) == 1)
        wait_until(lambda: publisher.peers == [])
        with raw_subscriber(publisher) as connection:
            connection.sendall(2 * frame(b"\x01twice:"))
            publisher.wait_for_subscribers(1, topic="twice", timeout=TIMEOUT)
        wait_until(lambda: publisher.peers == [] and publisher.topics == {})
        for _ in range(3):
            with Subscriber("inproc://counts", topics=["twice"]):
                wait_until(lambda: publisher.topics == {"twice": 1})
            wait_until(lambda: publisher.topics == {})


def test_the_counts_equal_the_delivered_messages_after_random_subscriptions(
    publisher: Publisher,
) -> None:
    seed = int(os.environ.get("ZMQCHAT_TEST_SEED", "20240302"))
    print(f"ZMQCHAT_TEST_SEED={seed}")
    chance = random.Random(seed)
    topics = ["a", "b", "c"]
    with contextlib.ExitStack() as stack:
        peers: list[tuple[contextlib.ExitStack, socket.socket]] = []
        for round_ in range(30):
            for _ in range(20):
                if not peers or (chance.random() < 0.3 and len(peers) < 6):
                    own = stack.enter_context(contextlib.ExitStack())
                    peers.append((own, own.enter_context(raw_subscriber(publisher))))
                elif chance.random() < 0.2:
                    peers.pop(chance.randrange(len(peers)))[0].close()
                else:
                    _, connection = chance.choice(peers)
                    changes = [
                        bytes([chance.random() < 0.6]) + chance.choice(topics).encode() + b":"
                        for _ in range(chance.randint(1, 5))
                    ]
                    connection.sendall(b"".join(map(frame, changes)))
            # When the last subscription of a peer has arrived, all its earlier ones have, too.
            end = f"end{round_}"
            for _, connection in peers:
                connection.sendall(frame(f"\x01{end}:".encode()))
            if peers:
                publisher.wait_for_subscribers(len(peers), topic=end, timeout=TIMEOUT)
            wait_until(lambda: len(publisher.peers) == len(peers))
            counts = publisher.topics
            for topic in [*topics, end]:
                publisher.send("", topic=topic)
            delivered: Counter[str] = Counter()
            for _, connection in peers:
                delivered.update(until_topic(connection, end))
            for topic in topics:
                assert counts.get(topic, 0) == delivered[topic], (round_, topic)


def until_topic(connection: socket.socket, last: str) -> list[str]:
    """Return the topics of the messages that arrive before the topic `last`."""
    found: list[str] = []
    while True:
        head = connection.recv(2, socket.MSG_WAITALL)
        topic = connection.recv(head[1], socket.MSG_WAITALL).decode()[:-1]
        if topic == last:
            return found
        found.append(topic)
