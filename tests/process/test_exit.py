"""A program exits without output, with its own exit code, and within the linger of its objects."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Iterator

import pytest
import zmq

from tests.helpers.parallel import measured
from tests.helpers.timeouts import EXIT_OVERHEAD, TIMEOUT
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython, StartPython

#: Sends far more to a peer that does not read than the sockets between two processes hold.
UNSENT = """
import atexit, sys, time
atexit.register(lambda: print(time.monotonic()))
from zmqchat_rs import Publisher
pub = Publisher("127.0.0.1:0", linger={linger}, high_water_mark=0)
print(pub.endpoint)
pub.wait_for_subscribers(1, timeout=30)
pub.send_many([b"x" * 65_536] * 1_000)
{rest}
print(time.monotonic())
"""


@pytest.fixture
def unread_subscriber() -> Iterator[zmq.Socket[bytes]]:
    """A subscriber that reads almost nothing from the network."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.linger = 0
        socket.rcvhwm = 1
        socket.setsockopt(zmq.RCVBUF, 4_096)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        yield socket


@measured
@pytest.mark.parametrize("linger", [0, 1.0])
@pytest.mark.parametrize("rest", ["", "pub.close()", "del pub", "globals()['again'] = pub"])
def test_unsent_messages_delay_the_exit_by_the_linger_at_most(
    start_python: StartPython, unread_subscriber: zmq.Socket[bytes], linger: float, rest: str
) -> None:
    script = start_python(UNSENT.format(linger=linger, rest=rest))
    unread_subscriber.connect(script.line())
    done = float(script.line())
    finished = script.finish()
    took = time.monotonic() - done
    assert (finished.code, finished.stderr) == (0, "")
    assert took < linger + EXIT_OVERHEAD
    # The peer is connected all the time, so a shorter exit would mean that the linger was ignored.
    assert took > linger * 0.8


@measured
def test_the_longest_linger_of_all_objects_limits_the_exit(
    start_python: StartPython, unread_subscriber: zmq.Socket[bytes]
) -> None:
    rest = "pub.close(linger=1.0)\nothers = [Publisher('127.0.0.1:0', linger=0) for _ in range(3)]"
    script = start_python(UNSENT.format(linger=0, rest=rest))
    unread_subscriber.connect(script.line())
    done = float(script.line())
    finished = script.finish()
    took = time.monotonic() - done
    assert (finished.code, finished.stderr) == (0, "")
    assert 0.8 < took < 1.0 + EXIT_OVERHEAD


@measured
def test_close_does_not_wait_for_the_linger(unread_subscriber: zmq.Socket[bytes]) -> None:
    publisher = Publisher("127.0.0.1:0", linger=TIMEOUT, high_water_mark=0)
    unread_subscriber.connect(str(publisher.endpoint))
    publisher.wait_for_subscribers(1, timeout=TIMEOUT)
    publisher.send_many([b"x" * 65_536] * 1_000)
    before = time.monotonic()
    publisher.close()
    assert time.monotonic() - before < EXIT_OVERHEAD


@pytest.mark.parametrize("rest", ["", "pub.close()", "with pub: pass", "raise SystemExit(0)"])
def test_messages_sent_just_before_the_exit_arrive(start_python: StartPython, rest: str) -> None:
    script = start_python(
        f"""
        import sys
        from zmqchat_rs import Publisher
        pub = Publisher("127.0.0.1:0", linger=20)
        print(pub.endpoint)
        pub.wait_for_subscribers(1, timeout=30)
        pub.send_many(["x" * 1_000] * 5_000)
        pub.send("the end")
        {rest}
        """
    )
    with Subscriber(script.line()) as subscriber:
        count = 0
        while subscriber.recv_text(timeout=TIMEOUT) != "the end":
            count += 1
        assert count == 5_000
    assert script.finish()[::2] == (0, "")


