"""The command `zmqchat`: signals, exit codes, errors, help, `demo` and `ip`."""

from __future__ import annotations

import ipaddress
import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.helpers.commands import (
    printed_address,
    running_sub,
    start,
    start_script,
    start_shell,
    zmqchat,
    zmqchat_in_process,
)
from tests.helpers.terminal import in_terminal
from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import __version__, build_info, local_addresses
from zmqchat_rs.cli.main import COMMANDS

if TYPE_CHECKING:
    from typing import Callable

    from zmqchat_rs import Publisher

FULL = Path("/dev/full")


def test_ctrl_c_ends_sub_with_130(publisher: Publisher) -> None:
    with running_sub(publisher, "--timestamps", "none") as sub:
        publisher.send("Hello")
        assert sub.line() == "Hello"
        sub.process.send_signal(signal.SIGINT)
        assert sub.finish() == (130, "", "")


def test_ctrl_c_in_a_terminal_ends_sub_without_a_traceback(publisher: Publisher) -> None:
    with in_terminal("sub", publisher.addresses[0], "-t", "room1") as sub:
        sub.expect(r"Receiving room1 from 127\.0\.0\.1:\d+\. Ctrl\+C ends\.")
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        assert sub.interrupt() == 130
        assert "Traceback" not in sub.text


def test_sigterm_ends_sub_and_pub_in_order_with_143(publisher: Publisher) -> None:
    with running_sub(publisher) as sub:
        sub.process.send_signal(signal.SIGTERM)
        assert sub.finish() == (143, "", "")
    with start("pub", "--bind", "127.0.0.1:0") as pub:
        printed_address(pub)
        pub.process.send_signal(signal.SIGTERM)
        assert pub.wait() == 143
        assert pub.finish() == (143, "", "")


@pytest.mark.parametrize("second", [signal.SIGHUP, signal.SIGTERM])
def test_a_second_signal_does_not_interrupt_an_orderly_end(second: int) -> None:
    """Closing a terminal sends SIGHUP twice: from the shell and from the kernel."""
    with start("pub", "--bind", "127.0.0.1:0") as pub:
        printed_address(pub)
        for number in (signal.SIGHUP, second):
            pub.process.send_signal(number)
        assert pub.wait() == 129
        assert pub.finish() == (129, "", "")


@pytest.mark.parametrize(
    ("words", "ready"),
    [
        (("relay", "--frontend", "127.0.0.1:0", "--backend", "127.0.0.1:0"), r"Ctrl\+C ends"),
        (("pub", "--bind", "127.0.0.1:0"), "Message> "),
        (("sub", "--bind", "127.0.0.1:0"), r"Ctrl\+C ends"),
        (("chat", "--name", "alice", "--bind", "127.0.0.1:0"), "lobby>"),
    ],
)
def test_closing_the_terminal_ends_its_commands(words: tuple[str, ...], ready: str) -> None:
    with in_terminal(*words) as terminal:
        terminal.expect(ready)
        # Reading the prompt may report the end of input before the signal is handled.
        assert terminal.hang_up() in ((0, 129) if words[0] in ("pub", "chat") else (129,))


def test_a_command_started_with_sighup_ignored_survives_it() -> None:
    with start_shell('trap "" HUP; exec "$@"', "pub", "--bind", "127.0.0.1:0") as pub:
        printed_address(pub)
        pub.process.send_signal(signal.SIGHUP)
        pub.process.send_signal(signal.SIGTERM)
        assert pub.wait() == 143


def test_ctrl_c_during_import_prints_no_traceback() -> None:
    script = """
import os, runpy, signal, sys
from importlib.abc import MetaPathFinder

class Interrupts(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "zmqchat_rs.cli.commands.pub":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupts())
runpy.run_module("zmqchat_rs", run_name="__main__")
"""
    with start_script(script) as loading:
        assert loading.finish() == (130, "", "")


def test_sub_into_head_ends_quietly_without_a_further_message(publisher: Publisher) -> None:
    with running_sub(publisher, "--timestamps", "none") as sub:
        head = subprocess.Popen(["head", "-1"], stdin=sub.stdout, stdout=subprocess.PIPE)
        assert sub.stdout is not None
        sub.stdout.close()  # only `head` reads it now
        publisher.send("Hello")
        assert head.communicate(timeout=TIMEOUT)[0] == b"Hello\n"
        assert sub.wait() == 0
        assert sub.stderr is not None
        assert sub.stderr.read() == b""


