"""A transcript whose writer was killed: whole lines but the last, which is moved aside and told."""

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


# Lines so long that a write takes a while; all of one length.
WRITE_FOR_EVER = """
    import itertools, sys
    from zmqchat_rs import Message, Transcript

    log = Transcript(sys.argv[1], format=sys.argv[2])
    for number in itertools.count(int(sys.argv[3])):
        log.write(Message([b"%09d " % number + b"x" * 8_000_000]))
        print(number)
"""


@pytest.mark.parametrize("format", ["text", "jsonl"])
def test_a_killed_writer_leaves_whole_lines_but_the_last(
    tmp_path: Path,
    start_python: StartPython,
    caplog: pytest.LogCaptureFixture,
    format: str,  # noqa: A002
) -> None:
    path = tmp_path / "chat.log"
    written = reports = 0
    for _ in range(4):
        script = start_python(WRITE_FOR_EVER, str(path), format, str(written))
        assert script.line() == str(written)
        assert script.line() == str(written + 1)
        # As a rule it is in the middle of a write when its file has a new size.
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
    said = [record for record in caplog.records if "was incomplete" in record.message]
    assert len(said) == reports


# As fast as it can, and in two processes at once: short lines, rotated all the time.
WRITE_MANY_FOR_EVER = """
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
def test_writers_that_are_killed_leave_all_lines_of_each_but_the_last(
    tmp_path: Path,
    start_python: StartPython,
    format: str,  # noqa: A002
) -> None:
    path = tmp_path / "chat.log"
    begins = {"a": 0, "b": 0}
    found: list[tuple[str | None, str]] = []
    for _ in range(3):
        scripts = {
            topic: start_python(WRITE_MANY_FOR_EVER, str(path), format, topic, str(begin))
            for topic, begin in begins.items()
        }
        told = {}
        for topic, script in scripts.items():
            for _ in range(5):
                told[topic] = int(script.line())
        for script in scripts.values():
            script.kill()
        Transcript(path).close()  # mends what is torn
        with read_transcript(path, rotated=True) as reader:
            found = [(message.topic, message.text) for message in reader]
            assert reader.skipped == 0
        for topic in begins:
            numbers = [int(text.split(" ")[0]) for of, text in found if of == topic]
            assert numbers == list(range(len(numbers)))
            assert len(numbers) >= told[topic] + 500
            begins[topic] = len(numbers)
    assert all(text.endswith(" é\n") for _, text in found)
    assert path.with_name("chat.log.1").exists()


def test_a_rotation_that_was_cut_short_hides_no_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"

    def write(*texts: str) -> None:
        with Transcript(path, max_bytes=1, keep=5) as log:  # a file for each line
            log.write_many([Message([text.encode()]) for text in texts])

    write("1", "2", "3")
    # Killed after the first of its renames.
    (tmp_path / "chat.log.2").rename(tmp_path / "chat.log.3")
    expected = ["1", "2", "3"]
    assert [message.text for message in read_transcript(path, rotated=True)] == expected
    write("4")  # and the gap is filled
    assert [message.text for message in read_transcript(path, rotated=True)] == [*expected, "4"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "chat.log",
        "chat.log.1",
        "chat.log.2",
        "chat.log.3",
    ]
    # Killed before the file was made anew.
    path.rename(tmp_path / "chat.log.4")
    with read_transcript(path, rotated=True) as reader:
        assert [message.text for message in reader] == ["4", *expected]
    (tmp_path / "chat.log.4").rename(path)
    # What only looks like one of them is none.
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
def test_a_torn_last_line_is_moved_aside_and_reported(
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


def test_a_torn_line_alone_is_a_whole_file_s_content(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    path.write_bytes(b"2026-0")
    with Transcript(path) as log:
        assert log.repaired == 6
        log.write(Message([b"one"]))
    assert texts(path) == ["one"]


def test_a_long_torn_line_is_moved_whole(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    tail = (LINE + "x" * 1_000_000).encode()
    path.write_bytes(f"{LINE}one\n".encode() + tail)
    with Transcript(path) as log:
        assert log.repaired == len(tail)
    assert (tmp_path / "chat.log.torn").read_bytes() == tail + b"\n"
    assert path.read_bytes() == f"{LINE}one\n".encode()


def test_who_still_writes_mends_the_line_of_who_was_killed(
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


def test_who_follows_is_not_told_half_a_line(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    heard: list[str] = []
    with Transcript(path) as log, read_transcript(path, follow=True) as reader:

        def follow() -> None:
            for message in reader:
                heard.append(message.text)  # noqa: PERF401 - the list is looked at meanwhile

        listening = Background(follow)
        log.write(Message([b"one"]))
        wait_until(lambda: heard == ["one"])
        with path.open("ab") as other:
            other.write(f"{LINE}Hel".encode())
        log.write(Message([b"two"]))
        wait_until(lambda: len(heard) > 1)
        reader.close()
        listening.result()
    assert heard == ["one", "two"]
