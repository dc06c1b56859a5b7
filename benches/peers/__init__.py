"""Who is measured, and what a peer that is written in Python provides.

A peer is a `Peer` here and a module beside this file with the functions of `PeerModule`. One that
is no Python library overrides the command line with a program of its own that speaks the protocol
of `benches.worker`, as the C reference does.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import sys
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Any,
    Callable,
    ContextManager,
    Iterable,
    Mapping,
    NoReturn,
    Protocol,
    Sequence,
)

from . import brokers, reference

if TYPE_CHECKING:
    from pathlib import Path

# What goes over the wire: str or bytes, as the row says.
Payload = Any
# What a run is about; README.md has the keys.
Job = Mapping[str, Any]


def not_offered(*_: object) -> NoReturn:
    """Stands for what a peer has no call for; rows ask only those who have."""
    raise NotImplementedError("this peer has no such call")


@dataclass(frozen=True)
class Sending:
    """The sending side of one run."""

    endpoint: str
    # One message a call.
    send: Callable[[Payload], object]
    # Returns when so many subscribers are there, with all that they subscribe to.
    wait_for_subscribers: Callable[[int], object]
    close: Callable[[], object]
    # Many in one call.
    send_many: Callable[[list[Payload]], object] = not_offered
    # So many messages and the end mark: a loop of the peer's own, where one function a message
    # would not be what its users write.
    send_stream: Callable[[Payload, int, Payload], object] = not_offered


@dataclass(frozen=True)
class Receiving:
    """The receiving side of one run."""

    # One message a call.
    receive: Callable[[], Payload]
    close: Callable[[], object]
    # Looks once, and raises `nothing_there`.
    look: Callable[[], object] = not_offered
    nothing_there: type[BaseException] = TimeoutError
    # What is there, at least one.
    receive_many: Callable[[], Sequence[Any]] = not_offered
    # Receives and prints so many lines.
    show: Callable[[int], object] = not_offered
    # Opens a log at that path, and gives what writes messages there.
    keeping: Callable[[Path], ContextManager[Callable[[list[Any]], object]]] = not_offered
    # Up to the end mark, likewise: the first message, how many came, and the time of the first and
    # of the mark.
    receive_stream: Callable[[Payload], tuple[Payload, int, float, float]] = not_offered


@dataclass(frozen=True)
class Relaying:
    """A relay of one run."""

    # Where subscribers connect.
    endpoint: str
    close: Callable[[], object]


class PeerModule(Protocol):
    """What a peer's module provides. No queue may have a limit."""

    def versions(self) -> dict[str, str]:
        """The versions of the library and of what it stands on."""

    def sending(self, job: Job) -> Sending:
        """Binds to the job's `endpoint`, such as `tcp://127.0.0.1:*`."""

    def receiving(self, job: Job) -> Receiving:
        """Connects to what the sending side calls its endpoint, and hears what the job says."""

    def relaying(self, job: Job) -> Relaying:
        """Connects to `upstream` and binds to `endpoint`; for rows with a relay alone."""


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
    # The part of a row's count that is enough for one that takes many times as long.
    portion: float = 1.0
    # A program that must run beside it, and how it is run: gives the endpoint.
    service: str | None = None
    serve: Callable[[], ContextManager[str]] | None = None

    def installed(self) -> bool:
        """Whether it can be measured here."""
        return importlib.util.find_spec(self.package) is not None and (
            self.service is None or shutil.which(self.service) is not None
        )

    def prepare(self) -> None:
        """Does what takes long, once, before anything is measured."""

    def command(self, job: Job) -> list[str]:
        """The command line that does a job."""
        job = {**job, "peer": self.module}
        return [sys.executable, "-m", "benches.worker", json.dumps(job)]


@dataclass(frozen=True)
class Reference(Peer):
    """The C reference: a program of its own."""

    def installed(self) -> bool:
        """Whether it can be built."""
        return reference.can_be_built()

    def prepare(self) -> None:
        """Builds it; the next time this is quick."""
        reference.build()

    def command(self, job: Job) -> list[str]:
        """The program knows the job by the same words."""
        return [str(reference.PROGRAM), json.dumps(dict(job))]


# The first is what the others are compared with.
PEERS: tuple[Peer, ...] = (
    Peer(
        name="zmqchat_rs",
        module="ours",
        package="zmqchat_rs",
        calls={
            "text": "send / recv_text",
            "bytes": "send / recv_bytes",
            "views": "send / recv().view",
            "topic": "send(text, topic=…) / for message in subscriber: message.text",
            "stamped": "Publisher(name=…).send / for message in subscriber: message.text",
            "batched": "send_many / recv_many",
            "batched, read": "send_many / recv_many, .text of each",
            "filtered": "send(text, topic=…) / recv_text",
            "asyncio": "send / async for message in subscriber: message.raw",
            "print": "listen(color='always')",
            "log": "Transcript.write_many",
        },
    ),
    Peer(
        name="pyzmq",
        module="pyzmq",
        package="zmq",
        calls={
            "text": "send_string / recv_string",
            "bytes": "send / recv",
            "views": "send(copy=False) / recv(copy=False).buffer",
            "topic": "send_string(f'{topic}:{text}') / recv_string().partition(':')",
            "stamped": "send_multipart([text, stamp]) / recv_multipart()",
            "batched": "send_string / recv_string",
            "batched, read": "send_string / recv_string",
            "filtered": "send_string(f'{topic}:{text}') / recv_string",
            "asyncio": "send / await recv() of zmq.asyncio",
            "print": "print(f'{Fore.CYAN}[{now}]{Style.RESET_ALL} {recv_string()}')",
            "log": "write(f'{datetime.now().isoformat()} {text}\\n'), a line buffered",
        },
    ),
    Reference(
        name="C",
        module="reference",
        package="",
        calls={
            "text": "zmq_send / zmq_recv",
            "bytes": "zmq_send / zmq_recv",
            "topic": "zmq_send / zmq_recv",
            "stamped": "zmq_send twice / zmq_recv twice",
            "batched": "zmq_send / zmq_recv",
            "batched, read": "zmq_send / zmq_recv",
            "filtered": "zmq_send / zmq_recv",
        },
    ),
    Peer(
        name="plain sockets",
        module="sockets",
        package="socket",
        calls={"bytes": "sendall(length + data) / makefile().read"},
    ),
    Peer(
        name="pynng",
        module="nng",
        package="pynng",
        calls={"bytes": "Push0.send / Pull0.recv (Pub0 drops when it is ahead)"},
        portion=0.1,
    ),
    Peer(
        name="zenoh",
        module="zenoh",
        package="zenoh",
        calls={"bytes": "Publisher.put, congestion BLOCK, reliable / FifoChannel.recv().payload"},
        portion=0.2,
    ),
    Peer(
        name="redis",
        module="redis",
        package="redis",
        calls={"bytes": "publish / get_message"},
        portion=0.02,
        service="redis-server",
        serve=brokers.redis,
    ),
    Peer(
        name="nats",
        module="nats",
        package="nats",
        calls={"bytes": "in asyncio: publish / async for … in messages"},
        portion=0.05,
        service="nats-server",
        serve=brokers.nats,
    ),
)


def chosen(names: Iterable[str] | None) -> list[Peer]:
    """The installed peers of these names; all that are installed where none are named."""
    wanted = None if names is None else {PEERS[0].name, *names}
    return [peer for peer in PEERS if (wanted is None or peer.name in wanted) and peer.installed()]
