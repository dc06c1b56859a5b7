"""The pictures of `benches.growth`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Sequence

from . import running
from .plot import COLOURS

if TYPE_CHECKING:
    from pathlib import Path

    from .comparing import Comparison
    from .growth import Sweep

# matplotlib's; it need not be there.
Axes = Any


def cost(value: float, figure: str) -> float:
    """Nanoseconds instead of a rate: what grows is to go up."""
    return 1e9 / value if figure == running.RATE else value


def draw(measured: Sequence[tuple[Sweep, list[tuple[int, Comparison]]]], path: Path) -> None:
    """Writes one picture for each figure of each sweep, all into one file."""
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
        axes.set_xlabel(sweep.what)
        axes.set_ylabel(unit)
        axes.grid(which="major", alpha=0.3)
    sheet.tight_layout()
    sheet.savefig(path, dpi=90)
    pyplot.close(sheet)


def _draw_points(axes: Axes, found: list[tuple[int, Comparison]], figure: str) -> None:
    """The medians, a line for each peer, and the ranges."""
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
    """Each second of the one stream."""
    samples = [
        run.outcome.details["mib"]
        for _, comparison in found
        for run in comparison.runs
        if run.counts and run.outcome.values is not None
    ]
    for sample in samples:
        axes.plot(range(1, len(sample) + 1), sample, color=COLOURS[0])
    axes.set_ylim(0, 1.3 * max(max(sample, default=1.0) for sample in samples or [[1.0]]))
