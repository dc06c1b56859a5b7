"""The command line: `python -m benches`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Iterator

from . import plot, report, running
from .comparing import Comparison, Effort, compare
from .machine import describe
from .peers import PEERS, Peer, chosen
from .peers.reference import BuildError
from .rows import ROWS


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m benches",
        description="Measures zmqchat_rs beside other libraries, in turn, in the same run.",
        epilog="Exits with 1 when a run lost a message or broke. benches/README.md has the method.",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="the rows that matter most, fewer and shorter runs: two minutes",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every run there")
    parser.add_argument(
        "--rows",
        metavar="TEXT",
        action="append",
        default=[],
        help="only rows whose name contains this (may be repeated: all of these)",
    )
    parser.add_argument("--list", action="store_true", help="only list the rows")
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="also draw the ratios there; needs matplotlib"
    )
    parser.add_argument(
        "--peer",
        action="append",
        choices=[peer.name for peer in PEERS[1:]],
        help="only beside this one (may be repeated)",
    )
    parser.add_argument(
        "--rounds", type=int, metavar="N", help="how many pairs (default: 6, or 3 with --quick)"
    )
    parser.add_argument(
        "--again",
        type=int,
        metavar="N",
        help="how often a disturbed run is done again (default: 3, or 1 with --quick)",
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
        parser.error("no such row: --list names them")
    if options.rounds is not None and options.rounds < 1:
        parser.error("--rounds is 1 or more")
    return options


def progress(text: str) -> None:
    """Shows what is being done, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def prepared(peers: list[Peer]) -> Iterator[Peer]:
    """Those that can be measured, with everything built."""
    for peer in peers:
        progress(f"building {peer.name}")
        try:
            peer.prepare()
        except BuildError as error:
            sys.stderr.write(f"{peer.name} is left out, it could not be built:\n{error}\n")
        else:
            yield peer


def main() -> int:
    """Measures and reports."""
    options = parse()
    if options.list:
        print("\n".join(row.name for row in options.rows))
        return 0
    if options.plot is not None and not plot.possible():
        sys.stderr.write("--plot needs matplotlib: pip install matplotlib\n")
        return 2
    asked = {name for row in options.rows for name in row.peers}
    peers = list(prepared([peer for peer in chosen(options.peer) if peer.name in asked]))
    if not peers or peers[0] is not PEERS[0]:
        sys.stderr.write(f"{PEERS[0].name} is not installed: pip install . in the checkout\n")
        return 2
    missing = [peer.name for peer in PEERS if peer.name in asked and not peer.installed()]
    machine = describe()
    versions = {peer.name: running.versions(peer) for peer in peers}
    effort = Effort(
        rounds=options.rounds or (3 if options.quick else 6),
        again=options.again if options.again is not None else 1 if options.quick else 3,
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
