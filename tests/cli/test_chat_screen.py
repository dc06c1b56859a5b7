"""`zmqchat chat` in a terminal: the prompt, the printed lines, commands and completion."""

from __future__ import annotations

import contextlib
import re
import signal
from typing import TYPE_CHECKING, Callable, ContextManager, Iterator, Tuple

import pytest
import zmq

from tests.helpers.chats import HEARTBEAT, chat, texts
from tests.helpers.raw_peers import pyzmq_socket
from tests.helpers.screen import Screen
from tests.helpers.stamps import stamping_publisher
from tests.helpers.terminal import CTRL_C, CTRL_D
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Chat, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

WELCOME = "Ctrl+D leaves."
LONG = "A line that is longer than the width of the terminal is wrapped at words. " * 3


def address_of(screen: Screen) -> str:
    """Return the address in the command that the welcome text shows for peers."""
    command = re.compile(r"zmqchat chat ([^\s\x1b]+)")
    screen.until(lambda: command.search(screen.text) and WELCOME in screen.text, "the address")
    found = command.search(screen.text)
    assert found
    return found.group(1)


ConnectChats = Callable[..., ContextManager[Tuple[Screen, Chat]]]


@pytest.fixture
def connect_chats(free_port: Callable[[], int]) -> ConnectChats:
    """A function that connects alice in a terminal with bob in this process."""

    @contextlib.contextmanager
    def connect(
        *words: str, columns: int = 80, lines: int = 24, **changes: str
    ) -> Iterator[tuple[Screen, Chat]]:
        mine = f"127.0.0.1:{free_port()}"
        with chat("bob", peers=mine) as bob:
            words = ("chat", "--name", "alice", *bob.addresses, "--bind", mine, *words)
            changes = {"NO_COLOR": "1", **changes}
            with Screen(
                *words, "--timestamps", "none", columns=columns, lines=lines, **changes
            ) as alice:
                bob.wait_for_members(timeout=TIMEOUT)
                notice = re.compile(r"bob\s+(joined|is\s+in)")
                alice.until(lambda: notice.search(alice.text), "the notice about bob")
                yield alice, bob

    return connect


def test_a_half_typed_line_stays_at_the_prompt_while_lines_arrive() -> None:
    words = ("--bind", "127.0.0.1:0", "--timestamps", "none")
    # 90 lines, so that no line scrolls off the screen.
    with Screen("chat", "--name", "alice", *words, lines=90, NO_COLOR="1") as alice:
        first = address_of(alice)
        with Screen("chat", "--name", "bob", first, *words, lines=90, NO_COLOR="1") as bob:
            second = address_of(bob)
            with Screen("chat", "--name", "carol", first, second, *words, NO_COLOR="1") as carol:
                third = address_of(carol)
                for screen, addresses in ((alice, (second, third)), (bob, (third,))):
                    for address in addresses:
                        screen.type(f"/connect {address}\r")
                alice.shows("bob ", "carol ")
                bob.shows("alice ", "carol ")
                carol.shows("alice ", "bob ")
                alice.type("Half a line that is not fin")
                alice.bottom("lobby> Half a line that is not fin")
                for number in range(30):
                    bob.type(f"from bob {number}\r")
                    carol.type(f"from carol {number}\r")
                alice.shows("lobby bob: from bob 29", "lobby carol: from carol 29")
                # The typed text is still on the last line, and the cursor is at its end.
                alice.bottom("lobby> Half a line that is not fin")
                assert alice.cursor == (len(alice.rows) - 1, len(alice.rows[-1]))
                assert sum("Half a line" in row for row in alice.rows) == 1
                alice.type("ished\r")
                sent = "lobby alice: Half a line that is not finished"
                for screen in (alice, bob, carol):
                    screen.shows(sent)
                    screen.bottom("lobby>")
                shown = [row for row in bob.rows if row.startswith("lobby carol: from")]
                assert shown == [f"lobby carol: from carol {n}" for n in range(30 - len(shown), 30)]


