"""A tree of relays on one machine: `python -m benches.scale`. docs/scaling.md has the results.

A publisher, a relay for the campus, and in each room a relay with subscribers; each runs on its own
host, which is a network namespace. All hosts share the CPUs of this machine: rates and delays
depend on the machine, counts and bytes only on the tree.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import report
from .machine import OtherProcessesShare, describe
from .runs import Process
from .scale_hosts import Host, hosts, missing

# The timeout of a process, which lasts for the whole run.
LIMIT_SECONDS = 900.0


class Part:
    """A process on a host."""

    def __init__(self, stack: ExitStack, host: Host, **job: object) -> None:
        command = host.command(sys.executable, "-m", "benches.scale_roles", json.dumps(job))
        self._process = stack.enter_context(Process(command, LIMIT_SECONDS))
        self._process.read_line()

    def begin(self, command: str, *arguments: object) -> None:
        """Sends a command."""
        self._process.write_line(json.dumps([command, *arguments]))

    def finish(self) -> dict[str, Any]:
        """Waits for the result of the command."""
        return self._process.read_line()

    def ask(self, command: str, *arguments: object) -> dict[str, Any]:
        """Sends a command and waits for its result."""
        self.begin(command, *arguments)
        return self.finish()


class Campus:
    """The tree of relays with its hosts."""

    def __init__(self, stack: ExitStack, rooms: int, each: int) -> None:
        self.stack, self.each = stack, each
        names = [f"room{number}" for number in range(rooms)]
        self.hosts = stack.enter_context(hosts(["author", "campus", "side", *names]))
        self.rooms = [self.hosts[name] for name in names]
        self.campus = self.relay("campus", connect=[])
        self.author = Part(
            stack,
            self.hosts["author"],
            do="author",
            connect=f"{self.hosts['campus'].address}:5556",
        )
        self.relays = [self.relay(name, connect=[self.hosts["campus"].address]) for name in names]
        self.crowds: list[Part] = []

    def relay(
        self, name: str, *, connect: list[str], on_full: str = "block", mark: int = 1_000
    ) -> Part:
        """A relay on that host."""
        host = self.hosts[name]
        return Part(self.stack, host, do="relay", connect=connect, on_full=on_full, mark=mark)

    def crowd(self, stack: ExitStack, where: str, count: int) -> Part:
        """Subscribers on that host, connected to its relay or author."""
        address = self.hosts[where].address
        return Part(stack, self.hosts[where], do="crowd", connect=address, count=count)

    def gather(self) -> None:
        """Starts all subscribers, and waits until the author's messages reach all of them."""
        self.crowds = [
            self.crowd(self.stack, f"room{n}", self.each) for n in range(len(self.rooms))
        ]
        for relay in self.relays:
            relay.ask("wait", self.each)
        self.campus.ask("wait", len(self.relays))
        self.author.ask("wait", 1)


def delays_by_hops(campus: Campus, count: int) -> dict[str, Any]:
    """From send to receive, through no relay, one and two, without other subscribers."""
    with ExitStack() as stack:
        probes = [campus.crowd(stack, where, 1) for where in ("author", "campus", "room0")]
        campus.relays[0].ask("wait", 1)
        campus.campus.ask("wait", 2)
        campus.author.ask("wait", 2)
        for probe in probes:
            probe.begin("delays")
        campus.author.ask("delays", count, 0.002)
        return {str(hops): spread(probe.finish()["delays"]) for hops, probe in enumerate(probes)}


def spread(seconds: list[float]) -> dict[str, float]:
    """Median and tail, in milliseconds."""
    ordered = sorted(delay * 1e3 for delay in seconds)
    return {
        "p50": statistics.median(ordered),
        "p99": ordered[int(0.99 * len(ordered))],
        "count": len(ordered),
    }


def stream(campus: Campus, count: int, size: int) -> dict[str, Any]:
    """Streams as fast as possible without loss: exact counts, deliveries per second, bytes sent."""
    before = {name: campus.hosts[name].sent_bytes() for name in ("author", "campus")}
    for crowd in campus.crowds:
        crowd.begin("stream")
    sent = campus.author.ask("stream", count, size)
    reports = [crowd.finish() for crowd in campus.crowds]
    counts = [found for one in reports for found in one["counts"]]
    seconds = max(one["ended"] for one in reports) - sent["began"]
    wire = {name: campus.hosts[name].sent_bytes() - start for name, start in before.items()}
    subscribers = len(counts)
    return {
        "subscribers": subscribers,
        "messages": count,
        "size": size,
        "exact": all(found == count for found in counts)
        and all(one["in_order"] for one in reports),
        "deliveries": sum(counts),
        "lost": sum(one["lost"] for one in reports),
        "duplicates": sum(one["duplicates"] for one in reports),
        "seconds": seconds,
        "messages_a_second": count / seconds,
        "deliveries_a_second": sum(counts) / seconds,
        "author_wire_bytes_a_message": wire["author"] / count,
        "campus_wire_bytes_a_message_and_room": wire["campus"] / count / len(campus.relays),
    }


