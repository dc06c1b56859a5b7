"""Runs the peers alternately, A B B A, and compares the runs of each round."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Callable, Sequence

from .machine import OtherProcessesShare, calibrate

if TYPE_CHECKING:
    from .peers import Peer
    from .rows import Row
    from .runs import Outcome

# A run is repeated if other processes used a larger share of the CPUs.
OTHER_PROCESSES_LIMIT = 0.08


@dataclass(frozen=True)
class Effort:
    """The number and length of the runs of each row."""

    rounds: int
    # How often a disturbed run is repeated.
    retries: int
    # Whether runs are short.
    quick: bool


@dataclass(frozen=True)
class Run:
    """One run, with the state of the machine."""

    peer: str
    round: int
    outcome: Outcome
    calibration_ms: float
    others: float | None
    # False for a run that was repeated.
    counts: bool

    @property
    def disturbed(self) -> bool:
        """Whether other processes used too much of the CPUs."""
        return self.others is not None and self.others > OTHER_PROCESSES_LIMIT


@dataclass(frozen=True)
class Spread:
    """A median with its range."""

    median: float
    least: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread | None:
        """The spread of the values; None if there are none."""
        if not values:
            return None
        return cls(statistics.median(values), min(values), max(values), len(values))


@dataclass
class Comparison:
    """All runs of a row."""

    row: Row
    # The first peer is compared with each of the rest.
    peers: list[Peer]
    count: int
    runs: list[Run] = field(default_factory=list)

    def values(self, peer: Peer, figure: str) -> dict[int, float]:
        """A peer's figures of the runs that count, by round."""
        return {
            run.round: run.outcome.values[figure]
            for run in self.runs
            if run.peer == peer.name and run.counts and run.outcome.values is not None
        }

    def spread(self, peer: Peer, figure: str) -> Spread | None:
        """Median and range of a peer's figures."""
        return Spread.of(list(self.values(peer, figure).values()))

    def ratios(self, peer: Peer, figure: str) -> Spread | None:
        """The first peer's figure divided by this one's, within each round."""
        first, other = self.values(self.peers[0], figure), self.values(peer, figure)
        return Spread.of([first[turn] / other[turn] for turn in sorted(first) if turn in other])

    def meets_goal(self, peer: Peer, figure: str) -> bool | None:
        """Whether the row's goal for this peer is met; None without a goal or a figure."""
        goal, found = self.row.goals.get(peer.name), self.ratios(peer, figure)
        # The extreme tail has no goal.
        if goal is None or found is None or figure == "p99.9":
            return None
        return found.median >= goal if self.row.higher_is_better else found.median <= goal

    def failures(self) -> list[Run]:
        """The runs that lost messages or failed, including repeated runs."""
        return [run for run in self.runs if run.outcome.error is not None]

    def as_json(self) -> dict[str, Any]:
        """All figures and runs as JSON values."""

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
                            "goal_met": self.meets_goal(peer, figure),
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
    """The order of the runs: each round reverses the previous one."""
    return [
        (turn, peer)
        for turn in range(rounds)
        for peer in (peers if turn % 2 == 0 else reversed(peers))
    ]


def part_of(count: int, peer: Peer) -> int:
    """The number of messages for a peer; the tail of the latencies needs at least 2,000."""
    return min(count, max(2_000, int(count * peer.portion)))


def compare(
    row: Row,
    peers: list[Peer],
    effort: Effort,
    progress: Callable[[str], None],
) -> Comparison:
    """Does all runs of a row. The last repetition of a disturbed run counts."""
    count = row.quick_count if effort.quick else row.count
    comparison = Comparison(row, peers, count)
    for turn, peer in turns(peers, effort.rounds):
        for attempt in range(effort.retries + 1):
            progress(f"{row.name}: {peer.name}, round {turn + 1} of {effort.rounds}")
            calibration = calibrate()
            others = OtherProcessesShare()
            outcome = row.run(peer, {**row.job, "count": part_of(count, peer)})
            share = others.share()
            quiet = share is None or share <= OTHER_PROCESSES_LIMIT
            counts = quiet or attempt == effort.retries
            comparison.runs.append(Run(peer.name, turn, outcome, calibration, share, counts))
            if counts:
                break
    return comparison
