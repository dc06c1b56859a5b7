"""How many instructions one message costs: `python -m benches.instructions`.

callgrind counts the executed instructions, which do not depend on the speed or load of the machine.
CI compares them with `instructions.json`. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Dict

from .instructions_workload import CALLS, PATHS, REPEATS

FIGURES = Path(__file__).with_name("instructions.json")
# Two runs of one build differ by one instruction; an interpreter built without its optimisations,
# or another release of the compiler, by up to 5 %. An additional lock, allocation or clock read
# in the cheapest paths costs about 100 of 1,400 instructions.
MARGIN = 0.07
TIMEOUT_SECONDS = 300

Figures = Dict[str, int]


def key() -> str:
    """The interpreter and processor, on which the figures depend besides our code."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{platform.python_implementation()} {version}, {platform.machine()}"


def measure() -> Figures:
    """Instructions per call of each path: the difference between N calls and 2 N, divided by N."""
    with TemporaryDirectory() as folder:
        root = str(Path(__file__).resolve().parent.parent)
        outcome = subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                # The program marks the phases with a system call that nothing else makes.
                "--dump-before=getppid",
                # Excludes the maintenance thread and libzmq's threads.
                "--separate-threads=yes",
                f"--callgrind-out-file={folder}/counts",
                sys.executable,
                "-m",
                "benches.instructions_workload",
            ],
            env={
                **os.environ,
                "PYTHONHASHSEED": "0",
                "PYTHONPATH": os.pathsep.join(
                    [root, *filter(None, [os.environ.get("PYTHONPATH")])]
                ),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
        if outcome.returncode != 0:
            raise RuntimeError(f"valgrind ended with {outcome.returncode}:\n{outcome.stdout}")
        phases = [total(Path(folder), number) for number in range(1, 1 + phases_expected())]
    return per_call(phases)


def phases_expected() -> int:
    """The number of phases between the marks of `instructions_workload`."""
    return len(PATHS) * REPEATS * 4


def total(folder: Path, number: int) -> int:
    """The instructions of the main thread in one phase."""
    for line in (folder / f"counts.{number}-01").read_text(encoding="utf-8").splitlines():
        if line.startswith("totals:"):
            return int(line.split()[1])
    raise RuntimeError(f"callgrind gave no total for phase {number}")


def per_call(phases: list[int]) -> Figures:
    """Instructions per call; each repetition has the phases: setup, N calls, setup, 2 N calls."""
    figures: Figures = {}
    for place, path in enumerate(PATHS):
        first = place * REPEATS * 4
        once = phases[first + 1 : first + REPEATS * 4 : 4]
        twice = phases[first + 3 : first + REPEATS * 4 : 4]
        differences = [(two - one) / CALLS for one, two in zip(once, twice)]
        figures[path] = round(statistics.median(differences))
    return figures


def compare(found: Figures, kept: Figures) -> list[str]:
    """The lines of the table; what is too much has a !."""
    lines = []
    for path, count in found.items():
        before = kept.get(path)
        if before is None:
            lines.append(f"  {path:<46} {count:>7,}   not kept yet !")
            continue
        change = count / before - 1
        mark = " !" if change > MARGIN else ""
        lines.append(f"  {path:<46} {count:>7,}   {change:+.1%} of {before:,}{mark}")
    return lines


def exceeds(lines: list[str]) -> bool:
    """Whether a count is above the margin."""
    return any(line.endswith("!") for line in lines)


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.instructions",
        description="Count the instructions of sending and receiving one message.",
        epilog=f"Exits with 1 if a count is more than {MARGIN:.0%}"
        " above the recorded one, with 2 without valgrind or recorded counts.",
    )
    parser.add_argument(
        "--record", action="store_true", help=f"Store the counts in {FIGURES.name}."
    )
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        sys.stderr.write("valgrind is missing: install it, e.g. apt install valgrind\n")
        return 2
    kept: dict[str, Figures] = {}
    if FIGURES.is_file():
        kept = json.loads(FIGURES.read_text(encoding="utf-8"))
    found = measure()
    print(f"instructions per call, {key()}:")
    if options.record:
        print("\n".join(f"  {path:<46} {count:>7,}" for path, count in found.items()))
        kept[key()] = found
        text = json.dumps(kept, indent=2, sort_keys=True)
        FIGURES.write_text(text + "\n", encoding="utf-8")
        return 0
    lines = compare(found, kept.get(key(), {}))
    if key() in kept and exceeds(lines):
        # About one run in fifty is disturbed for an unknown reason; a real increase repeats.
        print("\n".join([*lines, "repeated:"]))
        lines = compare(measure(), kept[key()])
    print("\n".join(lines))
    if key() not in kept:
        known = "; ".join(kept) or "none"
        sys.stderr.write(f"no figures for this interpreter ({known}): add them with --record\n")
        return 2
    return 1 if exceeds(lines) else 0


if __name__ == "__main__":
    sys.exit(main())
