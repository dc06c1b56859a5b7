"""Runs the peers in turn, A B B A, and compares what stood side by side."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Sequence

from .machine import OthersShare, calibrate

if TYPE_CHECKING:
    from .peers import Peer
    from .rows import Row
    from .running import Outcome

# A run is done again when other processes took more of the CPUs than this.
OTHERS_LIMIT = 0.08


@dataclass(frozen=True)
class Effort:
    """How much is done for each row."""

    rounds: int
    # How often a disturbed run is done again.
    again: int
    # Whether runs are short.
    quick: bool


@dataclass(frozen=True)
class Run:
    """One run, and the circumstances."""

    peer: str
    round: int
    outcome: Outcome
    calibration_ms: float
    others: float | None
    # False for a run that was done again.
    counts: bool

    @property
    def disturbed(self) -> bool:
        """Whether others took too much."""
        return self.others is not None and self.others > OTHERS_LIMIT


@dataclass(frozen=True)
class Spread:
    """A median with its range."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """None of nothing."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass
class Comparison:
    """All runs of a row."""

    row: Row
    # The first is what the others are compared with.
    peers: list[Peer]
    count: int
    runs: list[Run] = field(default_factory=list)

    def values(self, peer: Peer, figure: str) -> dict[int, float]:
        """What counts of a peer's runs, by round."""
        return {
            run.round: run.outcome.values[figure]
            for run in self.runs
            if run.peer == peer.name and run.counts and run.outcome.values is not None
        }

    def spread(self, peer: Peer, figure: str) -> Spread | None:
        """A peer's figures."""
        return Spread.of(list(self.values(peer, figure).values()))

    def ratios(self, peer: Peer, figure: str) -> Spread | None:
        """The first peer's figure over this one's, each formed within a round."""
        first, other = self.values(self.peers[0], figure), self.values(peer, figure)
        return Spread.of([first[turn] / other[turn] for turn in sorted(first) if turn in other])

    def holds(self, peer: Peer, figure: str) -> bool | None:
        """Whether the row's goal beside this peer is met; None where there is none."""
        goal, found = self.row.goals.get(peer.name), self.ratios(peer, figure)
        # A tail is shown, not aimed at.
        if goal is None or found is None or figure == "p99.9":
            return None
        return found.median >= goal if self.row.more else found.median <= goal

    def failures(self) -> list[Run]:
        """The runs in which something was lost or broke, those that were done again included."""
        return [run for run in self.runs if run.outcome.trouble is not None]

    def as_json(self) -> dict[str, Any]:
        """Everything, for a program to read."""

        def plain(found: Spread | None) -> dict[str, Any] | None:
            return None if found is None else asdict(found)

        return {
            "row": self.row.name,
            "unit": self.row.unit,
            "job": {**self.row.job, "count": self.count},
            "peers": {
                peer.name: {
                    "calls": peer.calls.get(str(self.row.job.get("kind"))),
                    "figures": {
                        figure: {
                            "spread": plain(self.spread(peer, figure)),
                            "ratio_of_first": plain(self.ratios(peer, figure)),
                            "goal_met": self.holds(peer, figure),
                        }
                        for figure in self.row.figures
                    },
                    "goal": self.row.goals.get(peer.name),
                    "lost": sum(
                        run.outcome.lost or 0 for run in self.runs if run.peer == peer.name
                    ),
                }
                for peer in self.peers
            },
            "runs": [{**asdict(run), "disturbed": run.disturbed} for run in self.runs],
        }


def turns(peers: Sequence[Peer], rounds: int) -> list[tuple[int, Peer]]:
    """Who runs when: each round in the other order."""
    return [
        (turn, peer)
        for turn in range(rounds)
        for peer in (peers if turn % 2 == 0 else reversed(peers))
    ]


def part_of(count: int, peer: Peer) -> int:
    """How many messages are enough for a peer; a tail of latencies needs some thousands."""
    return min(count, max(2_000, int(count * peer.portion)))


def compare(
    row: Row,
    peers: list[Peer],
    effort: Effort,
    progress: Callable[[str], None],
) -> Comparison:
    """Does all runs of a row; the last repetition of a disturbed one counts as it is."""
    count = row.quick_count if effort.quick else row.count
    comparison = Comparison(row, peers, count)
    for turn, peer in turns(peers, effort.rounds):
        for attempt in range(effort.again + 1):
            progress(f"{row.name}: {peer.name}, round {turn + 1} of {effort.rounds}")
            calibration = calibrate()
            others = OthersShare()
            outcome = row.run(peer, {**row.job, "count": part_of(count, peer)})
            share = others.share()
            quiet = share is None or share <= OTHERS_LIMIT
            counts = quiet or attempt == effort.again
            comparison.runs.append(Run(peer.name, turn, outcome, calibration, share, counts))
            if counts:
                break
    return comparison
