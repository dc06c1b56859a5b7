"""Reading a transcript from a file or a pipe, to its end or following new messages."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.helpers.sample_messages import AT, numbered
from tests.helpers.timeouts import Background, interrupt_when_blocked, wait_until
from zmqchat_rs import Message, Transcript, read_transcript

if TYPE_CHECKING:
    from pathlib import Path


def test_a_following_reader_returns_messages_that_are_written_later(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    received: list[str] = []
    with Transcript(path, max_bytes=300, keep=100) as log, read_transcript(
        path, follow=True
    ) as reader:

        def follow() -> None:
            for message in reader:
                received.append(message.text)  # noqa: PERF401 - the test reads the list meanwhile

        following = Background(follow)
        for number in range(100):
            log.write(Message([b"room1:%d" % number], topic="room1"))
            if number % 10 == 0:
                wait_until(lambda: received[-1:] == [str(number)], f"number {number}")  # noqa: B023
        wait_until(lambda: len(received) == 100, "the last message")
        reader.close()
        following.result()
    assert received == [str(number) for number in range(100)]


def test_ctrl_c_ends_the_wait_of_a_following_reader(tmp_path: Path) -> None:
    Transcript(tmp_path / "chat.log").close()
    with read_transcript(tmp_path / "chat.log", follow=True) as reader:

        def wait_here() -> None:
            next(reader)

        interrupt_when_blocked()
        with pytest.raises(KeyboardInterrupt):
            wait_here()


def test_a_reader_ends_when_it_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write_many(numbered(10))
    with read_transcript(path) as reader:
        assert next(reader).text == "0"
    assert reader.closed
    assert list(reader) == []


def test_a_transcript_that_was_edited_by_hand_is_read(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.write_text(
        "# a remark\n"
        "\n"
        "2026-01-31T12:03:11.000042+01:00 room1 alice#42: Hello\\nworld\r\n"
        '{"received_at": "2026-01-31T11:03:11Z", "topic": "room1", "text": "Hi"}\n',
        encoding="utf-8",
    )
    one, two = read_transcript(path)
    assert (one.topic, one.sender, one.sequence) == ("room1", "alice", 42)
    assert (one.text, one.received_at) == ("Hello\nworld", AT)
    assert (two.topic, two.text) == ("room1", "Hi")


def test_threads_may_share_a_reader(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write_many(numbered(3000))
    texts: list[str] = []
    lock = threading.Lock()
    reader = read_transcript(path)

    def read() -> None:
        for message in reader:
            with lock:
                texts.append(message.text)

    for each in [Background(read) for _ in range(3)]:
        each.result()
    assert sorted(map(int, texts)) == list(range(3000))


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe that no program has opened."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_ctrl_c_ends_the_wait_for_the_writer_of_a_pipe(pipe: Path) -> None:
    with read_transcript(pipe) as reader:

        def wait_here() -> None:
            next(reader)

        interrupt_when_blocked()
        with pytest.raises(KeyboardInterrupt):
            wait_here()


def test_the_wait_for_the_writer_of_a_pipe_ends_when_the_reader_is_closed(pipe: Path) -> None:
    with read_transcript(pipe) as reader:
        waiting: Background[list[Message]] = Background(list, reader)
        waiting.wait_until_blocked()
        reader.close()
        assert waiting.result() == []


@pytest.mark.parametrize("follow", [False, True])
def test_a_pipe_is_read_while_it_is_written(pipe: Path, tmp_path: Path, follow: bool) -> None:  # noqa: FBT001
    with Transcript(tmp_path / "chat.log") as log:
        log.write_many(numbered(1000))
    written = (tmp_path / "chat.log").read_bytes()
    with read_transcript(pipe, follow=follow) as reader:
        with pipe.open("wb", 0) as writer:
            for start in range(0, len(written), 999):  # lines arrive in pieces
                writer.write(written[start : start + 999])
            assert [next(reader).text for _ in range(1000)] == [str(each) for each in range(1000)]
        if not follow:
            assert list(reader) == []
        assert reader.skipped == 0
