"""`zmqchat chat` in a pipe sends stdin, prints messages on stdout and notices on stderr."""

from __future__ import annotations

import contextlib
import re
import signal
import sys
from typing import TYPE_CHECKING, Callable, Iterator

import pytest

from tests.helpers.chats import RecordedNotices, chat, start_proxy, texts
from tests.helpers.commands import start, zmqchat, zmqchat_in_process
from tests.helpers.stamps import stamp
from tests.helpers.terminal import in_terminal
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Chat, Message, Publisher, Relay, Transcript, read_transcript

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.commands import Running
    from tests.helpers.scripts import StartPython


@contextlib.contextmanager
def piping(*words: str) -> Iterator[tuple[Running, Chat]]:
    """Alice in a pipe and bob in this process, connected to each other."""
    with chat("bob") as bob:
        words = ("chat", "--name", "alice", *bob.addresses, *words, "--timestamps", "none")
        with start(*words, "--bind", "127.0.0.1:0") as alice:
            bob.connect(printed_address(alice))
            bob.wait_for_members(timeout=TIMEOUT)
            yield alice, bob


def printed_address(alice: Running) -> str:
    found = re.search(r"zmqchat chat ([^\s\x1b]+)", alice.notice())
    assert found
    return found.group(1)


def test_each_line_of_a_pipe_is_sent_unaltered() -> None:
    with piping() as (alice, bob):
        alice.type(b"Hello\n/quit is no command here\n\n\xff bytes\nno newline at the end")
        alice.stdin.close()
        assert texts(bob, 5) == [
            "Hello",
            "/quit is no command here",
            "",
            "\ufffd bytes",
            "no newline at the end",
        ]
        assert alice.wait() == 0


def test_a_long_line_is_not_wrapped_in_a_pipe() -> None:
    with piping() as (alice, bob):
        text = " ".join(["word"] * 50)
        bob.say(text)
        assert alice.line() == f"lobby bob: {text}"


def test_messages_are_on_stdout_and_presence_notices_on_stderr() -> None:
    with piping() as (alice, bob):
        assert re.fullmatch("bob (joined|is in) lobby", alice.notice())
        bob.say("Hello")
        bob.me("waves")
        assert [alice.line(), alice.line()] == ["lobby bob: Hello", "lobby * bob waves"]
        bob.close()
        # Two threads report the disconnection and the end of presence, in either order.
        last = sorted(alice.notice() for _ in range(2))
        assert last[0] == "bob left lobby"
        assert last[1].startswith("lost the connection to 127.0.0.1:")
        assert alice.finish() == (0, "", "")


def test_quiet_suppresses_presence_notices() -> None:
    with piping("--quiet") as (alice, bob):
        bob.say("Hello")
        assert alice.line() == "lobby bob: Hello"
        assert alice.finish() == (0, "", "")


def test_ctrl_c_ends_chat_in_a_pipe_with_130_and_leaves() -> None:
    with piping() as (alice, bob):
        alice.process.send_signal(signal.SIGINT)
        assert alice.wait() == 130
        wait_until(lambda: bob.members == [], "alice to leave")


def test_a_piped_line_is_delivered_through_a_relay(start_python: StartPython) -> None:
    via = start_proxy(start_python)
    noticed = RecordedNotices()
    with chat("bob", via=via, on_notice=noticed) as bob:
        bob.wait_for_listeners(timeout=TIMEOUT)
        finished = zmqchat("chat", "--name", "alice", "--via", ",".join(via), stdin=b"Hello\n")
        assert (finished.returncode, finished.stdout) == (0, b"")
        assert texts(bob, 1) == ["Hello"]
        noticed.wait("go", "alice")


def test_a_pipe_without_peers_warns_and_ends_with_its_input() -> None:
    finished = zmqchat("chat", "--name", "alice", "--bind", "127.0.0.1:0", stdin=b"Hello\n")
    assert finished.returncode == 0
    assert (
        finished.stderr.decode()
        .splitlines()[-1]
        .startswith(
            "zmqchat: no chat is connected yet: these lines may be lost. Others can connect to "
            "your address: zmqchat chat 127.0.0.1:"
        )
    )


@pytest.mark.usefixtures("short_silence")
def test_a_missing_relay_is_reported_in_one_line(free_port: Callable[[], int]) -> None:
    port = free_port()
    with start("chat", "--name", "alice", "--via", f"127.0.0.1:{port}") as alice:
        assert alice.notice() == (
            f"127.0.0.1:{port} refused the connection: no relay is running there yet (start it: "
            "zmqchat relay). Retrying; check address and port if it should be running."
        )
        with Relay(frontend=f"127.0.0.1:{port + 1}", backend=f"127.0.0.1:{port}"):
            assert alice.notice() == f"connected to 127.0.0.1:{port}"
        assert alice.notice().startswith(f"lost the connection to 127.0.0.1:{port}; ")
        assert alice.finish() == (0, "", "")


