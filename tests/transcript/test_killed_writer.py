"""After a writer is killed, a torn last line is moved to another file and reported."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import Background, wait_until
from zmqchat_rs import Message, Transcript, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import StartPython

LINE = "2026-01-31T12:03:11.000042+01:00 room1: "


def texts(path: Path) -> list[str]:
    return [message.text for message in read_transcript(path)]


# The lines are long, so that a write takes time, and of equal length.
WRITES_LONG_LINES = """
    import itertools, sys
    from zmqchat_rs import Message, Transcript

    log = Transcript(sys.argv[1], format=sys.argv[2])
    for number in itertools.count(int(sys.argv[3])):
        log.write(Message([b"%09d " % number + b"x" * 8_000_000]))
        print(number)
"""


@pytest.mark.parametrize("format", ["text", "jsonl"])
def test_a_killed_writer_tears_at_most_the_last_line(
    tmp_path: Path,
    start_python: StartPython,
    caplog: pytest.LogCaptureFixture,
    format: str,  # noqa: A002
) -> None:
    path = tmp_path / "chat.log"
    written = reports = 0
    for _ in range(4):
        script = start_python(WRITES_LONG_LINES, str(path), format, str(written))
        assert script.line() == str(written)
        assert script.line() == str(written + 1)
        # When the size of the file changes, the writer is usually in the middle of a write.
        size = path.stat().st_size
        while path.stat().st_size == size:
            pass
        script.kill()
        torn = path.read_bytes().rpartition(b"\n")[2]
        with read_transcript(path) as reader:
            found = [int(message.text.split(" ")[0]) for message in reader]
            assert reader.skipped == bool(torn)
        assert found == list(range(len(found)))
        assert len(found) >= written + 2
        with Transcript(path, format=format) as log:  # type: ignore[arg-type]
            assert log.repaired == len(torn)
        with read_transcript(path) as reader:
            assert sum(1 for _ in reader) == len(found)
            assert reader.skipped == 0
        written = len(found)
        reports += bool(torn)
    warnings = [record for record in caplog.records if "was incomplete" in record.message]
    assert len(warnings) == reports


# Two processes write short lines as fast as they can, with frequent rotations.
WRITES_SHORT_LINES = """
    import itertools, sys
    from zmqchat_rs import Message, Transcript

    log = Transcript(sys.argv[1], format=sys.argv[2], max_bytes=200_000, keep=100_000)
    topic = sys.argv[3]
    for start in itertools.count(int(sys.argv[4]), 500):
        texts = [f"{topic}:{number} é\\n" for number in range(start, start + 500)]
        log.write_many([Message([text.encode()], topic=topic) for text in texts])
        print(start, flush=True)
