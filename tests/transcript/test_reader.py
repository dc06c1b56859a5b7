"""Reading a transcript: to its end, or on with what comes, from a file or a pipe."""

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


def test_who_follows_hears_what_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    heard: list[str] = []
    with Transcript(path, max_bytes=300, keep=100) as log, read_transcript(
        path, follow=True
    ) as reader:

        def follow() -> None:
            for message in reader:
                heard.append(message.text)  # noqa: PERF401 - the list is looked at meanwhile

        listening = Background(follow)
        for number in range(100):
            log.write(Message([b"room1:%d" % number], topic="room1"))
            if number % 10 == 0:
                wait_until(lambda: heard[-1:] == [str(number)], f"number {number}")  # noqa: B023
        wait_until(lambda: len(heard) == 100, "the last one")
        reader.close()
        listening.result()
    assert heard == [str(number) for number in range(100)]


def test_ctrl_c_ends_the_wait_of_who_follows(tmp_path: Path) -> None:
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


def test_what_people_write_by_hand_is_read(tmp_path: Path) -> None:
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
    got: list[str] = []
    lock = threading.Lock()
    reader = read_transcript(path)

    def read() -> None:
        for message in reader:
            with lock:
                got.append(message.text)

    for each in [Background(read) for _ in range(3)]:
        each.result()
    assert sorted(map(int, got)) == list(range(3000))


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe that nobody has opened."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    path = tmp_path / "pipe"
    os.mkfifo(path)
    return path


def test_ctrl_c_ends_the_wait_for_somebody_who_writes_to_a_pipe(pipe: Path) -> None:
    with read_transcript(pipe) as reader:

        def wait_here() -> None:
            next(reader)

        interrupt_when_blocked()
        with pytest.raises(KeyboardInterrupt):
            wait_here()


def test_who_waits_for_a_pipe_ends_when_it_is_closed(pipe: Path) -> None:
    with read_transcript(pipe) as reader:
        waiting: Background[list[Message]] = Background(list, reader)
        waiting.wait_until_blocked()
        reader.close()
        assert waiting.result() == []


@pytest.mark.parametrize("follow", [False, True])
def test_a_pipe_is_read_as_it_comes(pipe: Path, tmp_path: Path, follow: bool) -> None:  # noqa: FBT001
    with Transcript(tmp_path / "chat.log") as log:
        log.write_many(numbered(1000))
    written = (tmp_path / "chat.log").read_bytes()
    with read_transcript(pipe, follow=follow) as reader:
        with pipe.open("wb", 0) as writer:
            for start in range(0, len(written), 999):  # lines come in pieces
                writer.write(written[start : start + 999])
            assert [next(reader).text for _ in range(1000)] == [str(each) for each in range(1000)]
        if not follow:
            assert list(reader) == []
        assert reader.skipped == 0