@pytest.mark.usefixtures("short_silence")
def test_a_relay_whose_frontend_is_unreachable_is_reported(free_port: Callable[[], int]) -> None:
    with Publisher("127.0.0.1:0", linger=0) as half, chat("bob") as bob:
        speak = f"127.0.0.1:{free_port()}"
        via = f"{speak},{half.addresses[0]}"
        with start("chat", "--name", "alice", "--via", via, *bob.addresses) as alice:
            assert alice.notice().startswith("bob ")
            assert alice.notice().startswith(f"cannot send to {speak}: refused. ")


def test_chat_ends_when_its_output_is_closed() -> None:
    with piping() as (alice, bob):
        bob.say("first")
        assert alice.line() == "lobby bob: first"
        assert alice.stdout is not None
        alice.stdout.close()
        bob.say("second")
        assert alice.wait() == 0


def test_sent_and_received_messages_are_logged(tmp_path: Path) -> None:
    log = tmp_path / "chat.jsonl"
    with piping("--log", str(log)) as (alice, bob):
        alice.type(b"Hello\n")
        assert texts(bob, 1) == ["Hello"]
        bob.me("nods")
        assert alice.line() == "lobby * bob nods"
        assert alice.finish()[0] == 0
    logged = [(one.topic, one.sender, one.kind, one.text) for one in read_transcript(log)]
    assert logged == [("lobby", "alice", None, "Hello"), ("lobby", "bob", "action", "nods")]
    shown = zmqchat("log", str(log), "--timestamps", "none").stdout.decode().splitlines()
    assert shown == ["lobby alice: Hello", "lobby * bob nods"]


def test_logged_presence_is_neither_printed_nor_replayed(tmp_path: Path) -> None:
    log = tmp_path / "relay.log"
    with Transcript(log) as transcript:
        for kind, text in (("come", ""), (None, "Hello"), ("here", ""), ("go", "")):
            stamped = stamp(0, "lobby", kind=kind)
            transcript.write(Message([f"lobby:{text}".encode(), stamped]))
    for words in (("log", "--timestamps", "none"), ("replay", "--speed", "0")):
        shown = zmqchat(*words, str(log)).stdout.decode().splitlines()
        assert len(shown) == 1
        assert shown[0].endswith("lobby alice: Hello")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="a device that is always full")
def test_a_full_disk_is_reported_once_and_the_chat_continues() -> None:
    with piping("--log", "/dev/full") as (alice, bob):
        assert alice.notice().startswith("bob ")
        for word in ("one", "two"):
            bob.say(word)
            assert alice.line() == f"lobby bob: {word}"
        assert alice.notice().startswith("not logged: ")
        assert alice.finish() == (0, "", "")


def test_commands_work_in_a_terminal_without_a_screen() -> None:
    words = ("chat", "--name", "alice", "--bind", "127.0.0.1:0")
    with in_terminal(*words, NO_COLOR="1") as alice:
        alice.expect("Ctrl\\+D leaves")
        alice.type("/quit\r")
        assert alice.wait() == 0


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("lab-pc:99999",), "port"),
        (("--room", "a b"), "topic"),
        (("--name", ""), "name"),
        (("--via", "a,b,c"), "not 3"),
        (("--heartbeat", "0"), "from 0.05 to 86,400"),
        (("--heartbeat", "1e300"), "from 0.05 to 86,400"),
        (("--via", "pc:65535"), "there is none after 65535"),
        (("--bind", "*:0", "--bind", "x:y"), "port"),
    ],
)
def test_invalid_options_are_usage_errors(words: tuple[str, ...], text: str) -> None:
    finished = zmqchat_in_process("chat", "--name", "alice", *words)
    assert (finished.returncode, finished.stdout) == (2, b"")
    assert text in finished.stderr.decode()


def test_the_error_of_a_port_in_use_names_the_remedy() -> None:
    with chat("bob") as bob:
        finished = zmqchat("chat", "--name", "alice", "--bind", bob.addresses[0])
    assert finished.returncode == 1
    assert "in use by" in finished.stderr.decode()
    assert "--via 127.0.0.1" in finished.stderr.decode()


def test_the_default_name_is_the_login_name() -> None:
    words = ("chat", "--bind", "127.0.0.1:0")
    with chat("bob") as bob, start(*words, *bob.addresses, LOGNAME="zoe") as alice:
        bob.connect(printed_address(alice))
        bob.wait_for_members(timeout=TIMEOUT)
        assert [one.name for one in bob.members] == ["zoe"]
