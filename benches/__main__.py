"""The command line: `python -m benches`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Iterator

from . import plot, report, runs
from .comparison import Comparison, Effort, compare
from .machine import describe
from .peers import PEERS, Peer, select_peers
from .peers.reference import BuildError
from .rows import ROWS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Parse the options; `rows` becomes the selected rows."""
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description="Compare zmqchat_rs with other libraries; their runs alternate.",
        epilog="Exits with 1 if a run lost a message or failed. See benches/README.md.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="Measure the main rows with fewer and shorter runs, about two minutes (default: all).",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write every run to FILE as JSON."
    )
    parser.add_argument(
        "--rows",
        metavar="TEXT",
        action="append",
        default=[],
        help="Measure only rows whose name contains TEXT; if repeated, all TEXTs (default: all).",
    )
    parser.add_argument("--list", action="store_true", help="Print the names of the rows and exit.")
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="Also draw the ratios into FILE; needs matplotlib.",
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in PEERS[1:]],
        help="Compare only with this peer; may be repeated (default: all).",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="Run N rounds (default: 6, or 3 with --quick)."
    )
    parser.add_argument(
        "--retries",
        type=int,
        metavar="N",
        help="Repeat a disturbed run up to N times (default: 3, or 1 with --quick).",
    )
    options = parser.parse_args(arguments)
    options.rows = [
        row
        for row in ROWS
        if all(text in row.name for text in options.rows)
        and (row.quick or options.rows or not options.quick)
        and (options.peer is None or set(options.peer) & set(row.peers))
    ]
    if not options.rows:
        parser.error("no row matches --rows and --peer: --list prints the names of all rows")
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"invalid --rounds {options.rounds}: expected 1 or more")
    return options


def progress(text: str) -> None:
    """Show the current step if standard error is a terminal."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def prepare_peers(peers: list[Peer]) -> Iterator[Peer]:
    """Build each peer; yield those whose build succeeded."""
    for peer in peers:
        progress(f"building {peer.name}")
        try:
            peer.prepare()
        except BuildError as error:
            sys.stderr.write(f"{peer.name} is left out because its build failed:\n{error}\n")
        else:
            yield peer


def main() -> int:
    """Run the command line; return its exit code."""
    options = parse()
    if options.list:
        print("\n".join(row.name for row in options.rows))
        return 0
    if options.plot is not None and not plot.possible():
        sys.stderr.write("--plot needs matplotlib: pip install matplotlib\n")
        return 2
    needed = {name for row in options.rows for name in row.peers}
    peers = list(
        prepare_peers([peer for peer in select_peers(options.peer) if peer.name in needed])
    )
    if not peers or peers[0] is not PEERS[0]:
        sys.stderr.write(f"{PEERS[0].name} is not installed: pip install . in the checkout\n")
        return 2
    missing = [peer.name for peer in PEERS if peer.name in needed and not peer.installed()]
    machine = describe()
    versions = {peer.name: runs.versions(peer) for peer in peers}
    effort = Effort(
        rounds=options.rounds or (3 if options.quick else 6),
        retries=options.retries if options.retries is not None else 1 if options.quick else 3,
        quick=options.quick,
    )
    began = time.monotonic()
    print(report.heading(machine, versions))
    if missing:
        print("not installed: " + ", ".join(missing))
    comparisons: list[Comparison] = []
    for row in options.rows:
        comparison = compare(
            row, [peer for peer in peers if peer.name in row.peers], effort, progress
        )
        comparisons.append(comparison)
        progress("")
        print(f"\n{report.block(comparison)}", flush=True)
    print(f"\n{report.table(comparisons)}")
    print(f"\n{report.closing(comparisons)}")
    print(f"measured in {time.monotonic() - began:.0f} s")
    found = report.as_json(machine, versions, comparisons)
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    if options.plot is not None:
        plot.draw(comparisons, options.plot)
    return 1 if any(comparison.failures() for comparison in comparisons) else 0


if __name__ == "__main__":
    sys.exit(main())
