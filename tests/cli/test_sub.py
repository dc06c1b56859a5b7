"""`zmqchat sub`: the messages that it prints, and their format."""

from __future__ import annotations

import base64
import json
import re
import sys
from datetime import datetime
from typing import TYPE_CHECKING

import pytest

from tests.helpers.commands import printed_address, running_sub, start, zmqchat
from tests.helpers.terminal import in_terminal
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, read_transcript

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Callable


def test_sub_prints_a_line_for_each_message(publisher: Publisher) -> None:
    with running_sub(publisher, "-c", "2", "--timestamps", "none") as sub:
        publisher.send("Hello", topic="room1")
        publisher.send("12 o'clock, Grüße 👋")
        assert sub.finish() == (0, "room1:Hello\n12 o'clock, Grüße 👋\n", "")


@pytest.mark.parametrize("color", ["never", "always"])
def test_sub_prints_text_exactly_as_it_was_received(publisher: Publisher, color: str) -> None:
    texts = ["room1:Hello", "12:30 lunch", "Note: buy", "2026-01-31T12:30:05,21.5", "a:", ":b"]
    words = ("-c", str(len(texts)), "--timestamps", "none", "--color", color)
    with running_sub(publisher, *words) as sub:
        publisher.send_many(texts)
        assert sub.finish() == (0, "".join(f"{text}\n" for text in texts), "")


def test_sub_splits_topics_if_asked(publisher: Publisher) -> None:
    words = ("--split-topics", "-c", "3", "--timestamps", "none")
    with running_sub(publisher, *words) as sub:
        publisher.send_many(["room1:Hello", "12:30 lunch", "no topic"])
        assert sub.finish() == (0, "room1: Hello\n12: 30 lunch\nno topic\n", "")


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ((), [(None, "room1:Hello"), (None, "12:30 lunch")]),
        (("-t", "room1", "--prefix", ""), [("room1", "Hello"), (None, "12:30 lunch")]),
        (("--split-topics",), [("room1", "Hello"), ("12", "30 lunch")]),
    ],
)
def test_the_topic_in_json_is_null_unless_it_is_certain(
    publisher: Publisher, words: tuple[str, ...], fields: list[tuple[str | None, str]]
) -> None:
    with running_sub(publisher, "--json", "-c", "2", *words) as sub:
        publisher.send_many(["room1:Hello", "12:30 lunch"])
        code, out, _ = sub.finish()
    assert code == 0
    objects = map(json.loads, out.splitlines())
    assert [(each["topic"], each["text"]) for each in objects] == fields


def test_sub_flushes_each_line_to_a_pipe(publisher: Publisher) -> None:
    with running_sub(publisher, "--timestamps", "none") as sub:
        for text in ("first", "second"):
            publisher.send(text)
            assert sub.line() == text


@pytest.mark.parametrize(
    ("words", "shape"),
    [
        ((), r"\[\d\d:\d\d:\d\d\] Hello"),
        (
            ("--timestamps", "iso"),
            r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}[+-]\d\d:\d\d\] Hello",
        ),
        (("--timestamps", "delta"), r"\[\+0\.000\] Hello"),
    ],
)
def test_sub_prints_the_time_in_the_chosen_format(
    publisher: Publisher, words: tuple[str, ...], shape: str
) -> None:
    with running_sub(publisher, "-c", "1", *words) as sub:
        publisher.send("Hello")
        code, line, _ = sub.finish()
    assert code == 0
    assert re.fullmatch(shape, line.rstrip("\n")), line


def test_sub_matches_topics_exactly_and_prefixes_by_their_start(publisher: Publisher) -> None:
    words = ("-t", "room1", "-t", "news", "--prefix", "sens", "-c", "4", "--timestamps", "none")
    with running_sub(publisher, *words) as sub:
        wait_until(lambda: len(publisher.topics) == 3)
        for text in ("room1:a", "room10:b", "room:c", "news:d", "sensor:e", "sense", "other"):
            publisher.send(text)
        assert sub.finish() == (0, "room1: a\nnews: d\nsensor:e\nsense\n", "")


def test_sub_with_only_a_prefix_receives_only_that_prefix(publisher: Publisher) -> None:
    with running_sub(publisher, "--prefix", "b", "-c", "1", "--timestamps", "none") as sub:
        publisher.send("a")
        publisher.send("b")
        assert sub.finish() == (0, "b\n", "")


