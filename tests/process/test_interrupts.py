"""Ctrl+C and other signals: they end every wait at once, with the handler's own exception."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

#: Everything that waits: its name, and the statement, for the scripts that begin like `OPENING`.
WAITS = {
    "recv": "sub.recv()",
    "recv with a time-out": "sub.recv(timeout=60)",
    "recv_text": "sub.recv_text()",
    "recv_bytes": "sub.recv_bytes()",
    "recv_many": "sub.recv_many()",
    "next": "next(sub)",
    "for": "for message in sub: pass",
    "wait_for_subscribers": "pub.wait_for_subscribers(99)",
    "wait_for_subscribers with a time-out": "pub.wait_for_subscribers(99, timeout=60)",
    "a blocked send": "fill(lambda: pub.send(blob))",
    "a blocked send with a time-out": "fill(lambda: pub.send(blob, timeout=60))",
    "a blocked send_many": "fill(lambda: pub.send_many([blob] * 5))",
}

OPENING = """
import signal, threading, time
from tests.helpers.timeouts import interrupt_when_blocked, call_when_blocked
from zmqchat_rs import ClosedError, Publisher, Subscriber

pub = Publisher("127.0.0.1:0", on_full="block", high_water_mark=1, linger=0)
sub = Subscriber(pub.endpoint, high_water_mark=1)
pub.wait_for_subscribers(1, timeout=30)
blob = b"x" * 100_000
sent = [0]

def fill(send):
    while True:
        send()
        sent[0] += 1

def progress():
    return sent[0]

def wait_here():
    {wait}

"""

waiting = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


def script(wait: str, rest: str) -> str:
    """A script that begins like `OPENING`; `rest` calls `wait_here`."""
    return OPENING.replace("{wait}", wait) + rest


@waiting
def test_ctrl_c_ends_every_wait_at_once(run_python: RunPython, wait: str) -> None:
    rest = """
moments = interrupt_when_blocked(signal.SIGINT, progress)
try:
    wait_here()
except KeyboardInterrupt:
    print(time.monotonic() - moments[0])
print(pub.wait_for_subscribers(1, timeout=30), pub.closed, sub.closed)
"""
    finished = run_python(script(wait, rest))
    assert (finished.code, finished.stderr) == (0, "")
    seconds, usable = finished.stdout.splitlines()
    # The promise is 0.2 s; the rest is for a machine that has other things to do.
    assert float(seconds) < 2
    assert usable == "1 False False"


@waiting
def test_the_exception_of_ones_own_handler_arrives_unchanged(
    run_python: RunPython, wait: str
) -> None:
    rest = """
class Stop(BaseException):
    pass

mine = Stop("by hand", 7)

def handler(number, frame):
    raise mine

signal.signal(signal.SIGUSR1, handler)
interrupt_when_blocked(signal.SIGUSR1, progress)
try:
    wait_here()
except Stop as error:
    print(error is mine, error.args)
"""
    assert run_python(script(wait, rest)) == (0, "True ('by hand', 7)\n", "")


@pytest.mark.parametrize("wait", ["recv", "recv_text", "recv_bytes", "recv_many"])
def test_a_handler_may_close_the_subscriber_that_waits(run_python: RunPython, wait: str) -> None:
    rest = """
signal.signal(signal.SIGUSR1, lambda number, frame: sub.close())
interrupt_when_blocked(signal.SIGUSR1)
try:
    wait_here()
except ClosedError as error:
    print("closed" in str(error), sub.closed)
"""
    assert run_python(script(WAITS[wait], rest)) == (0, "True True\n", "")


@pytest.mark.parametrize("wait", ["a blocked send", "a blocked send_many", "wait_for_subscribers"])
def test_a_handler_may_close_the_publisher_that_waits(run_python: RunPython, wait: str) -> None:
    rest = """
signal.signal(signal.SIGUSR1, lambda number, frame: pub.close())
interrupt_when_blocked(signal.SIGUSR1, progress)
try:
    wait_here()
except ClosedError as error:
    print("closed" in str(error), pub.closed)
"""
    assert run_python(script(WAITS[wait], rest)) == (0, "True True\n", "")


@pytest.mark.parametrize("wait", ["for message in sub: pass", "sub.listen()"])
def test_a_loop_ends_when_a_handler_closes_its_subscriber(run_python: RunPython, wait: str) -> None:
    rest = """
signal.signal(signal.SIGUSR1, lambda number, frame: sub.close())
interrupt_when_blocked(signal.SIGUSR1)
wait_here()
print(sub.closed)
"""
    assert run_python(script(wait, rest)) == (0, "True\n", "")


def test_a_handler_that_returns_lets_the_wait_go_on(run_python: RunPython) -> None:
    rest = """
signal.signal(signal.SIGUSR1, lambda number, frame: pub.send("from the handler"))
interrupt_when_blocked(signal.SIGUSR1)
print(wait_here())
"""
    assert run_python(script("return sub.recv_text(timeout=30)", rest)) == (
        0,
        "from the handler\n",
        "",
    )


def test_an_interrupted_wait_loses_no_message(run_python: RunPython) -> None:
    rest = """
numbers = []
stop = threading.Event()
interruptions = 0

class Interruption(Exception):
    pass

def interrupt(number, frame):
    # The list is extended in C: no handler runs between a message's hand-out and its safe arrival.
    if frame.f_code.co_name == "wait_here":
        raise Interruption

def speak():
    number = 0
    while not stop.is_set():
        pub.send(str(number))
        number += 1
    pub.send("the end")

