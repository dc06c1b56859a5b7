"""The error for an unknown command or argument shows the correct command."""

from __future__ import annotations

import pytest

from tests.helpers.commands import start, zmqchat_in_process
from zmqchat_rs import local_addresses


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("pub --port 5556", "--bind '*:5556'"),
        ("pub --port=5556 -m Hello", "--bind '*:5556'"),
        ("pub -p 5556", "--bind '*:5556'"),
        ("pub 5556", "--bind '*:5556'"),
        ("pub --port x", "--bind '*:6000'"),
        ("pub 192.0.2.7", "--connect 192.0.2.7"),
        ("pub 192.0.2.7:6000 -t room1", "--connect 192.0.2.7:6000"),
        ("pub --host lab-pc", "--connect lab-pc"),
        ("pub http://192.0.2.7:6000/room1", "--connect 192.0.2.7:6000"),
        ("pub 127.0.0.1:5556", "--bind 127.0.0.1:5556"),
        ("pub localhost", "--bind localhost"),
        ("pub --room room1", "-t room1"),
        ("pub --user alice", "--name alice"),
        ("pub Hello", "zmqchat pub -t room1 -m Hello"),
        ("sub --port 5556", "zmqchat sub 127.0.0.1:5556"),
        ("sub 192.0.2.7 --port 5556", "zmqchat sub 192.0.2.7:5556"),
        ("sub [::1]:5555 -p 5556", "zmqchat sub '[::1]:5556'"),
        ("sub --connect 192.0.2.7", "zmqchat sub 192.0.2.7"),
        ("sub --host=192.0.2.7", "zmqchat sub 192.0.2.7"),
        ("sub --room room1", "-t room1"),
        ("sub -m Hello", "zmqchat pub -m Hello"),
        ("sub --name alice", "zmqchat pub --name alice"),
        ("sub -n 3", "-c 3"),
        ("chat --port 5557", "--bind '*:5557'"),
        ("chat --connect 192.0.2.7", "zmqchat chat 192.0.2.7"),
        ("chat -t room1", "--room room1"),
        ("relay 192.0.2.7", "--connect 192.0.2.7"),
        ("relay --port 6000", "--backend '*:6000'"),
        ("relay --bind *:6000", "--backend '*:6000'"),
        ("relay -t room1", "zmqchat sub -t room1"),
        ("doctor --port 5556", "zmqchat doctor 127.0.0.1:5556"),
        ("doctor 192.0.2.7 5556", "zmqchat doctor 192.0.2.7:5556"),
        ("doctor --host 192.0.2.7", "zmqchat doctor 192.0.2.7"),
        ("ip 192.0.2.7", "zmqchat doctor 192.0.2.7"),
        ("demo --port 6000", "zmqchat pub --bind '*:6000'"),
        ("replay x.log --port 6000", "--to '*:6000'"),
        ("replay x.log 192.0.2.7", "--connect 192.0.2.7"),
        ("-v", "zmqchat --version"),
    ],
)
def test_the_error_for_an_unknown_argument_shows_the_correct_option(
    typed: str, instead: str
) -> None:
    finished = zmqchat_in_process(*typed.split())
    *usage, error = finished.stderr.decode().splitlines()
    assert (finished.returncode, finished.stdout) == (2, b"")
    assert usage[0].startswith("usage: zmqchat")
    assert ": error: unrecognized arguments: " in error
    assert instead in error.partition(" (")[2]


def test_the_error_for_a_local_address_shows_how_to_bind_it() -> None:
    address = local_addresses()[0]["address"]
    assert f"--bind {address})" in zmqchat_in_process("pub", address).stderr.decode()


@pytest.mark.parametrize(
    ("typed", "instead"),
    [
        ("publish", "type: zmqchat pub"),
        ("subscribe 127.0.0.1", "type: zmqchat sub"),
        ("listen", "type: zmqchat sub"),
        ("server", "type: zmqchat relay"),
        ("docter", "type: zmqchat doctor"),
        ("help", "type: zmqchat --help"),
        ("version", "type: zmqchat --version"),
        ("xyzzy", "choose from demo, pub, sub, chat, relay, ip, doctor, log, replay"),
    ],
)
def test_the_error_for_an_unknown_command_names_the_correct_command(
    typed: str, instead: str
) -> None:
    finished = zmqchat_in_process(*typed.split())
    word = typed.split(maxsplit=1)[0]
    assert finished.returncode == 2
    assert finished.stderr.decode().endswith(
        f"zmqchat: error: unknown command '{word}'; {instead}\n"
    )


def test_control_characters_in_arguments_are_printed_escaped() -> None:
    for typed in (("pub", "\x1b[2J"), ("\x1b[2J",)):
        assert rb"\x1b[2J" in zmqchat_in_process(*typed).stderr


@pytest.mark.parametrize(
    ("address", "instead"),
    [
        ("5556", "192.168.1.12:5556"),
        ("0", "192.168.1.12:5555"),
        ("http://192.0.2.7:6000/room1", "tcp://192.0.2.7:6000"),
        ("http://", "tcp://192.168.1.12:5555"),
    ],
)
def test_the_error_for_an_invalid_address_shows_a_valid_one(address: str, instead: str) -> None:
    finished = zmqchat_in_process("sub", address)
    assert finished.returncode == 2
    assert finished.stderr.decode().endswith(f"for example {instead}\n")


@pytest.mark.usefixtures("short_silence")
def test_the_notice_for_a_topic_given_as_a_host_names_the_option() -> None:
    with start("sub", "127.0.0.1:1", "room1") as sub:
        notices = {sub.notice(), sub.notice()}
    (name_error,) = (notice for notice in notices if "name not found" in notice)
    assert name_error.endswith(" If 'room1' is a topic, type: -t room1.")
