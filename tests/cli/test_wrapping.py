"""Long lines on a terminal are wrapped at words; in a pipe they stay in one piece."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.commands import running_sub, start_script, zmqchat
from tests.helpers.terminal import CTRL_D, in_terminal, in_terminal_of_width
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message

if TYPE_CHECKING:
    from zmqchat_rs import Publisher

terminals = pytest.mark.skipif(sys.platform == "win32", reason="there is no pty")

WORDS = " ".join(["the quick brown fox jumps over the lazy dog"] * 4)
URL = "http://192.168.1.12:8888/lab/tree/notebooks/01_first_messages.ipynb"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def rendered(text: str, **options: object) -> list[str]:
    """The lines of a message, each without its time or indentation of eleven columns."""
    message = Message([text.encode()])
    first, *others = message.render(**options).split("\n")  # type: ignore[arg-type]
    assert re.match(r"\[\d\d:\d\d:\d\d\] ", SGR.sub("", first))
    assert all(line.startswith(" " * 11) for line in others)
    return [SGR.sub("", first)[11:], *(line[11:] for line in others)]


def test_a_rendered_line_is_wrapped_at_words_and_indented_under_the_text() -> None:
    lines = rendered(WORDS, width=40)
    assert lines[:2] == ["the quick brown fox jumps", "over the lazy dog the quick"]
    assert all(len(line) <= 29 for line in lines)
    assert " ".join(lines) == WORDS
    assert rendered(WORDS) == [WORDS]


def test_colours_do_not_change_where_a_line_is_wrapped() -> None:
    assert rendered(WORDS, width=40, color=True) == rendered(WORDS, width=40)


def test_wide_characters_count_two_columns() -> None:
    assert rendered("日本語" * 5, width=27) == ["日本語日本語日本", "語日本語日本語"]
    assert rendered("😀" * 9, width=27) == ["😀" * 8, "😀"]
    assert rendered("e\u0301" * 16, width=27) == ["e\u0301" * 16]


def test_an_address_stays_whole_where_it_fits() -> None:
    assert rendered(f"open {URL} now", width=80) == ["open", URL, "now"]
    assert rendered(f"open {URL} now", width=60)[0].startswith("open http://192.168.1.12")


@terminals
def test_messages_on_a_terminal_are_wrapped_to_its_width(publisher: Publisher) -> None:
    words = ("sub", publisher.addresses[0], "--timestamps", "none", "-t", "room1")
    with in_terminal(*words, NO_COLOR="1") as sub:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.send(WORDS, topic="room1")
        sub.expect(r"\nroom1: the quick [a-z ]{40,65}\r\n {7}[a-z]+ [a-z ]*\r\n {7}[a-z ]*dog\r\n")
        # The width is read before each batch of messages, so the batch after this one has it.
        sub.resize(30)
        publisher.send("between", topic="room1")
        sub.expect(r"room1: between\r\n")
        publisher.send("one two three four five six seven", topic="room1")
        sub.expect(r"room1: one two three four five\r\n {7}six seven\r\n")
        assert sub.interrupt() == 130


def test_messages_in_a_pipe_are_not_wrapped(publisher: Publisher) -> None:
    with running_sub(publisher, "--timestamps", "none", "-t", "room1", COLUMNS="30") as sub:
        publisher.send(WORDS, topic="room1")
        assert sub.line() == f"room1: {WORDS}"


def test_listen_does_not_wrap_in_a_pipe() -> None:
    script = f"""
from zmqchat_rs import Publisher, Subscriber
with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
    pub.wait_for_subscribers(timeout={TIMEOUT})
    pub.send({WORDS!r})
    sub.listen(count=1, timestamps="none")
"""
    with start_script(script) as program:
        assert program.line() == WORDS


@terminals
def test_notices_are_wrapped_and_dim_where_errors_are_not_dim() -> None:
    with in_terminal_of_width(40, "pub", "--bind", "127.0.0.1:0") as pub:
        pub.expect(r"\x1b\[2mType a message[^\r]*(\r\n  [^\r ][^\r]*)+\x1b\[0m\r\n")
        pub.expect("Message> ")
        pub.type(CTRL_D)
        assert pub.wait() == 0
    assert all(len(SGR.sub("", line)) <= 40 for line in pub.text.splitlines())
    with in_terminal_of_width(40, "sub", "127.0.0.1:99999") as sub:
        assert sub.wait() == 2
    first, *others = sub.text.splitlines()
    assert first.startswith("zmqchat: ")
    assert others
    assert all(line.startswith(" " * len("zmqchat: ")) for line in others)
    assert all(len(line) <= 40 for line in (first, *others))


def test_notices_in_a_pipe_are_not_wrapped() -> None:
    finished = zmqchat("sub", "127.0.0.1:99999", COLUMNS="40")
    assert finished.stderr.count(b"\n") == 1


@terminals
def test_json_is_one_line_on_a_terminal_as_well() -> None:
    with in_terminal_of_width(40, "doctor", "--json") as doctor:
        doctor.wait()
    assert doctor.text.count("\n") == 1
    assert json.loads(doctor.text)["checks"]


@terminals
def test_the_doctor_s_lines_are_wrapped_under_what_was_seen(publisher: Publisher) -> None:
    with in_terminal_of_width(80, "doctor", publisher.addresses[0]) as doctor:
        assert doctor.wait() == 0
    lines = [SGR.sub("", line) for line in doctor.text.splitlines()]
    assert all(len(line) <= 80 for line in lines)
    (last,) = (n for n, line in enumerate(lines) if line[9:].startswith("messages"))
    assert lines[last][26:].startswith("arrive when")
    assert lines[last + 1 :]
    assert all(line.startswith(" " * 26) for line in lines[last + 1 :])
