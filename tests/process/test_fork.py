"""In a forked child, inherited objects raise and new ones work; the parent continues."""

from __future__ import annotations

import os
import pickle
import sys
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Event, Subscriber

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython, StartPython

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

on_linux = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere a child keeps the sockets that it inherits"
)

OPENING = """
import gc, os, sys, threading
from tests.helpers.timeouts import Background
from zmqchat_rs import Publisher, Subscriber, ZmqChatError

pub = Publisher("127.0.0.1:0")
sub = Subscriber(pub.endpoint)
pub.wait_for_subscribers(1, timeout=30)

USES = {
    "send": lambda: pub.send("x"),
    "send_many": lambda: pub.send_many(["x"]),
    "send_json": lambda: pub.send_json({}),
    "wait_for_subscribers": lambda: pub.wait_for_subscribers(1, timeout=1),
    "subscriber_count": lambda: pub.subscriber_count,
    "topics": lambda: pub.topics,
    "recv": lambda: sub.recv(timeout=1),
    "recv_text": lambda: sub.recv_text(timeout=1),
    "recv_bytes": lambda: sub.recv_bytes(timeout=1),
    "recv_many": lambda: sub.recv_many(timeout=1),
    "next": lambda: next(sub),
    "for": lambda: list(sub),
    "subscribe": lambda: sub.subscribe("room1"),
    "unsubscribe": lambda: sub.unsubscribe("room1"),
    "connect": lambda: sub.connect("127.0.0.1:1"),
    "disconnect": lambda: sub.disconnect("127.0.0.1:1"),
    "listen": lambda: sub.listen(timeout=1),
}

def check_inherited():
    for name, use in USES.items():
        try:
            use()
        except ZmqChatError as error:
            assert "fork" in str(error).lower(), (name, error)
        else:
            raise AssertionError(name + " raised nothing")

def check_new():
    with Publisher("127.0.0.1:0") as mine, Subscriber(mine.endpoint) as receiver:
        mine.wait_for_subscribers(1, timeout=30)
        mine.send("from the child")
        assert receiver.recv_text(timeout=30) == "from the child"

def check_parent():
    assert pub.wait_for_subscribers(1, timeout=30) == 1
    pub.send("still here")
    assert sub.recv_text(timeout=30) == "still here"
    print("the parent continues")

def wait_for(child):
    status = os.waitpid(child, 0)[1]
    assert status == 0, status
"""

EXPECTED = (0, "the parent continues\n", "")


@pytest.mark.parametrize(
    "child",
    [
        "check_inherited()",
        "check_new()",
        "check_inherited(); check_new(); check_inherited()",
        "check_new(); check_inherited(); del pub, sub; gc.collect()",
        "del pub, sub, USES; gc.collect(); check_new()",
        "globals().clear()",
        "pass",
    ],
)
@pytest.mark.parametrize("end", ["sys.exit(0)", "os._exit(0)"])
def test_a_forked_child_does_not_affect_its_parent(
    run_python: RunPython, child: str, end: str
) -> None:
    end = f"import os, sys; {end}"
    script = f"""{OPENING}
child = os.fork()
if child == 0:
    {child}
    {end}
wait_for(child)
check_parent()
"""
    assert run_python(script) == EXPECTED


def test_a_fork_while_another_thread_waits_does_not_hang(run_python: RunPython) -> None:
    script = f"""{OPENING}
reader = Background(sub.recv_text)
reader.wait_until_blocked()
for _ in range(10):
    child = os.fork()
    if child == 0:
        check_inherited()
        check_new()
        sys.exit(0)
    wait_for(child)
pub.send("for the thread")
assert reader.result() == "for the thread"
check_parent()
"""
    assert run_python(script) == EXPECTED


def test_a_fork_while_other_threads_send_does_not_hang(run_python: RunPython) -> None:
    script = f"""{OPENING}
stop = threading.Event()

def send_and_receive():
    with Publisher("127.0.0.1:0") as own, Subscriber(own.endpoint) as receiver:
        own.wait_for_subscribers(1, timeout=30)
        while not stop.is_set():
            own.send("x")
            receiver.recv(timeout=30)
            pub.topics

threads = [Background(send_and_receive) for _ in range(2)]
for _ in range(20):
    child = os.fork()
    if child == 0:
        check_inherited()
        check_new()
        os._exit(0)
    wait_for(child)
stop.set()
for thread in threads:
    thread.result()
check_parent()
"""
    assert run_python(script) == EXPECTED


