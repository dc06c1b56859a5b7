"""How cost grows with size, subscribers, topics, backlog and time: `python -m benches.growth`.

The method is that of `python -m benches`. One parameter grows from line to line.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

from . import plot, report, runs
from .__main__ import prepare_peers, progress
from .comparison import Comparison, Effort, compare
from .machine import describe
from .peers import PEERS, select_peers
from .plot import COLOURS
from .rows import INPROC, KIB, MIB, OURS, STANDARD_PEERS, TCP, Row, fan_out, filtered, throughput
from .runs import Outcome, Process, one_run

if TYPE_CHECKING:
    from contextlib import ExitStack

    from .peers import Job, Peer

# A type of matplotlib, which may be missing.
Axes = Any

BYTES, MIB_AT_END = "bytes/message", "MiB"


@dataclass(frozen=True)
class Sweep:
    """A parameter that grows, and the rows that measure it."""

    name: str
    # Label of the horizontal axis.
    axis: str
    # Each value of the parameter, with its row.
    points: tuple[tuple[int, Row], ...]
    # For each picture, a figure of the rows and its label.
    pictures: tuple[tuple[str, str], ...] = ((runs.RATE, "ns/message"),)


@one_run
def measure_backlog(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Nanoseconds and bytes per queued message."""
    process = stack.enter_context(Process(peer.command({**job, "do": "backlog"})))
    process.read_line()
    process.write_line()
    result = process.read_line()
    process.write_line()
    return Outcome({runs.COST: result["ns"], BYTES: result["bytes"]})


