"""The process may open no more files: an error or a hang-up, never the end of the program."""

from __future__ import annotations

import contextlib
import socket
import sys
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors as Linux does")

# How many descriptors are free decides where libzmq runs out of them, so each count is tried.
_OPENING = """
import errno, os, resource, sys
import zmqchat_rs
from zmqchat_rs import Chat, Publisher, Relay, Subscriber, ZmqChatError

resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
ipc = "ipc://@zmqchat-test-%d" % os.getpid()
makers = {
    "publisher": lambda: Publisher("127.0.0.1:0"),
    "everywhere": lambda: Publisher("*:0"),
    "interface": lambda: Publisher("lo:0"),
    "ipc": lambda: Publisher(ipc),
    "subscriber": lambda: Subscriber("127.0.0.1:1"),
    "relay": lambda: Relay("127.0.0.1:0", backend="127.0.0.1:0"),
    "chat": lambda: Chat("alice", bind="127.0.0.1:0"),
}

def made_with(free, make):
    taken = []
    try:
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(taken.pop())
    try:
        make().close()
        return True
    except ZmqChatError as error:
        assert error.errno == errno.EMFILE, error
        return False
    finally:
        for one in taken:
            os.close(one)
"""


def test_what_finds_no_descriptor_raises_whatever_is_left(run_python: RunPython) -> None:
    script = f"""{_OPENING}
with Subscriber("127.0.0.1:1"):
    for name, make in makers.items():
        # libzmq closes the sockets of an attempt a little later, and the next one then has more
        # than it was given: such a round says nothing.
        for _ in range(10):
            made = [made_with(free, make) for free in range(24)]
            if made == sorted(made) and not made[0]:
                break
        print(name, made[0], made[-1], made == sorted(made))
"""
    finished = run_python(script)
    assert finished.stderr == ""
    kinds = ["publisher", "everywhere", "interface", "ipc", "subscriber", "relay", "chat"]
    assert finished.stdout.splitlines() == [f"{kind} False True True" for kind in kinds]


def test_what_finds_none_on_first_use_raises_and_works_later(run_python: RunPython) -> None:
    script = f"""{_OPENING}
# This process never opens anything itself: each child is at its first use.
for free in range(15):
    child = os.fork()
    if child == 0:
        print(free, made_with(free, makers["publisher"]), made_with(50, makers["publisher"]))
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    finished = run_python(script)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [f"{free} {free >= 10} True" for free in range(15)]


@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_who_finds_no_room_is_hung_up_on_and_comes_in_later(
    start_python: StartPython, transport: str
) -> None:
    name = f"zmqchat-test-{uuid.uuid4()}"
    bind = "127.0.0.1:0" if transport == "tcp" else f"ipc://@{name}"
    script = """
import resource, sys
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
told = []
with Publisher(sys.argv[1], on_event=told.append) as publisher:
    print(publisher.endpoint)
    wait_until(lambda: told)
    print("one is there")
    publisher.wait_for_subscribers(topic="room1", timeout=30)
    publisher.send("Hello", topic="room1")
    said = lambda: [str(event) for event in told if event.kind == "no room"]
    wait_until(said)
    print(said())
"""
    program = start_python(script, bind)
    endpoint = program.line()
    with contextlib.ExitStack() as stack:
        stack.enter_context(Subscriber(endpoint, topics=["room0"]))
        assert program.line() == "one is there"
        crowd = []
        for _ in range(100):
            one = socket.socket(socket.AF_INET if transport == "tcp" else socket.AF_UNIX)
            stack.enter_context(one)
            one.settimeout(TIMEOUT)
            one.connect(
                ("127.0.0.1", int(endpoint.rpartition(":")[2]))
                if transport == "tcp"
                else f"\0{name}"
            )
            crowd.append(one)
        # A greeting, or the end: nobody is left waiting in the queue.
        answers = [one.recv(1) for one in crowd]
    assert set(answers) == {b"\xff", b""}
    with Subscriber(endpoint, topics=["room1"]) as subscriber:
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
        said = program.line()
    assert program.finish().code == 0
    assert said.count("hardly any room for more peers at") == 1
    assert "ulimit -n" in said
