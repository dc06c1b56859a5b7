"""In asyncio: waits end by Ctrl+C, at exit, when their loop is closed, and in a forked child."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.helpers.event_loops import new_uvloop, run, wait_until_suspended
from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

OPENING = """
import asyncio, os, signal, sys, threading, time
from tests.helpers.timeouts import interrupt_when_blocked, call_when_blocked
from zmqchat_rs import ClosedError, Publisher, Subscriber

pub = Publisher("127.0.0.1:0", on_full="block", high_water_mark=1, linger=0)
sub = Subscriber(pub.endpoint, high_water_mark=1)
pub.wait_for_subscribers(1, timeout=30)
blob = b"x" * 100_000

async def fill():
    while True:
        await pub.asend(blob)

async def receive_all():
    async for message in sub:
        pass

"""

WAITS = {
    "arecv": "sub.arecv()",
    "arecv_many": "sub.arecv_many(timeout=60)",
    "async for": "receive_all()",
    "await_for_subscribers": "pub.await_for_subscribers(99)",
    "await_connected": "sub.await_connected(99)",
    "asend": "fill()",
}
waiting = pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)


@waiting
def test_ctrl_c_ends_a_program_that_waits_in_asyncio(run_python: RunPython, wait: str) -> None:
    rest = f"""
def wait_here():
    asyncio.run({wait})

moments = interrupt_when_blocked()
try:
    wait_here()
except KeyboardInterrupt:
    print(time.monotonic() - moments[0] < 2)
print(pub.closed, sub.closed)
"""
    assert run_python(OPENING + rest) == (0, "True\nFalse False\n", "")


@waiting
def test_a_waiting_loop_runs_callbacks_that_a_signal_handler_adds(
    run_python: RunPython, wait: str
) -> None:
    # A notebook's stop button sends a signal whose handler calls `loop.call_soon`, as here. The
    # signal alone does not end the system call of the loop; its timer of 0.1 s does.
    rest = f"""
async def main():
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future({wait})
    signal.signal(signal.SIGUSR1, lambda *_: loop.call_soon(task.cancel))
    try:
        await task
    except asyncio.CancelledError:
        print(time.monotonic() - moments[0] < 2)

def wait_here():
    asyncio.run(main())

def progress():
    return None

moments = interrupt_when_blocked(signal.SIGUSR1)
wait_here()
"""
    assert run_python(OPENING + rest) == (0, "True\n", "")


def test_a_program_may_exit_while_loops_in_daemon_threads_wait(run_python: RunPython) -> None:
    rest = """
for wait in (sub.arecv, receive_all, fill, lambda: pub.await_for_subscribers(9)):
    threading.Thread(target=lambda wait=wait: asyncio.run(wait()), daemon=True).start()

def wait_here():
    time.sleep(0.3)

wait_here()
print("the end")
"""
    assert run_python(OPENING + rest) == (0, "the end\n", "")


def test_a_program_may_exit_with_a_pending_task_in_a_closed_loop(run_python: RunPython) -> None:
    rest = """
loop = asyncio.new_event_loop()
coroutine = sub.arecv()
task = loop.create_task(coroutine)
for _ in range(3):
    loop.call_soon(loop.stop)
    loop.run_forever()