def test_a_fork_in_a_signal_handler_during_a_wait_does_not_hang(run_python: RunPython) -> None:
    script = """
import os, signal, threading
from zmqchat_rs import Subscriber

class InTheChild(BaseException):
    pass

class Enough(BaseException):
    pass

def fork(number, frame):
    child = os.fork()
    if child == 0:
        raise InTheChild
    children.append(child)
    if len(children) == 30:
        signal.setitimer(signal.ITIMER_REAL, 0)
        raise Enough

children, stop = [], threading.Event()
sub = Subscriber("127.0.0.1:1")

def read_subscriptions():
    # Holds the lock that the end of a wait takes.
    while not stop.is_set():
        sub.subscriptions

threads = [threading.Thread(target=read_subscriptions) for _ in range(6)]
for thread in threads:
    thread.start()
signal.signal(signal.SIGALRM, fork)
signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
try:
    # All signals arrive during this wait.
    sub.recv()
except InTheChild:
    os._exit(0)
except Enough:
    pass
stop.set()
for thread in threads:
    thread.join()
print({os.waitpid(child, 0)[1] for child in children})
"""
    assert run_python(script) == (0, "{0}\n", "")


def test_a_child_that_is_forked_in_a_with_block_ends_with_its_own_status(
    run_python: RunPython,
) -> None:
    script = f"""{OPENING}
from zmqchat_rs import Chat, Relay

with pub, sub, Relay("127.0.0.1:0", backend="127.0.0.1:0"), Chat("alice", bind="127.0.0.1:0"):
    child = os.fork()
    if child == 0:
        sys.exit(3)
    print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
    check_parent()
"""
    assert run_python(script) == (0, "3\nthe parent continues\n", "")


def test_inherited_objects_raise_in_a_grandchild_too(run_python: RunPython) -> None:
    script = f"""{OPENING}
child = os.fork()
if child == 0:
    check_new()
    pub, sub = Publisher("127.0.0.1:0"), Subscriber("127.0.0.1:1")
    grandchild = os.fork()
    if grandchild == 0:
        check_inherited()
        check_new()
        sys.exit(0)
    wait_for(grandchild)
    sys.exit(0)
wait_for(child)
check_parent()
"""
    assert run_python(script) == EXPECTED


def test_after_a_fork_before_first_use_both_processes_can_open_objects(
    run_python: RunPython,
) -> None:
    script = """
import os, sys
from zmqchat_rs import Publisher, Subscriber
child = os.fork()
with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
    pub.wait_for_subscribers(1, timeout=30)
    pub.send("Hello")
    assert sub.recv_text(timeout=30) == "Hello"
if child == 0:
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    assert run_python(script) == (0, "", "")


READ_IN_A_CHILD = """
import gc, os, signal, sys
from tests.helpers.timeouts import Background, TIMEOUT
from zmqchat_rs import Message, Transcript, ZmqChatError, read_transcript

TEXTS = [str(number) for number in range(1_000)]
log = Transcript(sys.argv[1])
log.write_many([Message([text.encode()]) for text in TEXTS])

def fork_and_check():
    global reader
    child = os.fork()
    if child == 0:
        signal.alarm(int(TIMEOUT))  # ends a child that hangs
        for use in [reader.__next__, lambda: list(reader), reader.__arrow_c_stream__]:
            try:
                use()
            except ZmqChatError as error:
                assert "call read_transcript in the child" in str(error), error
            else:
                raise AssertionError("the call raised nothing")
        with reader:
            assert not reader.closed
        assert reader.closed
        del reader
        gc.collect()
        assert [message.text for message in read_transcript(sys.argv[1])] == TEXTS
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
"""


def test_a_transcript_reader_belongs_to_the_parent(run_python: RunPython, tmp_path: Path) -> None:
    script = f"""{READ_IN_A_CHILD}
reader = read_transcript(sys.argv[1])
assert next(reader).text == "0"
fork_and_check()
print([message.text for message in reader] == TEXTS[1:])
"""
    assert run_python(script, str(tmp_path / "chat.log")) == (0, "True\n", "")


def test_a_fork_while_another_thread_follows_a_transcript_does_not_hang(
    run_python: RunPython, tmp_path: Path
) -> None:
    script = f"""{READ_IN_A_CHILD}