#: Statements that leave objects open or end the program, each with the exit code of Python.
ENDINGS = {
    "nothing is closed": ("", 0),
    "a daemon thread waits in recv": ("daemon(sub.recv)", 0),
    "a daemon thread waits in a loop": ("daemon(list, sub)", 0),
    "a daemon thread listens": ("daemon(sub.listen)", 0),
    "a daemon thread waits for subscribers": ("daemon(pub.wait_for_subscribers, 99)", 0),
    "a daemon thread is blocked in send": ("daemon(fill)", 0),
    "many daemon threads wait": ("for _ in range(5): daemon(sub.recv)", 0),
    "a daemon thread sends forever": ("daemon(flood)", 0),
    "a daemon thread sends forever, and catches no exception": (
        "threading.Thread(target=flood, daemon=True).start(); sending.wait(30)",
        0,
    ),
    "a daemon thread opens objects forever": ("daemon(objects)", 0),
    "sys.exit": ("daemon(sub.recv); sys.exit(3)", 3),
    "an exception": ("daemon(sub.recv); raise LookupError('mine')", 1),
    "objects in a reference cycle": (
        "cycle = [pub, sub]; cycle.append(cycle); del pub, sub, cycle",
        0,
    ),
    "objects in a module": ("sys.modules['zmqchat_rs'].mine = pub, sub; del pub, sub", 0),
    "objects in an atexit function": (
        "atexit.register(lambda: (pub.subscriber_count, sub.closed))",
        0,
    ),
    "an object opened at exit": ("atexit.register(lambda: Publisher('127.0.0.1:0'))", 0),
    "an object used after the shutdown": ("sys.modules['zmqchat_rs']._late = Late()", 0),
    "unread messages": ("pub.send_many(['x'] * 1_000); sub.recv()", 0),
    "a message that is kept": ("pub.send('x'); sys.kept = sub.recv()", 0),
    "connections to a closed port": (
        "Subscriber('127.0.0.1:1'); Publisher(connect='127.0.0.1:1').send('x')",
        0,
    ),
    "a thread that ends when its subscriber is closed": ("stop_at_exit()", 0),
    "a callback waits for a message": ("called_back()", 0),
}


@measured
@pytest.mark.parametrize(("ending", "code"), ENDINGS.values(), ids=ENDINGS)
def test_an_exit_is_quick_and_without_output_whatever_is_open(
    run_python: RunPython, ending: str, code: int
) -> None:
    finished = run_python(
        f"""
        import atexit, sys, threading, time
        from tests.helpers.timeouts import wait_until_blocked
        from zmqchat_rs import Publisher, Subscriber, ZmqChatError

        atexit.register(lambda: print(time.monotonic()))
        pub = Publisher("127.0.0.1:0", on_full="block", high_water_mark=1)
        sub = Subscriber(pub.endpoint, high_water_mark=1)
        pub.wait_for_subscribers(1, timeout=30)

        sending = threading.Event()

        def daemon(function, *arguments):
            def wait_here():
                try:
                    function(*arguments)
                except ZmqChatError:
                    pass
            thread = threading.Thread(target=wait_here, daemon=True)
            thread.start()
            if function not in (flood, objects):
                wait_until_blocked(thread)

        def fill():
            while True:
                pub.send(b"x" * 100_000)

        def flood():
            with Publisher("127.0.0.1:0") as publisher:
                while True:
                    publisher.send("x")
                    sending.set()

        def objects():
            while True:
                with Publisher("inproc://here"), Subscriber("inproc://here") as each:
                    each.closed

        def stop_at_exit():
            thread = threading.Thread(target=lambda: list(sub))
            thread.start()
            threading.Thread(target=lambda: (threading.main_thread().join(), sub.close())).start()

        def called_back():
            called = threading.Event()
            def wait_here(event):
                called.set()
                sub.recv()
            sys.kept = Subscriber(pub.endpoint, on_event=wait_here)
            called.wait(30)
            for thread in threading.enumerate():
                if thread.name == "zmqchat-events":
                    wait_until_blocked(thread)

        class Late:
            def __init__(self):
                self.pub, self.refusal = pub, ZmqChatError
            def __del__(self):
                try:
                    self.pub.send("too late")
                except self.refusal:
                    pass

        {ending}
        """
    )
    ended = time.monotonic()
    assert finished.code == code
    assert ended - float(finished.stdout.split()[-1]) < 1.0 + EXIT_OVERHEAD
    if "LookupError" in ending:
        assert finished.stderr.endswith("LookupError: mine\n")
        assert finished.stderr.count("Traceback") == 1
    else:
        assert finished.stderr == ""


def test_an_uncaught_keyboard_interrupt_ends_the_program_as_in_plain_python(
    run_python: RunPython,
) -> None:
    finished = run_python(
        """
        from tests.helpers.timeouts import interrupt_when_blocked
        from zmqchat_rs import Subscriber
        sub = Subscriber("127.0.0.1:1")
        interrupt_when_blocked()
        def wait_here():
            sub.recv()
        wait_here()
        """
    )
    assert finished.code == -2
    assert finished.stderr.endswith("KeyboardInterrupt\n")
    assert finished.stderr.count("Traceback") == 1


def test_an_import_alone_starts_no_thread(run_python: RunPython) -> None:
    finished = run_python("import threading, zmqchat_rs; print(threading.active_count())")
    assert finished == (0, "1\n", "")


#: Waits for messages until the timeout, four times, which takes 1.2 s.
WORK = """
def work():
    for _ in range(4):
        try:
            sub.recv(timeout=0.3)
        except TimeoutError:
            pass
    print("finished")
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize(
    "start", ["threading.Thread(target=work).start()", "pool.submit(work)"], ids=["thread", "pool"]
)
def test_a_child_of_multiprocessing_ends_when_its_threads_have_ended(
    run_python: RunPython, method: str, start: str
) -> None:
    pool = "pool" in start
    script = f"""
