"""`zmqchat log` searches and prints a transcript; `zmqchat replay` publishes it again."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

import pytest

from tests.helpers.commands import start, subscriber_to, zmqchat, zmqchat_in_process
from tests.helpers.stamps import stamp
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message, Publisher, Subscriber, Transcript

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(timezone.utc)


def message(text: str, *, minutes_ago: float = 0, topic: str = "room1", by: str = "") -> Message:
    frames = [f"{topic}:{text}".encode()]
    if by:
        frames.append(stamp(7, topic, **{"from": by}))
    # Relative to the current time, as `--until 5m` is.
    at = datetime.now(timezone.utc) - timedelta(minutes=minutes_ago)
    return Message(frames, topic=topic, received_at=at)


@pytest.fixture
def chat(tmp_path: Path) -> Path:
    """A transcript of four messages."""
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(message("Good morning", minutes_ago=300, by="alice"))
        log.write(message("Lunch?", minutes_ago=90, topic="room2"))
        log.write(message("good\n\x1b[31mevening", minutes_ago=10, by="bob"))
        log.write(message("Bye", minutes_ago=0, topic="room2", by="alice"))
    return path


def found(path: Path, *words: str) -> list[str]:
    """Print what `zmqchat log` finds, without times."""
    finished = zmqchat("log", str(path), "--timestamps", "none", *words)
    assert (finished.returncode, finished.stderr) == (0, b"")
    return finished.stdout.decode().splitlines()


ALL = [
    "room1 alice: Good morning",
    "room2: Lunch?",
    r"room1 bob: good\n\x1b[31mevening",
    "room2 alice: Bye",
]


@pytest.mark.parametrize(
    ("words", "which"),
    [
        ((), [0, 1, 2, 3]),
        (("-t", "room1"), [0, 2]),
        (("-t", "room"), []),
        (("-t", "room1", "-t", "room2"), [0, 1, 2, 3]),
        (("--from", "alice"), [0, 3]),
        (("--grep", "good"), [2]),
        (("--grep", "(?i)^good"), [0, 2]),
        (("--since", "2h"), [1, 2, 3]),
        (("--since", "100m", "--until", "5m"), [1, 2]),
        (("--until", f"{NOW - timedelta(hours=4):%Y-%m-%dT%H:%M}Z"), [0]),
        (("--since", "1d"), [0, 1, 2, 3]),
        (("-n", "2"), [2, 3]),
        (("-n", "0"), []),
        (("-n", "99999999999999999999"), [0, 1, 2, 3]),
        (("-n", "9" * 5000), [0, 1, 2, 3]),
        (("-n", "9", "--from", "alice", "-t", "room1"), [0]),
    ],
)
def test_log_prints_the_messages_that_match_its_options(
    chat: Path, words: tuple[str, ...], which: list[int]
) -> None:
    assert found(chat, *words) == [ALL[each] for each in which]


def test_log_accepts_a_date_and_a_time_of_day(chat: Path) -> None:
    yesterday = datetime.now() - timedelta(days=1)  # noqa: DTZ005 - as a person types it
    assert found(chat, "--since", f"{yesterday:%Y-%m-%d}") == ALL
    assert found(chat, "--since", "2000-01-01T00:00", "--until", "2000-01-02") == []
    path = chat.with_name("midnight.log")
    today = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    with Transcript(path) as log:
        for seconds in (-1, 0, 300):
            text = f"at {seconds}".encode()
            log.write(Message([text], received_at=today + timedelta(seconds=seconds)))
    assert found(path, "--since", "0:00", "--until", "00:05:00") == ["at 0"]


def test_log_prints_json_for_scripts(chat: Path) -> None:
    finished = zmqchat("log", str(chat), "--json", "--from", "bob")
    fields = json.loads(finished.stdout)
    assert (fields["topic"], fields["from"], fields["sequence"]) == ("room1", "bob", 7)
    assert fields["text"] == "good\n\x1b[31mevening"
    assert b"\x1b" not in finished.stdout


def test_log_reads_the_json_output_of_sub(tmp_path: Path) -> None:
    path = tmp_path / "chat.jsonl"
    with Publisher("127.0.0.1:0") as publisher:
        words = ("sub", publisher.addresses[0], "-c", "2", "--json")
        with path.open("wb") as out, start(*words, stdout=out) as sub:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send_many(["one", b"\xff"], topic="room1")
            assert sub.wait() == 0
    assert found(path) == ["room1:one", "room1:\ufffd"]
    assert found(path, "-t", "room1") == ["room1: one", "room1: \ufffd"]


def test_log_splits_off_only_the_given_topics(
    tmp_path: Path,
) -> None:
    path = tmp_path / "everything.log"
    texts = ["room1:Hello", "12:30 lunch", "Note: buy", "room10:x", "room2:Hi"]
    with Transcript(path) as log:
        log.write_many(Message([text.encode()]) for text in texts)
        log.write(message("Bye"))
    assert found(path) == [*texts, "room1: Bye"]
    assert found(path, "-t", "room1") == ["room1: Hello", "room1: Bye"]
    assert found(path, "-t", "room1", "-t", "room2") == [
        "room1: Hello",
        "room2: Hi",
        "room1: Bye",
    ]
    assert found(path, "-t", "room1", "-n", "1") == ["room1: Bye"]


def test_log_of_a_topic_without_messages_prints_nothing_and_succeeds(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(message("Hello"))
    with path.open("a", encoding="utf-8") as file:
        file.write("this line is not a message\n")
    finished = zmqchat("log", str(path), "-t", "room2")
    assert (finished.returncode, finished.stdout) == (0, b"")


def test_log_refuses_an_invalid_topic(chat: Path) -> None:
    finished = zmqchat("log", str(chat), "-t", "room 1")
    assert finished.returncode == 2
    assert b"invalid topic 'room 1'" in finished.stderr


def test_log_prints_rotated_files_and_follows_new_messages(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path, max_bytes=100) as log:
        for number in range(4):
            log.write(message(str(number)))
        assert found(path, "-a") == [f"room1: {number}" for number in range(4)]
        assert len(found(path)) < 4
        words = ("-f", "-a", "-n", "2", "--timestamps", "none", "-t", "room1")
        with start("log", str(path), *words) as follower:
            assert [follower.line(), follower.line()] == ["room1: 2", "room1: 3"]
            for number in range(4, 8):
                log.write(message("not asked for", topic="room2"))
                log.write(message(str(number)))
                assert follower.line() == f"room1: {number}"


def test_log_ends_when_its_output_is_closed(chat: Path) -> None:
    with start("log", str(chat), "-f", "--timestamps", "none") as follower:
        assert follower.line() == ALL[0]
        assert follower.stdout is not None
        follower.stdout.close()
        assert follower.wait() == 0


def test_log_and_replay_name_the_file_that_they_cannot_read(tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text("Once upon a time\n", encoding="utf-8")
    missing = tmp_path / "missing.log"
    for path, text in ((missing, "No such file"), (other, "contains no readable messages")):
        for words in (["log"], ["replay"], ["replay", "--to", "127.0.0.1:0", "--wait", "0"]):
            finished = zmqchat(words[0], str(path), *words[1:])
            assert (finished.returncode, finished.stdout) == (1, b"")
            assert text in finished.stderr.decode()
            assert str(path) in finished.stderr.decode()
    valid = tmp_path / "valid.log"
    with Transcript(valid) as log:
        log.write(message("Hello"))
    other.write_bytes(other.read_bytes() + valid.read_bytes())
    finished = zmqchat("log", str(other), "--topic", "room2")
    assert (finished.returncode, finished.stdout) == (0, b"")
    empty = tmp_path / "empty.log"
    empty.touch()
    for command in ("log", "replay"):
        assert zmqchat(command, str(empty)).returncode == 0


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_log_reads_a_named_pipe_and_ends_at_a_signal(chat: Path, tmp_path: Path) -> None:
    fifo = tmp_path / "pipe"
    os.mkfifo(fifo)
    first, *others = chat.read_bytes().splitlines(keepends=True)
    for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
        with start("log", str(fifo), "--timestamps", "none") as reads, fifo.open("wb", 0) as writes:
            writes.write(first)
            assert reads.line() == ALL[0]
            reads.process.send_signal(number)
            assert reads.finish() == (code, "", "")
    with start("log", str(fifo), "--timestamps", "none") as reads:
        with fifo.open("wb", 0) as writes:
            writes.writelines([first[:9], first[9:], *others])
        assert reads.finish() == (0, "".join(f"{line}\n" for line in ALL), "")
    piped = zmqchat("log", "/dev/stdin", "--timestamps", "none", stdin=chat.read_bytes())
    assert piped.stdout.decode().splitlines() == ALL


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("log", "x", "--since", "noon"), "invalid time 'noon': expected 10m, 2h"),
        (("log", "x", "--since", "9999-12-31T23:59:59-12:00"), "expected 10m, 2h"),
        (("log", "x", "--grep", "("), "invalid pattern '('"),
        (("log", "x", "--grep", "a{99999999999}"), "invalid pattern 'a{99999999999}'"),
        (("log", "x", "--grep", "(" * 20_000), "invalid pattern"),
        (("log", "x", "--since", "999999d"), "invalid time '999999d': before the year 1"),
        (("replay", "x", "--speed", "-1"), "invalid speed '-1'"),
        (("replay", "x", "--speed", "fast"), "invalid speed 'fast'"),
        (("replay", "x", "--wait", "1"), "add --to"),
        (("replay", "x", "--to", "*:0", "-W", "1"), "-W limits --wait"),
        (("replay", "x", "--to", "*:99999"), "99999"),
    ],
)
def test_invalid_options_are_usage_errors(words: tuple[str, ...], text: str) -> None:
    finished = zmqchat_in_process(*words)
    assert finished.returncode == 2
    assert text in finished.stderr.decode()


def test_replay_scales_the_original_intervals_by_its_speed(chat: Path) -> None:
    # 300 minutes in 300 milliseconds.
    finished = zmqchat("replay", str(chat), "--speed", "60000")
    lines = finished.stdout.decode().splitlines()
    assert [line.split("] ", 1)[1] for line in lines] == ALL
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_replay_keeps_the_original_intervals(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        for text, minutes in (("one", 120.0), ("two", 120 - 0.1 / 60), ("three", 0)):
            log.write(message(text, minutes_ago=minutes))
    with start("replay", str(path)) as replay:
        assert replay.line().endswith("room1: one")
        assert replay.line().endswith("room1: two")
        assert replay.process.poll() is None  # the third is due in two hours


def test_replay_publishes_messages_to_subscribers(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(message("Hello", by="alice"))
        log.write(Message([b"no topic"]))
        log.write(Message([b"room2", b"\xff\n", b"more"]))
    words = ("--to", "127.0.0.1:0", "--wait", "1", "-W", "60", "--name", "again", "--speed", "0")
    with start("replay", str(path), *words) as replay, subscriber_to(replay) as subscriber:
        received = [subscriber.recv(timeout=TIMEOUT) for _ in range(3)]
        code, _, notices = replay.finish()
    assert [(each.topic, each.data) for each in received] == [
        ("room1", b"Hello"),
        (None, b"no topic"),
        ("room2", b"\xff\n"),
    ]
    assert {each.sender for each in received} == {"again"}
    assert (code, notices) == (
        0,
        "zmqchat: 1 messages had further frames, which were not published\n",
    )


def test_replay_reports_an_unsubscribed_topic(chat: Path) -> None:
    words = ("--to", "127.0.0.1:0", "--wait", "1", "--speed", "0")
    with start("replay", str(chat), *words) as replay, subscriber_to(replay, topics=["other"]):
        code, _, notices = replay.finish()
    assert code == 0
    assert "(no subscriber for room1; subscribed: other)" in notices.splitlines()


def test_replay_connects_to_a_bound_subscriber(chat: Path) -> None:
    with Subscriber(bind="127.0.0.1:0") as subscriber:
        words = ("--connect", subscriber.addresses[0], "--speed", "0")
        with start("replay", str(chat), *words) as replay:
            received = [subscriber.recv(timeout=TIMEOUT).text for _ in range(4)]
            assert replay.finish()[0] == 0
    assert received == [
        "room1:Good morning",
        "room2:Lunch?",
        "room1:good\n\x1b[31mevening",
        "room2:Bye",
    ]
