"""Long lines are wrapped at words on a terminal and not wrapped in a pipe."""

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

terminals = pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")

WORDS = " ".join(["the quick brown fox jumps over the lazy dog"] * 4)
URL = "http://192.168.1.12:8888/lab/tree/notebooks/01_first_messages.ipynb"
SGR = re.compile(r"\x1b\[[0-9;]*m")


def rendered(text: str, **options: object) -> list[str]:
    """Return the lines of a message, without the time or indentation of 11 columns."""
    message = Message([text.encode()])
    first, *rest = message.render(**options).split("\n")  # type: ignore[arg-type]
    assert re.match(r"\[\d\d:\d\d:\d\d\] ", SGR.sub("", first))
    assert all(line.startswith(" " * 11) for line in rest)
    return [SGR.sub("", first)[11:], *(line[11:] for line in rest)]


def test_a_rendered_line_is_wrapped_at_words_and_indented_under_the_text() -> None:
    lines = rendered(WORDS, width=40)
    assert lines[:2] == ["the quick brown fox jumps", "over the lazy dog the quick"]
    assert all(len(line) <= 29 for line in lines)
    assert " ".join(lines) == WORDS
    assert rendered(WORDS) == [WORDS]


def test_colour_does_not_change_the_wrapping() -> None:
    assert rendered(WORDS, width=40, color=True) == rendered(WORDS, width=40)


def test_a_wide_character_counts_as_two_columns() -> None:
    assert rendered("日本語" * 5, width=27) == ["日本語日本語日本", "語日本語日本語"]
    assert rendered("😀" * 9, width=27) == ["😀" * 8, "😀"]
    assert rendered("e\u0301" * 16, width=27) == ["e\u0301" * 16]


def test_an_address_is_not_broken_if_it_fits_in_a_line() -> None:
    assert rendered(f"open {URL} now", width=80) == ["open", URL, "now"]
    assert rendered(f"open {URL} now", width=60)[0].startswith("open http://192.168.1.12")


@terminals
def test_messages_on_a_terminal_are_wrapped_to_its_width(publisher: Publisher) -> None:
    words = ("sub", publisher.addresses[0], "--timestamps", "none", "-t", "room1")
    with in_terminal(*words, NO_COLOR="1") as sub:
        publisher.wait_for_subscribers(1, topic="room1", timeout=TIMEOUT)
        publisher.send(WORDS, topic="room1")
        sub.expect(r"\nroom1: the quick [a-z ]{40,65}\r\n {7}[a-z]+ [a-z ]*\r\n {7}[a-z ]*dog\r\n")
        # The width is read before each batch, so the next batch is wrapped to the new width.
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
def test_notices_are_wrapped_and_dim_and_errors_are_wrapped_and_not_dim() -> None:
    with in_terminal_of_width(40, "pub", "--bind", "127.0.0.1:0") as pub:
        pub.expect(r"\x1b\[2mType a message[^\r]*(\r\n  [^\r ][^\r]*)+\x1b\[0m\r\n")
        pub.expect("Message> ")
        pub.type(CTRL_D)
        assert pub.wait() == 0
    assert all(len(SGR.sub("", line)) <= 40 for line in pub.text.splitlines())
    with in_terminal_of_width(40, "sub", "127.0.0.1:99999") as sub:
        assert sub.wait() == 2
    first, *rest = sub.text.splitlines()
    assert first.startswith("zmqchat: ")
    assert rest
    assert all(line.startswith(" " * len("zmqchat: ")) for line in rest)
    assert all(len(line) <= 40 for line in (first, *rest))


def test_notices_in_a_pipe_are_not_wrapped() -> None:
    finished = zmqchat("sub", "127.0.0.1:99999", COLUMNS="40")
    assert finished.stderr.count(b"\n") == 1


@terminals
def test_json_is_not_wrapped_on_a_terminal() -> None:
    with in_terminal_of_width(40, "doctor", "--json") as doctor:
        doctor.wait()
    assert doctor.text.count("\n") == 1
    assert json.loads(doctor.text)["checks"]


@terminals
def test_lines_of_doctor_are_wrapped_under_the_result_column(publisher: Publisher) -> None:
    with in_terminal_of_width(80, "doctor", publisher.addresses[0]) as doctor:
        assert doctor.wait() == 0
    lines = [SGR.sub("", line) for line in doctor.text.splitlines()]
    assert all(len(line) <= 80 for line in lines)
    (last,) = (n for n, line in enumerate(lines) if line[9:].startswith("messages"))
    assert lines[last][26:].startswith("arrive when")
    assert lines[last + 1 :]
    assert all(line.startswith(" " * 26) for line in lines[last + 1 :])
