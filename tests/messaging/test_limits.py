"""Limits of time, memory and sizes."""

from __future__ import annotations

import mmap
import sys
from typing import TYPE_CHECKING, Callable

import pytest

from tests.helpers.timeouts import TIMEOUT
from zmqchat_rs import Publisher, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython


@pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
def test_an_invalid_time_is_refused_even_without_a_wait(pair: Pair, timeout: float) -> None:
    pair.publisher.send_many(["one", "two"])
    pair.subscriber.wait_connected(timeout=TIMEOUT)
    uses: list[Callable[[], object]] = [
        lambda: pair.publisher.send("never", timeout=timeout),
        lambda: pair.publisher.send_json("never", timeout=timeout),
        lambda: pair.publisher.send_many([], timeout=timeout),
        lambda: pair.subscriber.recv(timeout=timeout),
        lambda: pair.subscriber.recv_text(timeout=timeout),
        lambda: pair.subscriber.recv_bytes(timeout=timeout),
        lambda: pair.subscriber.recv_many(timeout=timeout),
        lambda: pair.subscriber.listen(timeout=timeout),
    ]
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "one"
    for use in uses:
        with pytest.raises(ValueError, match="timeout"):
            use()
    assert pair.subscriber.recv_text(timeout=TIMEOUT) == "two"
    assert pair.publisher.stats().sent == 2


def test_a_wait_without_an_address_names_the_remedy() -> None:
    with Subscriber() as subscriber:
        for receive in (subscriber.recv, subscriber.recv_many):
            with pytest.raises(TimeoutError, match="not connected to an address; call connect"):
                receive(timeout=0.01)


def test_a_released_buffer_raises_its_own_error(pair: Pair) -> None:
    released, closed = memoryview(b"abc"), mmap.mmap(-1, 10)
    released.release()
    closed.close()
    for payload, words in ((released, "released"), (closed, "closed")):
        with pytest.raises(ValueError, match=words):
            pair.publisher.send(payload)


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("receive", ["sub.recv_text()", "sub.recv_bytes()", "message.data"])
def test_a_message_without_memory_for_a_copy_raises_and_stays_queued(
    run_python: RunPython, receive: str
) -> None:
    script = f"""
import resource
from zmqchat_rs import Publisher, Subscriber

def memory_in_use():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()

# The inproc transport needs no further memory, unlike a network connection.
with Publisher("inproc://here") as pub, Subscriber("inproc://here") as sub:
    pub.wait_for_subscribers(timeout=30)
    pub.send("x" * 60_000_000)
    # A message refers to the ZeroMQ frame, and needs no memory until its bytes are read.
    message = sub.recv(timeout=30) if "message" in "{receive}" else None
    resource.setrlimit(resource.RLIMIT_AS, (memory_in_use() + 20_000_000, -1))
    for _ in range(2):
        try:
            {receive}
        except MemoryError:
            print("no memory")
    pub.send("after")
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    print(len(message.data if message else sub.recv_bytes(timeout=30)), sub.recv_text(timeout=30))
"""
    assert run_python(script) == (0, "no memory\n" * 2 + "60000000 after\n", "")


@pytest.mark.parametrize("limit", [1, 10, 100])
def test_a_small_message_limit_does_not_apply_to_stamps_and_the_handshake(limit: int) -> None:
    publisher = Publisher("127.0.0.1:0", name="alice", linger=0)
    with publisher, Subscriber(publisher.addresses, max_message_bytes=limit) as subscriber:
        publisher.wait_for_subscribers(timeout=TIMEOUT)
        publisher.send("hi", topic="room1")
        message = subscriber.recv(timeout=TIMEOUT)
    assert (message.text, message.sender) == ("hi", "alice")
