"""Messages, transcripts, tables and reports are displayed as HTML and as text."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message, MessageTable, Transcript, read_transcript
from zmqchat_rs.diagnostics.doctor import Check, Report

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair

TAGS = {"pre", "bdi", "span", "div"}
TABLE = {"table", "thead", "tbody", "tr", "th", "td", "code"}
HOSTILE = [
    b"<script>alert(1)</script>",
    b"</pre><img src=x onerror=alert(1)>",
    b"\"' onmouseover='alert(1)",
    b"&lt;b&gt;",
    b"<!-- ",
    b"room1:<style>*{display:none}</style>",
    b"<b>:topic",
    b'" style="color:red:text',
    b"\x1b[2J\x07\x9b31m",
    "\u202e\u2066\u2028\ufeff".encode(),
    b"\xff\xfe<i>",
    b"$\\href{javascript:alert(1)}{x}$",
    b"<" * 5_000,
]


class Page(HTMLParser):
    """The elements, attributes and text of an HTML document."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes.update(name for name, _ in attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


class Printer:
    """The part of IPython's pretty printer that `_repr_pretty_` uses."""

    def __init__(self) -> None:
        self.shown = ""

    def text(self, text: str) -> None:
        self.shown += text


def pretty(displayed: Any) -> str:
    printer = Printer()
    displayed._repr_pretty_(printer, cycle=False)
    return printer.shown


def test_a_message_is_displayed_as_its_rendered_line() -> None:
    message = Message([b"room1:Hello"], topic="room1")
    page = Page(message._repr_html_())
    assert page.text == message.render()
    assert "color:#005faf" in message._repr_html_()
    assert pretty(message) == repr(message) == "<Message topic='room1' text='Hello'>"


@pytest.mark.parametrize("frame", HOSTILE, ids=lambda frame: repr(frame[:20]))
def test_markup_in_a_message_is_escaped(frame: bytes) -> None:
    for message in (Message([frame]), Message([b"a:b", frame]), Message([frame, b"text"])):
        html = message._repr_html_()
        page = Page(html)
        assert page.tags <= TAGS
        assert page.attributes <= {"class", "style"}
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", html)
        # Notebooks do not typeset formulas in an element of this class.
        assert html.startswith('<pre class="mathjax_ignore ')
        assert html.count("<pre") == html.count("</pre>") == 1
        if len(frame) < 1_000:
            assert page.text == message.render()


def test_a_message_without_a_topic_is_displayed_unsplit() -> None:
    message = Message([b"12:30 lunch"])
    assert Page(message._repr_html_()).text == message.render()
    assert message.render().endswith("] 12:30 lunch")
    assert pretty(message) == repr(message) == "<Message text='12:30 lunch'>"


def test_a_huge_message_is_truncated() -> None:
    message = Message([b"room1:" + b"x" * 10_000_000], topic="room1")
    page = Page(message._repr_html_())
    assert page.text.endswith("x… (10000000 bytes in total)")
    assert len(page.text) < 1_100
    shown = pretty(message)
    assert shown.startswith("<Message topic='room1' text='xxx")
    assert shown.endswith("x…' (10000000 bytes in total)>")
    assert len(shown) < 300


