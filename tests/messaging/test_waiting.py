"""Every wait ends with a message, a timeout, or a close in another thread."""

from __future__ import annotations

import asyncio
import math
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT, Background, wait_until
from zmqchat_rs import ClosedError, Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair

RECEIVES: list[Callable[[Subscriber, Any], object]] = [
    lambda subscriber, timeout: subscriber.recv(timeout=timeout),
    lambda subscriber, timeout: subscriber.recv_text(timeout=timeout),
    lambda subscriber, timeout: subscriber.recv_bytes(timeout=timeout),
    lambda subscriber, timeout: subscriber.recv_many(timeout=timeout),
]


@pytest.mark.parametrize("receive", RECEIVES)
def test_a_receive_times_out(pair: Pair, receive: Callable[[Subscriber, Any], object]) -> None:
    for timeout in (0, 0.0, 0.01, 0.1):
        with pytest.raises(TimeoutError):
            receive(pair.subscriber, timeout)


@pytest.mark.parametrize("receive", RECEIVES)
def test_an_invalid_timeout_is_refused(
    pair: Pair, receive: Callable[[Subscriber, Any], object]
) -> None:
    for timeout in (-1, -0.001, math.nan):
        with pytest.raises(ValueError, match="timeout"):
            receive(pair.subscriber, timeout)
        with pytest.raises(ValueError, match="timeout"):
            pair.publisher.wait_for_subscribers(1, timeout=timeout)
    with pytest.raises(TypeError):
        receive(pair.subscriber, "1")


@pytest.mark.parametrize("receive", RECEIVES)
def test_a_timeout_beyond_the_range_of_the_clock_waits_forever(
    pair: Pair, receive: Callable[[Subscriber, Any], object]
) -> None:
    for timeout in (1e9, 1e18, 1e300):
        pair.publisher.send("Hello")
        assert receive(pair.subscriber, timeout)
        assert pair.publisher.wait_for_subscribers(1, timeout=timeout) == 1


def test_a_timeout_of_0_returns_a_queued_message(pair: Pair) -> None:
    pair.publisher.send_many(["first", "second"])
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "first"
    # Both were sent in one call. Until the second arrives, a timeout of 0 returns nothing.
    try:
        assert pair.subscriber.recv_text(timeout=0) == "second"
    except TimeoutError:
        assert pair.subscriber.recv_text(timeout=TIMEOUT) == "second"


def cause_of_a_timeout(receive: Callable[[], object]) -> str:
    """Return the text of a receive's TimeoutError without its common beginning."""
    with pytest.raises(TimeoutError) as caught:
        receive()
    begin, _, cause = str(caught.value).partition("timeout: ")
    assert begin == "no message arrived within the "
    return cause


@pytest.mark.parametrize("receive", RECEIVES)
def test_a_timeout_without_connection_names_the_reason(
    receive: Callable[[Subscriber, Any], object], free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Subscriber(address) as subscriber:
        assert cause_of_a_timeout(lambda: receive(subscriber, 0.1)) == (
            f"not connected to {address} (refused): no program listens on that port; start the "
            "publisher, or check address and port"
        )


def test_a_timeout_names_a_host_name_that_is_not_found() -> None:
    with Subscriber("no-such-host.invalid") as subscriber:
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
    assert cause.startswith("not connected to no-such-host.invalid:5555 (name not found): ")


def test_a_timeout_names_a_port_that_does_not_speak_zeromq() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        with Subscriber(address) as subscriber:
            cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
    assert cause.startswith(
        f"not connected to {address} (the port accepts, but no ZeroMQ handshake was completed): "
    )


def test_a_timeout_without_configured_connections_names_the_remedy() -> None:
    with Subscriber() as subscriber:
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
        assert cause.startswith("this subscriber is not connected to an address; ")
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
        assert cause.startswith(f"no publisher has connected to {subscriber.addresses[0]}; ")
    with Subscriber("inproc://not-bound-anywhere") as subscriber:
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
        assert cause.startswith("not connected to inproc://not-bound-anywhere (not bound in ")


def test_a_timeout_while_connected_names_the_topics(publisher: Publisher) -> None:
    address = publisher.addresses[0]
    with Subscriber(address, topics=["room1"]) as subscriber:
        subscriber.wait_connected(timeout=TIMEOUT)
        publisher.send("Hello", topic="room10")
        assert cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1)) == (
            f"connected to {address}, but no message arrived for 'room1' (topics match exactly)"
        )
    with Subscriber(address) as subscriber:
        subscriber.wait_connected(timeout=TIMEOUT)
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
        assert cause == f"connected to {address}, but no message was published"


def test_a_timeout_without_subscriptions_names_the_remedy(publisher: Publisher) -> None:
    with Subscriber(publisher.addresses[0], topics=[]) as subscriber:
        cause = cause_of_a_timeout(lambda: subscriber.recv(timeout=0.1))
        assert cause.startswith('this subscriber has no subscriptions; call subscribe("room1")')


