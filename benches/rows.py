"""What is measured: one `Row` a line of the table. A new line is an entry in `ROWS`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Callable

from . import running

if TYPE_CHECKING:
    from .running import Outcome


@dataclass(frozen=True)
class Row:
    """One comparison."""

    name: str
    # A function of `running`: does one run of one peer.
    run: Callable[..., Outcome]
    unit: str
    # "text" or "bytes", and whatever else the run's jobs want to know.
    job: dict[str, Any] = field(default_factory=dict)
    # Messages or calls a run, at full length and under --quick.
    count: int = 1
    quick_count: int = 1


def throughput(kind: str, size: int) -> Row:
    """Messages a second, from one process to another."""
    return Row(
        name=f"{kind}, {size} B, one message per call, tcp loopback, two processes",
        run=running.two_processes,
        unit="msg/s",
        job={"kind": kind, "size": size, "endpoint": "tcp://127.0.0.1:*"},
        count=1_000_000,
        quick_count=300_000,
    )


def call(do: str, name: str, kind: str, endpoint: str, *, count: int) -> Row:
    """Nanoseconds a call, in one process."""
    return Row(
        name=f"{name}, {kind}, 64 B, one process",
        run=running.one_process,
        unit="ns/call",
        job={"do": do, "kind": kind, "size": 64, "endpoint": endpoint},
        count=count,
        quick_count=count // 4,
    )


TCP, INPROC = "tcp://127.0.0.1:*", "inproc://benches"

ROWS: tuple[Row, ...] = (
    throughput("text", 64),
    throughput("bytes", 64),
    call("send", "send with no subscriber", "text", TCP, count=200_000),
    call("send", "send with no subscriber", "bytes", TCP, count=200_000),
    call("receive", "receive of queued messages", "text", INPROC, count=100_000),
    call("receive", "receive of queued messages", "bytes", INPROC, count=100_000),
    call("look", "receive where nothing is, time-out 0", "bytes", TCP, count=20_000),
    Row(name="import, fresh interpreter", run=running.imports, unit="ms", count=7, quick_count=3),
)
