"""A lab day in fast motion, whose memory must stay flat: `python -m benches.soak --minutes N`.

Not part of the tests: it takes as long as it is given. README.md tells of the measurements beside
it; what each act does stands in `soak_scenarios` and `soak_faults`.
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
from .soak_monitor import TIMEOUT_SECONDS, Gate, Sample, Tally, Verdict, judge, look

if TYPE_CHECKING:
    from .soak_scenarios import Act


class CountWarnings(logging.Handler):
    """Counts what the library logs, by its first words; hundreds are part of the day."""

    def __init__(self, tally: Tally) -> None:
        super().__init__(logging.WARNING)
        self._tally = tally

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        text = record.getMessage()
        known = ("nobody at", "cut off", "on_event failed")
        kind = next((words for words in known if text.startswith(words)), "lost or other")
        self._tally.add(f"log: {kind}")
        if kind == "on_event failed":
            self._tally.trouble(f"{text}: {record.exc_info}")


class Day:
    """All acts, each in a thread of its own."""

    def __init__(self, tally: Tally) -> None:
        self.gate = Gate()
        self._tally = tally
        self._stop = threading.Event()
        gate, steady = self.gate, soak_scenarios.Steady(self.gate, tally)
        house = soak_scenarios.House(gate, tally)
        ports = [soak_scenarios.port(steady.publisher), soak_scenarios.port(house.subscriber)]
        self._acts: list[Act] = [
            soak_scenarios.Guests(gate, tally, steady.publisher),
            soak_faults.Hostile(gate, tally, ports),
            soak_faults.Lives(gate, tally),
            soak_faults.Nobody(gate, tally),
            soak_scenarios.Flood(gate, tally),
            house,
            steady,
        ]
        self._threads = [
            threading.Thread(target=act.run, args=(self._stop,), name=act.name, daemon=True)
            for act in self._acts
        ]

    def begin(self) -> None:
        """All start."""
        for thread in self._threads:
            thread.start()

    def sample(self, seconds: float) -> Sample:
        """What the process holds while all rest."""
        with self.gate.rest() as came:
            if not came:
                self._tally.trouble("an act did not come to the end of its turn")
            return look(seconds, self._progress)

    def _progress(self) -> list[int]:
        counts = self._tally.counts()
        return [count for what, count in counts.items() if what.endswith(" heard")]

    def end(self) -> None:
        """All stop; whoever hosts others goes last."""
        self._stop.set()
        for act, thread in zip(self._acts, self._threads):
            thread.join(TIMEOUT_SECONDS)
            if thread.is_alive():
                self._tally.trouble(f"{act.name} does not end")
        for act in self._acts:
            act.end()


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.soak",
        description="Plays a lab day in fast motion, and looks whether anything is lost or grows.",
        epilog="Exits with 1 when anything was lost, came out of order, or grew. Ctrl+C ends it "
        "early, with the verdict so far.",
    )
    parser.add_argument("--minutes", type=float, default=10.0, metavar="N", help="default: 10")
    parser.add_argument(
        "--every", type=float, default=5.0, metavar="SECONDS", help="between two samples: 5"
    )
    parser.add_argument(
        "--margin",
        type=float,
        default=100.0,
        metavar="KIB",
        help="by how many KiB a minute memory may grow in the second half (default: 100)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write everything there")
    options = parser.parse_args(arguments)
    if options.minutes <= 0 or options.every <= 0:
        parser.error("--minutes and --every are more than 0")
    return options


def line(sample: Sample, counts: dict[str, int]) -> str:
    """A sample as it is printed."""
    acts = ("steady heard", "flood heard", "house heard", "guests turns", "lives turns")
    told = "  ".join(f"{what} {counts.get(what, 0):,}" for what in (*acts, "failed attempts"))
    return (
        f"{sample.seconds:7.1f} s  rss {sample.resident_kib:,} KiB  fds {sample.descriptors}  "
        f"threads {sample.threads}  {told}"
    )


def play(day: Day, tally: Tally, options: argparse.Namespace) -> list[Sample]:
    """The day, up to its end or Ctrl+C; a line a sample."""
    samples: list[Sample] = []
    began = time.monotonic()
    day.begin()
    try:
        while time.monotonic() - began < options.minutes * 60:
            time.sleep(options.every)
            samples.append(day.sample(time.monotonic() - began))
            print(line(samples[-1], tally.counts()), flush=True)
    except KeyboardInterrupt:
        print("ended early", flush=True)
    day.end()
    return samples


def closing(verdict: Verdict, counts: dict[str, int], margin: float) -> str:
    """The verdict, in words."""
    lines = [f"  {what:<28} {count:>12,}" for what, count in sorted(counts.items())]
    lines.append(
        f"second half: memory {verdict.slope_kib_per_minute:+.1f} KiB a minute (allowed: "
        f"{margin:g}); descriptors {verdict.descriptors_grown:+g}, "
        f"threads {verdict.threads_grown:+g}"
    )
    lines += [f"FAULT: {fault}" for fault in verdict.faults]
    lines.append("failed" if verdict.faults else "nothing was lost, nothing grew")
    return "\n".join(lines)


def main() -> int:
    """Plays, and judges."""
    options = parse()
    if not Path("/proc/self/fd").is_dir():
        sys.stderr.write("the soak reads /proc, which is Linux's\n")
        return 2
    tally = Tally()
    logger = logging.getLogger("zmqchat_rs")
    logger.addHandler(CountWarnings(tally))
    logger.propagate = False
    samples = play(Day(tally), tally, options)
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