@pytest.mark.parametrize("form", [(), ("--json",), ("--raw",)])
def test_sub_into_a_closed_pipe_ends_quietly_under_load(
    publisher: Publisher, form: tuple[str, ...]
) -> None:
    with running_sub(publisher, *form) as sub:
        assert sub.stdout is not None
        for number in range(5000):
            publisher.send(f"message {number}")
        sub.stdout.readline()
        sub.stdout.close()
        assert sub.wait() == 0
        assert sub.stderr is not None
        assert sub.stderr.read() == b""


@pytest.mark.parametrize("words", [("--help",), ("ip",), ("demo",), ("--version",)])
def test_a_closed_output_is_not_an_error(words: tuple[str, ...]) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as closed, start(*words, stdout=closed) as command:
        assert command.finish() == (0, "", "")


@pytest.mark.parametrize("form", [(), ("--json",), ("--raw",)])
def test_sub_counts_messages_if_its_output_is_closed_at_the_start(
    publisher: Publisher, form: tuple[str, ...]
) -> None:
    words = ["sub", publisher.addresses[0], "-c", "2", "--stats", *form]
    with start_shell('exec "$@" >&-', *words) as sub:
        publisher.wait_for_subscribers(1, timeout=TIMEOUT)
        publisher.send_many(["one", "two"])
        code, _, errors = sub.finish()
    assert (code, errors.count("\n")) == (0, 1), errors
    assert errors.startswith("received 2, ")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("command", ["sub", "ip", "demo"])
def test_a_full_disk_is_one_line_and_exit_code_1(publisher: Publisher, command: str) -> None:
    words = ["sub", publisher.addresses[0]] if command == "sub" else [command]
    with FULL.open("wb") as full, start(*words, stdout=full) as running:
        if command == "sub":
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send("Hello")
        assert running.finish() == (1, "", "zmqchat: No space left on device\n")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("sub", "127.0.0.1:99999"), "99999"),
        (("sub", "127.0.0.1:55x5"), "55x5"),
        (("sub", ""), "address"),
        (("sub", "-t", "two words"), "two words"),
        (("sub", "-c", "many"), "many"),
        (("sub", "-W", "-1"), "-1"),
        (("sub", "-W", "nan"), "nan"),
        (("sub", "--json", "--raw"), "--raw"),
        (("sub", "--timestamps", "always"), "always"),
        (("pub", "--bind", "127.0.0.1:-1", "-m", "x"), "-1"),
        (("pub", "--bind", "127.0.0.1:0", "-t", "a:b", "-m", "x"), "a:b"),
        (("pub", "--bind", "127.0.0.1:0", "-W", "1", "-m", "x"), "--wait"),
        (("pub", "--connect", "*:5555", "-m", "x"), "*:5555"),
        (("shout",), "shout"),
        (("pub", "room1", "hello"), "zmqchat pub: error: unrecognized arguments: room1 hello"),
        (("pub", "room1", "hello"), "zmqchat pub -t room1 -m Hello"),
        (("ip", "--nonsense"), "zmqchat ip: error: unrecognized arguments: --nonsense"),
        (("--nonsense",), "zmqchat: error: unrecognized arguments: --nonsense"),
    ],
)
def test_a_usage_error_names_the_problem_and_exits_with_2(
    words: tuple[str, ...], text: str
) -> None:
    finished = zmqchat_in_process(*words)
    assert (finished.returncode, finished.stdout) == (2, b"")
    last_line = finished.stderr.decode().splitlines()[-1]
    assert last_line.startswith("zmqchat")
    assert text in last_line
    assert "Traceback" not in finished.stderr.decode()


@pytest.mark.skipif(os.name == "nt", reason="arguments are text there")
@pytest.mark.parametrize(
    "words",
    [
        ("sub", "\udcff"),
        ("sub", "-t", "\udcff"),
        ("pub", "--bind", "127.0.0.1:0", "-t", "\udcff", "-m", "x"),
        ("pub", "--bind", "\udcff", "-m", "x"),
        ("chat", "--name", "\udcff", "--bind", "127.0.0.1:0"),
        ("relay", "--frontend", "\udcff"),
        ("doctor", "\udcff"),
        ("replay", os.devnull, "--to", "\udcff"),
    ],
)
def test_an_undecodable_argument_is_a_usage_error_that_shows_it(words: tuple[str, ...]) -> None:
    finished = zmqchat(*words)
    assert (finished.returncode, finished.stdout) == (2, b"")
    assert finished.stderr.startswith(rb"zmqchat: '\xff' is not UTF-8: type it again")


