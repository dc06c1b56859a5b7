"""The commands and programs of the README run as pasted."""

from __future__ import annotations

import inspect
import json
import os
import re
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Callable

import pytest

import zmqchat_rs
from tests.helpers.commands import Running, environment
from tests.helpers.timeouts import Background, wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


# A program's first line is its name.
PROGRAMS = {code.split("\n", 1)[0][2:]: code for code in blocks("python")}
SHELL = blocks("sh")


def on_port(pasted: str, port: int) -> str:
    """Return the pasted text with a free port of 127.0.0.1 instead of port 5555."""
    pasted = re.sub(r"tcp://(?:\*|127\.0\.0\.1):5555\b", f"tcp://127.0.0.1:{port}", pasted)
    return (
        pasted.replace("Publisher()", f'Publisher("127.0.0.1:{port}")')
        .replace('Subscriber("127.0.0.1"', f'Subscriber("127.0.0.1:{port}"')
        .replace("zmqchat pub", f"zmqchat pub --bind 127.0.0.1:{port}")
        .replace("zmqchat sub 127.0.0.1", f"zmqchat sub 127.0.0.1:{port}")
    )


def running(command: list[str]) -> Running:
    """Start a command in an environment whose PATH has the installed scripts."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    changes = {"PATH": path, "PYTHONUNBUFFERED": "1"}
    return Running(command, environment(**changes), stderr=subprocess.STDOUT)


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


def program(name: str, port: int) -> Running:
    return running([sys.executable, "-c", on_port(PROGRAMS[name], port)])


def shell(line: str, port: int) -> Running:
    # `exec` replaces the shell, so that signals reach the program itself.
    prefix = "" if "|" in line else "exec "
    return running(["sh", "-c", prefix + on_port(line, port)])


def shell_block(first_words: str) -> list[str]:
    """Return the lines of the only shell block that starts with these words."""
    (found,) = (block for block in SHELL if block.startswith(first_words))
    return found.splitlines()


def start_subscriber(subscriber: str, port: int) -> Running:
    if subscriber == "zmqchat sub":
        return shell(shell_block("zmqchat pub")[1], port)
    return program(subscriber, port)


def type_until_shown(pub: Running, subscriber: Running) -> None:
    """Type a line repeatedly until the subscriber has connected and prints it."""
    shown = Background(subscriber.shows, "Good morning")

    def typed() -> bool:
        pub.type(b"Good morning\n")
        return shown.done

    wait_until(
        typed, lambda: f"the line, not {subscriber.printed}", between=lambda: time.sleep(0.2)
    )
    assert shown.result(), subscriber.printed


def test_the_readme_contains_the_two_commands() -> None:
    assert SHELL[:2] == ["pip install . && zmqchat demo\n", "pip install '.[test]' && pytest\n"]


def test_every_program_of_the_readme_is_run_by_a_test() -> None:
    assert set(PROGRAMS) == {
        "publisher.py",
        "subscriber.py",
        "both.py",
        "connected.py",
        "watch.py, or a cell",
        "tables.py",
        "in_asyncio.py",
        "relay.py",
        "pyzmq_publisher.py",
        "pyzmq_subscriber.py",
        "talking.py",
    }
    assert len(SHELL) == 8


@pytest.mark.parametrize("publisher", ["publisher.py", "pyzmq_publisher.py"])
@pytest.mark.parametrize("subscriber", ["subscriber.py", "pyzmq_subscriber.py", "zmqchat sub"])
def test_the_subscriber_program_prints_messages_of_the_publisher(
    publisher: str, subscriber: str, port: int
) -> None:
    with start_subscriber(subscriber, port) as receiving, program(publisher, port) as sending:
        assert receiving.shows("Hello"), receiving.printed
        assert "room1" in receiving.printed[-1]
        if publisher == "publisher.py":
            assert sending.wait() == 0
            assert sending.shows(f"Connect to: 127.0.0.1:{port}"), sending.printed


def test_ctrl_c_ends_the_subscriber(port: int) -> None:
    with program("subscriber.py", port) as receiving, program("publisher.py", port):
        assert receiving.shows("Hello everyone!"), receiving.printed
        receiving.process.send_signal(signal.SIGINT)
        assert receiving.shows("KeyboardInterrupt"), receiving.printed
        assert receiving.wait() != 0


@pytest.mark.parametrize("subscriber", ["subscriber.py", "pyzmq_subscriber.py", "zmqchat sub"])
def test_typed_lines_are_received_by_the_subscriber(subscriber: str, port: int) -> None:
    pub_line, _ = shell_block("zmqchat pub")
    with start_subscriber(subscriber, port) as receiving, shell(pub_line, port) as typing:
        type_until_shown(typing, receiving)
        assert "room1" in receiving.printed[-1]
        typing.stdin.close()
        assert typing.wait() == 0


def test_both_commands_of_the_pipe_exit_with_0(port: int) -> None:
    pub_line, sub_line = shell_block("seq")
    with shell(pub_line, port) as sending, shell(sub_line, port) as receiving:
        assert receiving.wait() == 0
        assert sending.wait() == 0
        assert not receiving.shows("no line contains this: all lines are read"), receiving.printed
        texts = [line for line in receiving.printed if line.startswith("{")]
        assert [json.loads(line)["text"] for line in texts] == ["1", "2", "3"]


def test_each_independent_command_exits_with_0(port: int) -> None:
    for line in shell_block("zmqchat demo"):
        with shell(line, port) as command:
            code, printed, _ = command.finish()
            assert code == 0, line
            assert printed, line


def test_one_process_publishes_and_subscribes(port: int) -> None:
    with program("both.py", port) as both:
        assert both.shows("2 messages were printed"), both.printed
        assert both.wait() == 0
        assert both.printed == [
            "Hello",
            r"b'\x00\xff'",
            "{'celsius': 21.5}",
            "room1: one",
            "room1: two",
            "2 messages were printed",
        ]


def test_tasks_of_one_event_loop_exchange_messages(port: int) -> None:
    with program("in_asyncio.py", port) as exchanging:
        assert exchanging.shows("room1 two"), exchanging.printed
        assert exchanging.printed == ["Hello", "room1 one", "room1 two"]
        assert exchanging.wait() == 0


def test_the_connection_program_prints_peers_and_statistics(port: int) -> None:
    with program("connected.py", port) as connected:
        assert connected.wait() == 0
        assert connected.shows("<SubscriberStats received=1 "), connected.printed
    printed = "\n".join(connected.printed)
    for expected in (
        r"^\[<Peer '127\.0\.0\.1:\d+' connected since \d\d:\d\d:\d\d>\]$",
        r"^alice 0 \d\.\d{3} s$",
        r"^<PublisherStats sent=1 ",
    ):
        assert re.search(expected, printed, re.MULTILINE), printed


def test_the_table_program_prints_a_table_and_an_array(port: int) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    with program("tables.py", port) as tables:
        assert tables.wait() == 0, tables.printed
        assert tables.shows("0. 1."), tables.printed
    assert re.search(r"^mean +21\.0", "\n".join(tables.printed), re.MULTILINE), tables.printed


def test_the_chat_commands_exchange_lines_with_each_other_and_with_a_program(
    free_port: Callable[[], int],
) -> None:
    ports = {"5555": str(free_port()), "5557": str(free_port())}

    def here(pasted: str) -> str:
        """Return the text with free ports, bound to 127.0.0.1."""
        pasted = pasted.replace("--name alice", "--name alice --bind 127.0.0.1")
        pasted = re.sub(r"127\.0\.0\.1(?!:)", "127.0.0.1:5555", pasted)
        # Both ports are replaced in one pass: a new port is not replaced a second time.
        return re.sub(
            r"(?:127\.0\.0\.1|\*):(5555|5557)\b",
            lambda found: f"127.0.0.1:{ports[found[1]]}",
            pasted,
        )

    alice_line, bob_line = (f"exec {here(line)}" for line in shell_block("zmqchat chat"))
    with running(["sh", "-c", alice_line]) as alice:
        with running(["sh", "-c", bob_line]) as bob:
            assert alice.shows("bob "), alice.printed
            assert bob.shows("alice "), bob.printed
            alice.type(b"Good morning\n")
            assert bob.shows("lobby alice: Good morning"), bob.printed
            bob.type(b"Hi\n")
            assert alice.shows("lobby bob: Hi"), alice.printed
        with running([sys.executable, "-c", here(PROGRAMS["talking.py"])]) as carol:
            assert alice.shows("lobby carol: Hello everyone!"), alice.printed
            alice.type(b"Good evening\n")
            assert carol.shows("alice Good evening"), carol.printed


def test_the_relay_program_forwards_messages(port: int) -> None:
    with program("relay.py", port) as relay:
        assert relay.shows("Hello everyone!"), relay.printed
        assert relay.shows("<RelayStats messages=1 "), relay.printed
        assert relay.wait() == 0


def test_typed_lines_are_received_through_a_relay(port: int, free_port: Callable[[], int]) -> None:
    other = free_port()

    def here(line: str) -> Running:
        command = f"zmqchat relay --frontend 127.0.0.1:{other} --backend 127.0.0.1:{port}"
        line = line.replace("192.168.1.10:5556", f"127.0.0.1:{other}").replace(
            "zmqchat relay", command
        )
        line = line.replace("192.168.1.10", f"127.0.0.1:{port}")
        return running(["sh", "-c", f"exec {line}"])

    relay_line, pub_line, sub_line = shell_block("zmqchat relay")
    with here(relay_line.partition("#")[0]) as relay, here(sub_line) as receiving:
        assert relay.shows(f"zmqchat pub --connect 127.0.0.1:{other}"), relay.printed
        with here(pub_line) as typing:
            type_until_shown(typing, receiving)


def test_watch_prints_messages_in_the_background(port: int) -> None:
    with program("watch.py, or a cell", port) as watching:
        assert watching.wait() == 0
        assert watching.shows("['Hello everyone!']"), watching.printed
        assert any("room1: Hello everyone!" in line for line in watching.printed)


def test_the_numbers_of_the_readme_match_the_defaults() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(zmqchat_rs.Publisher).parameters.items()
    }
    assert f"`high_water_mark` messages ({defaults['high_water_mark']:,})" in README
    assert f"at most {defaults['max_message_bytes'] // 2**20} MiB" in README
    assert f"`linger` ({defaults['linger']:g} second)" in README


def test_the_links_of_the_readme_exist() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for heading in re.findall(r"\]\(#([^)]+)\)", README):
        assert re.search(rf"^#+ {heading}$", README, re.MULTILINE | re.IGNORECASE), heading


def test_the_conda_environment_has_the_documented_name_and_python() -> None:
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    assert "name: zmqchat" in lines
    assert "  - python=3.10" in lines


def test_the_changelog_describes_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{zmqchat_rs.__version__}]" in changelog
