"""The rows of the table. A new row is an entry in `ROWS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Mapping

from . import runs

if TYPE_CHECKING:
    from typing_extensions import TypedDict, Unpack

    from .peers import Job, Peer
    from .runs import Outcome

    class RowOptions(TypedDict, total=False):
        """The fields of `Row` that the functions below pass on."""

        peers: tuple[str, ...]
        goals: Mapping[str, float]
        quick: bool


TCP, IPC, INPROC = "tcp://127.0.0.1:*", "ipc://*", "inproc://benches"
KIB, MIB = 1024, 1024 * 1024
# Bytes of the second frame that pyzmq and C send; a stamp of ours has the same length.
STAMP = 110

# Groups of peers. The first peer is compared with each of the rest.
OURS = "zmqchat_rs"
STANDARD_PEERS = (OURS, "pyzmq", "C")
PYTHON = (OURS, "pyzmq")
OTHER_LIBRARIES = (OURS, "plain sockets", "pynng", "zenoh", "redis", "nats")


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    # A function of `runs` that does one run of one peer.
    run: Callable[[Peer, Job], Outcome]
    # The keys that the run's jobs need.
    job: Mapping[str, Any] = field(default_factory=dict)
    # Messages or calls per run, at full length and under --quick.
    count: int = 1
    quick_count: int = 1
    # The names of the peers that support it.
    peers: tuple[str, ...] = STANDARD_PEERS
    # The figures of a run; most rows have one, named by its unit.
    figures: tuple[str, ...] = (runs.RATE,)
    unit: str = runs.RATE
    higher_is_better: bool = True
    # The goal for the median ratio by peer: a minimum if higher is better, otherwise a maximum.
    goals: Mapping[str, float] = field(default_factory=dict)
    # Whether --quick includes it.
    quick: bool = False


def throughput(
    kind: str, size: int, *, endpoint: str = TCP, count: int = 0, **options: Unpack[RowOptions]
) -> Row:
    """Messages per second between two processes, or two threads over inproc."""
    scheme = endpoint.partition(":")[0]
    inproc = endpoint == INPROC
    # A queue has no limit: in the worst case it holds all messages.
    count = count or min(1_000_000, (400 if size <= 4 * KIB else 800) * MIB // size)
    prefix = "other libraries: " if options.get("peers") == OTHER_LIBRARIES else ""
    return Row(
        name=f"{prefix}throughput, {kind}, {size_text(size)}, {scheme}",
        run=runs.two_threads if inproc else runs.two_processes,
        job={"do": "", "kind": kind, "size": size, "endpoint": endpoint, "stamp": STAMP},
        count=count,
        quick_count=count // 3,
        **options,
    )


def relayed(size: int, **options: Unpack[RowOptions]) -> Row:
    """Messages per second through a relay; each of the three parts is a process."""
    return Row(
        name=f"relayed throughput, {size_text(size)}, tcp",
        run=runs.relayed,
        job={"kind": "bytes", "size": size, "endpoint": TCP},
        count=1_000_000 if size < KIB else 300_000,
        quick_count=400_000 if size < KIB else 100_000,
        **options,
    )


def size_text(size: int) -> str:
    """The size with its unit, such as 16 KiB."""
    if size < KIB:
        return f"{size} B"
    return f"{size // KIB} KiB" if size < MIB else f"{size // MIB} MiB"


def fan_out(subscribers: int, count: int, **options: Unpack[RowOptions]) -> Row:
    """Deliveries per second to subscribers in threads of one process."""
    return Row(
        name=f"fan-out, text, 64 B, to {subscribers} in threads of one process, tcp",
        run=runs.two_processes,
        job={"kind": "text", "size": 64, "endpoint": TCP, "subscribers": subscribers},
        count=count,
        quick_count=count // 2,
        **options,
    )


def filtered(
    topics: int, *, every: int = 10, batched: bool = False, **options: Unpack[RowOptions]
) -> Row:
    """Published messages per second; a subscriber to `topics` receives one message in `every`.

    If `batched`, ours is a single `send_many`; the other peers make one call per message.
    """
    matching = "all" if every == 1 else f"one in {every}"
    way = "batched, " if batched else ""
    return Row(
        name=f"filter, {way}{topics:,} exact topics, {matching} matching, 64 B, tcp",
        run=runs.two_processes,
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
        **options,
    )


def latency(size: int, **options: Unpack[RowOptions]) -> Row:
    """Microseconds from a send to the receipt in another process."""
    prefix = "other libraries: " if options.get("peers") == OTHER_LIBRARIES else ""
    return Row(
        name=f"{prefix}latency, bytes, {size_text(size)}, tcp",
        run=runs.round_trips,
        job={"kind": "bytes", "size": size, "endpoint": TCP},
        count=10_000,
        quick_count=5_000,
        figures=("p50", "p99", "p99.9"),
        unit="µs",
        higher_is_better=False,
        **options,
    )


def call(
    do: str, name: str, kind: str, endpoint: str, *, count: int, **options: Unpack[RowOptions]
) -> Row:
    """Nanoseconds per call, in one process."""
    data = f", {kind}" if kind in {"text", "bytes"} else ""
    return Row(
        name=f"{name}{data}, 64 B, one process",
        run=runs.one_process,
        job={"do": do, "kind": kind, "size": 64, "endpoint": endpoint},
        count=count,
        quick_count=count // 4,
        figures=(runs.COST,),
        unit=runs.COST,
        higher_is_better=False,
        **options,
    )


def printed(into: str, *, quick: bool = False) -> Row:
    """Nanoseconds per message that is received and printed in colour into a file or a pipe."""
    return Row(
        name=f"receive and print a line into a {into}, 64 B, one process",
        run=runs.one_process,
        job={"do": "print_lines", "kind": "print", "size": 64, "endpoint": INPROC, "into": into},
        count=10_000,
        quick_count=5_000,
        peers=PYTHON,
        figures=(runs.COST,),
        unit=runs.COST,
        higher_is_better=False,
        goals={"pyzmq": 0.2},
        quick=quick,
    )


def memory(subscribers: int, **options: Unpack[RowOptions]) -> Row:
    """MiB of a publisher with this number of idle subscribers."""
    return Row(
        name=f"resident memory, {subscribers} idle peers",
        run=runs.resident_memory,
        job={"kind": "bytes", "endpoint": TCP, "subscribers": subscribers},
        figures=(runs.MEMORY,),
        unit=runs.MEMORY,
        higher_is_better=False,
        **options,
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
        "receive_empty",
        "receive from an empty queue, timeout 0",
        "bytes",
        TCP,
        count=20_000,
        goals={"pyzmq": 0.5},
        quick=True,
    ),
    call("print_lines", "receive and print a line", "print", INPROC, count=10_000, peers=PYTHON),
    printed("file"),
    printed("pipe", quick=True),
    call(
        "write_transcript",
        "write to a transcript",
        "transcript",
        INPROC,
        count=100_000,
        peers=PYTHON,
        quick=True,
    ),
    Row(
        name="import, fresh interpreter",
        run=runs.imports,
        count=7,
        quick_count=3,
        peers=PYTHON,
        figures=(runs.TIME,),
        unit=runs.TIME,
        higher_is_better=False,
        goals={"pyzmq": 0.2},
        quick=True,
    ),
    memory(0),
    memory(1),
    memory(200, quick=True),
    throughput("bytes", 64, count=500_000, peers=OTHER_LIBRARIES),
    throughput("bytes", KIB, count=200_000, peers=OTHER_LIBRARIES),
    latency(64, peers=OTHER_LIBRARIES),
)
