"""The command line: `python -m benches`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from . import report, running
from .comparing import Comparison, Effort, compare
from .machine import describe
from .peers import PEERS, chosen
from .rows import ROWS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description="Measures zmqchat_rs beside other libraries, in turn, in the same run.",
        epilog="Exits with 1 when a run lost a message or broke. benches/README.md has the method.",
    )
    parser.add_argument("--quick", action="store_true", help="fewer and shorter runs: a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run there")
    parser.add_argument(
        "--rows", metavar="TEXT", default="", help="only rows whose name contains this"
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in PEERS[1:]],
        help="only beside this one (may be repeated)",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how many pairs (default: 8, or 4 with --quick)"
    )
    options = parser.parse_args(arguments)
    options.rows = [row for row in ROWS if options.rows in row.name]
    if not options.rows:
        parser.error("no row is called that: " + "; ".join(row.name for row in ROWS))
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is 1 or more")
    return options


def progress(text: str) -> None:
    """Shows what is being done, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def main() -> int:
    """Measures and reports."""
    options = parse()
    peers = chosen(options.peer)
    if not peers or peers[0] is not PEERS[0]:
        sys.stderr.write(f"{PEERS[0].name} is not installed: pip install . in the checkout\n")
        return 2
    missing = [peer.name for peer in PEERS if not peer.installed()]
    machine = describe()
    versions = {peer.name: running.versions(peer) for peer in peers}
    effort = Effort(
        rounds=options.rounds or (4 if options.quick else 8),
        again=1 if options.quick else 3,
        quick=options.quick,
    )
    began = time.monotonic()
    print(report.heading(machine, versions))
    if missing:
        print("not installed: " + ", ".join(missing))
    comparisons: list[Comparison] = []
    for row in options.rows:
        comparison = compare(row, peers, effort, progress)
        comparisons.append(comparison)
        progress("")
        print(f"\n{report.block(comparison)}", flush=True)
    print(f"\n{report.closing(comparisons)}")
    print(f"measured in {time.monotonic() - began:.0f} s")
    if options.json is not None:
        found = report.as_json(machine, versions, comparisons)
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 1 if any(comparison.failures() for comparison in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
