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
    reason="needs Linux, and root to change to a user without other threads",
)

# Each number of threads is tried in a child of its own: a process starts libzmq's threads once.
_SCRIPT = """
import asyncio, ctypes, errno, os, resource, socket, sys, threading, traceback
from tests.helpers.timeouts import wait_until
import zmqchat_rs.probe
from zmqchat_rs import Chat, Message, Publisher, Relay, Subscriber, Transcript
from zmqchat_rs import ZmqChatError, doctor

folder = sys.argv[1]
# The limit does not apply to root. File access keeps the rights of root.
user = 2_000_000 + os.getpid()
os.setresuid(user, user, 0)
ctypes.CDLL(None).setfsuid(0)

def allow_threads(free):
    # In a child, the thread of the parent counts, too.
    threads = len(os.listdir("/proc/self/task")) + (os.getpid() != parent)
    hard_limit = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    resource.setrlimit(resource.RLIMIT_NPROC, (threads + free, hard_limit))

def is_limited():
    allow_threads(0)
    try:
        threading.Thread(target=int).start()
    except RuntimeError:
        return True
    finally:
        allow_threads(50)
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

def diagnose():
    doctor("localhost:1")

def transcript():
    with Transcript(folder + "/log.txt", sync="disk") as log:
        log.write(Message([b"Hello"]))

openers = {
    "publisher": lambda: Publisher("127.0.0.1:0").close(),
    "publisher with events": lambda: Publisher("127.0.0.1:0", on_event=print).close(),
    "publisher at a host name": lambda: Publisher("localhost:0").close(),
    "publisher at a path": lambda: Publisher("ipc://" + folder + "/s").close(),
    "subscriber": lambda: Subscriber("127.0.0.1:1").close(),
    "subscriber to a host name": lambda: Subscriber("localhost:1").close(),
    "bound subscriber": lambda: Subscriber(bind="127.0.0.1:0").close(),
    "relay": lambda: Relay("127.0.0.1:0", backend="127.0.0.1:0").close(),
    "relay with capture": lambda: Relay(
        "127.0.0.1:0", backend="127.0.0.1:0", capture=folder + "/all.txt"
    ).close(),
    "chat": lambda: Chat("alice", bind="127.0.0.1:0").close(),
    "chat with a host name": lambda: Chat("alice", bind="127.0.0.1:0", peers="localhost:1").close(),
    "chat through a relay": lambda: Chat("alice", via="127.0.0.1").close(),
    "watch": watch,
    "asyncio": receive_in_a_loop,
    "listen": listen,
    "doctor": diagnose,
    "transcript": transcript,
}

def is_listening():
    for name in os.listdir("/proc/self/fd"):
        try:
            inherited = socket.socket(fileno=int(name))
        except OSError:
            continue
        try:
            if inherited.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                return True
        finally:
            inherited.detach()
    return False

def package_threads():
    names = set()
    for task in os.listdir("/proc/self/task"):
        try:
            with open("/proc/self/task/" + task + "/comm") as comm:
                names.add(comm.read().strip())
        except OSError:
            pass  # the thread has ended
    return {name for name in names if name.startswith("zmqchat-")}

def threads_have_ended():
    # Threads that serve the whole process keep running.
    shared = {"zmqchat-" + name for name in ("maint", "reactor", "events", "name")}
    return package_threads() <= shared

def try_with(free, open_object):
    allow_threads(free)
    opened = True
    try:
        open_object()
    except ZmqChatError as error:
        assert error.errno == errno.EAGAIN, error
        assert "ulimit -u" in str(error) or "log.txt" in str(error), error
        opened = False
    assert not is_listening()
    assert not os.path.exists(folder + "/s")
    allow_threads(50)
    wait_until(threads_have_ended)
    open_object()
    return opened

parent = os.getpid()
if not is_limited():
    print("not limited")
    sys.exit()
for name, open_object in openers.items():
    outcomes = []
    for free in range(9):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            code = 2
            try:
                sys.stdout = open(os.devnull, "w")
                code = int(try_with(free, open_object))
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        outcomes.append(os.waitpid(child, 0)[1])
    print(name, *outcomes, sep=",")
"""


def test_a_call_that_cannot_start_a_thread_raises_and_leaves_nothing_open(
    run_python: RunPython, tmp_path: Path
) -> None:
    finished = run_python(_SCRIPT, str(tmp_path), deadline=120)
    if finished.stdout == "not limited\n":
        pytest.skip("this system does not limit the threads of a user")
    assert (finished.code, finished.stderr) == (0, ""), finished
    lines = [line.split(",") for line in finished.stdout.splitlines()]
    assert len(lines) == 17
    refused, opened = "0", str(1 << 8)
    for name, *outcomes in lines:
        # The calls fail below some number of threads, and succeed from that number on.
        assert set(outcomes) <= {refused, opened}, (name, outcomes)
        assert outcomes == sorted(outcomes), (name, outcomes)
        assert outcomes[-1] == opened, (name, outcomes)
        assert outcomes[0] == (opened if name == "doctor" else refused), (name, outcomes)
