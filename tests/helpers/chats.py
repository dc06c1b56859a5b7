"""Chats that are connected with each other, directly or through a relay."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Iterator

from tests.helpers.timeouts import TIMEOUT, wait_until
from zmqchat_rs import Chat, Notice

if TYPE_CHECKING:
    from tests.helpers.scripts import StartPython

#: A short heartbeat in seconds. A member is lost after three and a half heartbeats.
HEARTBEAT = 0.4


@contextlib.contextmanager
def chat(name: str, **options: Any) -> Iterator[Chat]:
    """One chat on a free port, closed at the end of the block."""
    if options.get("via") is None:
        options = {"bind": "127.0.0.1:0", **options}
    with Chat(name, linger=0, **options) as one:
        yield one


@contextlib.contextmanager
def chats(*names: str, **options: Any) -> Iterator[list[Chat]]:
    """Chats that are connected with each other in both directions."""
    with contextlib.ExitStack() as opened:
        all_of_them = [opened.enter_context(chat(name, **options)) for name in names]
        for one in all_of_them:
            for other in all_of_them:
                if other is not one:
                    one.connect(other.addresses[0])
        for one in all_of_them:
            one.wait_for_members(len(names) - 1, timeout=TIMEOUT)
        yield all_of_them


class RecordedNotices:
    """An `on_notice` that records the notices."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def __call__(self, notice: Notice) -> None:
        self.notices.append(notice)

    def wait(self, kind: str, name: str) -> Notice:
        """Wait for a notice of this kind about the member of this name."""
        return self._wait((kind,), name)

    def wait_present(self, name: str) -> Notice:
        """Wait until the member of this name is present: it has joined, or was there before."""
        return self._wait(("come", "here"), name)

    def _wait(self, kinds: tuple[str, ...], name: str) -> Notice:
        def found() -> list[Notice]:
            return [one for one in self.notices if one.kind in kinds and one.name == name]

        wait_until(found, f"the notice {kinds} of {name}")
        return found()[-1]


def wait_for_member(one: Chat) -> None:
    """Wait until the presence of a member is received, in this direction alone."""
    wait_until(lambda: one.members, "a member")


def texts(one: Chat, count: int) -> list[str]:
    """The texts of the next messages."""
    return [one.recv(timeout=TIMEOUT).text for _ in range(count)]


#: A script with a relay on the two addresses in its arguments. It prints "ready".
RELAY = """
    import sys
    from zmqchat_rs import Relay
    relay = Relay(frontend=sys.argv[1], backend=sys.argv[2])
    print("ready")
    sys.stdin.readline()
"""

#: A script with libzmq's own proxy, as an example of another relay. It prints "ready", and then
#: its two addresses. Its context sometimes never ends, so it needs a process of its own.
PROXY = """
    import sys, zmq
    context = zmq.Context()
    ends = context.socket(zmq.XSUB), context.socket(zmq.XPUB)
    for end, address in zip(ends, sys.argv[1:]):
        end.bind("tcp://" + address)
    print("ready")
    print(*(end.last_endpoint.decode()[len("tcp://") :] for end in ends))
    zmq.proxy(*ends)
"""


def start_proxy(start_python: StartPython) -> tuple[str, str]:
    """Start libzmq's proxy and return its two addresses, for `via`."""
    proxy = start_python(PROXY, *["127.0.0.1:*"] * 2)
    assert proxy.line() == "ready"
    frontend, backend = proxy.line().split()
    return frontend, backend
