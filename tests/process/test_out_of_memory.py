"""Without enough memory, calls raise `MemoryError` and the interpreter continues."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")

# The message is received with enough memory. Then all memory but pieces below 100 kB is allocated.
_PROGRAM = """
import json, resource, sys  # json is imported now, because an import without memory fails
from zmqchat_rs import MessageTable, Publisher, Subscriber

size = 900_000  # libzmq holds the frame until its bytes are read
fill = {"ascii": b"x", "accents": "é".encode(), "undecodable": b"\\xff"}[sys.argv[1]]
with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint, topics=["room1"]) as sub:
    pub.wait_for_subscribers(timeout=20)
    pub.send(fill * (size // len(fill)), topic="room1")
    message = sub.recv(timeout=20)
    calls = {
        "raw": lambda: message.raw,
        "data": lambda: message.data,
        "text": lambda: message.text,
        "frames": lambda: message.frames,
        "str": lambda: str(message),
        "repr": lambda: repr(message),
        "json": lambda: message.json(),
        "render": lambda: message.render(),
        "reduce": lambda: message.__reduce__(),
        "table": lambda: MessageTable([message]),
        "many": lambda: [message.frames for _ in range(1_000_000)],
    }
    with open("/proc/self/statm") as statm:
        used = int(statm.read().split()[0]) * resource.getpagesize()
    hard_limit = resource.getrlimit(resource.RLIMIT_AS)[1]
    outcomes = {}
    for name, call in calls.items():
        resource.setrlimit(resource.RLIMIT_AS, (used + 20_000_000, hard_limit))
        blocks = []
        try:
            while True:
                blocks.append(bytes(100_000))
        except MemoryError:
            pass
        try:
            call()
        except BaseException as error:
            outcomes[name] = type(error)
        del blocks
        resource.setrlimit(resource.RLIMIT_AS, (hard_limit, hard_limit))
    for name, call in calls.items():
        print(name, outcomes[name].__name__ if name in outcomes else "no error")
    print(len(message.raw))
"""


@pytest.mark.parametrize("fill", ["ascii", "accents", "undecodable"])
def test_reading_a_large_message_raises_a_memory_error_and_keeps_the_message(
    run_python: RunPython, fill: str
) -> None:
    finished = run_python(_PROGRAM, fill)
    assert finished.code == 0, finished
    *outcomes, length = finished.stdout.splitlines()
    assert int(length) == 900_000 + len("room1:")
    assert [line for line in outcomes if not line.endswith(" MemoryError")] == []
    assert "panicked" not in finished.stderr