import multiprocessing, sys, threading
from concurrent.futures import ThreadPoolExecutor
from zmqchat_rs import Subscriber
{WORK}
def child():
    global sub, pool
    sub = Subscriber("127.0.0.1:1")
    pool = ThreadPoolExecutor()
    {start}

if __name__ == "__main__":
    process = multiprocessing.get_context("{method}").Process(target=child)
    process.start()
    process.join(20)
    print(process.exitcode)
    process.kill()
"""
    finished = run_python(script)
    # In Python 3.8 a pool has daemon threads, for which a child does not wait.
    expected = [] if pool and sys.version_info < (3, 9) else ["finished"]
    assert (finished.code, finished.stdout.splitlines(), finished.stderr) == (
        0,
        [*expected, "0"],
        "",
    )


def test_a_pool_finishes_its_work_before_the_program_ends(run_python: RunPython) -> None:
    script = f"""
from concurrent.futures import ThreadPoolExecutor  # imported first, as ruff sorts it
from zmqchat_rs import Subscriber
{WORK}
sub = Subscriber("127.0.0.1:1")
ThreadPoolExecutor().submit(work)
"""
    assert run_python(script) == (0, "finished\n", "")


@pytest.mark.parametrize("wait", ["recv()", "recv(timeout=0.05)", "listen()", "__next__()"])
def test_an_atexit_function_registered_before_the_import_may_join_its_daemon_thread(
    run_python: RunPython, wait: str
) -> None:
    script = f"""
import atexit, threading

def finish():
    stop.set()
    thread.join()
    print("joined")

stop, started = threading.Event(), threading.Event()
atexit.register(finish)
from zmqchat_rs import Subscriber

def work():
    try:
        sub = Subscriber("127.0.0.1:1")
        while not stop.is_set():
            started.set()
            try:
                sub.{wait}
            except TimeoutError:
                pass
    finally:
        print("cleaned up")

thread = threading.Thread(target=work, daemon=True)
thread.start()
started.wait(30)
"""
    assert run_python(script) == (0, "cleaned up\njoined\n", "")


_IN_A_FINALIZER = """
import os, sys
import zmqchat_rs
from zmqchat_rs import ClosedError, Message, Publisher, Relay, Subscriber

class Last:
    \"\"\"Its `__del__` runs after the shutdown of the interpreter began.\"\"\"

    def __init__(self, pub, sub):
        self.calls = {
            "Publisher": lambda P=Publisher: P("127.0.0.1:0"),
            "Subscriber": lambda S=Subscriber: S("127.0.0.1:1"),
            "Relay": lambda R=Relay: R("127.0.0.1:0", backend="127.0.0.1:0"),
            "send": lambda: pub.send("a"),
            "send_many": lambda: pub.send_many(["a"]),
            "send_json": lambda: pub.send_json({}),
            "send a buffer": lambda ba=bytearray: pub.send(ba(1)),
            "recv": lambda: sub.recv(timeout=0),
            "recv_many": lambda: sub.recv_many(timeout=0),
            "for": lambda nx=next: nx(sub),
            "listen": lambda: sub.listen(timeout=0),
            "watch": lambda: sub.watch(),
            "asend": lambda nx=next: nx(pub.asend("a")),
            "arecv": lambda nx=next: nx(sub.arecv(timeout=1)),
            "aclose": lambda: pub.aclose(),
            "json": lambda M=Message: M([b"{}"]).json(),
            "wait_for_subscribers": lambda: pub.wait_for_subscribers(),
            "wait_connected": lambda: sub.wait_connected(),
            "subscribe": lambda: sub.subscribe("room1"),
            "stats": lambda: pub.stats(),
        }

    def __del__(self, write=os.write, Closed=ClosedError, Base=BaseException, kind=type):
        for name, call in self.calls.items():
            try:
                call()
                outcome = "no error"
            except Closed:
                outcome = "ClosedError"
            except Base as error:
                outcome = kind(error).__name__
            write(1, f"{name}: {outcome}\\n".encode())

pub = Publisher("127.0.0.1:0")
sys.last_of_all = Last(pub, Subscriber(pub.endpoint))
"""


def test_calls_in_a_finalizer_that_runs_during_shutdown_raise_closed_error(
    run_python: RunPython,
) -> None:
    """Inspecting an error at that time once raised a PanicException."""
    finished = run_python(_IN_A_FINALIZER)
    assert finished.code == 0, finished
    assert finished.stderr == ""
    lines = finished.stdout.splitlines()
    assert len(lines) == 20
    assert [line for line in lines if not line.endswith(": ClosedError")] == []
