"""Connections, messages and faults at once, in constant memory: `python -m benches.soak`.

Not part of the tests: it runs for the given time. The scenarios are in `soak_scenarios` and
`soak_faults`.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import soak_faults, soak_scenarios
from .machine import describe
from .soak_monitor import TIMEOUT_SECONDS, Gate, Sample, Tally, Verdict, judge, take_sample

if TYPE_CHECKING:
    from .soak_scenarios import Scenario


class CountWarnings(logging.Handler):
    """Counts the library's log records by their first words; hundreds are expected."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        """Counts one record."""
        text = record.getMessage()
        known = ("cut off", "on_event failed")
        kind = next((words for words in known if text.startswith(words)), "other")
        self._tally.add(f"log: {kind}")
        if kind == "on_event failed":
            self._tally.add_error(f"{text}: {record.exc_info}")


class Soak:
    """All scenarios, each in its own thread."""

    def __init__(self, tally: Tally) -> None:
        self.gate = Gate()
        self._tally = tally
        self._stop = threading.Event()
        gate, steady = self.gate, soak_scenarios.SteadyStream(self.gate, tally)
        bound = soak_scenarios.BoundSubscriber(gate, tally)
        ports = [soak_scenarios.port(steady.publisher), soak_scenarios.port(bound.subscriber)]
        self._scenarios: list[Scenario] = [
            soak_scenarios.ShortLivedSubscribers(gate, tally, steady.publisher),
            soak_faults.HostilePeers(gate, tally, ports),
            soak_faults.KilledPublisher(gate, tally),
            soak_faults.ClosedPort(gate, tally),
            soak_scenarios.SlowSubscriber(gate, tally),
            bound,
            steady,
        ]
        self._threads = [
            threading.Thread(
                target=scenario.run, args=(self._stop,), name=scenario.name, daemon=True
            )
            for scenario in self._scenarios
        ]

    def begin(self) -> None:
        """Starts all threads."""
        for thread in self._threads:
            thread.start()

    def sample(self, seconds: float) -> Sample:
        """Measures the process while all scenarios are paused."""
        with self.gate.pause() as paused:
            if not paused:
                self._tally.add_error("a scenario did not finish its turn")
            return take_sample(seconds, self._progress)

    def _progress(self) -> list[int]:
        counts = self._tally.counts()
        return [count for what, count in counts.items() if what.endswith(" received")]

    def end(self) -> None:
        """Stops all scenarios; those with connections from other scenarios stop last."""
        self._stop.set()
        for scenario, thread in zip(self._scenarios, self._threads):
            thread.join(TIMEOUT_SECONDS)
            if thread.is_alive():
                self._tally.add_error(f"{scenario.name} did not end")
        for scenario in self._scenarios:
            scenario.end()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.soak",
        description="Run many scenarios at once; check for losses and growing memory.",
        epilog="Exits with 1 if messages were lost or out of order, or memory grew. Ctrl+C ends "
        "it early and prints the verdict.",
    )
    parser.add_argument(
        "--minutes", type=float, default=10.0, metavar="N", help="Run for N minutes (default: 10)."
    )
    parser.add_argument(
        "--every",
        type=float,
        default=5.0,
        metavar="SECONDS",
        help="Take a sample every SECONDS (default: 5).",
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=100.0,
        metavar="KIB",
        help="Allow this growth per minute in the second half (default: 100).",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write all results to FILE as JSON."
    )
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.every <= 0:
        parser.error("--minutes and --every must be greater than 0")
    return options


def line(sample: Sample, counts: dict[str, int]) -> str:
    """The printed line of a sample."""
    names = (
        "steady received",
        "slow received",
        "bound received",
        "short-lived turns",
        "killed turns",
    )
    counted = "  ".join(f"{what} {counts.get(what, 0):,}" for what in (*names, "failed attempts"))
    return (
        f"{sample.seconds:7.1f} s  rss {sample.resident_kib:,} KiB  fds {sample.descriptors}  "
        f"threads {sample.threads}  {counted}"
    )


def run(soak: Soak, tally: Tally, options: argparse.Namespace) -> list[Sample]:
    """Runs to the end or Ctrl+C; prints a line per sample."""
    samples: list[Sample] = []
    began = time.monotonic()
    soak.begin()
    try:
        while time.monotonic() - began < options.minutes * 60:
            time.sleep(options.every)
            samples.append(soak.sample(time.monotonic() - began))
            print(line(samples[-1], tally.counts()), flush=True)
    except KeyboardInterrupt:
        print("ended early", flush=True)
    soak.end()
    return samples


def closing(verdict: Verdict, counts: dict[str, int], margin: float) -> str:
    """The verdict as text."""
    lines = [f"  {what:<28} {count:>12,}" for what, count in sorted(counts.items())]
    lines.append(
        f"second half: memory {verdict.slope_kib_per_minute:+.1f} KiB per minute (allowed: "
        f"{margin:g}); descriptors {verdict.descriptors_grown:+g}, "
        f"threads {verdict.threads_grown:+g}"
    )
    lines += [f"FAULT: {fault}" for fault in verdict.faults]
    lines.append("failed" if verdict.faults else "passed: no losses, no growth")
    return "\n".join(lines)


def main() -> int:
    """Run the command line; return its exit code."""
    options = parse()
    if not Path("/proc/self/fd").is_dir():
        sys.stderr.write("the soak needs Linux: it reads /proc\n")
        return 2
    tally = Tally()
    logger = logging.getLogger("zmqchat_rs")
    logger.addHandler(CountWarnings(tally))
    logger.propagate = False
    samples = run(Soak(tally), tally, options)
    verdict = judge(samples, tally, options.margin)
    print(closing(verdict, tally.counts(), options.margin))
    if options.json is not None:
        found: dict[str, Any] = {
            "machine": describe(),
            "minutes": options.minutes,
            "margin_kib_per_minute": options.margin,
            "samples": [asdict(sample) for sample in samples],
            "counts": tally.counts(),
            "verdict": verdict.as_json(),
        }
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if verdict.faults else 0


if __name__ == "__main__":
    sys.exit(main())
