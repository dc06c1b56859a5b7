"""`listen` prints queued messages in batches and loses none when a batch is interrupted."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
from typing import TYPE_CHECKING, Callable, Iterator

import pytest

from tests.conftest import Pair
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber, Transcript, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

MANY = 700  # more than one batch


@pytest.fixture
def full(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """A pair whose subscriber has `MANY` numbered messages in its queue."""
    with connected(request.node.name) as pair:
        pair.publisher.send_many([str(number) for number in range(MANY)])
        yield pair


@contextlib.contextmanager
def connected(place: str, *, name: str | None = None) -> Iterator[Pair]:
    """An `inproc://` pair: a sent message is in the queue at once."""
    publisher = Publisher(f"inproc://{place}", name=name, high_water_mark=0)
    subscriber = Subscriber(f"inproc://{place}", high_water_mark=0)
    with publisher, subscriber:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        yield Pair(publisher, subscriber)


class Stream(io.StringIO):
    """Standard output that calls `do` before each write after the first `good` ones."""

    def __init__(self, *, good: int = MANY, do: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.writes = 0
        self._good, self._do = good, do

    def write(self, text: str) -> int:
        self.writes += 1
        if self.writes > self._good:
            self._do()
        return super().write(text)

    def numbers(self) -> list[int]:
        return [int(line) for line in self.getvalue().splitlines()]


@pytest.fixture
def printing(monkeypatch: pytest.MonkeyPatch) -> Callable[[Stream], Stream]:
    def print_into(stream: Stream) -> Stream:
        monkeypatch.setattr(sys, "stdout", stream)
        return stream

    return print_into


Printing = Callable[[Stream], Stream]


def left(subscriber: Subscriber) -> list[int]:
    """Receive the messages that remain in the queue."""
    found: list[int] = []
    with contextlib.suppress(TimeoutError):
        while True:
            found.append(int(subscriber.recv_text(timeout=0)))
    return found


def fail() -> None:
    raise OSError(28, "No space left on device")


def test_queued_messages_are_printed_with_few_writes(full: Pair, printing: Printing) -> None:
    stream = printing(Stream())
    assert full.subscriber.listen(timeout=0, timestamps="none") == MANY
    assert stream.numbers() == [*range(MANY)]
    assert stream.writes < 10


def test_a_count_removes_only_printed_messages_from_the_queue(
    full: Pair, printing: Printing
) -> None:
    stream = printing(Stream())
    assert full.subscriber.listen(count=300, timestamps="none") == 300
    assert stream.numbers() == [*range(300)]
    assert left(full.subscriber) == [*range(300, MANY)]


def test_messages_that_were_not_printed_remain_in_the_queue(full: Pair, printing: Printing) -> None:
    stream = printing(Stream(good=1, do=fail))
    with pytest.raises(OSError, match="No space left"):
        full.subscriber.listen(timeout=0, timestamps="none")
    printed = stream.numbers()
    assert printed
    assert [*printed, *left(full.subscriber)] == [*range(MANY)]


def test_ctrl_c_during_printing_leaves_the_rest_in_the_queue(
    full: Pair, printing: Printing
) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        stream = printing(Stream(good=1, do=lambda: signal.raise_signal(signal.SIGINT)))
        shown = full.subscriber.listen(timeout=0, timestamps="none")
    finally:
        signal.signal(signal.SIGINT, before)
    assert 0 < shown < MANY
    assert stream.numbers() == [*range(shown)]
    assert left(full.subscriber) == [*range(shown, MANY)]


def test_logged_messages_are_not_received_again(
    full: Pair, printing: Printing, tmp_path: Path
) -> None:
    printing(Stream(good=1, do=fail))
    with Transcript(tmp_path / "chat.log") as log:
        with pytest.raises(OSError, match="No space left"):
            full.subscriber.listen(timeout=0, log=log)
        assert 0 < log.count < MANY
    logged = [int(message.text) for message in read_transcript(log.path)]
    assert [*logged, *left(full.subscriber)] == [*range(MANY)]


def test_a_logged_batch_is_read_back_unaltered(printing: Printing, tmp_path: Path) -> None:
    printing(Stream())
    with connected("log", name="alice") as (publisher, subscriber):
        publisher.send_many([b"\xff\n%d" % number for number in range(MANY)], topic="room1")
        publisher.send("no topic")
        assert subscriber.listen(timeout=0, log=tmp_path / "chat.log") == MANY + 1
        assert subscriber.stats().undecodable == MANY
    messages = list(read_transcript(tmp_path / "chat.log"))
    assert [message.data for message in messages[:-1]] == [b"\xff\n%d" % n for n in range(MANY)]
    assert [message.sequence for message in messages] == [*range(MANY), 0]
    assert {message.sender for message in messages} == {"alice"}
    assert [message.topic for message in messages[-2:]] == ["room1", None]


def test_a_closed_transcript_is_reported_once(
    full: Pair, printing: Printing, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    stream = printing(Stream())
    log = Transcript(tmp_path / "chat.log")
    log.close()
    assert full.subscriber.listen(timeout=0, timestamps="none", log=log) == MANY
    assert stream.numbers() == [*range(MANY)]
    assert caplog.text.count("not logged") == 1


@pytest.mark.parametrize("timestamps", ["time", "iso", "delta", "none"])
def test_a_printed_batch_equals_messages_rendered_one_by_one(
    printing: Printing, timestamps: str, tmp_path: Path
) -> None:
    stream = printing(Stream())
    path = tmp_path / "chat.log"
    with connected(timestamps) as (publisher, subscriber):
        for number in range(MANY):
            topic = None if number % 3 else f"room{number % 2}"
            publisher.send(f"é\x1b{number}", topic=topic)
        subscriber.listen(timeout=0, color=True, timestamps=timestamps, log=path)  # type: ignore[arg-type]
    previous = None
    expected = []
    for message in read_transcript(path):
        line = message.render(color=True, timestamps=timestamps, previous=previous)  # type: ignore[arg-type]
        expected.append(line)
        previous = message
    assert len(expected) == MANY
    assert stream.getvalue().splitlines() == expected