# Otherwise asyncio logs that a pending task was destroyed.
task._log_destroy_pending = False
loop.close()
pub.send("x")
print("the end")
"""
    assert run_python(OPENING + rest) == (0, "the end\n", "")


def close_loop_with_waiting_tasks(pair: Pair, loop: asyncio.AbstractEventLoop) -> weakref.ref[Any]:
    """Start tasks that wait, close their loop, and return a reference to one of them."""
    tasks: list[Any] = [
        loop.create_task(pair.subscriber.arecv()),
        loop.create_task(pair.publisher.await_for_subscribers(9)),
    ]
    loop.run_until_complete(wait_until_suspended(*tasks))
    for task in tasks:
        # Otherwise asyncio logs that a pending task was destroyed.
        task._log_destroy_pending = False
    loop.close()
    return weakref.ref(tasks[0])


@pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, new_uvloop], ids=["asyncio", "uvloop"]
)
def test_a_loop_may_be_closed_while_its_tasks_wait(pair: Pair, new_loop: Any) -> None:
    task = close_loop_with_waiting_tasks(pair, new_loop())
    # The message wakes a waiter of the closed loop, which must not raise or log.
    pair.publisher.send("Hello")
    assert run(pair.subscriber.arecv_text()) == "Hello"

    def is_released() -> bool:
        gc.collect()
        return task() is None

    wait_until(is_released, "the task to be released")


def test_a_closed_loop_is_released_even_if_no_message_arrives(pair: Pair) -> None:
    task = close_loop_with_waiting_tasks(pair, asyncio.new_event_loop())

    def is_released() -> bool:
        gc.collect()
        return task() is None

    wait_until(is_released, "the task to be released")


def threads_and_descriptors() -> tuple[int, int]:
    return len(list(Path("/proc/self/task").iterdir())), len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")
def test_a_thousand_loops_leave_no_thread_and_no_descriptor(pair: Pair) -> None:
    async def main(number: int) -> None:
        task = asyncio.ensure_future(pair.subscriber.arecv_text())
        others = [
            asyncio.ensure_future(pair.subscriber.arecv()),
            asyncio.ensure_future(pair.publisher.await_for_subscribers(9)),
        ]
        await asyncio.sleep(0)
        pair.publisher.send(str(number))
        assert await task == str(number)
        for other in others:
            other.cancel()

    run(main(0))
    before = threads_and_descriptors()
    for number in range(1_000):
        run(main(number))
    wait_until(
        lambda: threads_and_descriptors() <= before, "threads and descriptors to be released"
    )


def test_an_object_is_released_while_its_loop_runs() -> None:
    # Frozen objects are skipped by the 50 collections below, which would otherwise be slow.
    gc.freeze()

    async def main() -> None:
        for _ in range(50):
            publisher = Publisher("127.0.0.1:0", linger=0)
            assert publisher.endpoint is not None
            subscriber = Subscriber(publisher.endpoint)
            with pytest.raises(TimeoutError):
                await subscriber.arecv(timeout=0.001)
            await publisher.await_for_subscribers(timeout=TIMEOUT)
            await publisher.asend("Hello")
            assert await subscriber.arecv_text(timeout=TIMEOUT) == "Hello"
            references = weakref.ref(subscriber), weakref.ref(publisher)
            del subscriber, publisher
            gc.collect()
            assert [reference() for reference in references] == [None, None]

    try:
        run(main())
    finally:
        gc.unfreeze()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_in_a_forked_child_inherited_objects_raise_and_new_ones_work(run_python: RunPython) -> None:
    rest = """
asyncio.run(asyncio.wait_for(pub.await_for_subscribers(1), 30))

async def child():
    try:
        await sub.arecv()
    except OSError as error:
        print("fork" in str(error))
    async with Publisher("127.0.0.1:0") as mine, Subscriber(mine.endpoint) as receiver:
        await mine.await_for_subscribers(timeout=30)
        task = asyncio.ensure_future(receiver.arecv_text())
        await asyncio.sleep(0.01)
        await mine.asend("my own")
        print(await task)

pid = os.fork()
if pid == 0:
    asyncio.run(child())
    os._exit(0)
print(os.waitpid(pid, 0)[1])
pub.send("parent")
print(asyncio.run(sub.arecv_text(timeout=30)))
"""
    assert run_python(OPENING + rest) == (0, "True\nmy own\n0\nparent\n", "")


def test_a_loop_may_continue_in_another_thread(pair: Pair) -> None:
    loop = asyncio.new_event_loop()
    task = loop.create_task(pair.subscriber.arecv_text())
    loop.run_until_complete(wait_until_suspended(task))
    received: list[str] = []
    thread = threading.Thread(target=lambda: received.append(loop.run_until_complete(task)))
    thread.start()
    pair.publisher.send("Hello")
    thread.join(TIMEOUT)
    loop.close()
    assert received == ["Hello"]