def test_sub_receives_from_several_publishers() -> None:
    with Publisher("127.0.0.1:0") as one, Publisher("127.0.0.1:0") as two:
        hosts = (one.addresses[0], two.addresses[0])
        with start("sub", *hosts, "-c", "2", "--timestamps", "none") as sub:
            for publisher, text in ((one, "from one"), (two, "from two")):
                publisher.wait_for_subscribers(1, timeout=TIMEOUT)
                publisher.send(text)
                assert sub.line() == text


def test_sub_binds_for_publishers_that_connect() -> None:
    words = ("--bind", "127.0.0.1:0", "-c", "1", "--timestamps", "none")
    with start("sub", *words) as sub, Publisher(connect=printed_address(sub)) as publisher:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello")
        assert sub.finish() == (0, "Hello\n", "")


def test_sub_without_a_host_connects_to_localhost() -> None:
    with in_terminal("sub") as sub:
        sub.expect(r"all messages from 127\.0\.0\.1")


def test_sub_exits_after_the_count_and_prints_no_further_message(publisher: Publisher) -> None:
    with running_sub(publisher, "-c", "3", "--timestamps", "none") as sub:
        for number in range(10):
            publisher.send(str(number))
        assert sub.finish() == (0, "0\n1\n2\n", "")


def test_sub_with_a_count_of_zero_exits_immediately() -> None:
    assert zmqchat("sub", "127.0.0.1:1", "-c", "0").returncode == 0


def test_sub_exits_with_3_on_a_timeout_before_the_count(publisher: Publisher) -> None:
    with running_sub(publisher, "-c", "2", "-W", "1.5", "--timestamps", "none") as sub:
        publisher.send("one")
        assert sub.finish() == (3, "one\n", "zmqchat: 1 of 2 messages in 1.5 s\n")


def test_sub_names_the_reason_of_a_timeout_without_messages(
    publisher: Publisher, free_port: Callable[[], int]
) -> None:
    address = f"127.0.0.1:{free_port()}"
    finished = zmqchat("sub", address, "-c", "1", "-W", "1")
    assert finished.returncode == 3
    assert finished.stderr.decode() == (
        f"zmqchat: 0 of 1 messages in 1 s: not connected to {address} (refused): no program "
        "listens on that port; start the publisher, or check address and port\n"
    )
    finished = zmqchat("sub", "no-such-host.invalid", "-c", "1", "-W", "1")
    assert "no-such-host.invalid:5555 (name not found): " in finished.stderr.decode()
    with running_sub(publisher, "-c", "1", "-W", "1.5", "-t", "room1") as sub:
        publisher.send("Hello", topic="room10")
        code, out, errors = sub.finish()
    assert (code, out) == (3, "")
    assert errors == (
        f"zmqchat: 0 of 1 messages in 1.5 s: connected to {publisher.addresses[0]}, but no "
        "message arrived for 'room1' (topics match exactly)\n"
    )


def test_sub_exits_with_0_on_a_timeout_without_a_count() -> None:
    finished = zmqchat("sub", "127.0.0.1:1", "-W", "0.1")
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, b"", b"")


def test_sub_json_prints_one_object_per_line() -> None:
    named = Publisher("127.0.0.1:0", name="alice")
    with named, running_sub(named, "--json", "-c", "3") as sub:
        named.send("Grüße\n\x1b[2J\x7f", topic="room1")
        named.send("again", topic="room1")
        named.send(b"\xff\x00", topic="room1")
        code, out, _ = sub.finish()
    assert code == 0
    assert out.isascii()
    assert out.replace("\n", "").isprintable()
    first, second, third = map(json.loads, out.splitlines())
    assert list(first) == ["topic", "text", "from", "sequence", "received_at", "sent_at"]
    assert (first["topic"], first["text"]) == ("room1", "Grüße\n\x1b[2J\x7f")
    assert (first["from"], first["sequence"], second["sequence"]) == ("alice", 0, 1)
    sent, received = (datetime.fromisoformat(first[key]) for key in ("sent_at", "received_at"))
    assert sent.tzinfo is not None
    assert received.tzinfo is not None
    assert base64.b64decode(third["data_base64"]) == b"\xff\x00"


def test_json_of_an_anonymous_message_has_the_same_keys_with_null(publisher: Publisher) -> None:
    with running_sub(publisher, "--json", "-c", "1") as sub:
        publisher.send("\ufffd is a character too")
        parsed = json.loads(sub.finish()[1])
    assert parsed.pop("received_at")
    assert parsed == {
        "topic": None,
        "text": "\ufffd is a character too",
        "from": None,
        "sequence": None,
        "sent_at": None,
    }


