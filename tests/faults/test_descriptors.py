"""Without free descriptors, calls raise and new peers are disconnected; the program continues."""

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

# Each number of free descriptors makes libzmq fail at a different place, so all are tried.
_OPENING = """
import errno, os, resource, sys
import zmqchat_rs
from zmqchat_rs import Chat, Publisher, Relay, Subscriber, ZmqChatError

resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
ipc = "ipc://@zmqchat-test-%d" % os.getpid()
openers = {
    "publisher": lambda: Publisher("127.0.0.1:0"),
    "all interfaces": lambda: Publisher("*:0"),
    "one interface": lambda: Publisher("lo:0"),
    "ipc": lambda: Publisher(ipc),
    "subscriber": lambda: Subscriber("127.0.0.1:1"),
    "relay": lambda: Relay("127.0.0.1:0", backend="127.0.0.1:0"),
    "chat": lambda: Chat("alice", bind="127.0.0.1:0"),
}

def opens_with(free, open_object):
    descriptors = []
    try:
        while True:
            descriptors.append(os.open("/dev/null", os.O_RDONLY))
    except OSError:
        pass
    for _ in range(free):
        os.close(descriptors.pop())
    try:
        open_object().close()
        return True
    except ZmqChatError as error:
        assert error.errno == errno.EMFILE, error
        return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
"""


def test_opening_raises_with_any_insufficient_number_of_descriptors(run_python: RunPython) -> None:
    script = f"""{_OPENING}
with Subscriber("127.0.0.1:1"):
    for name, open_object in openers.items():
        # libzmq closes the sockets of a failed attempt later, so that the next attempt may have
        # more descriptors than intended. Such a round is repeated.
        for _ in range(10):
            opened = [opens_with(free, open_object) for free in range(24)]
            if opened == sorted(opened) and not opened[0]:
                break
        print(name, opened[0], opened[-1], opened == sorted(opened))
"""
    finished = run_python(script)
    assert finished.stderr == ""
    kinds = [
        "publisher",
        "all interfaces",
        "one interface",
        "ipc",
        "subscriber",
        "relay",
        "chat",
    ]
    assert finished.stdout.splitlines() == [f"{kind} False True True" for kind in kinds]


def test_the_first_object_of_a_process_can_be_opened_after_a_lack_of_descriptors(
    run_python: RunPython,
) -> None:
    script = f"""{_OPENING}
# The parent opens no object, so each child opens the first object of its process.
for free in range(15):
    child = os.fork()
    if child == 0:
        print(free, opens_with(free, openers["publisher"]), opens_with(50, openers["publisher"]))
        sys.stdout.flush()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""
    finished = run_python(script)
    assert finished.code == 0, finished.stderr
    assert finished.stdout.splitlines() == [f"{free} {free >= 10} True" for free in range(15)]


@pytest.mark.parametrize("also_opens", ["nothing", "files"])
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_without_descriptors_new_peers_are_disconnected_and_connect_later(
    start_python: StartPython, transport: str, also_opens: str
) -> None:
    name = f"zmqchat-test-{uuid.uuid4()}"
    bind = "127.0.0.1:0" if transport == "tcp" else f"ipc://@{name}"
    script = """
import os, resource, sys, threading
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher

def open_files():
    # Each file may take the descriptor that is reserved for refusing a connection.
    while True:
        try:
            os.close(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
events = []
with Publisher(sys.argv[1], on_event=events.append) as publisher:
    print(publisher.endpoint)
    wait_until(lambda: events)
    if sys.argv[2] == "files":
        threading.Thread(target=open_files, daemon=True).start()
    print("connected")
    publisher.wait_for_subscribers(topic="room1", timeout=30)
    publisher.send("Hello", topic="room1")
    warnings = lambda: [str(event) for event in events if event.kind == "no room"]
    wait_until(warnings)
    print(warnings())
"""
    program = start_python(script, bind, also_opens)
    endpoint = program.line()
    with contextlib.ExitStack() as stack:
        stack.enter_context(Subscriber(endpoint, topics=["room0"]))
        assert program.line() == "connected"
        connections = []
        for _ in range(100):
            connection = socket.socket(socket.AF_INET if transport == "tcp" else socket.AF_UNIX)
            stack.enter_context(connection)
            connection.settimeout(TIMEOUT)
            connection.connect(
                ("127.0.0.1", int(endpoint.rpartition(":")[2]))
                if transport == "tcp"
                else f"\0{name}"
            )
            connections.append(connection)
        # Each connection receives a greeting or is closed: none stays in the listener's queue.
        answers = [connection.recv(1) for connection in connections]
    assert set(answers) == {b"\xff", b""}
    with Subscriber(endpoint, topics=["room1"]) as subscriber:
        assert subscriber.recv(timeout=TIMEOUT).text == "Hello"
        warnings = program.line()
    assert program.finish().code == 0
    assert warnings.count("hardly any file descriptors are left: ") == 1
    assert "ulimit -n" in warnings
