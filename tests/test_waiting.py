"""Whatever waits can be ended: by a time-out, by a message, by a close in another thread."""

from __future__ import annotations

import math
import signal
import threading
from typing import TYPE_CHECKING, Any, Callable

import pytest

from patience import PATIENCE, Background
from zmqchat_rs import ClosedError, Publisher, Subscriber

if TYPE_CHECKING:
    from conftest import Pair

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
def test_a_time_out_that_makes_no_sense_is_refused(
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
def test_a_time_out_of_ages_is_as_good_as_none(
    pair: Pair, receive: Callable[[Subscriber, Any], object]
) -> None:
    for timeout in (1e9, 1e18, 1e300):
        pair.publisher.send("Hello")
        assert receive(pair.subscriber, timeout)
        assert pair.publisher.wait_for_subscribers(1, timeout=timeout) == 1


def test_a_time_out_of_nought_takes_what_is_there(pair: Pair) -> None:
    pair.publisher.send_many(["first", "second"])
    assert pair.subscriber.recv_text(timeout=PATIENCE) == "first"
    # Both went out in one call; the second may still be on its way, and then 0 says so at once.
    try:
        assert pair.subscriber.recv_text(timeout=0) == "second"
    except TimeoutError:
        assert pair.subscriber.recv_text(timeout=PATIENCE) == "second"


def test_the_wait_for_subscribers_says_how_many_came_and_how_many_were_hoped_for(
    publisher: Publisher,
) -> None:
    with pytest.raises(TimeoutError, match=r"0.*3|3.*0"):
        publisher.wait_for_subscribers(3, timeout=0.05)
    assert publisher.wait_for_subscribers(0, timeout=0) == 0


@pytest.mark.parametrize("receive", RECEIVES)
def test_close_from_another_thread_ends_a_receive(
    pair: Pair, receive: Callable[[Subscriber, Any], object]
) -> None:
    reader = Background(receive, pair.subscriber, None)
    reader.until_at_rest()
    pair.subscriber.close()
    with pytest.raises(ClosedError, match="closed"):
        reader.result()


def test_close_from_another_thread_ends_a_loop(pair: Pair) -> None:
    reader = Background(lambda: [message.text for message in pair.subscriber])
    pair.publisher.send("Hello")
    reader.until_at_rest()
    pair.subscriber.close()
    assert reader.result() == ["Hello"]


def test_close_from_another_thread_ends_a_wait_for_subscribers(publisher: Publisher) -> None:
    waiter = Background(publisher.wait_for_subscribers)
    waiter.until_at_rest()
    publisher.close()
    with pytest.raises(ClosedError, match="closed"):
        waiter.result()


def test_a_loop_over_what_somebody_closed_is_over_whenever_it_began(pair: Pair) -> None:
    loop = iter(pair.subscriber)
    pair.subscriber.close()
    assert next(loop, "over") == "over"
    # A thread may come to its loop a moment after another one's close.
    assert list(pair.subscriber) == []


def test_the_body_of_a_loop_may_close_its_subscriber(pair: Pair) -> None:
    pair.publisher.send_many(["a", "b"])
    heard = []
    for message in pair.subscriber:
        heard.append(message.text)
        pair.subscriber.close()
    assert heard == ["a"]


def test_two_readers_share_what_arrives(pair: Pair) -> None:
    readers = [Background(pair.subscriber.recv_text) for _ in range(2)]
    for reader in readers:
        reader.until_at_rest()
    pair.publisher.send_many(["a", "b"])
    assert sorted(reader.result() for reader in readers) == ["a", "b"]


def test_a_look_for_messages_is_quick_while_another_thread_waits(pair: Pair) -> None:
    reader = Background(pair.subscriber.recv_text)
    reader.until_at_rest()
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
        waiter.until_at_rest()
    assert Background(sum, range(1_000_000)).result() == 499_999_500_000
    assert not any(waiter.done for waiter in waiters)
    pair.subscriber.close()
    pair.publisher.close()
    for waiter, ending in zip(waiters, (ClosedError, ClosedError, StopIteration, ClosedError)):
        with pytest.raises(ending):
            waiter.result()


def test_signals_are_the_main_threads_business(pair: Pair) -> None:
    reader = Background(pair.subscriber.recv_text)
    reader.until_at_rest()
    seen: list[str] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.current_thread().name))
    try:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)
        pair.publisher.send("Hello")
        assert reader.result() == "Hello"
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert seen == ["MainThread"]
