"""The properties of a message, and the line that is rendered from it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import unicodedata
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Message, Publisher, Subscriber
from zmqchat_rs._core import paint, sanitize, use_color

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

NOON = datetime(2026, 1, 2, 12, 3, 11, 500_000).astimezone()
SGR = re.compile(r"\x1b\[[0-9;]*m")


def stamp(**changes: Any) -> bytes:
    """A stamp as a named publisher sends it."""
    plain = {"zmqchat": 1, "from": "alice", "id": "9f3c", "topic": "room1", "seq": 42}
    return json.dumps({**plain, "sent_ns": 1_700_000_000_123_456_789, **changes}).encode()


# Payloads with and without a colon: none is split without a given topic.
UNSTAMPED = [
    b"Hello",
    b"room1:Hello everyone!",
    b"room1:",
    b"",
    b":Hello",
    b"a:b:c",
    b"room 1:Hello",
    b"12:30 lunch",
    b"2026-01-31T12:30:05,21.5",
    b"http://example.org",
    "café:Grüße".encode(),
    b"x" * 255 + b":y",
    b"caf\xe9:x",
    b"\x1b[31mred:x",
    b"Note: buy milk",
]


@pytest.mark.parametrize("wire", UNSTAMPED)
def test_a_frame_without_a_stamp_is_never_split(wire: bytes) -> None:
    message = Message([wire])
    text = wire.decode(errors="replace")
    assert (message.topic, message.text, message.data) == (None, text, wire)
    assert (message.raw, message.frames, str(message)) == (wire, (wire,), text)


@pytest.mark.parametrize(
    ("frames", "topic", "text"),
    [
        ([b"room1:Hello everyone!"], "room1", "Hello everyone!"),
        ([b"room1:"], "room1", ""),
        ([b"a:b:c"], "a", "b:c"),
        ([b"12:30 lunch"], "12", "30 lunch"),
        ([b"http://example.org"], "http", "//example.org"),
        (["café:Grüße".encode()], "café", "Grüße"),
        ([b"x" * 255 + b":y"], "x" * 255, "y"),
        ([b"room1:Hello", stamp()], "room1", "Hello"),
        ([b"room1:Hello", stamp(topic=None)], "room1", "Hello"),
        ([b"room1", b"Hello"], "room1", "Hello"),
        ([b"room1:x", b"Hello"], "room1", "Hello"),
    ],
)
def test_a_given_topic_is_split_off(frames: list[bytes], topic: str, text: str) -> None:
    message = Message(frames, topic=topic)
    assert (message.topic, message.text, message.data) == (topic, text, text.encode())
    assert message.frames == tuple(frames)
    assert str(message) == frames[0].decode()


@pytest.mark.parametrize(
    ("frames", "options", "remedy"),
    [
        ([b"Hello"], {}, "expected the first frame to start with 'room1:'"),
        ([b"room10:Hello"], {}, "expected the first frame to start with 'room1:'"),
        ([b"", b"Hello"], {}, "expected the first frame to start with 'room1:'"),
        ([b"room2", b"Hello"], {}, "its topic is 'room2'"),
        ([b"room2:Hello", stamp(topic="room2")], {}, "its topic is 'room2'"),
        ([b"room1:Hello"], {"framing": "raw"}, 'framing="raw" gives a message no topic'),
    ],
)
def test_a_given_topic_that_the_frames_do_not_have_is_refused(
    frames: list[bytes], options: Any, remedy: str
) -> None:
    with pytest.raises(ValueError, match=f"does not have the topic 'room1': {remedy}"):
        Message(frames, topic="room1", **options)
    with pytest.raises(ValueError, match="invalid topic"):
        Message(frames, topic="room 1", **options)


def test_raw_framing_never_splits() -> None:
    message = Message([b"room1:Hello"], framing="raw")
    assert (message.topic, message.text, message.data) == (None, "room1:Hello", b"room1:Hello")


def test_a_stamp_gives_sender_time_sequence_and_topic() -> None:
    message = Message([b"room1:Hello", stamp()])
    assert (message.topic, message.text, message.data) == ("room1", "Hello", b"Hello")
    assert (message.sender, message.instance, message.sequence) == ("alice", "9f3c", 42)
    assert message.sent_at == datetime(2023, 11, 14, 22, 13, 20, 123_456, tzinfo=timezone.utc)
    assert str(message) == "room1:Hello"


def test_the_topic_of_the_stamp_overrides_the_frame() -> None:
    message = Message([b"12:30 lunch", stamp(topic=None)])
    assert (message.topic, message.text, message.sender) == (None, "12:30 lunch", "alice")


def test_unknown_keys_in_a_stamp_are_ignored() -> None:
    assert Message([b"room1:Hello", stamp(mood="good", extra=[1])]).sender == "alice"


@pytest.mark.parametrize(
    "last",
    [
        b"{}",
        b"not JSON",
        b"[1]",
        b"\xff",
        stamp(zmqchat=2),
        stamp(seq=-1),
        stamp(seq="1"),
        stamp(topic="a b"),
        stamp(topic=5),
        stamp(**{"from": None}),
        stamp()[:-1],
    ],
)
def test_an_invalid_stamp_is_an_ordinary_frame(last: bytes) -> None:
    message = Message([b"room1:Hello", last])
    assert (message.sender, message.sequence, message.sent_at) == (None, None, None)
    assert message.frames == (b"room1:Hello", last)


@pytest.mark.parametrize(
    ("frames", "topic", "text", "sender"),
    [
        ([b"room1", b"Hello"], "room1", "Hello", None),
        ([b"", b"Hello"], None, "Hello", None),
        ([b"room 1", b"Hello"], None, "Hello", None),
        ([b"room1", b"a", b"b"], "room1", "a", None),
        ([b"room1", b"Hello", stamp()], "room1", "Hello", "alice"),
        ([b"", b"Hello", stamp(topic=None)], None, "Hello", "alice"),
    ],
)
@pytest.mark.parametrize("framing", ["plain", "envelope"])
def test_the_first_of_several_frames_is_the_topic(
    frames: list[bytes], topic: str | None, text: str, sender: str | None, framing: Any
) -> None:
    message = Message(frames, framing=framing)
    assert (message.topic, message.text, message.sender) == (topic, text, sender)
    assert message.frames == tuple(frames)


@pytest.mark.parametrize("framing", ["plain", "envelope"])
def test_a_named_publisher_numbers_the_messages_of_each_topic_from_zero(framing: Any) -> None:
    with Publisher("127.0.0.1:0", name="alice", framing=framing) as publisher:
        assert publisher.endpoint is not None
        assert publisher.name == "alice"
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            before = datetime.now(timezone.utc)
            for topic in ("a", "b", "a", None, "a", None):
                publisher.send("Hello", topic=topic)
            received = [subscriber.recv(timeout=TIMEOUT) for _ in range(6)]
            after = datetime.now(timezone.utc)
    assert [(m.topic, m.sequence) for m in received] == [
        ("a", 0),
        ("b", 0),
        ("a", 1),
        (None, 0),
        ("a", 2),
        (None, 1),
    ]
    assert {(m.sender, m.text) for m in received} == {("alice", "Hello")}
    assert len({m.instance for m in received}) == 1
    for message in received:
        assert message.sent_at is not None
        assert before <= message.sent_at <= message.received_at <= after


def test_a_message_has_the_local_time_at_which_it_was_received(pair: Pair) -> None:
    before = datetime.now(timezone.utc)
    pair.publisher.send("Hello")
    message = pair.subscriber.recv(timeout=TIMEOUT)
    assert message.received_at.tzinfo is not None
    assert before <= message.received_at <= datetime.now(timezone.utc)
    assert message.received_at.utcoffset() == datetime.now().astimezone().utcoffset()


def test_a_message_cannot_be_changed() -> None:
    message = Message([b"room1:Hello"])
    for name in ("topic", "text", "data", "frames", "anything"):
        with pytest.raises(AttributeError):
            setattr(message, name, "x")


def test_messages_are_equal_if_frames_and_topic_are_equal() -> None:
    one = Message([b"room1:Hello", stamp()], received_at=NOON)
    later = Message([b"room1:Hello", stamp()], received_at=NOON + timedelta(seconds=1))
    assert one == later
    assert hash(one) == hash(later)
    unsplit = Message([b"room1:Hello"])
    split = Message([b"room1:Hello"], topic="room1")
    assert unsplit == Message([b"room1:Hello"])
    assert unsplit == Message([b"room1:Hello"], framing="raw")
    assert split == Message([b"room1:Hello"], topic="room1", received_at=NOON)
    assert split == Message([b"room1:Hello"], topic="room1", framing="envelope")
    assert len({one, later, unsplit, split}) == 3
    assert unsplit != split
    assert one != split
    assert one != "room1:Hello"


def test_a_received_message_equals_a_message_made_of_its_frames(pair: Pair) -> None:
    for payload in ("room1:hi", "12:30 lunch"):
        pair.publisher.send(payload)
        assert pair.subscriber.recv(timeout=TIMEOUT) == Message([payload.encode()])


def test_messages_survive_pickle_and_copy() -> None:
    for message in (
        Message([b"room1:Hello", stamp()], received_at=NOON),
        Message([b"room1:Hello"], received_at=NOON),
        Message([b"room1:Hello"], topic="room1", received_at=NOON),
        Message([b"room1:Hello", stamp(topic=None)], topic="room1", received_at=NOON),
        Message([b"room1", b"Hello"], received_at=NOON),
        Message([b"room1:Hello"], framing="raw", received_at=NOON),
    ):
        for twin in (
            pickle.loads(pickle.dumps(message)),
            copy.deepcopy(message),
            copy.copy(message),
        ):
            assert twin == message
            assert twin.received_at == NOON
            for name in ("topic", "text", "data", "sender"):
                assert getattr(twin, name) == getattr(message, name)


def test_a_received_message_survives_its_subscriber(pair: Pair) -> None:
    pair.publisher.send("Hello", topic="room1")
    message = pair.subscriber.recv(timeout=TIMEOUT)
    pair.subscriber.close()
    assert (message.topic, message.text) == (None, "room1:Hello")


def test_invalid_json_raises_value_error() -> None:
    with pytest.raises(ValueError, match=r"(?i)json|expecting"):
        Message([b"room1:no JSON"], topic="room1").json()


@pytest.mark.parametrize("payload", [b'room1:{"t": 1}', b"room1:", b"12:30"])
def test_the_json_error_without_a_topic_advises_to_name_it(payload: bytes) -> None:
    topic = payload.partition(b":")[0].decode()
    with pytest.raises(json.JSONDecodeError) as caught:
        Message([payload]).json()
    text = str(caught.value)
    assert f"may start with topic '{topic}'" in text
    assert f"topics=['{topic}']" in text
    assert "split_topics=True" in text
    assert "Expecting value" in text or "Extra data" in text


@pytest.mark.parametrize(
    "message",
    [
        Message([b"room1:no JSON"], topic="room1"),
        Message([b"no JSON"]),
        Message([b"{1: 2}"]),
        Message([b"room1:no JSON"], framing="raw"),
    ],
)
def test_the_json_error_gives_no_advice_if_a_topic_is_not_the_cause(message: Message) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        message.json()
    assert "topic" not in str(caught.value)


def test_the_repr_shows_topic_and_text_on_one_line() -> None:
    shown = repr(Message([b"room1:Hello\n\x1b[31m"]))
    assert "room1" in shown
    assert "Hello" in shown
    assert shown.isprintable()


def test_a_line_shows_time_topic_sender_and_text() -> None:
    def line(*frames: bytes) -> str:
        return Message(frames, received_at=NOON).render()

    assert line(b"room1:Hello", stamp()) == "[12:03:11] room1 alice: Hello"
    assert line(b"Hello", stamp(topic=None)) == "[12:03:11] alice: Hello"
    assert line(b"Hello") == "[12:03:11] Hello"
    split = Message([b"room1:Hello"], topic="room1", received_at=NOON)
    assert split.render() == "[12:03:11] room1: Hello"


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize(
    "text", ["room1:Hello", "12:30 lunch", "Note: buy", "a:  b", "http://example.org"]
)
def test_a_message_without_a_topic_is_shown_as_it_was_received(text: str, color: bool) -> None:  # noqa: FBT001
    shown = Message([text.encode()]).render(color=color, timestamps="none")
    assert SGR.sub("", shown) == text


def test_the_time_is_rendered_in_four_formats() -> None:
    earlier = Message([b"x"], received_at=NOON - timedelta(seconds=1.5))
    message = Message([b"room1:Hello"], topic="room1", received_at=NOON)
    assert message.render(timestamps="none") == "room1: Hello"
    assert message.render(timestamps="time") == "[12:03:11] room1: Hello"
    iso = message.render(timestamps="iso")
    assert re.fullmatch(r"\[2026-01-02T12:03:11\.500000[+-]\d\d:\d\d\] room1: Hello", iso)
    assert datetime.fromisoformat(iso[1:].partition("]")[0]) == NOON
    assert message.render(timestamps="delta", previous=earlier) == "[+1.500] room1: Hello"
    assert message.render(timestamps="delta") == "[+0.000] room1: Hello"
    with pytest.raises(ValueError, match=r"none.*time.*iso.*delta"):
        message.render(timestamps="noon")  # type: ignore[arg-type]


def test_colour_does_not_change_the_text() -> None:
    message = Message([b"room1:Hello", stamp()], received_at=NOON)
    colored = message.render(color=True)
    assert SGR.sub("", colored) == message.render(color=False)
    assert colored.count("\x1b[0m") >= 2
    assert "\x1b" not in message.render()


def test_colour_is_reset_before_the_text() -> None:
    colored = Message([b"room1:Hello"], topic="room1", received_at=NOON).render(color=True)
    assert colored.endswith(("\x1b[0m: Hello", "\x1b[0m Hello"))


def test_a_name_has_the_same_colour_in_every_process(
    run_python: RunPython, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = """
        from zmqchat_rs._core import paint
        print([paint("x", key=f"room{n}") for n in range(50)])
    """
    here = [paint("x", key=f"room{number}") for number in range(50)]
    for seed, no_color in (("1", "1"), ("2", "")):
        monkeypatch.setenv("PYTHONHASHSEED", seed)
        monkeypatch.setenv("NO_COLOR", no_color)
        finished = run_python(script)
        assert (finished.code, finished.stderr) == (0, "")
        assert finished.stdout.strip() == str(here)
    assert len(set(here)) == 12


def test_the_colour_of_a_topic_is_the_same_in_every_line() -> None:
    first = Message([b"room1:Hello"], topic="room1").render(color=True, timestamps="none")
    second = Message([b"room1:Bye", stamp()], received_at=NOON).render(
        color=True, timestamps="none"
    )
    shown = paint("room1", key="room1")
    assert first.startswith(shown)
    assert second.startswith(shown)


def test_a_sender_never_has_the_colour_of_the_topic_beside_it() -> None:
    for number in range(50):
        topic = f"room{number}"
        # The sender has the topic's name. In separate lines both have the same colour.
        message = Message([f"{topic}:Hi".encode(), stamp(**{"from": topic}, topic=topic)])
        line = message.render(color=True, timestamps="none")
        first, second = re.findall(r"\x1b\[38;5;(\d+)m", line)
        assert first != second


DANGEROUS = [
    *map(chr, range(0x20)),
    *map(chr, range(0x7F, 0xA0)),
    *"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029",
]


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("character", DANGEROUS, ids=lambda c: f"U+{ord(c):04X}")
def test_control_characters_in_a_message_do_not_reach_the_terminal(
    character: str,
    color: bool,  # noqa: FBT001
) -> None:
    attack = f"a{character}[31mb{character}"
    wire = attack.encode()
    for message in (
        Message([wire]),
        Message([b"room1:" + wire]),
        Message([b"room1:" + wire], topic="room1"),
        Message([wire, b"Hello"]),
        Message([wire + b":x", b"Hello"]),
        Message([b"room1:" + wire, stamp(**{"from": attack})]),
    ):
        shown = message.render(color=color)
        plain = SGR.sub("", shown) if color else shown
        assert character not in plain
        assert not {unicodedata.category(each) for each in plain} & {"Cc", "Zl", "Zp"}
        assert "\x1b[31m" not in plain
    assert Message([b"room1:" + wire], topic="room1").data == wire
    assert Message([b"room1:" + wire], topic="room1").text == attack
    assert character not in sanitize(attack)


def test_a_newline_in_a_message_does_not_start_a_second_line() -> None:
    frame = b"room1:Hello\n[12:03:11] room1 teacher: no homework"
    message = Message([frame], topic="room1", received_at=NOON)
    assert message.render() == r"[12:03:11] room1: Hello\n[12:03:11] room1 teacher: no homework"


def test_each_control_character_has_its_own_escape() -> None:
    assert sanitize("a\x1b[31m\t\r\n\x7f\x9b\u202e") == r"a\x1b[31m\t\r\n\x7f\x9b\u202e"


def test_text_in_any_script_is_not_escaped() -> None:
    for text in (
        "Grüße, 世界",
        "👩\N{ZERO WIDTH JOINER}💻",
        "می\N{ZERO WIDTH NON-JOINER}خواهم",
        "שלום",
    ):
        assert sanitize(text) == text
        assert Message([text.encode()]).render(timestamps="none") == text


@pytest.mark.parametrize(
    ("choice", "environment", "isatty", "jupyter", "colored"),
    [
        ("always", {"NO_COLOR": "1"}, False, False, True),
        (True, {"NO_COLOR": "1"}, False, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, True, False),
        (False, {"FORCE_COLOR": "1"}, True, True, False),
        ("auto", {}, True, False, True),
        ("auto", {}, False, False, False),
        ("auto", {}, False, True, True),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, True, False),
        ("auto", {"NO_COLOR": ""}, True, False, True),
        ("auto", {"FORCE_COLOR": "1"}, False, False, True),
        ("auto", {"CLICOLOR_FORCE": "1"}, False, False, True),
        ("auto", {"FORCE_COLOR": "1", "TERM": "dumb"}, False, False, True),
        ("auto", {"TERM": "dumb"}, True, False, False),
    ],
)
def test_colour_depends_on_choice_environment_and_output(  # noqa: PLR0913, PLR0917
    monkeypatch: pytest.MonkeyPatch,
    choice: Any,
    environment: dict[str, str],
    isatty: bool,  # noqa: FBT001
    jupyter: bool,  # noqa: FBT001
    colored: bool,  # noqa: FBT001
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "CLICOLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert use_color(choice, isatty=isatty, jupyter=jupyter) is colored


def test_an_unknown_colour_choice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"auto.*always.*never"):
        use_color("sometimes", isatty=True)  # type: ignore[arg-type]


def test_invalid_frames_are_refused() -> None:
    refused: list[Callable[[], object]] = [
        lambda: Message([]),
        lambda: Message(["text"]),  # type: ignore[list-item]
        lambda: Message(b"room1:Hello"),  # type: ignore[arg-type]
        lambda: Message([b"x"], framing="other"),  # type: ignore[arg-type]
    ]
    for make in refused:
        with pytest.raises((TypeError, ValueError)):
            make()
    for make in refused[1:3]:
        with pytest.raises(TypeError, match="frames is a list of bytes"):
            make()


def test_random_frames_always_make_a_message_of_one_line() -> None:
    for _ in range(2_000):
        frames = [os.urandom(length) for length in os.urandom(1 + os.urandom(1)[0] % 3)]
        message = Message(frames)
        assert message.frames == tuple(frames)
        assert len(message.render().splitlines()) == 1
