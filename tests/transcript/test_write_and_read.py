"""Messages written to a transcript are read back unchanged, also with several writers."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.helpers.sample_messages import AT, numbered
from tests.helpers.stamps import stamp
from tests.helpers.timeouts import TIMEOUT, Background
from zmqchat_rs import (
    ClosedError,
    Message,
    Publisher,
    Subscriber,
    Transcript,
    ZmqChatError,
    read_transcript,
)

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier
    from pathlib import Path

    from tests.helpers.scripts import RunPython

FORMATS = ("text", "jsonl")
NAMED = stamp(42, "room1", sent_ns=1_769_857_391_000_041_999, id="9f3c")

# Messages with line breaks, control characters, bytes that are not text, and unusual frames.
DIFFICULT = [
    Message([b"Hello"], received_at=AT),
    Message([b"room1:Hello\nworld\r\n\t\\n"], received_at=AT),
    Message([b""], received_at=AT),
    Message([b"room1:"], received_at=AT),
    Message([b"room1:"], topic="room1", received_at=AT),
    Message([b"12:30 lunch"], framing="raw", received_at=AT),
    Message(["room1:\x1b[31m\x00\x7f\x9b\u2028\u202e👋 é".encode()], received_at=AT),
    Message([b"room1:\xff\xfe\x00\x9b"], topic="room1", received_at=AT),
    Message([b"room1:Hello", NAMED], received_at=AT),
    Message([b"room1", b"Hello", NAMED], received_at=AT, framing="envelope"),
    Message([b"Hello", stamp(0, None, **{"from": "Alice B: #1\n"})], received_at=AT),
    Message([b"room1:Hello", NAMED.replace(b"{", b"{ ")], received_at=AT),
    Message([b"room1", b"a:b"], received_at=AT),
    Message([b"no topic", b"Hello", b"\xff", b"", b"\t\n"], received_at=AT),
    Message([b"room1:Hello", NAMED], framing="raw", received_at=AT),
    Message([b"a#b\\c:Hello"], topic="a#b\\c", received_at=AT),
]


def texts(path: Path, *, rotated: bool = False) -> list[str]:
    return [message.text for message in read_transcript(path, rotated=rotated)]


@pytest.mark.parametrize("format", FORMATS)
def test_any_message_is_read_back_unchanged(tmp_path: Path, format: str) -> None:  # noqa: A002
    path = tmp_path / "chat.log"
    with Transcript(path, format=format) as log:  # type: ignore[arg-type]
        for message in DIFFICULT:
            log.write(message)
        assert log.count == len(DIFFICULT)
        assert log.bytes == path.stat().st_size
    back = list(read_transcript(path))
    assert back == DIFFICULT
    for before, after in zip(DIFFICULT, back):
        for name in ("topic", "text", "data", "sender", "instance", "sequence", "frames"):
            assert getattr(before, name) == getattr(after, name), name
        assert (before.sent_at, before.received_at) == (after.sent_at, after.received_at)


@pytest.mark.parametrize("format", FORMATS)
def test_a_message_is_one_printable_line(tmp_path: Path, format: str) -> None:  # noqa: A002
    path = tmp_path / "chat.log"
    with Transcript(path, format=format) as log:  # type: ignore[arg-type]
        assert log.write_many(DIFFICULT) == len(DIFFICULT)
    lines = path.read_bytes().decode().split("\n")
    assert len(lines) == len(DIFFICULT) + 1
    assert lines.pop() == ""
    for line in lines:
        assert re.sub("[\t\u200b]", "", line).isprintable(), line


def test_a_line_of_a_text_transcript_is_readable(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(Message([b"room1:Hello\nworld", NAMED], received_at=AT))
    line = path.read_text(encoding="utf-8")
    received_at, rest = line.split(" ", 1)
    assert datetime.fromisoformat(received_at) == AT
    assert rest.startswith("room1 alice#42: Hello\\nworld\tid=9f3c\tsent=")


def test_a_json_line_has_the_keys_of_sub_and_contains_undecodable_bytes_as_base64(
    tmp_path: Path,
) -> None:
    path = tmp_path / "chat.jsonl"
    with Transcript(path, format="jsonl") as log:
        log.write(Message([b"room1:\xff!", NAMED], received_at=AT))
        log.write(Message([b"Hello"], received_at=AT))
    first, second = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    assert list(first)[:6] == ["received_at", "topic", "from", "sequence", "sent_at", "text"]
    assert first["text"] == "\ufffd!"
    assert first["data_base64"] == "/yE="
    assert datetime.fromisoformat(second["received_at"]) == AT
    assert (second["topic"], second["from"], second["sequence"]) == (None, None, None)
    assert "data_base64" not in second


def test_received_messages_keep_their_nanoseconds(tmp_path: Path) -> None:
    with Publisher("127.0.0.1:0", name="alice") as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint) as subscriber, Transcript(tmp_path / "a") as log:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send_many(["one", "two"], topic="room1")
            publisher.send("x" * 2_000_000)
            messages = [subscriber.recv(timeout=TIMEOUT) for _ in range(3)]
            log.write_many(messages)
    assert list(read_transcript(tmp_path / "a")) == messages


def test_a_million_messages_are_read_back_exactly(tmp_path: Path) -> None:
    count = 1_000_000
    path = tmp_path / "chat.log"
    payloads = [b"room1:%d \n \\ \xff" % number for number in range(1000)]
    with Transcript(path) as log:
        for start in range(0, count, 1000):
            part = [Message([b"%d:" % start + payload]) for payload in payloads]
            log.write_many(part[1:])
            log.write(part[0])
        assert log.count == count
    read = 0
    with read_transcript(path) as reader:
        for number, message in enumerate(reader):
            start, index = number - number % 1000, (number + 1) % 1000
            assert message.raw == b"%d:" % start + payloads[index]
            read += 1
        assert reader.skipped == 0
    assert read == count


def test_an_existing_transcript_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    for number in range(3):
        with Transcript(path, format=FORMATS[number % 2]) as log:  # type: ignore[arg-type]
            log.write(Message([b"%d" % number]))
            assert log.count == 1
            assert log.repaired == 0
    assert texts(path) == ["0", "1", "2"]


@pytest.mark.parametrize("sync", ["os", "line", "disk"])
def test_a_message_is_in_the_file_when_write_returns(tmp_path: Path, sync: str) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path, sync=sync) as log:  # type: ignore[arg-type]
        for number in range(10):
            log.write(Message([b"%d" % number]))
            assert texts(path) == [str(each) for each in range(number + 1)]
        log.flush()
        assert log.sync == sync
    assert log.closed


def test_messages_of_a_generator_are_written_one_by_one(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:

        def messages() -> object:
            for number, message in enumerate(numbered(3)):
                assert log.count == number
                yield message
            raise KeyError("the end")

        with pytest.raises(KeyError):
            log.write_many(messages())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="Message"):
            log.write_many([*numbered(2), "Hello"])  # type: ignore[list-item]
    assert texts(path) == ["0", "1", "2", "0", "1"]


def test_a_closed_transcript_raises_closed_error(tmp_path: Path) -> None:
    log = Transcript(tmp_path / "chat.log")
    assert repr(log) == f"<Transcript '{tmp_path / 'chat.log'}' text>"
    log.close()
    log.close()
    assert log.closed
    assert "closed" in repr(log)
    for use in (lambda: log.write(DIFFICULT[0]), log.flush, log.__enter__):
        with pytest.raises(ClosedError, match=r"chat\.log"):
            use()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"format": "xml"}, "invalid format 'xml': expected 'text' or 'jsonl'"),
        ({"sync": "never"}, "invalid sync 'never': expected 'os', 'line' or 'disk'"),
        ({"max_bytes": 0}, "invalid max_bytes 0: expected 1 or more"),
        ({"keep": 0}, "invalid keep 0: expected 1 or more"),
    ],
)
def test_an_invalid_argument_is_rejected(
    tmp_path: Path, arguments: dict[str, str], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        Transcript(tmp_path / "chat.log", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "chat.log").exists()


def test_a_file_that_is_not_a_transcript_is_not_changed(tmp_path: Path) -> None:
    path = tmp_path / "thesis.txt"
    path.write_text("Once upon a time", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"thesis\.txt.*not a transcript: choose another file name"
    ):
        Transcript(path)
    assert path.read_text(encoding="utf-8") == "Once upon a time"


def test_an_error_for_an_invalid_path_names_it(tmp_path: Path) -> None:
    for path in (tmp_path / "none" / "chat.log", tmp_path):
        with pytest.raises(ZmqChatError, match=re.escape(f"'{path}'")):
            Transcript(path)
        with pytest.raises(ZmqChatError, match=re.escape(f"'{path}'")):
            read_transcript(path)


def test_threads_may_share_a_transcript(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:

        def write(name: bytes) -> None:
            for number in range(500):
                log.write(Message([name + b":%d" % number], topic=name.decode()))

        writers = [Background(write, name) for name in (b"a", b"b", b"c")]
        for writer in writers:
            writer.result()
        assert log.count == 1500
    back = list(read_transcript(path))
    for name in "abc":
        assert [message.text for message in back if message.topic == name] == [
            str(each) for each in range(500)
        ]


@pytest.mark.parametrize("max_bytes", [None, 2_000])
def test_processes_may_share_a_file(tmp_path: Path, max_bytes: int | None) -> None:
    path = tmp_path / "chat.log"
    spawn = multiprocessing.get_context("spawn")
    names = ("a", "b", "c")
    ready = spawn.Barrier(len(names), timeout=TIMEOUT)
    writers = [
        spawn.Process(target=_write_many, args=(path, name, max_bytes, ready)) for name in names
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(TIMEOUT)
        assert writer.exitcode == 0
    with read_transcript(path, rotated=True) as reader:
        back = list(reader)
        assert reader.skipped == 0
    for name in names:
        assert [message.text for message in back if message.topic == name] == [
            f"{n} \n" for n in range(1000)
        ]
    assert (tmp_path / "chat.log.1").exists() == (max_bytes is not None)


def _write_many(path: Path, name: str, max_bytes: int | None, ready: Barrier) -> None:
    with Transcript(path, max_bytes=max_bytes, keep=1000) as log:
        ready.wait()
        for number in range(1000):
            log.write(Message([f"{name}:{number} \n".encode()], topic=name))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_may_continue_to_write(tmp_path: Path, run_python: RunPython) -> None:
    path = tmp_path / "chat.log"
    script = """
        import os, sys
        from zmqchat_rs import Message, Transcript

        log = Transcript(sys.argv[1], sync="disk")
        log.write(Message([b"parent"]))
        child = os.fork()
        if child == 0:
            log.write(Message([b"child"]))
            assert log.count == 1, log.count
            log.close()
            assert log.closed
            os._exit(7)
        assert os.WEXITSTATUS(os.waitpid(child, 0)[1]) == 7
        log.write(Message([b"parent"]))
        assert log.count == 2, log.count
    """
    assert run_python(script, str(path)) == (0, "", "")
    assert texts(path) == ["parent", "child", "parent"]


def test_a_full_file_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    messages = numbered(100)
    with Transcript(path, max_bytes=500, keep=3) as log:
        log.write_many(messages[:50])
        for message in messages[50:]:
            log.write(message)
        long = Message([b"x" * 1000])
        log.write(long)  # longer than `max_bytes`: it is written to a file of its own
        log.write(messages[0])
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "chat.log",
        "chat.log.1",
        "chat.log.2",
        "chat.log.3",
    ]
    assert list(read_transcript(path)) == [messages[0]]
    assert list(read_transcript(f"{path}.1")) == [long]
    assert (tmp_path / "chat.log.3").stat().st_size <= 500
    everything = list(read_transcript(path, rotated=True))
    kept = everything[:-2]
    assert kept == messages[-len(kept) :]


def test_a_moved_or_deleted_file_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as log:
        log.write(Message([b"one"]))
        path.rename(tmp_path / "old.log")
        log.write(Message([b"two"]))
        path.unlink()
        log.write(Message([b"three"]))
    assert texts(tmp_path / "old.log") == ["one"]
    assert texts(path) == ["three"]
