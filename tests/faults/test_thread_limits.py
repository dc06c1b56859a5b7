"""Without threads left, calls raise an error and never abort the program."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import RunPython

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0,
    reason="needs Linux, and root to become a user whose threads are counted apart",
)

# Each count in a child of its own: libzmq's threads are started once a process.
_SCRIPT = """
import asyncio, ctypes, errno, os, resource, socket, sys, threading, traceback
from tests.helpers.timeouts import wait_until
import zmqchat_rs.probe
from zmqchat_rs import Chat, Message, Publisher, Relay, Subscriber, Transcript
from zmqchat_rs import ZmqChatError, doctor

folder = sys.argv[1]
# Of the user, for the limit binds no root; and of root, for the files.
user = 2_000_000 + os.getpid()
os.setresuid(user, user, 0)
ctypes.CDLL(None).setfsuid(0)

def leave(free):
    # The parent is one more of this user's.
    threads = len(os.listdir("/proc/self/task")) + (os.getpid() != parent)
    most = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (threads + free, most))

def is_limited():
    leave(0)
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return True
    finally:
        leave(50)
    return False

def watch():
    with Subscriber() as subscriber, subscriber.watch():
        pass

def receive_in_a_loop():
    async def receive():
        async with Subscriber() as subscriber:
            try:
                await subscriber.arecv(timeout=0.01)
            except TimeoutError:
                pass
    asyncio.run(receive())

def listen():
    with Subscriber() as subscriber:
        subscriber.listen(timeout=0)

def examine():
    doctor("localhost:1")

def transcript():
    with Transcript(folder + "/log.txt", sync="disk") as log:
        log.write(Message([b"Hello"]))

makers = {
    "publisher": lambda: Publisher("127.0.0.1:0").close(),
    "publisher with events": lambda: Publisher("127.0.0.1:0", on_event=print).close(),
    "publisher at a name": lambda: Publisher("localhost:0").close(),
    "publisher at a path": lambda: Publisher("ipc://" + folder + "/s").close(),
    "subscriber": lambda: Subscriber("127.0.0.1:1").close(),
    "subscriber to a name": lambda: Subscriber("localhost:1").close(),
    "bound subscriber": lambda: Subscriber(bind="127.0.0.1:0").close(),
    "relay": lambda: Relay("127.0.0.1:0", backend="127.0.0.1:0").close(),
    "logging relay": lambda: Relay(
        "127.0.0.1:0", backend="127.0.0.1:0", capture=folder + "/all.txt"
    ).close(),
    "chat": lambda: Chat("alice", bind="127.0.0.1:0").close(),
    "chat with a name": lambda: Chat("alice", bind="127.0.0.1:0", peers="localhost:1").close(),
    "chat through a relay": lambda: Chat("alice", via="127.0.0.1").close(),
    "watch": watch,
    "asyncio": receive_in_a_loop,
    "listen": listen,
    "doctor": examine,
    "transcript": transcript,
}

def listens():
    for name in os.listdir("/proc/self/fd"):
        try:
            one = socket.socket(fileno=int(name))
        except OSError:
            continue
        try:
            if one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return True
        finally:
            one.detach()
    return False

def threads_of_ours():
    names = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/" + task + "/comm") as comm:
                names.add(comm.read().strip())
        except OSError:
            pass  # it has ended
    return {name for name in names if name.startswith("zmqchat-")}

def is_over():
    # Threads that serve the whole process stay.
    serve_all = {"zmqchat-" + name for name in ("maint", "reactor", "events", "name")}
    return threads_of_ours() <= serve_all

def play(make, free):
    leave(free)
    made = True
    try:
        make()
    except ZmqChatError as error:
        assert error.errno == errno.EAGAIN, error
        assert "ulimit -u" in str(error) or "log.txt" in str(error), error
        made = False
    assert not listens()
    assert not os.path.exists(folder + "/s")
    leave(50)
    wait_until(is_over)
    make()
    return made

parent = os.getpid()
if not is_limited():
    print("not limited")
    sys.exit()
for name, make in makers.items():
    outcomes = []
    for free in range(9):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 2
            try:
                sys.stdout = open(os.devnull, "w")
                code = int(play(make, free))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        outcomes.append(os.waitpid(child, 0)[1])
    print(name, *outcomes, sep=",")
"""


def test_what_finds_no_thread_raises_and_leaves_nothing_open(
    run_python: RunPython, tmp_path: Path
) -> None:
    finished = run_python(_SCRIPT, str(tmp_path), deadline=120)
    if finished.stdout == "not limited\n":
        pytest.skip("this system does not limit the threads of a user")
    assert (finished.code, finished.stderr) == (0, ""), finished
    lines = [line.split(",") for line in finished.stdout.splitlines()]
    assert len(lines) == 17
    refused, made = "0", str(1 << 8)
    for name, *outcomes in lines:
        # Refused below some count, made from there on.
        assert set(outcomes) <= {refused, made}, (name, outcomes)
        assert outcomes == sorted(outcomes), (name, outcomes)
        assert outcomes[-1] == made, (name, outcomes)
        assert outcomes[0] == (made if name == "doctor" else refused), (name, outcomes)
