"""`zmqchat doctor`: its lines, its exit codes and its escaping of control characters."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.commands import start, zmqchat, zmqchat_in_process
from tests.helpers.raw_peers import PROBE_TIMEOUT
from tests.helpers.terminal import in_terminal
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from zmqchat_rs import Publisher


def test_doctor_prints_a_line_per_check_and_exits_with_0(publisher: Publisher) -> None:
    finished = zmqchat("doctor", publisher.addresses[0])
    assert (finished.returncode, finished.stderr) == (0, b"")
    lines = finished.stdout.decode().splitlines()
    assert all(line.split()[0] in ("ok", "warning") for line in lines)
    assert any("XPUB" in line for line in lines)


def test_doctor_exits_with_1_if_a_check_fails(free_port: Callable[[], int]) -> None:
    finished = zmqchat("doctor", f"127.0.0.1:{free_port()}")
    assert (finished.returncode, finished.stderr) == (1, b"")
    last = finished.stdout.decode().splitlines()[-1]
    assert last.startswith("failed   TCP connection")
    assert "refused" in last


def test_the_json_output_of_doctor_is_one_object(free_port: Callable[[], int]) -> None:
    port = free_port()
    finished = zmqchat("doctor", f"127.0.0.1:{port}", "--json")
    assert finished.returncode == 1
    (line,) = finished.stdout.decode().splitlines()
    report = json.loads(line)
    assert report["ok"] is False
    assert (report["probe"]["reason"], report["probe"]["port"]) == ("refused", port)
    assert report["checks"][-1]["status"] == "failed"


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("127.0.0.1:99999",), "99999"),
        (("*",), "all interfaces"),
        (("127.0.0.1", "--timeout", "0"), "timeout"),
        (("127.0.0.1", "--timeout", "soon"), "soon"),
    ],
)
def test_invalid_options_are_usage_errors(words: tuple[str, ...], text: str) -> None:
    finished = zmqchat_in_process("doctor", *words)
    assert (finished.returncode, finished.stdout) == (2, b"")
    assert text in finished.stderr.decode().splitlines()[-1]


def test_doctor_is_coloured_in_a_terminal_and_not_in_a_pipe(publisher: Publisher) -> None:
    address = publisher.addresses[0]
    with in_terminal("doctor", address) as terminal:
        assert terminal.wait() == 0
    assert "\x1b[32mok\x1b[0m " in terminal.text
    assert b"\x1b" not in zmqchat("doctor", address).stdout
    assert b"\x1b[32mok" in zmqchat("doctor", address, "--color", "always").stdout
    assert b"\x1b" not in zmqchat("doctor", address, "--color", "never", FORCE_COLOR="1").stdout


@pytest.mark.parametrize("form", [(), ("--json",), ("--color", "always")])
def test_control_characters_from_a_peer_are_escaped(form: tuple[str, ...]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as rude:
        port = str(rude.getsockname()[1])
        with start("doctor", f"127.0.0.1:{port}", "--timeout", "20", *form) as command:
            rude.settimeout(TIMEOUT)
            connection, _ = rude.accept()
            with connection:
                connection.sendall("\x1b]0;mine\x07\x9b2J\u202e\x7f\r\nok all is well".encode())
                code, out, errors = command.finish()
    assert (code, errors) == (1, "")
    shown = out.replace("\x1b[32m", "").replace("\x1b[33m", "").replace("\x1b[1;31m", "")
    shown = shown.replace("\x1b[0m", "").replace("\n", "")
    assert shown.isprintable()
    assert "mine" in shown
    assert not any(line.startswith("ok all") for line in out.splitlines())


@pytest.mark.skipif(sys.platform == "win32", reason="no ipc on Windows")
def test_control_characters_in_an_address_are_escaped() -> None:
    finished = zmqchat("doctor", "ipc:///nowhere/a\u202eb")
    assert finished.returncode == 1
    assert r"/nowhere/a\u202eb" in finished.stdout.decode()


def test_doctor_reports_a_silent_peer_after_its_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        finished = zmqchat("doctor", f"127.0.0.1:{port}", "--timeout", str(PROBE_TIMEOUT))
    assert finished.returncode == 1
    assert b"sends nothing" in finished.stdout


def test_the_help_of_doctor_has_an_example_and_fits_80_columns() -> None:
    finished = zmqchat("doctor", "--help")
    assert (finished.returncode, finished.stderr) == (0, b"")
    lines = finished.stdout.decode().splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("example") for line in lines)
    assert b"doctor" in zmqchat("--help").stdout
