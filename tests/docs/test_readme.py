"""The README keeps its word: its commands stand there, its programs run as pasted."""

from __future__ import annotations

import inspect
import json
import os
import queue
import re
import signal
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path
from typing import Callable

import pytest

import zmqchat_rs

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS = 60.0  # far above what any of these takes


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


# A program's first line is its name.
PROGRAMS = {code.split("\n", 1)[0][2:]: code for code in blocks("python")}
SHELL = blocks("sh")


def on_port(pasted: str, port: int) -> str:
    """Change all that is changed in what is pasted: 5555 on every interface to one free port."""
    pasted = re.sub(r"tcp://(?:\*|127\.0\.0\.1):5555\b", f"tcp://127.0.0.1:{port}", pasted)
    return (
        pasted.replace("Publisher()", f'Publisher("127.0.0.1:{port}")')
        .replace('Subscriber("127.0.0.1"', f'Subscriber("127.0.0.1:{port}"')
        .replace("zmqchat pub", f"zmqchat pub --bind 127.0.0.1:{port}")
        .replace("zmqchat sub 127.0.0.1", f"zmqchat sub 127.0.0.1:{port}")
    )


def environment() -> dict[str, str]:
    """Make what a shell has where the package was just installed."""
    path = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    return {**os.environ, "PATH": path, "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}


@pytest.fixture
def port(free_port: Callable[[], int]) -> int:
    return free_port()


class Running:
    """A program in a process of its own, whose lines can be waited for."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(
            command,
            env=environment(),
            encoding="utf-8",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.printed: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def shows(self, expected: str, within: float = SECONDS) -> bool:
        """Wait for a line that contains `expected`; false when time or the output ends first."""
        deadline = time.monotonic() + within
        while True:
            try:
                line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return False
            if line is None:
                self._lines.put(None)  # the end stays the end
                return False
            self.printed.append(line)
            if expected in line:
                return True

    def ends(self) -> int:
        return self.process.wait(SECONDS)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


def program(name: str, port: int) -> Running:
    return Running([sys.executable, "-c", on_port(PROGRAMS[name], port)])


def shell(line: str, port: int) -> Running:
    # `exec`: a signal meant for the program reaches it, and no shell in between.
    prefix = "" if "|" in line else "exec "
    return Running(["sh", "-c", prefix + on_port(line, port)])


def shell_block(first_words: str) -> list[str]:
    """Find the one shell block that opens with these words, and give its lines."""
    (found,) = (block for block in SHELL if block.startswith(first_words))
    return found.splitlines()


def hearing_with(subscriber: str, port: int) -> Running:
    if subscriber == "zmqchat sub":
        return shell(shell_block("zmqchat pub")[1], port)
    return program(subscriber, port)


def test_the_two_commands_stand_there_to_be_copied() -> None:
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
def test_what_one_program_publishes_the_other_shows(
    publisher: str, subscriber: str, port: int
) -> None:
    with hearing_with(subscriber, port) as hearing, program(publisher, port) as telling:
        assert hearing.shows("Hello"), hearing.printed
        assert "room1" in hearing.printed[-1]
        if publisher == "publisher.py":
            assert telling.ends() == 0
            assert telling.shows(f"Connect to: 127.0.0.1:{port}"), telling.printed


def test_ctrl_c_ends_the_subscriber(port: int) -> None:
    with program("subscriber.py", port) as hearing, program("publisher.py", port):
        assert hearing.shows("Hello everyone!"), hearing.printed
        hearing.process.send_signal(signal.SIGINT)
        assert hearing.shows("KeyboardInterrupt"), hearing.printed
        assert hearing.ends() != 0


@pytest.mark.parametrize("subscriber", ["subscriber.py", "pyzmq_subscriber.py", "zmqchat sub"])
def test_what_is_typed_in_one_window_is_read_in_the_other(subscriber: str, port: int) -> None:
    pub_line, _ = shell_block("zmqchat pub")
    with hearing_with(subscriber, port) as hearing, shell(pub_line, port) as typing:
        # Whoever types sees when the other window is up; here, the line is typed until it is.
        deadline = time.monotonic() + SECONDS
        typing.type("Good morning")
        while not hearing.shows("Good morning", within=0.2):
            assert time.monotonic() < deadline, (typing.printed, hearing.printed)
            assert typing.process.poll() is None, typing.printed
            typing.type("Good morning")
        assert "room1" in hearing.printed[-1]
        assert typing.process.stdin is not None
        typing.process.stdin.close()
        assert typing.ends() == 0


def test_both_sides_of_the_pipe_end_well(port: int) -> None:
    pub_line, sub_line = shell_block("seq")
    with shell(pub_line, port) as telling, shell(sub_line, port) as hearing:
        assert hearing.ends() == 0
        assert telling.ends() == 0
        assert not hearing.shows("an end to its output"), hearing.printed
        texts = [line for line in hearing.printed if line.startswith("{")]
        assert [json.loads(line)["text"] for line in texts] == ["1", "2", "3"]


def test_each_command_that_stands_alone_works(port: int) -> None:
    for line in shell_block("zmqchat demo"):
        with shell(line, port) as command:
            assert command.ends() == 0, line
            assert command.shows(""), line


def test_one_process_can_hold_both_sides(port: int) -> None:
    with program("both.py", port) as both:
        assert both.shows("2 messages were printed"), both.printed
        assert both.ends() == 0
        assert both.printed == [
            "Hello",
            r"b'\x00\xff'",
            "{'celsius': 21.5}",
            "room1: one",
            "room1: two",
            "2 messages were printed",
        ]


def test_tasks_of_one_loop_talk_with_each_other(port: int) -> None:
    with program("in_asyncio.py", port) as talking:
        assert talking.shows("room1 two"), talking.printed
        assert talking.printed == ["Hello", "room1 one", "room1 two"]
        assert talking.ends() == 0


def test_it_is_connected_and_the_message_has_arrived(port: int) -> None:
    with program("connected.py", port) as connected:
        assert connected.ends() == 0
        assert connected.shows("<SubscriberStats received=1 "), connected.printed
    printed = "\n".join(connected.printed)
    for expected in (
        r"^\[<Peer '127\.0\.0\.1:\d+' connected since \d\d:\d\d:\d\d>\]$",
        r"^alice 0 \d\.\d{3} s$",
        r"^<PublisherStats sent=1 ",
    ):
        assert re.search(expected, printed, re.MULTILINE), printed


def test_messages_become_a_table_and_arrays_travel(port: int) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    with program("tables.py", port) as tables:
        assert tables.ends() == 0, tables.printed
        assert tables.shows("0. 1."), tables.printed
    assert re.search(r"^mean +21\.0", "\n".join(tables.printed), re.MULTILINE), tables.printed


def test_two_windows_talk_and_a_window_talks_with_a_program(free_port: Callable[[], int]) -> None:
    here_and_there = {"5555": str(free_port()), "5557": str(free_port())}

    def here(pasted: str) -> str:
        """Change the ports, and listen on this machine alone."""
        pasted = pasted.replace("--name alice", "--name alice --bind 127.0.0.1")
        pasted = re.sub(r"127\.0\.0\.1(?!:)", "127.0.0.1:5555", pasted)
        # Both at once: a port that was put in must not be taken for one to change.
        return re.sub(
            r"(?:127\.0\.0\.1|\*):(5555|5557)\b",
            lambda found: f"127.0.0.1:{here_and_there[found[1]]}",
            pasted,
        )

    alice_line, bob_line = (f"exec {here(line)}" for line in shell_block("zmqchat chat"))
    with Running(["sh", "-c", alice_line]) as alice:
        with Running(["sh", "-c", bob_line]) as bob:
            assert alice.shows("bob "), alice.printed
            assert bob.shows("alice "), bob.printed
            alice.type("Good morning")
            assert bob.shows("lobby alice: Good morning"), bob.printed
            bob.type("Hi")
            assert alice.shows("lobby bob: Hi"), alice.printed
        with Running([sys.executable, "-c", here(PROGRAMS["talking.py"])]) as carol:
            assert alice.shows("lobby carol: Hello everyone!"), alice.printed
            alice.type("Good evening")
            assert carol.shows("alice Good evening"), carol.printed


def test_a_relay_passes_on_what_its_program_sends(port: int) -> None:
    with program("relay.py", port) as relay:
        assert relay.shows("Hello everyone!"), relay.printed
        assert relay.shows("<RelayStats messages=1 "), relay.printed
        assert relay.ends() == 0


def test_what_is_typed_with_a_relay_in_between_is_read(
    port: int, free_port: Callable[[], int]
) -> None:
    other = free_port()

    def here(line: str) -> Running:
        ends = f"zmqchat relay --frontend 127.0.0.1:{other} --backend 127.0.0.1:{port}"
        line = line.replace("192.168.1.10:5556", f"127.0.0.1:{other}").replace(
            "zmqchat relay", ends
        )
        line = line.replace("192.168.1.10", f"127.0.0.1:{port}")
        return Running(["sh", "-c", f"exec {line}"])

    relay_line, pub_line, sub_line = shell_block("zmqchat relay")
    with here(relay_line.partition("#")[0]) as relay, here(sub_line) as hearing:
        assert relay.shows(f"zmqchat pub --connect 127.0.0.1:{other}"), relay.printed
        with here(pub_line) as typing:
            deadline = time.monotonic() + SECONDS
            typing.type("Good morning")
            while not hearing.shows("Good morning", within=0.2):
                assert time.monotonic() < deadline, (typing.printed, hearing.printed)
                typing.type("Good morning")


def test_a_program_watches_in_the_background(port: int) -> None:
    with program("watch.py, or a cell", port) as watching:
        assert watching.ends() == 0
        assert watching.shows("['Hello everyone!']"), watching.printed
        assert any("room1: Hello everyone!" in line for line in watching.printed)


def test_the_numbers_are_those_of_the_module() -> None:
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(zmqchat_rs.Publisher).parameters.items()
    }
    assert f"`high_water_mark` messages ({defaults['high_water_mark']:,})" in README
    assert f"at most {defaults['max_message_bytes'] // 2**20} MiB" in README
    assert f"`linger` ({defaults['linger']:g} second)" in README


def test_what_the_readme_links_to_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
    for heading in re.findall(r"\]\(#([^)]+)\)", README):
        assert re.search(rf"^#+ {heading}$", README, re.MULTILINE | re.IGNORECASE), heading


def test_the_conda_environment_is_the_lab_s() -> None:
    lines = (ROOT / "environment.yml").read_text(encoding="utf-8").splitlines()
    assert "name: zmqchat" in lines
    assert "  - python=3.10" in lines


def test_the_changelog_has_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{zmqchat_rs.__version__}]" in changelog
