"""The table."""

from __future__ import annotations

import statistics
from typing import Iterable, Mapping

from .comparing import OTHERS_LIMIT, Comparison, Spread


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
    first, *others = comparison.peers
    lines = [f"{comparison.row.name} [{comparison.row.unit}]"]
    lines += [
        f"  {peer.name:<12} {spread_text(comparison.spread(peer))}" for peer in comparison.peers
    ]
    for peer in others:
        ratios = Spread.of(comparison.ratios(peer))
        name = f"{first.name} / {peer.name}"
        pairs = 0 if ratios is None else ratios.count
        lines.append(f"  {name:<25} {spread_text(ratios)}, {pairs} pairs")
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


def closing(comparisons: Iterable[Comparison]) -> str:
    """How steady the machine was."""
    runs = [run for comparison in comparisons for run in comparison.runs]
    calibration = [run.calibration_ms for run in runs]
    shares = [run.others for run in runs if run.others is not None]
    lines: list[str] = [f"runs: {len(runs)}, with losses or errors: "]
    lines[0] += str(sum(run.outcome.trouble is not None for run in runs))
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