"""


@pytest.mark.parametrize("format", ["text", "jsonl"])
def test_killed_writers_of_one_file_lose_at_most_their_last_lines(
    tmp_path: Path,
    start_python: StartPython,
    format: str,  # noqa: A002
) -> None:
    path = tmp_path / "chat.log"
    starts = {"a": 0, "b": 0}
    found: list[tuple[str | None, str]] = []
    for _ in range(3):
        scripts = {
            topic: start_python(WRITES_SHORT_LINES, str(path), format, topic, str(start))
            for topic, start in starts.items()
        }
        reported = {}
        for topic, script in scripts.items():
            for _ in range(5):
                reported[topic] = int(script.line())
        for script in scripts.values():
            script.kill()
        Transcript(path).close()  # repairs a torn line
        with read_transcript(path, rotated=True) as reader:
            found = [(message.topic, message.text) for message in reader]
            assert reader.skipped == 0
        for topic in starts:
            numbers = [
                int(text.split(" ")[0]) for found_topic, text in found if found_topic == topic
            ]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) >= reported[topic] + 500
            starts[topic] = len(numbers)
    assert all(text.endswith(" é\n") for _, text in found)
    assert path.with_name("chat.log.1").exists()


def test_an_interrupted_rotation_hides_no_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"

    def write(*texts: str) -> None:
        with Transcript(path, max_bytes=1, keep=5) as log:  # one file per line
            log.write_many([Message([text.encode()]) for text in texts])

    write("1", "2", "3")
    # State after the writer was killed between the renames of a rotation.
    (tmp_path / "chat.log.2").rename(tmp_path / "chat.log.3")
    expected = ["1", "2", "3"]
    assert [message.text for message in read_transcript(path, rotated=True)] == expected
    write("4")  # fills the gap
    assert [message.text for message in read_transcript(path, rotated=True)] == [*expected, "4"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "chat.log",
        "chat.log.1",
        "chat.log.2",
        "chat.log.3",
    ]
    # State after the writer was killed before it created the new file.
    path.rename(tmp_path / "chat.log.4")
    with read_transcript(path, rotated=True) as reader:
        assert [message.text for message in reader] == ["4", *expected]
    (tmp_path / "chat.log.4").rename(path)
    # Files with similar names are not read.
    (tmp_path / "chat.log.torn").write_bytes(b"2026-0")
    (tmp_path / "chat.log.07").write_bytes(b"2026-0")
    with read_transcript(path, rotated=True) as reader:
        assert [message.text for message in reader] == [*expected, "4"]
        assert reader.skipped == 0


@pytest.mark.parametrize(
    "tail",
    [
        b"2026-01-31T12:03:11.0",
        f"{LINE}Hel".encode(),
        b'{"received_at":"2026',
        b"\xff\x00",
        f"{LINE}H👋".encode()[:-2],
    ],
)
def test_a_torn_last_line_is_moved_to_another_file_and_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, tail: bytes
) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(f"{LINE}one\n".encode() + tail)
    with read_transcript(path) as reader:
        assert [message.text for message in reader] == ["one"]
        assert reader.skipped == 1
    assert "line 2 of" in caplog.text
    with Transcript(path) as log:
        assert log.repaired == len(tail)
        log.write(Message([b"two"]))
    assert (tmp_path / "chat.log.torn").read_bytes() == tail + b"\n"
    assert f"its {len(tail)} bytes are in '{path}.torn' now" in caplog.text
    assert [record.levelno for record in caplog.records] == [logging.WARNING] * 2
    assert texts(path) == ["one", "two"]


def test_a_file_that_contains_only_a_torn_line_is_repaired(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(b"2026-0")
    with Transcript(path) as log:
        assert log.repaired == 6
        log.write(Message([b"one"]))
    assert texts(path) == ["one"]


def test_a_long_torn_line_is_moved_completely(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    tail = (LINE + "x" * 1_000_000).encode()
    path.write_bytes(f"{LINE}one\n".encode() + tail)
    with Transcript(path) as log:
        assert log.repaired == len(tail)
    assert (tmp_path / "chat.log.torn").read_bytes() == tail + b"\n"
    assert path.read_bytes() == f"{LINE}one\n".encode()


def test_another_writer_repairs_the_torn_line_of_a_killed_writer(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(Message([b"one"]))
        with path.open("ab") as other:
            other.write(f"{LINE}Hel".encode())
        log.write(Message([b"two"]))
        assert log.repaired == len(LINE) + 3
    assert texts(path) == ["one", "two"]
    assert "was incomplete" in caplog.text


def test_a_following_reader_does_not_return_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    received: list[str] = []
    with Transcript(path) as log, read_transcript(path, follow=True) as reader:

        def follow() -> None:
            for message in reader:
                received.append(message.text)  # noqa: PERF401 - the test reads the list meanwhile

        following = Background(follow)
        log.write(Message([b"one"]))
        wait_until(lambda: received == ["one"])
        with path.open("ab") as other:
            other.write(f"{LINE}Hel".encode())
        log.write(Message([b"two"]))
        wait_until(lambda: len(received) > 1)
        reader.close()
        following.result()
    assert received == ["one", "two"]