reader = read_transcript(sys.argv[1], follow=True)
assert [next(reader).text for _ in TEXTS] == TEXTS
waiting = Background(next, reader)
waiting.wait_until_blocked()
fork_and_check()
log.write(Message([b"for the thread"]))
print(waiting.result().text)
"""
    assert run_python(script, str(tmp_path / "chat.log")) == (0, "for the thread\n", "")


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_each_multiprocessing_start_method_receive_messages(
    run_python: RunPython, method: str
) -> None:
    script = f"""
import multiprocessing
from zmqchat_rs import Publisher, Subscriber, ZmqChatError

inherited = None

def work(endpoint, method):
    with Subscriber(endpoint, topics=["room1"]) as subscriber:
        assert subscriber.recv(timeout=30).text == "Hello"
    if method == "fork":
        try:
            inherited.send("x")
        except ZmqChatError as error:
            assert "fork" in str(error).lower(), error
        else:
            raise AssertionError("no error")
    else:
        assert inherited is None

if __name__ == "__main__":
    context = multiprocessing.get_context("{method}")
    with Publisher("127.0.0.1:0") as inherited, Subscriber(inherited.endpoint) as own:
        arguments = (inherited.endpoint, "{method}")
        workers = [context.Process(target=work, args=arguments) for _ in range(2)]
        for worker in workers:
            worker.start()
        inherited.wait_for_subscribers(3, topic="room1", timeout=60)
        inherited.send("Hello", topic="room1")
        for worker in workers:
            worker.join()
        print([worker.exitcode for worker in workers], own.recv(timeout=30).text)
"""
    assert run_python(script, deadline=90) == (0, "[0, 0] room1:Hello\n", "")


def test_messages_can_be_pickled_between_processes(run_python: RunPython) -> None:
    script = """
import multiprocessing
from zmqchat_rs import Message

def shout(message):
    return message.topic + " " + message.text.upper()

if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        print(pool.map(shout, [Message([b"room1:Hello"], topic="room1")]))
"""
    assert run_python(script) == (0, "['room1 HELLO']\n", "")


def test_publishers_and_subscribers_cannot_be_pickled(pair: Pair) -> None:
    for each in pair:
        with pytest.raises(TypeError, match="pickle"):
            pickle.dumps(each)


def test_a_child_forked_while_its_parent_sends_large_payloads_can_send_them_too(
    run_python: RunPython,
) -> None:
    # At the moment of the fork, the parent's network thread may be releasing a payload.
    script = """
import os, threading
from zmqchat_rs import ClosedError, Publisher, Subscriber

payload = b"x" * 65_536
pub = Publisher("127.0.0.1:0", on_full="block", linger=0)
sub = Subscriber(pub.endpoint)
pub.wait_for_subscribers(1, timeout=30)

def until_closed(use):
    try:
        while True:
            use()
    except ClosedError:
        pass

uses = [lambda: pub.send_many([payload] * 50), sub.recv_many]
threads = [threading.Thread(target=until_closed, args=[use]) for use in uses]
for thread in threads:
    thread.start()

def child():
    with Publisher("127.0.0.1:0") as mine, Subscriber(mine.endpoint) as receiver:
        mine.wait_for_subscribers(1, timeout=30)
        for _ in range(3):
            mine.send(payload)
            receiver.recv(timeout=10)

ended = []
for _ in range(100):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            child()
            code = 0
        finally:
            os._exit(code)
    ended.append(os.waitpid(pid, 0)[1])
pub.close()
sub.close()
for thread in threads:
    thread.join()
print(sum(map(bool, ended)), "children failed")
"""
    finished = run_python(script)
    assert (finished.stdout, finished.code) == ("0 children failed\n", 0), finished.stderr


@on_linux
@pytest.mark.parametrize("transport", ["tcp", "ipc"])
def test_a_forked_child_keeps_neither_the_connections_nor_the_port(
    run_python: RunPython, tmp_path: Path, transport: str
) -> None:
    script = """
import multiprocessing, os, sys, time
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

os.chdir(sys.argv[2])
publisher = Publisher("127.0.0.1:0" if sys.argv[1] == "tcp" else "ipc://s")
one = Subscriber(publisher.endpoint)
two = Subscriber(publisher.endpoint)
publisher.wait_for_subscribers(2, timeout=30)
worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,), daemon=True)
worker.start()
one.close()
wait_until(lambda: publisher.subscriber_count == 1)
publisher.send("still here")
print(two.recv_text(timeout=30))
endpoint = publisher.endpoint
publisher.close(linger=0)
wait_until(lambda: two.peers[0].state != "connected")
with Publisher(endpoint) as again:
    again.wait_for_subscribers(1, timeout=30)
    again.send("and again")
    print(two.recv_text(timeout=30))
