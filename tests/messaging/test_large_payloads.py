"""Large payloads are sent from Python's memory without a copy and released afterwards."""

from __future__ import annotations

import gc
import pickle
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Message, Publisher, QueueFullError, Subscriber

if TYPE_CHECKING:
    from tests.conftest import Pair
    from tests.helpers.scripts import RunPython

SIZES = [65_535, 65_536, 131_072, 131_073, 1_000_000]


def pattern(size: int) -> bytes:
    return (bytes(range(251)) * (size // 251 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("topic", [None, "room1"])
@pytest.mark.parametrize("framing", ["plain", "envelope"])
def test_every_kind_of_large_payload_arrives_unaltered(
    size: int, topic: str | None, framing: str
) -> None:
    data = pattern(size)
    with Publisher("127.0.0.1:0", framing=framing, name="alice") as publisher:  # type: ignore[arg-type]
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, framing=framing) as subscriber:  # type: ignore[arg-type]
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)
            publisher.send(data, topic=topic)
            publisher.send(bytearray(data), topic=topic)
            publisher.send_many([data, memoryview(data)], topic=topic)
            for number in range(4):
                message = subscriber.recv(timeout=TIMEOUT)
                assert message.data == data
                assert (message.topic, message.sequence) == (topic, number)


@pytest.mark.skipif(not hasattr(sys, "getrefcount"), reason="CPython counts references")
@pytest.mark.parametrize("subscribed", [True, False], ids=["received", "without subscriber"])
def test_a_sent_payload_is_released_without_another_call(
    pair: Pair,
    subscribed: bool,  # noqa: FBT001
) -> None:
    data = pattern(1_000_000)
    before = sys.getrefcount(data)
    if subscribed:
        pair.publisher.send(data)
        assert pair.subscriber.recv_bytes(timeout=TIMEOUT) == data
    else:
        Publisher("127.0.0.1:0").send(data)
    wait_until(lambda: sys.getrefcount(data) == before, "the last reference to be released")


def test_a_refused_payload_is_released() -> None:
    data = pattern(1_000_000)
    before = sys.getrefcount(data)
    with Publisher("127.0.0.1:0", on_full="raise", high_water_mark=1, linger=0) as publisher:
        assert publisher.endpoint is not None
        with Subscriber(publisher.endpoint, high_water_mark=1):
            publisher.wait_for_subscribers(1, timeout=TIMEOUT)

            def full() -> bool:
                try:
                    publisher.send(data)
                except QueueFullError:
                    return True
                return False

            wait_until(full, "a full queue")
    wait_until(lambda: sys.getrefcount(data) == before, "the last reference to be released")


def test_changing_a_buffer_does_not_change_the_sent_message(pair: Pair) -> None:
    data = bytearray(pattern(1_000_000))
    pair.publisher.send(data)
    data[:] = bytes(len(data))
    assert pair.subscriber.recv_bytes(timeout=TIMEOUT) == pattern(1_000_000)


def test_all_properties_of_a_large_message_give_its_payload(topic_pair: Pair) -> None:
    data = b"room1:" + pattern(1_000_000)
    topic_pair.publisher.send_many([data] * 3)
    message, same, other = (topic_pair.subscriber.recv(timeout=TIMEOUT) for _ in range(3))
    topic_pair.subscriber.close()
    topic_pair.publisher.close()
    gc.collect()
    # The topic is read from libzmq's buffer; the bytes are copied at the first access.
    assert message.topic == "room1"
    assert message.data == data[6:]
    assert message.raw == message.raw == data
    assert message.frames == (data,)
    assert pickle.loads(pickle.dumps(same)).frames == message.frames
    assert same.text.encode("latin-1", "replace")[:4] == b"\x00\x01\x02\x03"
    with ThreadPoolExecutor(8) as threads:
        views = list(threads.map(lambda _: other.raw, range(64)))
    assert all(view is views[0] and view == data for view in views)


def test_threads_send_large_payloads_at_the_same_time(pair: Pair) -> None:
    payloads = [pattern(100_000 + number) for number in range(8)]
    before = [sys.getrefcount(payload) for payload in payloads]

    def send(payload: bytes) -> None:
        for _ in range(50):
            pair.publisher.send(payload)

    threads = [threading.Thread(target=send, args=(payload,)) for payload in payloads]
    for thread in threads:
        thread.start()
    lengths = [len(pair.subscriber.recv_bytes(timeout=TIMEOUT)) for _ in range(400)]
    for thread in threads:
        thread.join(TIMEOUT)
    assert sorted(lengths) == sorted(len(payload) for payload in payloads for _ in range(50))
    del thread
    threads.clear()
    gc.collect()
    wait_until(lambda: [sys.getrefcount(payload) for payload in payloads] == before)


#: The program ends while libzmq still refers to sent payloads.
ENDS = """
    from zmqchat_rs import Publisher, Subscriber

    publisher = Publisher("127.0.0.1:0", linger=0.2, high_water_mark=0)
    subscriber = Subscriber(publisher.endpoint, high_water_mark=1)
    publisher.wait_for_subscribers(1, timeout=30)
    for number in range(200):
        publisher.send(b"%d" % number + b"x" * 200_000)
"""


def test_a_program_may_end_with_large_payloads_unsent(run_python: RunPython) -> None:
    assert run_python(ENDS) == (0, "", "")


@pytest.mark.parametrize("size", [0, 5, *SIZES])
@pytest.mark.parametrize("topic", [None, "room1"])
def test_a_view_is_read_only_and_equals_the_payload(
    topic_pair: Pair, size: int, topic: str | None
) -> None:
    data = pattern(size)
    topic_pair.publisher.send(data, topic=topic)
    message = topic_pair.subscriber.recv(timeout=TIMEOUT)
    view = message.view
    assert view == data == message.data
    assert (view.readonly, view.nbytes, view.format, view.contiguous) == (True, size, "B", True)
    with pytest.raises(TypeError, match="read-only"):
        view[:] = data
    # The view keeps the payload's memory alive.
    del message
    topic_pair.subscriber.close()
    gc.collect()
    assert view.tobytes() == data


def test_a_view_of_a_large_message_copies_nothing(pair: Pair) -> None:
    data = pattern(32_000_000)
    pair.publisher.send(data)
    message = pair.subscriber.recv(timeout=TIMEOUT)
    tracemalloc.start()
    try:
        views = [message.view for _ in range(10)]
        assert tracemalloc.get_traced_memory()[1] < len(data) // 10
    finally:
        tracemalloc.stop()
    assert all(view == data for view in views)


def test_a_message_is_refused_as_a_payload(pair: Pair) -> None:
    # Its topic would be lost.
    with pytest.raises(TypeError, match="not Message"):
        pair.publisher.send(Message([b"room1:Hello"]))  # type: ignore[arg-type]
