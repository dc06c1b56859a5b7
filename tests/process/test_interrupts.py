"""Ctrl+C and other signals end every wait immediately, with the exception of the handler."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

#: The calls that wait, as statements for the scripts that begin with `OPENING`.
WAITS = {
    "recv": "sub.recv()",
    "recv with a timeout": "sub.recv(timeout=60)",
    "recv_text": "sub.recv_text()",
    "recv_bytes": "sub.recv_bytes()",
    "recv_many": "sub.recv_many()",
    "next": "next(sub)",
    "for": "for message in sub: pass",
    "wait_for_subscribers": "pub.wait_for_subscribers(99)",
    "wait_for_subscribers with a timeout": "pub.wait_for_subscribers(99, timeout=60)",
    "a blocked send": "fill(lambda: pub.send(blob))",
    "a blocked send with a timeout": "fill(lambda: pub.send(blob, timeout=60))",
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
    """A script that begins with `OPENING`; `rest` calls `wait_here`."""
    return OPENING.replace("{wait}", wait) + rest


@waiting
def test_ctrl_c_ends_every_wait_immediately(run_python: RunPython, wait: str) -> None:
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
    # The documented limit is 0.2 s; the rest allows for a busy machine.
    assert float(seconds) < 2
    assert usable == "1 False False"


@waiting
def test_the_exception_of_a_signal_handler_is_raised_unchanged(
    run_python: RunPython, wait: str
) -> None:
    rest = """
class Stop(BaseException):
    pass

exception = Stop("by hand", 7)

def handler(number, frame):
    raise exception

signal.signal(signal.SIGUSR1, handler)
interrupt_when_blocked(signal.SIGUSR1, progress)
try:
    wait_here()
except Stop as error:
    print(error is exception, error.args)
"""
    assert run_python(script(wait, rest)) == (0, "True ('by hand', 7)\n", "")


@pytest.mark.parametrize("wait", ["recv", "recv_text", "recv_bytes", "recv_many"])
def test_a_signal_handler_may_close_the_subscriber_that_waits(
    run_python: RunPython, wait: str
) -> None:
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
def test_a_signal_handler_may_close_the_publisher_that_waits(
    run_python: RunPython, wait: str
) -> None:
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
def test_a_loop_ends_when_a_signal_handler_closes_its_subscriber(
    run_python: RunPython, wait: str
) -> None:
    rest = """
signal.signal(signal.SIGUSR1, lambda number, frame: sub.close())
interrupt_when_blocked(signal.SIGUSR1)
wait_here()
print(sub.closed)
"""
    assert run_python(script(wait, rest)) == (0, "True\n", "")


def test_a_wait_continues_after_a_signal_handler_returns(run_python: RunPython) -> None:
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
    # `list.extend` runs in C: no handler runs between receiving a message and storing it.
    if frame.f_code.co_name == "wait_here":
        raise Interruption

def send():
    number = 0
    while not stop.is_set():
        pub.send(str(number))
        number += 1
    pub.send("the end")

sender = threading.Thread(target=send)
sender.start()
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
sender.join()
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
def test_a_message_that_arrives_together_with_a_signal_is_not_lost(
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
    # This thread keeps the GIL: the message wakes the wait, which cannot return before the signal.
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


def test_ctrl_c_ends_a_loop_in_c_while_messages_keep_arriving(run_python: RunPython) -> None:
    rest = """
import collections, itertools

def send():
    try:
        for number in itertools.count():
            pub.send(str(number))
            sent[0] = number
    except ClosedError:
        pass

sender = threading.Thread(target=send)
sender.start()

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


def test_ctrl_c_ends_an_endless_send_many(run_python: RunPython) -> None:
    script = """
import itertools, signal
from zmqchat_rs import Publisher

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
with Publisher("127.0.0.1:0", linger=0) as pub:
    # Repeated, because a single signal might be handled by chance.
    for _ in range(10):
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        try:
            pub.send_many(itertools.repeat("x"))
        except KeyboardInterrupt:
            print("interrupted")
"""
    assert run_python(script) == (0, "interrupted\n" * 10, "")


def test_other_threads_run_during_an_endless_send_many(run_python: RunPython) -> None:
    script = """
import itertools, os, threading, time
from zmqchat_rs import Publisher

pub = Publisher("127.0.0.1:0", linger=0)
threading.Thread(target=pub.send_many, args=(itertools.repeat("x"),), daemon=True).start()
# Each call releases the GIL and acquires it again.
for _ in range(200):
    time.sleep(0)
print("finished")
os._exit(0)
"""
    assert run_python(script) == (0, "finished\n", "")


def test_ctrl_c_does_not_wait_for_other_threads_that_receive(run_python: RunPython) -> None:
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


def test_a_signal_while_a_batch_is_read_loses_no_message(run_python: RunPython) -> None:
    # The signal arrives between two calls from C, so that `recv_many` is the first to check it.
    script = """
import ctypes, signal
from functools import partial
from zmqchat_rs import Publisher, Subscriber

class Alarm(Exception):
    pass

def raise_alarm(*_):
    raise Alarm

signal.signal(signal.SIGUSR1, raise_alarm)
raise_signal = getattr(ctypes.CDLL(None), "raise")
with Publisher("inproc://batch") as pub, Subscriber("inproc://batch") as sub:
    pub.wait_for_subscribers(timeout=30)
    pub.send_many([str(number) for number in range(3_000)])
    for count in (1, 100, 2_000):
        calls = [partial(raise_signal, signal.SIGUSR1), partial(sub.recv_many, count)]
        try:
            print(len([*map(partial.__call__, calls)][1]), "messages despite the signal")
        except Alarm:
            pass
    received = [message.text for message in sub.recv_many(3_000, timeout=30)]
print(received == [str(number) for number in range(3_000)])
"""
    finished = run_python(script)
    assert (finished.stdout, finished.stderr, finished.code) == ("True\n", "", 0)