def delays_in_a_crowd(campus: Campus, count: int) -> dict[str, float]:
    """The delays of all subscribers at once."""
    for crowd in campus.crowds:
        crowd.begin("delays")
    campus.author.ask("delays", count, 0.1)
    return spread([delay for crowd in campus.crowds for delay in crowd.finish()["delays"]])


def slow_subscriber(campus: Campus, count: int) -> dict[str, Any]:
    """The cost of a subscriber that never reads for a relay that drops, and for its neighbour."""
    size, mark = 1_024, 10_000
    with ExitStack() as stack:
        relay = Part(
            stack,
            campus.hosts["side"],
            do="relay",
            connect=[campus.hosts["campus"].address],
            on_full="drop",
            mark=mark,
        )
        quick = campus.crowd(stack, "side", 1)
        relay.ask("wait", 1)
        start = relay.ask("measure")["kib"]
        Part(stack, campus.hosts["side"], do="stuck", connect=campus.hosts["side"].address)
        relay.ask("wait", 2)
        quick.begin("stream")
        for crowd in campus.crowds:
            crowd.begin("stream")
        # At a rate that the quick subscriber can follow: 50 messages each 10 ms.
        campus.author.ask("stream", count, size, 0.01)
        reports = quick.finish()
        for crowd in campus.crowds:
            crowd.finish()
        look = relay.ask("measure")
    return {
        "messages": count,
        "size": size,
        "high_water_mark": mark,
        "grew_kib": look["kib"] - start,
        "overflows": look["overflows"],
        "neighbour_received": reports["counts"][0],
        "neighbour_lost": reports["lost"],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All figures."""
    with ExitStack() as stack:
        campus = Campus(stack, options.rooms, options.each)
        subscribers: int = options.rooms * options.each
        hops = delays_by_hops(campus, options.delays)
        before: list[float] = [relay.ask("measure")["kib"] for relay in campus.relays]
        campus.gather()

        def grew_for_each() -> float:
            after: list[float] = [relay.ask("measure")["kib"] for relay in campus.relays]
            return (sum(after) - sum(before)) / subscribers

        found = {
            "hosts": len(campus.hosts),
            "rooms": options.rooms,
            "delay_ms_by_relays": hops,
            "relay_kib": statistics.median(before),
            "relay_kib_a_subscriber": grew_for_each(),
            "stream": stream(campus, options.messages, 64),
            "stream_1_kib": stream(campus, options.messages // 2, 1_024),
            "relay_kib_a_subscriber_after_the_streams": grew_for_each(),
            "delay_ms_in_the_crowd": delays_in_a_crowd(campus, max(5, options.delays // 20)),
        }
        if options.slow:
            found["slow_subscriber"] = slow_subscriber(campus, options.slow)
        return found


def shown(found: dict[str, Any], prefix: str = "") -> list[str]:
    """A line per figure."""
    lines = []
    for name, value in found.items():
        if isinstance(value, dict):
            lines += shown(value, f"{prefix}{name}.")
        else:
            text = report.number(value) if isinstance(value, float) else str(value)
            lines.append(f"{prefix + name:<48} {text}")
    return lines


def main() -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m benches.scale",
        description="Measure a tree of relays in network namespaces; needs root and Linux.",
        epilog="Exits with 1 if a message was lost, duplicated or out of order.",
    )
    for name, usual, what in (
        ("--rooms", 8, "Create N rooms, each on its own host"),
        ("--each", 25, "Run N subscribers per room"),
        ("--messages", 20_000, "Stream N messages"),
        ("--delays", 1_000, "Measure the delay of N messages"),
        ("--slow", 30_000, "Send N messages to a slow subscriber; 0 omits this part"),
    ):
        parser.add_argument(
            name, type=int, default=usual, metavar="N", help=f"{what} (default: {usual})."
        )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="Also write all figures to FILE as JSON."
    )
    options = parser.parse_args()
    reason = missing()
    if reason is not None:
        sys.stderr.write(f"{reason}\n")
        return 2
    others = OtherProcessesShare()
    found = measure(options)
    share = others.share()
    machine = describe()
    print(f"machine: {machine['processor']}, {machine['cpus']} CPUs, {machine['system']}")
    print("\n".join(shown(found)))
    if share is not None:
        print(f"{'CPU used by other processes':<48} {share:.0%}")
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    streams = (found["stream"], found["stream_1_kib"])
    return 0 if all(one["exact"] and not one["lost"] for one in streams) else 1


if __name__ == "__main__":
    sys.exit(main())
