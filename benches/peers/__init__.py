"""Who is measured, and what a peer that is written in Python provides.

A peer is a `Peer` here and a module beside this file with the function `versions` and those of
`PeerModule` that it can serve. One that is no Python library overrides the command line with a
program of its own that speaks the protocol of `benches.worker`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import dataclass
from typing import Any, Callable, Iterable, Mapping, Protocol

# What goes over the wire: str or bytes, as the row says.
Payload = Any


@dataclass(frozen=True)
class Sending:
    """The sending side of one run: one message a call."""

    endpoint: str
    send: Callable[[Payload], object]
    wait_for_subscriber: Callable[[], object]
    close: Callable[[], object]


@dataclass(frozen=True)
class Receiving:
    """The receiving side of one run: one message a call."""

    receive: Callable[[], Payload]
    # Looks once, and raises `nothing_there`.
    look: Callable[[], object]
    nothing_there: type[BaseException]
    close: Callable[[], object]


class PeerModule(Protocol):
    """What a peer's module provides. `kind` is "text" or "bytes"; no queue may have a limit."""

    def versions(self) -> dict[str, str]:
        """The versions of the library and of what it stands on."""

    def sending(self, kind: str, endpoint: str) -> Sending:
        """Binds to an endpoint such as `tcp://127.0.0.1:*`."""

    def receiving(self, kind: str, endpoint: str) -> Receiving:
        """Connects to what the sending side calls its endpoint, and hears everything."""


@dataclass(frozen=True)
class Peer:
    """One who is measured."""

    name: str
    # The module beside this file.
    module: str
    # The package that must be installed, and whose import is timed.
    package: str
    # What the peer calls the calls of each kind, for the report.
    calls: Mapping[str, str]

    def installed(self) -> bool:
        """Whether it can be measured here."""
        return importlib.util.find_spec(self.package) is not None

    def command(self, job: Mapping[str, object]) -> list[str]:
        """The command line that does a job."""
        job = {**job, "peer": self.module}
        return [sys.executable, "-m", "benches.worker", json.dumps(job)]


# The first is what the others are compared with.
PEERS: tuple[Peer, ...] = (
    Peer(
        name="zmqchat_rs",
        module="ours",
        package="zmqchat_rs",
        calls={
            "text": "Publisher.send / Subscriber.recv_text",
            "bytes": "Publisher.send / Subscriber.recv_bytes",
        },
    ),
    Peer(
        name="pyzmq",
        module="pyzmq",
        package="zmq",
        calls={
            "text": "Socket.send_string / Socket.recv_string",
            "bytes": "Socket.send / Socket.recv",
        },
    ),
)


def chosen(names: Iterable[str] | None) -> list[Peer]:
    """The installed peers of these names; all that are installed where none are named."""
    wanted = None if names is None else {PEERS[0].name, *names}
    return [peer for peer in PEERS if (wanted is None or peer.name in wanted) and peer.installed()]
