"""The tables."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Iterable, Mapping, Sequence

from .comparing import OTHERS_LIMIT, Comparison, Spread

if TYPE_CHECKING:
    from .peers import Peer


def number(value: float) -> str:
    """Three significant figures, with commas: what such a measurement is worth."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def spread_text(spread: Spread | None) -> str:
    """Median and range."""
    if spread is None:
        return "no run that counts"
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"


def heading(machine: Mapping[str, str | int], versions: Mapping[str, Mapping[str, str]]) -> str:
    """Where it was measured, and what."""
    lines = [
        f"machine: {machine['processor']}, {machine['cpus']} CPUs, {machine['system']}",
        f"python: {machine['python']}, PGO: {machine['pgo']} ({machine['executable']})",
    ]
    for peer, found in versions.items():
        lines.append(f"{peer}: " + ", ".join(f"{name} {what}" for name, what in found.items()))
    return "\n".join(lines)


def block(comparison: Comparison) -> str:
    """A row's lines: each peer, the ratios, and what went wrong."""
    row, (first, *others) = comparison.row, comparison.peers
    lines = [f"{row.name} [{row.unit}]"]
    several = len(row.figures) > 1
    for figure in row.figures:
        name = f"{figure} " if several else ""
        lines += [
            f"  {name + peer.name:<22} {spread_text(comparison.spread(peer, figure))}"
            for peer in comparison.peers
        ]
        for peer in others:
            ratios = comparison.ratios(peer, figure)
            pairs = 0 if ratios is None else ratios.count
            lines.append(
                f"  {name}{first.name} / {peer.name}: {spread_text(ratios)}, {pairs} pairs"
                f"{goal_text(comparison, peer, figure)}"
            )
    redone = sum(not run.counts for run in comparison.runs)
    disturbed = sum(run.counts and run.disturbed for run in comparison.runs)
    if redone or disturbed:
        limit = f"others took more than {OTHERS_LIMIT:.0%} of the CPU"
        lines.append(f"  {limit}: {redone} runs done again, {disturbed} counted all the same")
    for run in comparison.failures():
        lost = "unknown" if run.outcome.lost is None else f"{run.outcome.lost:,}"
        lines.append(
            f"  NOT COUNTED: {run.peer}, round {run.round + 1}: {run.outcome.trouble}; lost: {lost}"
        )
    return "\n".join(lines)


def goal_text(comparison: Comparison, peer: Peer, figure: str) -> str:
    """The project's goal, and whether this is it."""
    holds = comparison.holds(peer, figure)
    if holds is None:
        return ""
    sign = "≥" if comparison.row.more else "≤"
    return f"; goal {sign} {comparison.row.goals[peer.name]:g}: {'met' if holds else 'MISSED'}"


def table(comparisons: Sequence[Comparison]) -> str:
    """One line a row and figure: ours, and ours over the others'."""
    lines = ["ours, and ours / theirs (medians of the ratios within rounds; ! misses the goal):"]
    for comparison in comparisons:
        row, (first, *others) = comparison.row, comparison.peers
        for figure in row.figures:
            name = row.name if len(row.figures) == 1 else f"{row.name}, {figure}"
            own = comparison.spread(first, figure)
            cells = [f"{'-' if own is None else number(own.median)} {row.unit}".rjust(18)]
            for peer in others:
                found = comparison.ratios(peer, figure)
                mark = "!" if comparison.holds(peer, figure) is False else ""
                ratio = "-" if found is None else f"{number(found.median)}{mark}"
                cells.append(f"{peer.name} {ratio}")
            lines.append(f"  {name:<66} {cells[0]}   {'   '.join(cells[1:])}")
    return "\n".join(lines)


def closing(comparisons: Iterable[Comparison]) -> str:
    """How steady the machine was."""
    runs = [run for comparison in comparisons for run in comparison.runs]
    calibration = [run.calibration_ms for run in runs]
    shares = [run.others for run in runs if run.others is not None]
    lost = sum(run.outcome.lost or 0 for run in runs)
    broken = sum(run.outcome.trouble is not None for run in runs)
    lines = [f"runs: {len(runs)}, with losses or errors: {broken}, messages lost: {lost:,}"]
    lines.append(f"calibration loop [ms]: {spread_text(Spread.of(calibration))}")
    if shares:
        middle, most = statistics.median(shares), max(shares)
        lines.append(f"CPU taken by others: {middle:.0%} in the median run, {most:.0%} at most")
    else:
        lines.append("CPU taken by others: unknown on this system")
    return "\n".join(lines)


def as_json(
    machine: Mapping[str, str | int],
    versions: Mapping[str, Mapping[str, str]],
    comparisons: Iterable[Comparison],
) -> dict[str, object]:
    """Everything, for a program to read."""
    return {
        "machine": dict(machine),
        "versions": {peer: dict(found) for peer, found in versions.items()},
        "others_limit": OTHERS_LIMIT,
        "rows": [comparison.as_json() for comparison in comparisons],
    }