def test_a_transcript_shows_its_last_messages(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as transcript:
        assert pretty(transcript) == f"<Transcript '{path}' text>: 0 messages"
        pair.publisher.send("Hello", topic="room1")
        transcript.write(pair.subscriber.recv(timeout=TIMEOUT))
        assert pretty(transcript).splitlines()[0].endswith(": 1 message")
        pair.publisher.send_many([f"<b>{n}</b>" for n in range(50)], topic="room2")
        transcript.write_many(pair.subscriber.recv(timeout=TIMEOUT) for _ in range(50))
    for shown in (transcript, read_transcript(path)):
        heading, *lines = pretty(shown).splitlines()
        assert heading == f"{shown!r}: the last 20 messages"
        assert len(lines) == 20
        assert [line[11:] for line in lines] == [f"room2:<b>{n}</b>" for n in range(30, 50)]
        page = Page(shown._repr_html_())
        assert page.tags <= TAGS
        assert "room2:<b>49</b>" in page.text
        assert "room2:<b>29</b>" not in page.text


def test_displaying_a_reader_does_not_advance_it(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    with Transcript(path) as transcript:
        transcript.write_many([Message([b"one"]), Message([b"two"])])
    reader = read_transcript(path)
    assert reader.path == str(path)
    assert repr(reader) == f"<TranscriptReader '{path}'>"
    assert next(reader).text == "one"
    assert pretty(reader).endswith("two")
    reader._repr_html_()
    assert [message.text for message in reader] == ["two"]
    reader.close()
    assert repr(reader) == f"<TranscriptReader '{path}' closed>"


def test_a_transcript_without_its_file_displays_the_error(tmp_path: Path) -> None:
    path = tmp_path / "chat.log"
    transcript = Transcript(path)
    path.unlink()
    assert "cannot read" in pretty(transcript)
    assert "cannot read" in Page(transcript._repr_html_()).text
    transcript.close()


def test_markup_in_a_file_name_is_escaped(tmp_path: Path) -> None:
    path = tmp_path / "<b>chat.log"
    with Transcript(path) as transcript:
        page = Page(transcript._repr_html_())
    assert page.tags <= TAGS
    assert "<b>chat.log" in page.text


def test_a_table_shows_its_first_and_last_rows() -> None:
    table = MessageTable([Message([f"line {n}".encode()]) for n in range(1_000)])
    html = table._repr_html_()
    page = Page(html)
    assert page.tags <= TAGS | TABLE
    assert "MessageTable: 1,000 messages" in page.text
    for name in table.column_names:
        assert f">{name}<" in html
    shown = re.findall(r">line (\d+)<", html)
    assert shown == [str(n) for n in (*range(10), *range(990, 1_000))]
    assert html.count(">…<") == len(table.column_names)
    # A short table shows every row.
    few = MessageTable([Message([b"one"]), Message([b"two"])])._repr_html_()
    assert "2 messages" in few
    assert "…" not in few
    assert "0 messages" in MessageTable([])._repr_html_()


def test_a_table_shows_values_of_every_type() -> None:
    payload = b'{"n": -3, "x": 21.5, "ok": true, "name": "lab", "long": "' + b"y" * 500 + b'"}'
    html = MessageTable([Message([payload]), Message([b"\xff\x00"])], json=True)._repr_html_()
    for value in ("-3", "21.5", "True", "lab", f"{'y' * 80}…", r"b&#x27;\xff\x00&#x27;"):
        assert f">{value}<" in html, value
    assert ">None</span>" in html
    many = json.dumps({f"key{n}": n for n in range(100)}).encode()
    assert "more</code></th>" in MessageTable([Message([many])], json=True)._repr_html_()


@pytest.mark.parametrize("frame", HOSTILE, ids=lambda frame: repr(frame[:20]))
def test_markup_in_a_table_or_a_report_is_escaped(frame: bytes) -> None:
    text = frame.decode(errors="replace")
    column = json.dumps({text: text}).encode()
    report = Report((Check(text, "failed", text, text),))
    for html in (
        MessageTable([Message([frame]), Message([column])], json=True)._repr_html_(),
        report._repr_html_(),
    ):
        page = Page(html)
        assert page.tags <= TAGS | TABLE
        assert page.attributes <= {"class", "style"}
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]", html)
        assert '<table class="mathjax_ignore ' in html


def test_a_report_shows_a_row_for_each_check() -> None:
    checks = (Check("Python", "ok", "3.11"), Check("port 5555", "failed", "in use", "End it."))
    html = Report(checks)._repr_html_()
    assert html.count("<tr") == 2
    page = Page(html)
    assert page.text == "okPython3.11failedport 5555in use. End it."