print(worker.is_alive())
worker.kill()
"""
    finished = run_python(script, transport, str(tmp_path))
    assert finished == (0, "still here\nand again\nTrue\n", "")


@on_linux
@pytest.mark.parametrize("start", ["close_fds=False", "close_fds=False, preexec_fn=int"])
def test_an_executed_program_inherits_no_socket(run_python: RunPython, start: str) -> None:
    script = f"""
import os, subprocess
from zmqchat_rs import Publisher, Subscriber

with Publisher(["127.0.0.1:0", "ipc://@zmqchat-test-%d" % os.getpid()]) as publisher:
    with Subscriber(publisher.endpoints) as subscriber:
        publisher.wait_for_subscribers(1, timeout=30)
        subscriber.wait_connected(2, timeout=30)
        listed = subprocess.check_output(["ls", "-l", "/proc/self/fd"], text=True, {start})
        publisher.send("still here")
        subscriber.recv_many(timeout=30)
print("pipe:[" in listed, "socket:[" in listed, "anon_inode:" in listed)
"""
    assert run_python(script) == (0, "True False False\n", "")


@on_linux
def test_subscribers_detect_the_end_of_a_parent_whose_child_continues(
    start_python: StartPython,
) -> None:
    program = start_python("""
import os, sys, time
from zmqchat_rs import Publisher

publisher = Publisher("127.0.0.1:0")
child = os.fork()
if child == 0:
    os.close(1)
    os.close(2)
    sys.stdin.read()
    os._exit(0)
print(publisher.endpoint, flush=True)
time.sleep(600)
""")
    kinds: list[str] = []

    def record(event: Event) -> None:
        kinds.append(event.kind)

    with Subscriber(program.line(), on_event=record) as subscriber:
        assert subscriber.wait_connected(1, timeout=TIMEOUT) == 1
        program.kill()
        wait_until(lambda: "disconnected" in kinds)
        assert subscriber.peers[0].state != "connected"


@on_linux
def test_a_child_closes_all_network_sockets_and_no_descriptor_of_the_program(
    run_python: RunPython, tmp_path: Path
) -> None:
    # While threads open and close descriptors, the number of a closed connection may be reused
    # for a file.
    script = """
import itertools, os, socket, sys, threading
from tests.helpers.timeouts import Background
from zmqchat_rs import Publisher, Subscriber

stop = threading.Event()
lock = threading.Lock()
kept = {}

def identity(descriptor):
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino

def connect():
    while not stop.is_set():
        with Publisher("127.0.0.1:0") as publisher, Subscriber(publisher.endpoint):
            publisher.wait_for_subscribers(1, timeout=30)

def open_files(name):
    for number in itertools.count():
        with lock:
            # The fork holds this lock, too, so that all descriptors in `kept` are open.
            if number % 2:
                descriptor = os.open(sys.argv[1] + "/" + name, os.O_CREAT | os.O_RDWR)
            else:
                descriptor = os.dup(own.fileno())
            kept[descriptor] = identity(descriptor)
            if len(kept) > 40:
                oldest = next(iter(kept))
                del kept[oldest]
                os.close(oldest)
        if stop.is_set():
            return

def network_sockets():
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            if os.readlink("/proc/self/fd/" + name).startswith("socket:"):
                inherited = socket.socket(fileno=int(name))
                if inherited.family == socket.AF_INET:
                    found.append(name)
                inherited.detach()
        except OSError:
            continue
    return found

own, other = socket.socketpair()
listener = socket.create_server(("127.0.0.1", 0))
threads = [Background(connect) for _ in range(2)]
threads += [Background(open_files, name) for name in ("a", "b")]
ended = []
for _ in range(60):
    with lock:
        child = os.fork()
    if child == 0:
        for descriptor, expected in kept.items():
            if identity(descriptor) != expected:
                os._exit(2)
        if len(network_sockets()) != 1:
            os._exit(3)
        os._exit(0 if listener.getsockname() and own.send(b"x") else 4)
    ended.append(os.waitpid(child, 0)[1])
stop.set()
for thread in threads:
    thread.result()
print(sorted(set(ended)), len(other.recv(1000)))
"""
    finished = run_python(script, str(tmp_path))
    assert (finished.code, finished.stdout) == (0, "[0] 60\n"), finished