def test_a_timeout_names_another_consumer(pair: Pair) -> None:
    with pair.subscriber.watch():
        cause = cause_of_a_timeout(lambda: pair.subscriber.recv(timeout=0.1))
        assert (
            "another consumer (a watch, a listen, another thread or task) is waiting, too" in cause
        )

        def is_taken_by_the_watch() -> bool:
            reader = Background(pair.subscriber.recv, timeout=0.2)
            pair.publisher.send("Hello")
            try:
                reader.result()
            except TimeoutError as error:
                return "another thread or task) received 1 message during the wait" in str(error)
            return False  # the reader received this message

        wait_until(is_taken_by_the_watch)


def test_a_timeout_in_asyncio_names_the_cause(pair: Pair, free_port: Callable[[], int]) -> None:
    address = f"127.0.0.1:{free_port()}"

    async def receive(subscriber: Subscriber) -> str:
        with pytest.raises(TimeoutError) as caught:
            await subscriber.arecv(timeout=0.1)
        return str(caught.value)

    with Subscriber(address) as subscriber:
        assert f"not connected to {address} (refused)" in asyncio.run(receive(subscriber))
    text = asyncio.run(receive(pair.subscriber))
    assert text.endswith("but no message was published")


def test_the_timeout_of_a_wait_for_subscribers_names_both_counts(
    publisher: Publisher,
) -> None:
    with pytest.raises(TimeoutError, match=r"0.*3|3.*0"):
        publisher.wait_for_subscribers(3, timeout=0.05)
    assert publisher.wait_for_subscribers(0, timeout=0) == 0


def test_the_wait_for_subscribers_names_the_topics_that_are_subscribed(
    publisher: Publisher,
) -> None:
    with Subscriber(publisher.addresses[0], topics=["room1"], prefixes=["log"]):
        wait_until(lambda: len(publisher.topics) == 2)
        with pytest.raises(TimeoutError) as caught:
            publisher.wait_for_subscribers(topic="room2", timeout=0.05)
    assert str(caught.value) == (
        "0 of 1 subscriber of topic 'room2' connected within the timeout; connected peers "
        "subscribe to other topics: 'room1', the prefix 'log'"
    )


@pytest.mark.parametrize("receive", RECEIVES)
def test_close_from_another_thread_ends_a_receive(
    pair: Pair, receive: Callable[[Subscriber, Any], object]
) -> None:
    reader = Background(receive, pair.subscriber, None)
    reader.wait_until_blocked()
    pair.subscriber.close()
    with pytest.raises(ClosedError, match="closed"):
        reader.result()


def test_close_from_another_thread_ends_a_loop(pair: Pair) -> None:
    reader = Background(lambda: [message.text for message in pair.subscriber])
    pair.publisher.send("Hello")
    reader.wait_until_blocked()
    pair.subscriber.close()
    assert reader.result() == ["Hello"]


def test_close_from_another_thread_ends_a_wait_for_subscribers(publisher: Publisher) -> None:
    waiter = Background(publisher.wait_for_subscribers)
    waiter.wait_until_blocked()
    publisher.close()
    with pytest.raises(ClosedError, match="closed"):
        waiter.result()


def test_a_loop_over_a_closed_subscriber_ends(pair: Pair) -> None:
    loop = iter(pair.subscriber)
    pair.subscriber.close()
    assert next(loop, "over") == "over"
    # A thread may begin its loop just after a close in another thread.
    assert list(pair.subscriber) == []


def test_the_body_of_a_loop_may_close_its_subscriber(pair: Pair) -> None:
    pair.publisher.send_many(["a", "b"])
    received = []
    for message in pair.subscriber:
        received.append(message.text)
        pair.subscriber.close()
    assert received == ["a"]


def test_two_readers_share_the_messages(pair: Pair) -> None:
    readers = [Background(pair.subscriber.recv_text) for _ in range(2)]
    for reader in readers:
        reader.wait_until_blocked()
    pair.publisher.send_many(["a", "b"])
    assert sorted(reader.result() for reader in readers) == ["a", "b"]


def test_a_receive_with_timeout_0_is_quick_while_another_thread_waits(pair: Pair) -> None:
    reader = Background(pair.subscriber.recv_text)
    reader.wait_until_blocked()
    with pytest.raises(TimeoutError):
        pair.subscriber.recv(timeout=0)
    with pytest.raises(TimeoutError):
        pair.subscriber.recv(timeout=0.05)
    assert not reader.done
    pair.publisher.send("Hello")
    assert reader.result() == "Hello"


def test_other_threads_run_while_some_wait(pair: Pair) -> None:
    waiters: list[Background[Any]] = [
        Background(pair.subscriber.recv),
        Background(pair.subscriber.recv_many),
        Background(next, pair.subscriber),
        Background(pair.publisher.wait_for_subscribers, 99),
    ]
    for waiter in waiters:
        waiter.wait_until_blocked()
    assert Background(sum, range(1_000_000)).result() == 499_999_500_000
    assert not any(waiter.done for waiter in waiters)
    pair.subscriber.close()
    pair.publisher.close()
    for waiter, ending in zip(waiters, (ClosedError, ClosedError, StopIteration, ClosedError)):
        with pytest.raises(ending):
            waiter.result()


def test_signal_handlers_run_in_the_main_thread(pair: Pair) -> None:
    reader = Background(pair.subscriber.recv_text)
    reader.wait_until_blocked()
    seen: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread().name))
    try:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        pair.publisher.send("Hello")
        assert reader.result() == "Hello"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["MainThread"]