@one_run
def measure_long_stream(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """MiB at the end of a stream; the details have a sample per second."""
    process = stack.enter_context(Process(peer.command({**job, "do": "long_stream"})))
    process.read_line()
    process.write_line()
    result = process.read_line()
    process.write_line()
    return Outcome({MIB_AT_END: result["mib"][-1]}, details=result)


def backlog(count: int) -> Row:
    """A row that receives `count` queued messages."""
    return Row(
        name=f"backlog of {count:,}, bytes, 64 B, inproc, one thread",
        run=measure_backlog,
        job={"kind": "bytes", "size": 64, "endpoint": INPROC},
        count=count,
        quick_count=count,
        figures=(runs.COST, BYTES),
        unit=f"{runs.COST}, {BYTES}",
        higher_is_better=False,
        peers=(OURS, "pyzmq"),
    )


def long_stream(seconds: int) -> Row:
    """A row that streams for this number of seconds."""
    return Row(
        name=f"resident memory after {seconds} s of stream, bytes, 64 B, tcp, one process",
        run=measure_long_stream,
        job={"kind": "bytes", "size": 64, "endpoint": TCP, "seconds": seconds},
        figures=(MIB_AT_END,),
        unit=MIB_AT_END,
        higher_is_better=False,
        peers=(OURS,),
    )


def sweeps(stream_seconds: int) -> tuple[Sweep, ...]:
    """All parameters that can grow."""
    sizes = [16, 64, 256, KIB, 4 * KIB, 16 * KIB, 64 * KIB, 256 * KIB, MIB, 4 * MIB]
    subscribers = [1, 2, 5, 10, 20, 50, 100, 200]
    topics = [1, 10, 100, 1_000, 10_000, 100_000]
    backlogs = [1_000, 10_000, 100_000, 1_000_000, 3_000_000]
    return (
        Sweep(
            "size",
            "bytes per message",
            tuple((size, throughput("bytes", size, count=_message_count(size))) for size in sizes),
        ),
        Sweep(
            "subscribers",
            "subscribers, in threads of one process",
            tuple((count, fan_out(count, max(2_000, 400_000 // count))) for count in subscribers),
            ((runs.RATE, "ns/delivery"),),
        ),
        Sweep(
            "topics",
            "exact topics subscribed to, one in ten published matches",
            tuple((number, filtered(number)) for number in topics),
            ((runs.RATE, "ns/message published"),),
        ),
        Sweep(
            "backlog",
            "messages in the queue",
            tuple((count, backlog(count)) for count in backlogs),
            ((runs.COST, "ns to receive one"), (BYTES, "bytes per queued message")),
        ),
        Sweep(
            "time",
            "seconds of stream",
            ((stream_seconds, long_stream(stream_seconds)),),
            ((MIB_AT_END, "MiB resident"),),
        ),
    )


def _message_count(size: int) -> int:
    """Enough messages for about a second, and at most 400 MiB of them."""
    return max(200, min(500_000, 400 * MIB // size))


def cost(value: float, figure: str) -> float:
    """A rate as nanoseconds, so that a higher cost is drawn higher."""
    return 1e9 / value if figure == runs.RATE else value


def draw(measured: Sequence[tuple[Sweep, list[tuple[int, Comparison]]]], path: Path) -> None:
    """Write one picture for each figure of each sweep into one file."""
    importlib.import_module("matplotlib").use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    pictures = [
        (sweep, found, figure, unit) for sweep, found in measured for figure, unit in sweep.pictures
    ]
    columns = 2
    rows = -(-len(pictures) // columns)
    sheet, places = pyplot.subplots(rows, columns, figsize=(12, 3.6 * rows), squeeze=False)
    for place in places.flat[len(pictures) :]:
        place.set_axis_off()
    for axes, (sweep, found, figure, unit) in zip(places.flat, pictures):
        if sweep.name == "time":
            _draw_seconds(axes, found)
        else:
            _draw_points(axes, found, figure)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.legend(loc="best")
        axes.set_xlabel(sweep.axis)
        axes.set_ylabel(unit)
        axes.grid(which="major", alpha=0.3)
    sheet.tight_layout()
    sheet.savefig(path, dpi=90)
    pyplot.close(sheet)


def _draw_points(axes: Axes, found: list[tuple[int, Comparison]], figure: str) -> None:
    """Draw the medians and ranges of each peer."""
    for number, peer in enumerate(found[0][1].peers):
        spreads = [(point, comparison.spread(peer, figure)) for point, comparison in found]
        known = [(point, spread) for point, spread in spreads if spread is not None]
        ends = [
            sorted(cost(end, figure) for end in (spread.least, spread.most)) for _, spread in known
        ]
        points = [point for point, _ in known]
        medians = [cost(spread.median, figure) for _, spread in known]
        axes.plot(points, medians, marker="o", color=COLOURS[number], label=peer.name)
        axes.fill_between(
            points,
            [least for least, _ in ends],
            [most for _, most in ends],
            color=COLOURS[number],
            alpha=0.15,
        )


def _draw_seconds(axes: Axes, found: list[tuple[int, Comparison]]) -> None:
    """Draw one sample per second of the stream."""
    samples = [
        run.outcome.details["mib"]
        for _, comparison in found
        for run in comparison.runs
        if run.counts and run.outcome.values is not None
    ]
    for sample in samples:
        axes.plot(range(1, len(sample) + 1), sample, color=COLOURS[0])
    axes.set_ylim(0, 1.3 * max(max(sample, default=1.0) for sample in samples or [[1.0]]))


def line(point: int, comparison: Comparison, figure: str, unit: str) -> str:
    """The line of one value, with all peers."""
    cells = []
    for peer in comparison.peers:
        found = comparison.spread(peer, figure)
        value = None if found is None else cost(found.median, figure)
        cells.append(f"{peer.name} {'-' if value is None else report.number(value)}")
    return f"  {point:>10,}  {unit}: {', '.join(cells)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.growth",
        description="Measure how cost grows with size, subscribers, topics, backlog and time.",
    )
    names = [sweep.name for sweep in sweeps(1)]
    parser.add_argument(
        "--only",
        action="append",
        choices=names,
        help="Measure only this parameter; may be repeated (default: all).",
    )
    parser.add_argument(
        "--rounds", type=int, default=3, metavar="N", help="Run N rounds (default: 3)."
    )
    parser.add_argument(
        "--seconds", type=int, default=120, metavar="S", help="Stream for S seconds (default: 120)."
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write every run to FILE as JSON."
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="Also draw the figures into FILE; needs matplotlib.",
    )
    options = parser.parse_args(arguments)
    if options.plot is not None and not plot.possible():
        sys.stderr.write("--plot needs matplotlib: pip install matplotlib\n")
        return 2
    runs.TIMEOUT_SECONDS += options.seconds
    peers = list(
        prepare_peers([peer for peer in select_peers(None) if peer.name in STANDARD_PEERS])
    )
    if not peers or peers[0] is not PEERS[0]:
        sys.stderr.write(f"{PEERS[0].name} is not installed: pip install . in the checkout\n")
        return 2
    machine = describe()
    versions = {peer.name: runs.versions(peer) for peer in peers}
    print(report.heading(machine, versions))
    measured: list[tuple[Sweep, list[tuple[int, Comparison]]]] = []
    for sweep in sweeps(options.seconds):
        if options.only and sweep.name not in options.only:
            continue
        print(f"\n{sweep.name}: {sweep.axis}", flush=True)
        found: list[tuple[int, Comparison]] = []
        for point, row in sweep.points:
            effort = Effort(1 if sweep.name == "time" else options.rounds, retries=2, quick=False)
            taking_part = [peer for peer in peers if peer.name in row.peers]
            found.append((point, compare(row, taking_part, effort, progress)))
            progress("")
            for figure, unit in sweep.pictures:
                print(line(point, found[-1][1], figure, unit), flush=True)
        measured.append((sweep, found))
    everything = [comparison for _, found in measured for _, comparison in found]
    print(f"\n{report.closing(everything)}")
    if options.json is not None:
        whole: dict[str, Any] = report.as_json(machine, versions, everything)
        options.json.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    if options.plot is not None:
        draw(measured, options.plot)
    return 1 if any(comparison.failures() for comparison in everything) else 0


if __name__ == "__main__":
    sys.exit(main())
