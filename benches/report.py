"""The tables that are printed."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Iterable, Mapping, Sequence

from .comparison import OTHER_PROCESSES_LIMIT, Comparison, Spread

if TYPE_CHECKING:
    from .peers import Peer


def number(value: float) -> str:
    """The value with three significant figures and thousands separators."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def spread_text(spread: Spread | None) -> str:
    """Median and range."""
    if spread is None:
        return "no valid run"
    return f"{number(spread.median)} ({number(spread.least)} to {number(spread.most)})"


def heading(machine: Mapping[str, str | int], versions: Mapping[str, Mapping[str, str]]) -> str:
    """The machine, the interpreter and the versions of the peers."""
    lines = [
        f"machine: {machine['processor']}, {machine['cpus']} CPUs, {machine['system']}",
        f"python: {machine['python']}, PGO: {machine['pgo']} ({machine['executable']})",
    ]
    for peer, found in versions.items():
        lines.append(f"{peer}: " + ", ".join(f"{name} {what}" for name, what in found.items()))
    return "\n".join(lines)


def block(comparison: Comparison) -> str:
    """A row's lines: each peer, the ratios, and the failed runs."""
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
        limit = f"other processes used more than {OTHER_PROCESSES_LIMIT:.0%} of the CPUs"
        lines.append(f"  {limit}: {redone} runs repeated, {disturbed} disturbed runs counted")
    for run in comparison.failures():
        lost = "unknown" if run.outcome.lost is None else f"{run.outcome.lost:,}"
        lines.append(
            f"  NOT COUNTED: {run.peer}, round {run.round + 1}: {run.outcome.error}; lost: {lost}"
        )
    return "\n".join(lines)


def goal_text(comparison: Comparison, peer: Peer, figure: str) -> str:
    """The project's goal, and whether it is met; empty without one."""
    met = comparison.meets_goal(peer, figure)
    if met is None:
        return ""
    sign = "≥" if comparison.row.higher_is_better else "≤"
    return f"; goal {sign} {comparison.row.goals[peer.name]:g}: {'met' if met else 'MISSED'}"


def table(comparisons: Sequence[Comparison]) -> str:
    """One line per row and figure: ours, and the ratio to each other peer."""
    lines = ["ours, and ours divided by each peer's (median of the rounds; ! misses the goal):"]
    for comparison in comparisons:
        row, (first, *others) = comparison.row, comparison.peers
        for figure in row.figures:
            name = row.name if len(row.figures) == 1 else f"{row.name}, {figure}"
            own = comparison.spread(first, figure)
            cells = [f"{'-' if own is None else number(own.median)} {row.unit}".rjust(18)]
            for peer in others:
                found = comparison.ratios(peer, figure)
                mark = "!" if comparison.meets_goal(peer, figure) is False else ""
                ratio = "-" if found is None else f"{number(found.median)}{mark}"
                cells.append(f"{peer.name} {ratio}")
            lines.append(f"  {name:<66} {cells[0]}   {'   '.join(cells[1:])}")
    return "\n".join(lines)


def closing(comparisons: Iterable[Comparison]) -> str:
    """Totals of all runs, and how steady the machine was."""
    runs = [run for comparison in comparisons for run in comparison.runs]
    calibration = [run.calibration_ms for run in runs]
    shares = [run.others for run in runs if run.others is not None]
    lost = sum(run.outcome.lost or 0 for run in runs)
    broken = sum(run.outcome.error is not None for run in runs)
    lines = [f"runs: {len(runs)}, with losses or errors: {broken}, messages lost: {lost:,}"]
    lines.append(f"calibration loop [ms]: {spread_text(Spread.of(calibration))}")
    if shares:
        middle, most = statistics.median(shares), max(shares)
        lines.append(
            f"CPU used by other processes: {middle:.0%} in the median run, {most:.0%} at most"
        )
    else:
        lines.append("CPU used by other processes: unknown on this system")
    return "\n".join(lines)


def as_json(
    machine: Mapping[str, str | int],
    versions: Mapping[str, Mapping[str, str]],
    comparisons: Iterable[Comparison],
) -> dict[str, object]:
    """All results as JSON values."""
    return {
        "machine": dict(machine),
        "versions": {peer: dict(found) for peer, found in versions.items()},
        "others_limit": OTHER_PROCESSES_LIMIT,
        "rows": [comparison.as_json() for comparison in comparisons],
    }
