"""What is measured: one `Row` a line of the table. A new line is an entry in `ROWS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping

from . import running

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    from .peers import Job, Peer
    from .running import Outcome

    class More(TypedDict, total=False):
        """What the makers of rows hand on to `Row`."""

        peers: tuple[str, ...]
        goals: Mapping[str, float]
        quick: bool


TCP, IPC, INPROC = "tcp://127.0.0.1:*", "ipc://*", "inproc://benches"
KIB, MIB = 1024, 1024 * 1024
# As long as a stamp of ours: what pyzmq and C send as their second frame.
STAMP = 110

# Who takes part; the first is what the others are compared with.
OURS = "zmqchat_rs"
USUAL = (OURS, "pyzmq", "C")
PYTHON = (OURS, "pyzmq")
OTHERS = (OURS, "plain sockets", "pynng", "zenoh", "redis", "nats")


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    # A function of `running`: does one run of one peer.
    run: Callable[[Peer, Job], Outcome]
    # Whatever the run's jobs want to know.
    job: Mapping[str, Any] = field(default_factory=dict)
    # Messages or calls a run, at full length and under --quick.
    count: int = 1
    quick_count: int = 1
    # The names of the peers that can do it.
    peers: tuple[str, ...] = USUAL
    # What a run gives; most give one figure, named by its unit.
    figures: tuple[str, ...] = (running.RATE,)
    unit: str = running.RATE
    # Whether more is better.
    more: bool = True
    # The median ratios that the project wants to hold, by peer: at least, or at most.
    goals: Mapping[str, float] = field(default_factory=dict)
    # Whether --quick measures it.
    quick: bool = False


def throughput(
    kind: str, size: int, *, endpoint: str = TCP, count: int = 0, **more: Unpack[More]
) -> Row:
    """Messages a second from one process to another; over inproc, from one thread to another."""
    scheme = endpoint.partition(":")[0]
    inproc = endpoint == INPROC
    # A queue has no limit: if the worst comes, all of it is in memory.
    count = count or min(1_000_000, (400 if size <= 4 * KIB else 800) * MIB // size)
    beside = "beside others: " if more.get("peers") == OTHERS else ""
    return Row(
        name=f"{beside}throughput, {kind}, {size_text(size)}, {scheme}",
        run=running.two_threads if inproc else running.two_processes,
        job={"do": "", "kind": kind, "size": size, "endpoint": endpoint, "stamp": STAMP},
        count=count,
        quick_count=count // 3,
        **more,
    )


def relayed(size: int, **more: Unpack[More]) -> Row:
    """Messages a second from one process through a relay in another to a third."""
    return Row(
        name=f"relayed throughput, {size_text(size)}, tcp",
        run=running.relayed,
        job={"kind": "bytes", "size": size, "endpoint": TCP},
        count=1_000_000 if size < KIB else 300_000,
        quick_count=400_000 if size < KIB else 100_000,
        **more,
    )


def size_text(size: int) -> str:
    """Such as 16 KiB."""
    if size < KIB:
        return f"{size} B"
    return f"{size // KIB} KiB" if size < MIB else f"{size // MIB} MiB"


def fan_out(subscribers: int, count: int, **more: Unpack[More]) -> Row:
    """Deliveries a second to subscribers in threads of one process."""
    return Row(
        name=f"fan-out, text, 64 B, to {subscribers} in threads of one process, tcp",
        run=running.two_processes,
        job={"kind": "text", "size": 64, "endpoint": TCP, "subscribers": subscribers},
        count=count,
        quick_count=count // 2,
        **more,
    )


def filtered(topics: int, *, every: int = 10, batched: bool = False, **more: Unpack[More]) -> Row:
    """Messages published a second, of which a subscriber with so many topics wants one in ten.

    Batched is one call of ours for all of them; the others have none for several topics, and make
    one a message.
    """
    matching = "all" if every == 1 else f"one in {every}"
    way = "batched, " if batched else ""
    return Row(
        name=f"filter, {way}{topics:,} exact topics, {matching} matching, 64 B, tcp",
        run=running.two_processes,
        job={
            "kind": "filtered",
            "size": 64,
            "endpoint": TCP,
            "topics": topics,
            "every": every,
            "batched": batched,
        },
        count=1_000_000,
        quick_count=300_000,
        **more,
    )


def latency(size: int, **more: Unpack[More]) -> Row:
    """Microseconds from a send to the arrival in another process."""
    beside = "beside others: " if more.get("peers") == OTHERS else ""
    return Row(
        name=f"{beside}latency, bytes, {size_text(size)}, tcp",
        run=running.there_and_back,
        job={"kind": "bytes", "size": size, "endpoint": TCP},
        count=10_000,
        quick_count=5_000,
        figures=("p50", "p99", "p99.9"),
        unit="µs",
        more=False,
        **more,
    )


def call(do: str, name: str, kind: str, endpoint: str, *, count: int, **more: Unpack[More]) -> Row:
    """Nanoseconds a call, in one process."""
    return Row(
        name=f"{name}, {kind}, 64 B, one process",
        run=running.one_process,
        job={"do": do, "kind": kind, "size": 64, "endpoint": endpoint},
        count=count,
        quick_count=count // 4,
        figures=(running.COST,),
        unit=running.COST,
        more=False,
        **more,
    )


def shown(into: str, *, quick: bool = False) -> Row:
    """Nanoseconds a message, received and printed in colour into a file or a pipe."""
    return Row(
        name=f"receive and print a line into a {into}, 64 B, one process",
        run=running.one_process,
        job={"do": "show", "kind": "print", "size": 64, "endpoint": INPROC, "into": into},
        count=10_000,
        quick_count=5_000,
        peers=PYTHON,
        figures=(running.COST,),
        unit=running.COST,
        more=False,
        goals={"pyzmq": 0.2},
        quick=quick,
    )


def memory(subscribers: int, **more: Unpack[More]) -> Row:
    """MiB of a publisher with so many idle peers."""
    return Row(
        name=f"resident memory, {subscribers} idle peers",
        run=running.resident,
        job={"kind": "bytes", "endpoint": TCP, "subscribers": subscribers},
        figures=(running.MEMORY,),
        unit=running.MEMORY,
        more=False,
        **more,
    )


ROWS: tuple[Row, ...] = (
    throughput("text", 16),
    throughput("text", 64, goals={"pyzmq": 4.0, "C": 0.70}, quick=True),
    throughput("text", KIB),
    throughput("text", 64, endpoint=IPC),
    throughput("text", 64, endpoint=INPROC, goals={"pyzmq": 5.0}, quick=True),
    throughput("topic", 64),
    throughput("stamped", 64, count=500_000, goals={"pyzmq": 1.5}, quick=True),
    throughput("batched", 64, goals={"C": 0.95}, quick=True),
    throughput("batched, read", 64),
    throughput(
        "asyncio",
        64,
        count=500_000,
        peers=PYTHON,
        goals={"pyzmq": 10.0},
        quick=True,
    ),
    throughput("bytes", 16),
    throughput("bytes", 64, goals={"pyzmq": 2.0, "C": 0.70}, quick=True),
    throughput("bytes", KIB, goals={"pyzmq": 2.0, "C": 1.9}, quick=True),
    throughput("bytes", 4 * KIB, goals={"pyzmq": 2.0, "C": 1.9}),
    throughput("bytes", 16 * KIB, goals={"pyzmq": 2.0, "C": 1.9}),
    throughput("bytes", 64 * KIB),
    throughput("bytes", MIB, goals={"pyzmq": 1.0}, quick=True),
    throughput("views", MIB, peers=PYTHON, goals={"pyzmq": 1.0}, quick=True),
    throughput("bytes", 64, endpoint=IPC),
    throughput("bytes", 64, endpoint=INPROC),
    throughput("bytes", MIB, endpoint=INPROC, goals={"pyzmq": 1.0}),
    throughput("views", MIB, endpoint=INPROC, peers=PYTHON, goals={"pyzmq": 1.0}),
    latency(64, goals={"pyzmq": 1.05, "C": 1.05}, quick=True),
    latency(KIB, goals={"pyzmq": 1.05, "C": 1.05}),
    relayed(64, goals={"pyzmq": 0.9, "C": 0.9}, quick=True),
    relayed(KIB, goals={"pyzmq": 0.9, "C": 0.9}),
    fan_out(1, 600_000),
    fan_out(10, 60_000),
    fan_out(100, 10_000, goals={"pyzmq": 5.0}, quick=True),
    filtered(1),
    filtered(100),
    filtered(10_000, goals={"pyzmq": 2.0, "C": 0.8}, quick=True),
    filtered(10_000, batched=True, goals={"pyzmq": 2.0, "C": 0.8}),
    filtered(10_000, every=1, goals={"pyzmq": 2.0, "C": 0.8}),
    call(
        "send",
        "send with no subscriber",
        "text",
        TCP,
        count=200_000,
        goals={"pyzmq": 0.22},
        quick=True,
    ),
    call("send", "send with no subscriber", "bytes", TCP, count=200_000),
    call(
        "receive",
        "receive of queued messages",
        "text",
        INPROC,
        count=20_000,
        goals={"pyzmq": 0.22},
        quick=True,
    ),
    call("receive", "receive of queued messages", "bytes", INPROC, count=20_000),
    call(
        "look",
        "receive where nothing is, time-out 0",
        "bytes",
        TCP,
        count=20_000,
        goals={"pyzmq": 0.5},
        quick=True,
    ),
    call("show", "receive and print a line", "print", INPROC, count=10_000, peers=PYTHON),
    shown("file"),
    shown("pipe", quick=True),
    # 500,000 messages a second are 2,000 ns each.
    call("keep", "write to a log", "log", INPROC, count=100_000, peers=PYTHON, quick=True),
    Row(
        name="import, fresh interpreter",
        run=running.imports,
        count=7,
        quick_count=3,
        peers=PYTHON,
        figures=(running.TIME,),
        unit=running.TIME,
        more=False,
        goals={"pyzmq": 0.2},
        quick=True,
    ),
    memory(0),
    memory(1),
    memory(200, quick=True),
    throughput("bytes", 64, count=500_000, peers=OTHERS),
    throughput("bytes", KIB, count=200_000, peers=OTHERS),
    latency(64, peers=OTHERS),
)