speaker = threading.Thread(target=speak)
speaker.start()
signal.signal(signal.SIGALRM, interrupt)
signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
while interruptions < 100:
    try:
        wait_here()
    except Interruption:
        interruptions += 1
signal.setitimer(signal.ITIMER_REAL, 0)
stop.set()
while str(numbers[-1]) != "the end":
    numbers.append(sub.recv(timeout=30))
speaker.join()
print([*map(str, numbers)] == [*map(str, range(len(numbers) - 1)), "the end"])
"""
    wait = "numbers.extend(sub)"
    assert run_python(script(wait, rest)) == (0, "True\n", "")


@pytest.mark.parametrize(
    "wait",
    [
        "return [str(sub.recv())]",
        "return [sub.recv_text()]",
        "return [sub.recv_bytes().decode()]",
        "return [*map(str, sub.recv_many())]",
        "return [str(next(sub))]",
    ],
)
def test_a_message_that_comes_together_with_a_signal_is_still_there(
    run_python: RunPython, wait: str
) -> None:
    rest = """
import sys
from tests.helpers.timeouts import wait_until_blocked

class Interruption(Exception):
    pass

def interrupt(number, frame):
    raise Interruption

def send_and_signal(number):
    wait_until_blocked(threading.main_thread())
    # The interpreter is kept: the message wakes the wait, which cannot return before the signal.
    sys.setswitchinterval(30)
    pub.send(str(number))
    end = time.perf_counter() + 0.02
    while time.perf_counter() < end:
        pass
    signal.pthread_kill(threading.main_thread().ident, signal.SIGUSR1)
    sys.setswitchinterval(0.005)

signal.signal(signal.SIGUSR1, interrupt)
interruptions = 0
for number in range(10):
    thread = threading.Thread(target=send_and_signal, args=(number,))
    thread.start()
    try:
        wait_here()
    except Interruption:
        interruptions += 1
    thread.join()
    assert sub.recv_text(timeout=30) == str(number)
print(interruptions, sub.stats().received, sub.stats().backlog)
"""
    assert run_python(script(wait, rest)) == (0, "10 10 0\n", "")


def test_ctrl_c_ends_a_loop_in_c_that_never_runs_dry(run_python: RunPython) -> None:
    rest = """
import collections, itertools

def speak():
    try:
        for number in itertools.count():
            pub.send(str(number))
            sent[0] = number
    except ClosedError:
        pass

speaker = threading.Thread(target=speak)
speaker.start()

def interrupt():
    while sent[0] < 5_000:
        time.sleep(0)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

signal.signal(signal.SIGINT, signal.default_int_handler)
threading.Thread(target=interrupt).start()
try:
    wait_here()
except KeyboardInterrupt:
    print("interrupted")
pub.close()
"""
    assert run_python(script("collections.deque(sub, maxlen=0)", rest)) == (0, "interrupted\n", "")


def test_ctrl_c_ends_a_send_many_without_end(run_python: RunPython) -> None:
    script = """
import itertools, signal
from zmqchat_rs import Publisher

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
with Publisher("127.0.0.1:0", linger=0) as pub:
    # More than once: now and then it lets a signal in by chance.
    for _ in range(10):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            pub.send_many(itertools.repeat("x"))
        except KeyboardInterrupt:
            print("interrupted")
"""
    assert run_python(script) == (0, "interrupted\n" * 10, "")


def test_a_send_many_without_end_leaves_room_for_other_threads(run_python: RunPython) -> None:
    script = """
import itertools, os, threading, time
from zmqchat_rs import Publisher

pub = Publisher("127.0.0.1:0", linger=0)
threading.Thread(target=pub.send_many, args=(itertools.repeat("x"),), daemon=True).start()
# Each of these lets go of the interpreter's lock, and wants it back.
for _ in range(200):
    time.sleep(0)
print("here I am")
os._exit(0)
"""
    assert run_python(script) == (0, "here I am\n", "")


def test_ctrl_c_waits_for_no_other_thread_that_reads(run_python: RunPython) -> None:
    rest = """
for _ in range(4):
    threading.Thread(target=lambda: list(sub), daemon=True).start()
moments = interrupt_when_blocked()
try:
    wait_here()
except KeyboardInterrupt:
    print(time.monotonic() - moments[0] < 2)
"""
    assert run_python(script("sub.recv()", rest)) == (0, "True\n", "")


def test_a_signal_that_comes_while_a_batch_is_read_loses_none_of_it(run_python: RunPython) -> None:
    # The signal comes between two calls from C, so that the second one is the first to look at it.
    script = """
import ctypes, signal
from functools import partial
from zmqchat_rs import Publisher, Subscriber

class Alarm(Exception):
    pass

def ring(*_):
    raise Alarm

signal.signal(signal.SIGUSR1, ring)
kick = getattr(ctypes.CDLL(None), "raise")
with Publisher("inproc://batch") as pub, Subscriber("inproc://batch") as sub:
    pub.wait_for_subscribers(timeout=30)
    pub.send_many([str(number) for number in range(3_000)])
    for count in (1, 100, 2_000):
        steps = [partial(kick, signal.SIGUSR1), partial(sub.recv_many, count)]
        try:
            print(len([*map(partial.__call__, steps)][1]), "came in spite of the signal")
        except Alarm:
            pass
    heard = [message.text for message in sub.recv_many(3_000, timeout=30)]
print(heard == [str(number) for number in range(3_000)])
"""
    finished = run_python(script)
    assert (finished.stdout, finished.stderr, finished.code) == ("True\n", "", 0)
