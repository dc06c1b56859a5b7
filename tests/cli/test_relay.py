"""`zmqchat relay` forwards messages, reports connections and ends at a signal."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.commands import start, zmqchat
from tests.helpers.terminal import in_terminal
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Relay, Subscriber, read_transcript

if TYPE_CHECKING:
    from tests.helpers.commands import Running

    FreePort = Callable[[], int]

HERE = ("--frontend", "127.0.0.1:0", "--backend", "127.0.0.1:0")


def addresses(relay: Running) -> tuple[str, str]:
    """Read the addresses that the relay prints for publishers and subscribers."""
    found = re.fullmatch(r"Publish with:    zmqchat pub --connect ([^\s\x1b]+)", relay.notice())
    assert found
    frontend = found.group(1)
    found = re.fullmatch(r"Subscribe with:  zmqchat sub ([^\s\x1b]+)", relay.notice())
    assert found
    return frontend, found.group(1)


def test_sub_receives_messages_of_pub_through_a_relay() -> None:
    with start("relay", *HERE) as relay:
        frontend, backend = addresses(relay)
        with start("sub", backend, "-t", "room1", "-c", "2", "--timestamps", "none") as sub:
            words = ("-t", "room1", "-m", "Hello", "-m", "again", "--wait", "1", "-W", "30")
            finished = zmqchat("pub", "--connect", frontend, *words)
            assert (finished.returncode, finished.stdout) == (0, b"")
            assert sub.finish() == (0, "room1: Hello\nroom1: again\n", "")
        relay.process.send_signal(signal.SIGINT)
        assert relay.finish() == (130, "", "")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_relay_prints_statistics_when_a_signal_ends_it(
    number: int, code: int, tmp_path: Path
) -> None:
    log = tmp_path / "class.jsonl"
    with start("relay", *HERE, "--stats", "--log", str(log), "-v") as relay:
        frontend, backend = addresses(relay)
        with Subscriber(backend) as subscriber:
            # The log subscribes to all topics; only this notice shows that the subscriber has.
            assert relay.notice() == "127.0.0.1 joined all topics"
            with Publisher(connect=frontend) as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send("Hello", topic="room1")
                assert subscriber.recv(timeout=TIMEOUT).text == "room1:Hello"
        relay.process.send_signal(number)
        ended, out, errors = relay.finish()
    assert (ended, out) == (code, "")
    # The last disconnection may be reported after the statistics.
    assert re.search(
        r"^messages 1, bytes 11, overflows 0, publishers \d, subscribers \d, captured 1, "
        r"capture skipped 0$",
        errors,
        re.MULTILINE,
    )
    with read_transcript(log) as reader:
        assert [message.text for message in reader] == ["room1:Hello"]


def test_a_verbose_relay_reports_connections_and_subscriptions() -> None:
    with start("relay", *HERE, "-v") as relay:
        frontend, backend = addresses(relay)
        with Publisher(connect=frontend):
            assert relay.notice() == "publisher 127.0.0.1 connected"
            with Subscriber(backend, topics=["room1"]) as subscriber:
                assert relay.notice() == "127.0.0.1 joined room1"
                subscriber.subscribe(prefix="x\x1b[2J")
                assert relay.notice() == r"127.0.0.1 joined prefix 'x\x1b[2J'"
                subscriber.unsubscribe("room1")
                assert relay.notice() == "127.0.0.1 left room1"
            assert relay.notice() == "127.0.0.1 left"
        assert relay.notice() == "publisher 127.0.0.1 disconnected"


def test_a_relay_in_a_pipe_does_not_report_connections() -> None:
    with start("relay", *HERE) as relay:
        frontend, backend = addresses(relay)
        with Publisher(connect=frontend) as publisher, Subscriber(backend):
            publisher.wait_for_subscribers(timeout=TIMEOUT)
        relay.process.send_signal(signal.SIGINT)
        assert relay.finish() == (130, "", "")


def test_ctrl_c_in_a_terminal_ends_a_relay() -> None:
    with in_terminal("relay", *HERE, "--stats", NO_COLOR="1") as relay:
        frontend = relay.expect(r"zmqchat pub --connect ([^\s\x1b]+)").group(1)
        relay.expect(r"Ctrl\+C ends\.")
        with Publisher(connect=frontend):
            relay.expect("publisher 127.0.0.1 connected")
        relay.expect("publisher 127.0.0.1 disconnected")
        assert relay.interrupt() == 130
    assert relay.text.splitlines()[-1].startswith("messages 0, bytes 0")


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_a_relay_works_in_tmux(tmp_path: Path) -> None:
    def tmux(*words: str) -> str:
        command = ["tmux", "-S", str(tmp_path / "tmux"), *words]
        done = subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT)
        return done.stdout.decode()

    tmux("new-session", "-d", "-x", "100", "-y", "30", "sh")
    try:
        tmux("send-keys", f"{sys.executable} -m zmqchat_rs relay {' '.join(HERE)}; echo code $?\r")
        pane = ("capture-pane", "-p")
        wait_until(lambda: "Ctrl+C ends." in tmux(*pane))
        found = re.search(r"zmqchat pub --connect ([^\s\x1b]+)", tmux(*pane))
        assert found
        with Publisher(connect=found.group(1)):
            wait_until(lambda: "publisher 127.0.0.1 connected" in tmux(*pane))
        tmux("send-keys", "C-c")
        wait_until(lambda: "code 130" in tmux(*pane))
    finally:
        tmux("kill-server")


@pytest.mark.usefixtures("short_silence")
def test_a_chained_relay_reports_its_upstream_connection(free_port: FreePort) -> None:
    upstream = f"127.0.0.1:{free_port()}"
    with start("relay", *HERE, "--connect", upstream) as relay:
        _, backend = addresses(relay)
        assert relay.notice() == f"Forwarding messages from {upstream}."
        assert relay.notice().startswith(f"cannot connect to {upstream}: refused. ")
        with Subscriber(backend) as subscriber, Relay("127.0.0.1:0", backend=upstream) as above:
            assert relay.notice() == f"connected to {upstream}"
            with Publisher(connect=str(above.frontend)) as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                publisher.send("from above")
                assert subscriber.recv(timeout=TIMEOUT).text == "from above"
        assert relay.notice() == (f"lost the connection to {upstream}; reconnecting")


def test_a_late_subscriber_receives_the_last_value() -> None:
    with start("relay", *HERE, "--last-value") as relay:
        frontend, backend = addresses(relay)
        with Publisher(connect=frontend) as publisher, Subscriber(backend) as first:
            publisher.wait_for_subscribers(timeout=TIMEOUT)
            publisher.send("21.5", topic="celsius")
            first.recv(timeout=TIMEOUT)
            words = ("-t", "celsius", "-c", "1", "-W", "30", "--timestamps", "none")
            finished = zmqchat("sub", backend, *words)
        assert (finished.returncode, finished.stdout) == (0, b"celsius: 21.5\n")


def test_a_relay_reports_a_full_disk_once_and_continues() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with start("relay", *HERE, "--log", "/dev/full", "-v") as relay:
        frontend, backend = addresses(relay)
        with Subscriber(backend) as subscriber:
            assert relay.notice() == "127.0.0.1 joined all topics"
            with Publisher(connect=frontend) as publisher:
                publisher.wait_for_subscribers(timeout=TIMEOUT)
                assert relay.notice() == "publisher 127.0.0.1 connected"
                for _ in range(3):
                    publisher.send("Hello")
                    subscriber.recv(timeout=TIMEOUT)
                assert relay.notice().startswith(
                    "the relay cannot log its messages: cannot write to '/dev/full': No space"
                )
        relay.process.send_signal(signal.SIGINT)
        code, out, errors = relay.finish()
    assert (code, out) == (130, "")
    assert "cannot log" not in errors


def test_a_relay_uses_the_default_ports_without_options() -> None:
    with start("relay") as relay:
        first = relay.notice()
        if "in use" in first:
            pytest.skip("port 5555 or 5556 of this machine is in use")
        assert first.endswith(":5556")
        lines = [relay.notice()]
        while "--via" not in lines[-1]:
            lines.append(relay.notice())
    assert "Subscribe with:  zmqchat sub " in "\n".join(lines)
    # The default port is omitted.
    assert not any(line.endswith(":5555") for line in lines)


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--frontend", "*:99999"), 2, "99999"),
        (("--frontend", "*:7000", "--backend", "*:7000"), 2, "have the same port"),
        (("--backend", "127.0.0.1:7003", "--connect", "127.0.0.1:7003"), 2, "forwarded forever"),
        (("--on-full", "raise"), 2, "invalid choice"),
        (("--last-value", "many"), 2, "invalid count"),
        (("--log", "/nowhere/at/all"), 1, "/nowhere/at/all"),
        (("extra",), 2, "unrecognized"),
    ],
)
def test_invalid_options_end_a_relay_with_an_error(
    words: tuple[str, ...], code: int, text: str
) -> None:
    finished = zmqchat("relay", *HERE[:2], *words)
    assert finished.returncode == code
    assert text in finished.stderr.decode()
    assert finished.stdout == b""


def test_a_port_in_use_ends_a_relay_with_1(publisher: Publisher) -> None:
    finished = zmqchat("relay", "--frontend", publisher.addresses[0], "--backend", "127.0.0.1:0")
    assert finished.returncode == 1
    assert "already in use" in finished.stderr.decode()


def test_the_help_of_relay_has_examples() -> None:
    finished = zmqchat("relay", "--help")
    assert finished.returncode == 0
    for words in (b"--log class.log", b"--last-value", b"zmqchat pub --connect 192.168.1.10:5556"):
        assert words in finished.stdout
