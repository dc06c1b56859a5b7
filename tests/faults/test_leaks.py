"""Objects that are opened and closed leave no thread, descriptor or memory behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Callable

import pytest

from tests.helpers.conditions import only_linux
from tests.helpers.timeouts import TIMEOUT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.scripts import RunPython

pytestmark = only_linux

#: After these rounds the allocator's arenas, libzmq's tables and Python's caches stop growing.
WARM_UP = 1_000
ROUNDS = 10_000

#: How much memory may grow after the warm-up, in KiB. A leak of 256 bytes a round would exceed it;
#: fragmentation of the allocator was measured at 50 bytes a round.
MARGIN = 2_500

OPENING = """
import json, logging, sys
from tests.helpers.memory import resident_kib, settled
from tests.helpers.timeouts import wait_until
from zmqchat_rs import Publisher, Subscriber

logging.getLogger("zmqchat_rs").setLevel(logging.ERROR)

def alone():
    with Publisher("127.0.0.1:0"), Subscriber("127.0.0.1:1"):
        pass

def connected():
    with Publisher("127.0.0.1:0", linger=0) as publisher:
        with Subscriber(publisher.endpoint) as subscriber:
            publisher.wait_for_subscribers(1, timeout=30)
            publisher.send("Hello")
            assert subscriber.recv_text(timeout=30) == "Hello"

def never_closed():
    # Only the last reference is dropped.
    publisher = Publisher("127.0.0.1:0", linger=0)
    subscriber = Subscriber(publisher.endpoint)
    publisher.wait_for_subscribers(1, timeout=30)

def with_event_callbacks():
    events = []
    with Publisher("127.0.0.1:0", on_event=events.append) as publisher:
        with Subscriber(publisher.endpoint, on_event=events.append):
            publisher.wait_for_subscribers(1, timeout=30)
"""

REPEATS = (
    OPENING
    + """
def repeat(count):
    for _ in range(count):
        open_and_close()
    return settled(), resident_kib()

open_and_close = globals()[sys.argv[1]]
before, memory = repeat(int(sys.argv[2]))
after, memory_after = repeat(int(sys.argv[3]))
print(json.dumps({"before": before, "after": after, "grown": memory_after - memory}))
"""
)

#: 1,024 descriptors are the default limit of most systems.
UNDER_THE_USUAL_LIMIT = """
import resource
from zmqchat_rs import Publisher, Subscriber

resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, 1_024))
for _ in range(10_000):
    Subscriber("127.0.0.1:1").close()
for _ in range(2_500):
    Publisher("127.0.0.1:0").close()
    Subscriber("127.0.0.1:1")
print("opened all")
"""

#: 50 subscribers that reconnect every tenth of a second; `peers` counts their attempts.
FAILED_RECONNECTS = (
    OPENING
    + """
def attempts():
    return sum(subscriber.peers[0].attempts for subscriber in subscribers)

events = []
subscribers = [
    Subscriber(sys.argv[1], reconnect_max=0.1, on_event=events.append) for _ in range(50)
]
# The warm-up includes the event "silent", which each subscriber reports once.
wait_until(lambda: attempts() >= 500 and len(events) == 50, "the warm-up")
before, memory = attempts(), resident_kib()
# At the default of 2 s, an hour has 1,800 attempts.
wait_until(lambda: attempts() >= before + 3 * 1_800, "the attempts of three hours")
assert len(events) == 50, events
print(json.dumps({"grown": resident_kib() - memory}))
for subscriber in subscribers:
    subscriber.close()
"""
)


def report(run_python: RunPython, script: str, *arguments: str) -> dict[str, Any]:
    finished = run_python(script, *arguments, deadline=4 * TIMEOUT)
    assert finished.code == 0, finished
    assert finished.stderr == ""
    found: dict[str, Any] = json.loads(finished.stdout)
    return found


@pytest.mark.parametrize(
    ("function", "rounds"),
    [
        ("alone", ROUNDS),
        ("connected", ROUNDS),
        ("never_closed", ROUNDS // 4),
        ("with_event_callbacks", ROUNDS // 4),
    ],
)
def test_opened_and_closed_objects_leave_nothing_behind(
    run_python: RunPython, function: str, rounds: int
) -> None:
    found = report(run_python, REPEATS, function, str(WARM_UP), str(rounds))
    assert found["after"] == found["before"]
    assert found["grown"] < MARGIN


@pytest.mark.parametrize("end", ["thing.close(); del thing", "del thing", "drop_while_raising()"])
@pytest.mark.parametrize("thing", ["relay", "transcript"])
def test_a_closed_or_dropped_object_leaves_no_atexit_function(
    run_python: RunPython, tmp_path: Path, thing: str, end: str
) -> None:
    script = f"""
import gc, sys, types
from zmqchat_rs import Relay, Transcript

def registered():
    # `atexit` does not show its functions, and its count includes removed ones.
    gc.collect()
    kind = types.BuiltinFunctionType
    return sum(type(it) is kind and "closure" in it.__name__ for it in gc.get_objects())

def transcript():
    return Transcript(sys.argv[1], sync="disk")

def relay():
    return Relay("127.0.0.1:0", backend="127.0.0.1:0", capture=sys.argv[1])

def drop_while_raising():
    # The exception drops the tuple that is being made.
    try:
        (globals().pop("thing"), 1 / 0)
    except ZeroDivisionError:
        pass

before = registered()
thing = {thing}()
assert registered() == before + 1
{end}
print(registered() - before)
"""
    assert run_python(script, str(tmp_path / "chat.log")) == (0, "0\n", "")


def test_hours_of_failed_reconnects_cost_no_memory(
    run_python: RunPython, free_port: Callable[[], int]
) -> None:
    found = report(run_python, FAILED_RECONNECTS, f"127.0.0.1:{free_port()}")
    assert found["grown"] < MARGIN


def test_ten_thousand_objects_can_be_opened_within_the_usual_descriptor_limit(
    run_python: RunPython,
) -> None:
    assert run_python(UNDER_THE_USUAL_LIMIT, deadline=4 * TIMEOUT) == (0, "opened all\n", "")