def test_sub_raw_writes_the_received_bytes_unchanged(publisher: Publisher) -> None:
    with start("sub", publisher.addresses[0], "--raw", "-c", "2") as sub:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send(b"room1:\xff\x00\x1b[1m")
        publisher.send("Hello", topic="room1")
        assert sub.stdout is not None
        assert sub.stdout.read() == b"room1:\xff\x00\x1b[1m\nroom1:Hello\n"


def test_sub_reads_envelopes() -> None:
    words = ("--framing", "envelope", "-t", "room1", "-c", "1", "--timestamps", "none")
    envelopes = Publisher("127.0.0.1:0", framing="envelope")
    with envelopes, running_sub(envelopes, *words) as sub:
        envelopes.send("another topic", topic="room10")
        envelopes.send("Hello", topic="room1")
        assert sub.finish() == (0, "room1: Hello\n", "")


def test_sub_with_raw_framing_splits_off_no_topic(publisher: Publisher) -> None:
    with running_sub(publisher, "--framing", "raw", "-c", "1", "--json") as sub:
        publisher.send("12:30 lunch")
        parsed = json.loads(sub.finish()[1])
    assert (parsed["topic"], parsed["text"]) == (None, "12:30 lunch")


@pytest.mark.parametrize(
    ("words", "changes", "colored"),
    [
        ((), {}, False),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_sub_colours_a_pipe_only_on_request(
    publisher: Publisher,
    words: tuple[str, ...],
    changes: dict[str, str],
    colored: bool,  # noqa: FBT001
) -> None:
    with running_sub(publisher, "-c", "1", *words, **changes) as sub:
        publisher.send("Hello", topic="room1")
        assert ("\x1b[" in sub.finish()[1]) is colored


@pytest.mark.parametrize(("changes", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_sub_colours_a_terminal_unless_no_color_is_set(
    publisher: Publisher,
    changes: dict[str, str],
    colored: bool,  # noqa: FBT001
) -> None:
    with in_terminal("sub", publisher.addresses[0], "-c", "1", **changes) as sub:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send("Hello", topic="room1")
        assert sub.wait() == 0
    line = sub.text.splitlines()[-1]
    assert line.endswith("Hello")
    assert ("\x1b[" in line) is colored


def test_control_characters_of_a_message_are_printed_escaped(publisher: Publisher) -> None:
    hostile = "room1:\x1b[2J\x1b]0;owned\x07\u202e\x9b\n[12:00:00] forged"
    with in_terminal("sub", publisher.addresses[0], "-c", "2") as sub:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send(hostile)
        publisher.send("end")
        assert sub.wait() == 0
    line = sub.text.splitlines()[-2]
    assert line.endswith(r"\x1b[2J\x1b]0;owned\x07\u202e\x9b\n[12:00:00] forged")
    assert not set("\x07\u202e\x9b") & set(sub.text)


def test_a_character_that_the_output_cannot_encode_is_escaped(publisher: Publisher) -> None:
    words = ("-c", "1", "--timestamps", "none")
    with running_sub(publisher, *words, PYTHONIOENCODING="ascii") as sub:
        publisher.send("Grüße 👋")
        assert sub.finish() == (0, "Gr\\xfc\\xdfe \\U0001f44b\n", "")


@pytest.mark.parametrize("name", ["chat.log", "chat.jsonl"])
def test_sub_logs_to_a_transcript(publisher: Publisher, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    with running_sub(publisher, "--timestamps", "none", "-c", "2", "--log", str(path)) as sub:
        publisher.send("Hello", topic="room1")
        publisher.send(b"\xff\n")
        assert sub.finish() == (0, "room1:Hello\n\ufffd\\n\n", "")
    assert [message.raw for message in read_transcript(path)] == [b"room1:Hello", b"\xff\n"]
    assert path.read_text(encoding="utf-8").startswith("{") is (name == "chat.jsonl")


def test_sub_names_a_log_file_in_a_missing_folder(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "chat.log"
    with start("sub", "127.0.0.1:1", "--log", str(path)) as sub:
        code, output, error = sub.finish()
    assert (code, output) == (1, "")
    assert str(path) in error


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /dev/full")
def test_sub_reports_a_log_error_once_and_continues(publisher: Publisher) -> None:
    words = ("--timestamps", "none", "-c", "2", "--log", "/dev/full")
    with running_sub(publisher, *words) as sub:
        for text in ("one", "two"):
            publisher.send(text)
            assert sub.line() == text
        code, out, errors = sub.finish()
    assert (code, out, errors.count("not logged: ")) == (0, "", 1)
