"""The measured libraries, called peers, and the interface of a peer that is written in Python.

A peer is a `Peer` here and a module beside this file with the functions of `PeerModule`. A peer
that is not a Python library overrides the command line with a program that implements the protocol
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

# A message: str or bytes, depending on the row.
Payload = Any
# The parameters of a run; README.md describes the keys.
Job = Mapping[str, Any]


def not_offered(*_: object) -> NoReturn:
    """A placeholder for calls that a peer does not have; rows select only peers that have them."""
    raise NotImplementedError("this peer has no such call")


@dataclass(frozen=True)
class Sending:
    """The sending side of one run."""

    endpoint: str
    # Sends one message per call.
    send: Callable[[Payload], object]
    # Waits for this number of subscribers and all their subscriptions.
    wait_for_subscribers: Callable[[int], object]
    close: Callable[[], object]
    # Sends several messages in one call.
    send_many: Callable[[list[Payload]], object] = not_offered
    # Sends messages and the end mark in a loop of the peer's own, as its users would write it.
    send_stream: Callable[[Payload, int, Payload], object] = not_offered


@dataclass(frozen=True)
class Receiving:
    """The receiving side of one run."""

    # Receives one message per call.
    receive: Callable[[], Payload]
    close: Callable[[], object]
    # Receives without blocking; raises `empty_error` if the queue is empty.
    receive_nowait: Callable[[], object] = not_offered
    empty_error: type[BaseException] = TimeoutError
    # Receives all queued messages, at least one.
    receive_many: Callable[[], Sequence[Any]] = not_offered
    # Receives and prints this number of lines.
    print_lines: Callable[[int], object] = not_offered
    # Opens a transcript at this path; yields a function that writes messages to it.
    open_transcript: Callable[[Path], ContextManager[Callable[[list[Any]], object]]] = not_offered
    # Receives up to the end mark in a loop of the peer's own. Returns the first message, the count,
    # and the times of the first message and the mark.
    receive_stream: Callable[[Payload], tuple[Payload, int, float, float]] = not_offered


@dataclass(frozen=True)
class Relaying:
    """A relay of one run."""

    # Subscribers connect here.
    endpoint: str
    close: Callable[[], object]


class PeerModule(Protocol):
    """The functions of a peer's module. No queue may have a limit."""

    def versions(self) -> dict[str, str]:
        """The versions of the library and of the libraries below it."""

    def sending(self, job: Job) -> Sending:
        """Binds to the job's `endpoint`, such as `tcp://127.0.0.1:*`."""

    def receiving(self, job: Job) -> Receiving:
        """Connects to the endpoint of the sending side and subscribes as the job requires."""

    def relaying(self, job: Job) -> Relaying:
        """Connects to `upstream` and binds to `endpoint`; only for rows with a relay."""


@dataclass(frozen=True)
class Peer:
    """A measured library or program."""

    name: str
    # The module beside this file.
    module: str
    # The package that must be installed, and whose import is timed.
    package: str
    # The peer's calls for each kind of row, for the report.
    calls: Mapping[str, str]
    # The fraction of a row's count that a slow peer sends.
    portion: float = 1.0
    # A server that the peer needs, and a context manager that runs it and yields the endpoint.
    service: str | None = None
    serve: Callable[[], ContextManager[str]] | None = None

    def installed(self) -> bool:
        """Whether the peer is installed here."""
        return importlib.util.find_spec(self.package) is not None and (
            self.service is None or shutil.which(self.service) is not None
        )

    def prepare(self) -> None:
        """Does slow preparation once, before all measurements."""

    def command(self, job: Job) -> list[str]:
        """The command line of a process that does this job."""
        job = {**job, "peer": self.module}
        return [sys.executable, "-m", "benches.worker", json.dumps(job)]


@dataclass(frozen=True)
class Reference(Peer):
    """The C reference, a separate program."""

    def installed(self) -> bool:
        """Whether it can be built."""
        return reference.can_be_built()

    def prepare(self) -> None:
        """Builds it; later builds are quick."""
        reference.build()

    def command(self, job: Job) -> list[str]:
        """The program reads the same job."""
        return [str(reference.PROGRAM), json.dumps(dict(job))]


# The first peer is compared with each of the rest.
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
            "transcript": "Transcript.write_many",
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
            "transcript": "write(f'{datetime.now().isoformat()} {text}\\n'), line buffering",
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
        calls={"bytes": "Push0.send / Pull0.recv (Pub0 drops if the queue is full)"},
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


def select_peers(names: Iterable[str] | None) -> list[Peer]:
    """The installed peers with these names; all installed peers without names."""
    wanted = None if names is None else {PEERS[0].name, *names}
    return [peer for peer in PEERS if (wanted is None or peer.name in wanted) and peer.installed()]
