"""The pictures: the ratios of all rows, and throughput against size."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Sequence

if TYPE_CHECKING:
    from pathlib import Path

    from .comparison import Comparison
    from .peers import Peer

# A type of matplotlib, which may be missing.
Axes = Any

# Distinct for colour-blind people (Okabe and Ito), and a grey.
COLOURS = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00"),
    *("#56B4E9", "#000000", "#F0E442", "#999999"),
)


def possible() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def draw(comparisons: Sequence[Comparison], path: Path) -> None:
    """Write both pictures into one file."""
    importlib.import_module("matplotlib").use("Agg")
    pyplot: Any = importlib.import_module("matplotlib.pyplot")
    lines = sum(len(comparison.row.figures) for comparison in comparisons)
    figure, (ratios, sizes) = pyplot.subplots(
        1, 2, figsize=(18, max(5.0, 1.5 + lines * 0.28)), width_ratios=(3, 2)
    )
    peers = _peers(comparisons)
    _draw_ratios(ratios, comparisons, peers)
    _draw_sizes(sizes, comparisons, peers)
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def _peers(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """The colour of each peer."""
    names: list[str] = []
    for comparison in comparisons:
        names += [peer.name for peer in comparison.peers if peer.name not in names]
    return {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}


def _draw_ratios(axes: Axes, comparisons: Sequence[Comparison], colours: dict[str, str]) -> None:
    """Medians with their ranges, turned so that right of 1 is better."""
    labels: list[str] = []
    named: set[str] = set()
    for comparison in comparisons:
        row = comparison.row
        for figure in row.figures:
            place = -len(labels)
            labels.append(row.name if len(row.figures) == 1 else f"{row.name}, {figure}")
            for peer in comparison.peers[1:]:
                found = comparison.ratios(peer, figure)
                if found is None:
                    continue
                ends = [found.least, found.median, found.most]
                least, median, most = (
                    ends if row.higher_is_better else [1 / end for end in reversed(ends)]
                )
                axes.errorbar(
                    median,
                    place,
                    xerr=[[max(0.0, median - least)], [max(0.0, most - median)]],
                    fmt="o",
                    color=colours[peer.name],
                    label=None if peer.name in named else f"compared with {peer.name}",
                    capsize=2,
                )
                named.add(peer.name)
    axes.axvline(1, color="grey", linewidth=1)
    axes.set_xscale("log")
    axes.set_yticks([-place for place in range(len(labels))], labels)
    axes.set_xlabel("ratio (right of 1: zmqchat_rs is better)")
    axes.grid(axis="x", which="both", alpha=0.3)
    if named:
        axes.legend(loc="best")


def _draw_sizes(axes: Axes, comparisons: Sequence[Comparison], colours: dict[str, str]) -> None:
    """Bytes over tcp, in MB per second, against the size of a message."""
    points: dict[str, list[tuple[int, float]]] = {}
    for comparison in comparisons:
        job = comparison.row.job
        wanted = job.get("kind") == "bytes" and str(job.get("endpoint")).startswith("tcp")
        if not wanted or not comparison.row.name.startswith("throughput"):
            continue
        for peer in comparison.peers:
            rate = _rate(comparison, peer)
            if rate is not None:
                points.setdefault(peer.name, []).append((job["size"], rate * job["size"] / 1e6))
    for name, found in points.items():
        axes.plot(*zip(*sorted(found)), marker="o", color=colours[name], label=name)
    axes.set_title("bytes, tcp loopback, two processes")
    axes.set_xlabel("bytes per message")
    axes.set_ylabel("MB/s")
    if points:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.legend(loc="best")
    axes.grid(which="both", alpha=0.3)


def _rate(comparison: Comparison, peer: Peer) -> float | None:
    spread = comparison.spread(peer, comparison.row.figures[0])
    return None if spread is None else spread.median