def test_a_sent_line_is_shown_like_a_received_line(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("Hello\r")
        assert texts(bob, 1) == ["Hello"]
        alice.shows("lobby alice: Hello")
        bob.say("Hi")
        alice.shows("lobby bob: Hi")
        alice.bottom("lobby>")


def test_text_typed_before_the_prompt_appears_in_it() -> None:
    with Screen("chat", "--name", "alice", "--bind", "127.0.0.1:0", NO_COLOR="1") as alice:
        alice.type("early")
        alice.shows(WELCOME)
        alice.bottom("lobby> early")
        assert not [row for row in alice.rows[:-1] if "early" in row]
        alice.type(f"{CTRL_C}/quit\r")
        assert alice.wait() == 0


def test_ctrl_c_clears_the_line_and_ctrl_d_exits(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("not sent")
        alice.bottom("lobby> not sent")
        alice.type(CTRL_C)
        alice.bottom("lobby>")
        alice.type("sent\r")
        assert texts(bob, 1) == ["sent"]
        alice.type(CTRL_C)
        alice.shows("(Ctrl+D or /quit leaves)")
        alice.type(CTRL_D)
        assert alice.wait() == 0
        wait_until(lambda: bob.members == [], "bob to be without members")
        assert "Traceback" not in alice.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminating_signal_sends_a_leave_message(
    connect_chats: ConnectChats, number: int
) -> None:
    with connect_chats() as (alice, bob):
        alice.type("half")
        alice.bottom("lobby> half")
        alice.process.send_signal(number)
        assert alice.wait() == 128 + number
        wait_until(lambda: bob.members == [], "bob to be without members")
        assert "Traceback" not in alice.text


def test_sigint_clears_the_line_like_ctrl_c(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("not sent")
        alice.bottom("lobby> not sent")
        alice.process.send_signal(signal.SIGINT)
        alice.bottom("lobby>")
        alice.type("sent\r")
        assert texts(bob, 1) == ["sent"]


def test_every_command_of_help_has_its_effect(connect_chats: ConnectChats, tmp_path: Path) -> None:
    log = tmp_path / "chat.log"
    with connect_chats() as (alice, bob):
        alice.type("/help\r")
        alice.shows("/who [ROOM]", "/room [NAME]", "/me ACTION", "/log [FILE]", "/quit", "//text")
        alice.type("/who\r")
        alice.shows("lobby bob (127.0.0.1, seen ")
        alice.type("/me waves\r")
        received = bob.recv(timeout=TIMEOUT)
        assert (received.kind, received.text) == ("action", "waves")
        alice.shows("lobby * alice waves")
        alice.type("//etc is a folder\r")
        assert texts(bob, 1) == ["/etc is a folder"]
        alice.type(f"/log {log}\r")
        alice.shows_wrapped(f"logging to {log}; /log off stops it")
        alice.type("logged\r")
        assert texts(bob, 1) == ["logged"]
        bob.say("this, too")
        alice.shows("lobby bob: this, too")
        alice.type("/log off\r")
        alice.shows_wrapped(f"stopped logging to {log}")
        alice.type("not logged\r")
        alice.shows("lobby alice: not logged")
        alice.type("/room team1\r")
        alice.bottom("team1>")
        alice.shows("your lines go to team1; you are also in lobby")
        bob.join("team1")
        bob.wait_for_members(room="team1", timeout=TIMEOUT)
        alice.type("here\r")
        assert [(one.topic, one.text) for one in (bob.recv(), bob.recv())] == [
            ("lobby", "not logged"),
            ("team1", "here"),
        ]
        alice.type("/leave\r")
        alice.bottom("lobby>")
        alice.type("/quit\r")
        assert alice.wait() == 0
    logged = [(one.sender, one.text) for one in read_transcript(log)]
    assert logged == [("alice", "logged"), ("bob", "this, too")]


def test_a_command_without_effect_names_the_reason(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, _):
        alice.type("/who team1\r")
        alice.shows("you are not in team1: type /room team1 to join it")
        alice.type("/log off\r")
        alice.shows("not logging; /log FILE starts it")


def test_long_lines_and_notices_wrap_at_words_under_the_text(connect_chats: ConnectChats) -> None:
    with connect_chats(columns=40) as (alice, bob):
        bob.say("one two three four five six seven eight nine")
        alice.shows(
            "lobby bob: one two three four five six\n           seven eight nine",
        )
        alice.type("ten eleven twelve thirteen fourteen\r")
        alice.shows("lobby alice: ten eleven twelve thirteen\n             fourteen")
        alice.type("/who not-my-room\r")
        alice.shows("you are not in not-my-room: type /room\n  not-my-room to join it")
        alice.resize(60, 24)
        bob.say("one two three four five six seven eight nine")
        alice.shows("lobby bob: one two three four five six seven eight nine")


def test_a_plain_line_has_the_name_once() -> None:
    words = ("--plain", "--bind", "127.0.0.1:0", "--timestamps", "none")
    with Screen("chat", "--name", "alice", *words, NO_COLOR="1") as alice:
        address = address_of(alice)
        with pyzmq_socket(zmq.SUB) as (reader, _):
            reader.connect(f"tcp://{address}")
            reader.subscribe("lobby:")
            while not reader.poll(200):
                alice.type("hello\r")
            assert reader.recv_string() == "lobby:alice: hello"
            alice.shows("\nlobby: alice: hello\n")
            alice.type("/me waves\r")
            alice.shows("\nlobby: * alice waves\n")
        assert "alice: alice" not in alice.text
        assert "alice: *" not in alice.text


def test_lines_have_a_warning_while_a_member_is_lost(
    free_port: Callable[[], int],
) -> None:
    ours, theirs = (f"127.0.0.1:{free_port()}" for _ in range(2))
    words = ("--heartbeat", str(2 * HEARTBEAT), "--timestamps", "none")
    warning = "(bob is not responding: this line may not arrive)"
    with Screen("chat", "--name", "alice", theirs, "--bind", ours, *words) as alice, Screen(
        "chat", "--name", "bob", ours, "--bind", theirs, *words
    ) as bob:
        bob.until(lambda: re.search(r"alice (joined|is in) lobby", bob.text), "alice")
        alice.until(lambda: re.search(r"bob (joined|is in) lobby", alice.text), "bob")
        alice.type("one\r")
        bob.shows("lobby alice: one")
        # The connection remains open, as after a cable is cut.
        bob.process.send_signal(signal.SIGSTOP)
        alice.shows("bob is lost")
        for line in ("two", "three"):
            alice.type(f"{line}\r")
            alice.shows(f"alice: {line}\n{warning}")
        bob.process.send_signal(signal.SIGCONT)
        alice.shows("bob is in lobby")
        alice.type("four\r")
        alice.type("five\r")
        bob.shows("lobby alice: five")
        alice.shows("lobby alice: four\nlobby alice: five")


def test_lost_lines_are_reported_with_the_member_and_the_cause() -> None:
    with stamping_publisher() as bob:
        words = ("--bind", "127.0.0.1:0")
        with Screen("chat", "--name", "alice", bob.address, *words, columns=120) as alice:
            bob.wait()
            bob.send(0, 2, topic="lobby", **{"from": "bob"})
            alice.shows(
                "lost 1 line from bob: this subscriber reads too slowly, or a connection "
                "between publisher and relay was interrupted"
            )


def test_an_invalid_command_shows_an_error_and_is_not_sent(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        for typed, answer in (
            ("/whho", "unknown command /whho: type /help for a list, or //whho to send it"),
            ("/room a b", "topic"),
            ("/leave nowhere", "you are not in 'nowhere'"),
            ("/leave", "lobby is your only room"),
            ("/me", "type an action"),
            ("/connect 1:99999", "port"),
            ("/log /no/such/folder/x", "cannot "),
        ):
            alice.type(f"{typed}\r")
            alice.shows(answer)
        alice.type("sent\r")
        assert texts(bob, 1) == ["sent"]


def test_commands_rooms_and_names_are_completed(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        for typed, completed in (
            ("/wh", "/who"),
            ("/room lob", "/room lobby"),
            ("bo", "bob:"),
            ("are you there, bo", "are you there, bob"),
        ):
            alice.type(f"{typed}\t")
            alice.bottom(f"lobby> {completed}")
            alice.type(CTRL_C)
            alice.bottom("lobby>")
        # With several matches the common prefix is inserted, and a menu shows the matches.
        alice.type("/l\t")
        alice.shows("/leave", "/log")
        alice.type("o\t")
        alice.bottom("lobby> /log")
        alice.type(f"{CTRL_C}sent\r")
        assert texts(bob, 1) == ["sent"]


def test_the_arrow_keys_recall_sent_lines(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("one\r")
        alice.type("two\r")
        assert texts(bob, 2) == ["one", "two"]
        alice.shows("lobby alice: two")
        alice.bottom("lobby>")
        alice.type("\x1b[A\x1b[A")
        alice.bottom("lobby> one")
        alice.type("\r")
        assert texts(bob, 1) == ["one"]


def test_pasted_lines_are_sent_as_separate_messages(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("\x1b[200~one\n\ntwo\x1b[201~\r")
        assert texts(bob, 2) == ["one", "two"]


UNUSUAL = [
    "emoji \U0001f469\u200d\U0001f4bb \U0001f44d\U0001f3fd end",
    "\u0645\u0631\u062d\u0628\u0627 \u05e9\u05dc\u05d5\u05dd",
    "combining e\u0301\u0323\u0308 n\u0303 end",
    "\u5bbd\u5b57\u7b26 wide " * 12,
    LONG.strip(),
]


@pytest.mark.parametrize("columns", [80, 10])
@pytest.mark.parametrize("text", UNUSUAL)
def test_unusual_text_is_sent_unchanged_from_any_terminal_width(
    connect_chats: ConnectChats, text: str, columns: int
) -> None:
    with connect_chats(columns=columns, lines=60) as (alice, bob):
        alice.type(text)
        bob.say("arrives")
        alice.until(lambda: "arrives" in alice.text.replace(" " * 3, ""), "bob's line")
        alice.type("\r")
        assert texts(bob, 1) == [text]
        bob.say(text)
        alice.type("after\r")
        assert texts(bob, 1) == ["after"]
        alice.bottom("lobby>" if columns == 80 else ">")
        assert "Traceback" not in alice.text


def test_bytes_that_are_not_text_are_sent_as_replacement_characters(
    connect_chats: ConnectChats,
) -> None:
    with connect_chats() as (alice, bob):
        alice.type("caf\udce9 \u20ac\r")
        assert texts(bob, 1) == ["caf\ufffd \u20ac"]


def test_a_one_way_connection_is_reported_with_the_remedy(free_port: Callable[[], int]) -> None:
    mine = f"127.0.0.1:{free_port()}"
    words = ("--bind", mine, "--heartbeat", "0.2")
    with Screen("chat", "--name", "alice", *words) as alice:
        alice.shows("Not connected to another chat yet")
        with chat("bob", peers=mine):
            alice.shows(
                "127.0.0.1 receives your lines, but you receive none from there: type /connect",
                "127.0.0.1 if a chat runs there",
            )


def test_resizing_the_terminal_keeps_the_typed_line(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        alice.type("half a line")
        alice.bottom("lobby> half a line")
        alice.resize(40, 24)
        bob.say("Hello")
        alice.shows("lobby bob: Hello")
        alice.bottom("lobby> half a line")


def test_control_characters_of_a_member_are_shown_escaped(connect_chats: ConnectChats) -> None:
    with connect_chats() as (alice, bob):
        bob.say("\x1b[2J\x1b]0;title\x07\nforged line \u202e")
        alice.shows(r"lobby bob: \x1b[2J\x1b]0;title\x07\nforged line \u202e")


def test_a_name_is_coloured_if_colour_is_enabled(connect_chats: ConnectChats) -> None:
    with connect_chats(NO_COLOR="", FORCE_COLOR="1") as (alice, bob):
        bob.say("Hello")
        alice.shows("lobby bob: Hello")
        row = next(y for y, text in enumerate(alice._screen.display) if "bob: Hello" in text)
        colors = {alice._screen.buffer[row][x].fg for x in range(6, 9)}
        assert len(colors) == 1
        assert colors != {"default"}


def test_a_refused_connection_is_reported_and_established_later(
    free_port: Callable[[], int],
) -> None:
    address = f"127.0.0.1:{free_port()}"
    with Screen("chat", "--name", "alice", address, "--bind", "127.0.0.1:0") as alice:
        alice.shows(f"{address} refused the connection: no chat is running there yet.")
        alice.type("Hello\r")
        alice.shows("(no subscriber in lobby yet: this line was not delivered)")
        with chat("bob", bind=address) as bob:
            alice.shows(f"connected to {address}", "bob joined lobby")
            bob.say("Hi")
            alice.shows("bob: Hi")
        alice.shows("bob left lobby", f"lost the connection to {address}")
