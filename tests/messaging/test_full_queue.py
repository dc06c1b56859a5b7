"""A subscriber that is too slow: the publisher drops, blocks or raises, as configured."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from typing import Any, Callable, Iterator

import pytest

from tests.helpers.timeouts import PAUSE, TIMEOUT, Background, wait_until
from zmqchat_rs import Publisher, QueueFullError, Subscriber, ZmqChatError

MARKS = [1, 2, 10, 1000]
#: Large enough to fill the queue and the network buffers with few messages.
FILLER = b"x" * 20_000

Meet = Callable[..., "tuple[Publisher, Subscriber]"]


@pytest.fixture
def meet() -> Iterator[Meet]:
    """A function that creates a publisher and a connected subscriber with one high-water mark."""
    opened: list[Any] = []

    def make(on_full: Any, mark: int) -> tuple[Publisher, Subscriber]:
        publisher = Publisher("127.0.0.1:0", on_full=on_full, high_water_mark=mark, linger=0)
        opened.append(publisher)
        assert publisher.endpoint is not None
        subscriber = Subscriber(publisher.endpoint, high_water_mark=mark)
        opened.append(subscriber)
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        return publisher, subscriber

    yield make
    for each in opened:
        each.close()


class Numbers:
    """Sends numbered messages from a separate thread until it is stopped."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._stop = threading.Event()
        self.sent = 0
        self._sending = Background(self._send)

    def _send(self) -> None:
        while not self._stop.is_set():
            self._publisher.send(b"%d " % self.sent + FILLER)
            self.sent += 1

    def until_blocked(self) -> None:
        self._sending.wait_until_blocked(lambda: self.sent)

    def stop(self) -> None:
        self._stop.set()

    @property
    def stopped(self) -> bool:
        return self._sending.done

    def result(self) -> int:
        """The number of sent messages, after the thread stopped."""
        self._sending.result()
        return self.sent


def what_is_there(subscriber: Subscriber) -> list[bytes]:
    try:
        return [message.data for message in subscriber.recv_many(timeout=0.1)]
    except TimeoutError:
        return []


def number_in(data: bytes) -> int:
    return int(data.partition(b" ")[0])


def fill(publisher: Publisher) -> int:
    """Send numbered messages until the queue is full, and return their number."""
    sent = 0
    while True:
        try:
            publisher.send(b"%d " % sent + FILLER)
        except QueueFullError:
            return sent
        sent += 1


@pytest.mark.parametrize("mark", MARKS)
def test_block_waits_for_the_slowest_subscriber_and_loses_nothing(meet: Meet, mark: int) -> None:
    publisher, subscriber = meet("block", mark)
    numbers = Numbers(publisher)
    numbers.until_blocked()
    received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(200)]
    numbers.stop()

    def all_received() -> bool:
        received.extend(map(number_in, what_is_there(subscriber)))
        return numbers.stopped and len(received) == numbers.sent

    wait_until(all_received, "all sent messages")
    assert received == list(range(numbers.result()))


@pytest.mark.parametrize("mark", MARKS)
def test_a_blocked_send_continues_within_its_timeout(meet: Meet, mark: int) -> None:
    publisher, subscriber = meet("block", mark)
    sent = 0
    while True:
        try:
            publisher.send(b"%d " % sent + FILLER, timeout=0.2)
        except TimeoutError:
            break
        sent += 1
    with pytest.raises(TimeoutError):
        publisher.send(FILLER, timeout=0)
    last = Background(publisher.send, b"%d the end" % sent, timeout=TIMEOUT)
    received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(sent + 1)]
    last.result()
    assert received == list(range(sent + 1))


@pytest.mark.parametrize("mark", MARKS)
def test_raise_reports_that_a_message_was_not_sent(meet: Meet, mark: int) -> None:
    publisher, subscriber = meet("raise", mark)
    sent = fill(publisher)
    assert sent >= mark
    with pytest.raises(QueueFullError, match="full") as caught:  # noqa: PT012
        while True:
            publisher.send(b"%d " % sent + FILLER)
            sent += 1
    assert caught.value.errno == errno.EAGAIN
    assert caught.value.sent == 0
    received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(sent)]
    assert received == list(range(sent))
    publisher.send("there is room again")
    assert subscriber.recv_text(timeout=TIMEOUT) == "there is room again"


@pytest.mark.parametrize("mark", MARKS)
def test_the_error_of_send_many_has_the_number_of_sent_messages(meet: Meet, mark: int) -> None:
    publisher, subscriber = meet("raise", mark)
    endless = iter(lambda: FILLER, None)
    with pytest.raises(QueueFullError) as caught:
        publisher.send_many(endless)
    error = caught.value
    assert error.errno == errno.EAGAIN
    assert error.sent >= mark
    received = [subscriber.recv_bytes(timeout=TIMEOUT) for _ in range(error.sent)]
    assert received == [FILLER] * error.sent
    publisher.send("the end")
    assert subscriber.recv_text(timeout=TIMEOUT) == "the end"


@pytest.mark.parametrize("mark", MARKS)
def test_drop_never_waits_and_delivers_in_order(meet: Meet, mark: int) -> None:
    publisher, slow = meet("drop", mark)
    total = mark * 2 + 2_500
    for number in range(total):
        publisher.send(b"%d " % number + FILLER, timeout=0)
    received: list[int] = []

    def received_again() -> bool:
        # The subscriber is still subscribed.
        publisher.send(b"%d back" % total)
        received.extend(map(number_in, what_is_there(slow)))
        return total in received

    wait_until(received_again, "a message after the dropped ones")
    before = [number for number in received if number < total]
    assert before == sorted(set(before))
    assert 0 < len(before) < total


