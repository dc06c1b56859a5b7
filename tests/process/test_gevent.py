"""With gevent, which replaces Python's threads, the package still uses threads of the system."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.helpers.scripts import RunPython

pytest.importorskip("gevent")

_WATCH = """
from gevent import monkey
monkey.patch_all()
import gevent
from zmqchat_rs import Publisher, Subscriber

with Publisher("127.0.0.1:0") as pub, Subscriber(pub.endpoint) as sub:
    pub.wait_for_subscribers(timeout=20)
    live = sub.watch()
    for _ in range(3):
        gevent.sleep(0.01)
    pub.send("Hello", topic="room1")
    while not live.messages:
        gevent.sleep(0.01)
    assert live.wait(1, timeout=20) == 1
    live.stop()
    assert not live.running
print("done")
"""

_CHAT = """
from gevent import monkey
monkey.patch_all()
import gevent
from zmqchat_rs import Chat

with Chat("alice", bind="127.0.0.1:0") as alice:
    with Chat("bob", bind="127.0.0.1:0", peers=[alice.endpoint]) as bob:
        while not bob.members:
            gevent.sleep(0.01)
        alice.say("Hello")
        while True:
            try:
                message = bob.recv(timeout=0)
                break
            except TimeoutError:
                gevent.sleep(0.01)
        assert message.text == "Hello"
        assert alice.wait_for_listeners(1, timeout=20) == 1
print("done")
"""

_EVENTS = """
from gevent import monkey
monkey.patch_all()
import gevent
from zmqchat_rs import Publisher, Subscriber

events = []
with Publisher("127.0.0.1:0", on_event=events.append) as pub, Subscriber(pub.endpoint):
    while not events:
        gevent.sleep(0.01)
print("done")
"""


@pytest.mark.parametrize("program", [_WATCH, _CHAT, _EVENTS], ids=["watch", "chat", "events"])
def test_greenlets_run_while_a_thread_of_the_package_waits(
    run_python: RunPython, program: str
) -> None:
    """A greenlet that waits in native code would block all others, and the program."""
    finished = run_python(program)
    assert "done" in finished.stdout, finished.stderr
    assert finished.code == 0, finished.stderr