def test_no_command_shows_the_help() -> None:
    finished = zmqchat_in_process()
    assert finished.returncode == 2
    assert b"zmqchat demo" in finished.stderr


def test_a_port_in_use_is_one_line_and_exit_code_1(publisher: Publisher) -> None:
    finished = zmqchat("pub", "--bind", publisher.addresses[0], "-m", "x")
    assert (finished.returncode, finished.stdout) == (1, b"")
    (line,) = finished.stderr.decode().splitlines()
    assert line.startswith("zmqchat: ")
    assert publisher.addresses[0].rpartition(":")[2] in line


# ---- with pyzmq, and no option on either side


def test_sub_reads_a_plain_pyzmq_publisher() -> None:
    script = """
import sys, time, zmq
socket = zmq.Context().socket(zmq.PUB)
print(socket.bind_to_random_port("tcp://127.0.0.1"))
while True:
    socket.send_string("room1:Hello from pyzmq")
    time.sleep(0.02)
"""
    with start_script(script) as theirs:
        words = ("sub", f"127.0.0.1:{theirs.line()}", "-c", "2", "--timestamps", "none")
        finished = zmqchat(*words)
    assert finished.stdout == b"room1:Hello from pyzmq\n" * 2
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_a_plain_pyzmq_subscriber_reads_pub(free_port: Callable[[], int]) -> None:
    script = """
import sys, zmq
socket = zmq.Context().socket(zmq.SUB)
socket.connect("tcp://127.0.0.1:" + sys.argv[1])
socket.subscribe("")
print("ready")
while True:
    print(socket.recv_string())
"""
    port = str(free_port())
    with start_script(script, port) as theirs:
        assert theirs.line() == "ready"
        finished = zmqchat("pub", "--bind", f"127.0.0.1:{port}", stdin=b"room1:Hello\nBye\n")
        assert (finished.returncode, finished.stderr) == (0, b"")
        assert [theirs.line(), theirs.line()] == ["room1:Hello", "Bye"]


# ---- demo, ip, help


def test_the_demo_shows_what_each_subscriber_receives_and_what_to_try_next() -> None:
    finished = zmqchat("demo")
    assert (finished.returncode, finished.stderr) == (0, b"")
    shown = finished.stdout.decode()
    received = re.findall(
        r"^(\w+) +receives +\[\d\d:\d\d:\d\d\] (\w+) alice: (.*)$", shown, re.MULTILINE
    )
    assert {(subscriber, room) for subscriber, room, _ in received} == {
        ("ben", "room1"),
        ("chloe", "room1"),
        ("chloe", "room2"),
    }
    assert ("ben", "room1", "Hello everyone!") in received
    assert "zmqchat pub" in shown
    assert "zmqchat sub" in shown
    assert "\x1b" not in shown


def test_the_demo_is_coloured_in_a_terminal() -> None:
    with in_terminal("demo") as demo:
        assert demo.wait() == 0
    assert "\x1b[" in demo.text


def test_ip_prints_addresses_to_which_peers_can_connect() -> None:
    finished = zmqchat("ip")
    assert finished.returncode == 0
    printed = finished.stdout.decode().split()
    assert printed
    known = [each["address"] for each in local_addresses()]
    assert printed == [address for address in known if address in printed]
    for address in printed:
        ipaddress.ip_address(address.strip("[]").partition("%")[0])


def test_ip_as_json_and_verbose_has_interface_and_kind() -> None:
    finished = zmqchat("ip", "--json")
    assert [json.loads(line) for line in finished.stdout.splitlines()] == local_addresses()
    rows = [line.split() for line in zmqchat("ip", "-v").stdout.decode().splitlines()]
    assert rows == [
        [each[k] for k in ("address", "kind", "interface")] for each in local_addresses()
    ]


def test_the_version_is_that_of_the_package() -> None:
    finished = zmqchat("--version")
    assert finished.returncode == 0
    assert finished.stdout.decode() == f"zmqchat {__version__} (libzmq {build_info()['libzmq']})\n"


@pytest.mark.parametrize("words", [(), *((command,) for command in COMMANDS)])
def test_the_help_has_an_example_and_fits_80_columns(words: tuple[str, ...]) -> None:
    finished = zmqchat_in_process(*words, "--help")
    assert (finished.returncode, finished.stderr) == (0, b"")
    lines = finished.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("example") for line in lines)