@pytest.mark.parametrize("mark", [1, 2, 10, 100, 1000])
def test_drop_loses_no_message_of_a_fast_subscriber(meet: Meet, mark: int) -> None:
    publisher, slow = meet("drop", mark)
    assert publisher.endpoint is not None
    with Subscriber(publisher.endpoint, high_water_mark=mark) as quick:
        publisher.wait_for_subscribers(2, timeout=TIMEOUT)
        total = mark * 2 + 2_500
        for number in range(total):
            publisher.send(b"%d " % number + FILLER)
            assert number_in(quick.recv_bytes(timeout=TIMEOUT)) == number
    assert not slow.closed


@pytest.mark.parametrize("on_full", ["drop", "block", "raise"])
def test_without_a_mark_no_queue_is_full(meet: Meet, on_full: str) -> None:
    publisher, subscriber = meet(on_full, 0)
    for number in range(2_500):
        publisher.send(b"%d " % number + FILLER, timeout=0)
    received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(2_500)]
    assert received == list(range(2_500))


@pytest.mark.parametrize("on_full", ["drop", "block", "raise"])
def test_without_subscribers_no_queue_is_full(on_full: Any) -> None:
    with Publisher("127.0.0.1:0", on_full=on_full, high_water_mark=1) as lonely:
        for _ in range(1_000):
            lonely.send(FILLER, timeout=0)


def test_a_blocked_send_continues_when_the_slow_subscriber_disconnects(meet: Meet) -> None:
    publisher, subscriber = meet("block", 2)
    numbers = Numbers(publisher)
    numbers.until_blocked()
    before = numbers.sent
    subscriber.close()
    wait_until(lambda: numbers.sent > before, "the blocked send to continue")
    numbers.stop()
    numbers.result()


def test_close_ends_a_blocked_send(meet: Meet) -> None:
    publisher, _ = meet("block", 2)
    numbers = Numbers(publisher)
    numbers.until_blocked()
    publisher.close()
    with pytest.raises(ZmqChatError, match="closed"):
        numbers.result()


def test_other_threads_may_use_a_publisher_that_is_blocked(meet: Meet) -> None:
    publisher, _ = meet("block", 2)
    numbers = Numbers(publisher)
    numbers.until_blocked()
    for use in (
        lambda: publisher.subscriber_count,
        lambda: publisher.topics,
        lambda: publisher.wait_for_subscribers(1, timeout=TIMEOUT),
        lambda: repr(publisher),
    ):
        assert Background(use).result()

    def send_until_blocked() -> None:
        while True:  # the network may take a few more messages meanwhile
            publisher.send("also blocked", timeout=0.05)

    with pytest.raises(TimeoutError):
        send_until_blocked()
    publisher.close()


def test_a_publisher_that_connects_does_not_wait_for_a_closed_subscriber() -> None:
    with Subscriber(bind="127.0.0.1:0", high_water_mark=1) as subscriber:
        assert subscriber.endpoint is not None
        publisher = Publisher(
            connect=subscriber.endpoint, on_full="raise", high_water_mark=10, linger=0
        )
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    with publisher:
        wait_until(lambda: publisher.subscriber_count == 0, "the subscriber to disconnect")

        def never_full() -> bool:
            # The disconnection is known a moment before the queue is removed.
            with contextlib.suppress(QueueFullError):
                return publisher.send_many(["no subscriber"] * 1_000) == 1_000
            return False

        wait_until(never_full, "the queue of the disconnected peer to be removed")


def test_a_subscriber_may_pause_and_loses_nothing_that_the_mark_allows() -> None:
    # The messages exceed the network buffers: the rest is queued at the publisher while the
    # TCP window is closed.
    count = 1_500
    with Publisher("127.0.0.1:0", high_water_mark=count, linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, high_water_mark=100) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            for number in range(count):
                publisher.send(b"%d " % number + FILLER)
            time.sleep(PAUSE)
            assert publisher.subscriber_count == 1
            received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(count)]
    assert received == list(range(count))


def test_a_full_subscriber_may_pause_and_loses_nothing(meet: Meet) -> None:
    publisher, subscriber = meet("block", 10)
    numbers = Numbers(publisher)
    numbers.until_blocked()
    # The pause is the subject: no check for dead connections may end the connection.
    time.sleep(PAUSE)
    assert publisher.subscriber_count == 1
    received = [number_in(subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(3_000)]
    assert received == list(range(3_000))
    publisher.close()
    with pytest.raises(ZmqChatError, match="closed"):
        numbers.result()


@pytest.mark.parametrize("mark", [-1, 2**31, 2**70])
def test_an_invalid_mark_is_refused(mark: int) -> None:
    for make in (Publisher, Subscriber):
        with pytest.raises((ValueError, OverflowError), match="high_water_mark"):
            make("127.0.0.1:1", high_water_mark=mark)


def test_an_unknown_policy_is_refused() -> None:
    with pytest.raises(ValueError, match=r"drop.*block.*raise"):
        Publisher("127.0.0.1:0", on_full="ignore")  # type: ignore[arg-type]
