"""One run of one peer: starts and controls its processes, and checks that no message was lost."""

from __future__ import annotations

import functools
import json
import os
import statistics
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Callable, Mapping, Sequence

from .peers import reference

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .peers import Job, Peer

# The names of single figures, which are their units.
RATE, COST, TIME, MEMORY = "msg/s", "ns/call", "ms", "MiB"

# A run that takes longer has lost its end mark or hangs.
TIMEOUT_SECONDS = 60.0

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """The result of one run."""

    # By the names of the row's figures; None if the run failed.
    values: dict[str, float] | None
    # Number of lost messages; None if it is unknown.
    lost: int | None = 0
    # Why the run does not count.
    error: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class RunError(Exception):
    """A process of the run failed or did not answer in time."""


class Process:
    """A process of a run; it ends with the `with` block."""

    def __init__(self, command: Sequence[str], timeout: float = TIMEOUT_SECONDS) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )
        self._gave_up = False
        self._timeout = timeout
        self._timer = threading.Timer(timeout, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        """Returns the process, which is already running."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends the process and waits for its exit."""
        if exc_type is not None:
            self._process.kill()
        # Also closes its stdin, which ends it.
        self._process.communicate()
        self._timer.cancel()

    def _give_up(self) -> None:
        self._gave_up = True
        self._process.kill()

    def write_line(self, line: str = "") -> None:
        """Writes a line to the process, which then continues."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RunError("a process ended early") from None

    def read_line(self) -> dict[str, Any]:
        """Reads the next line of JSON from the process."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            reason = f"no answer within {self._timeout:.0f} s"
            raise RunError(reason if self._gave_up else f"a process ended early, exit code {code}")
        fields: dict[str, Any] = json.loads(line)
        return fields


def one_run(run: Callable[[ExitStack, Peer, Job], Outcome]) -> Callable[[Peer, Job], Outcome]:
    """Starts the peer's server if it needs one; a failed process becomes an outcome."""

    @functools.wraps(run)
    def conduct(peer: Peer, job: Job) -> Outcome:
        try:
            with ExitStack() as stack:
                if peer.serve is not None:
                    job = {**job, "endpoint": stack.enter_context(peer.serve())}
                elif job["endpoint"] == "ipc://*":
                    folder = stack.enter_context(TemporaryDirectory())
                    job = {**job, "endpoint": f"ipc://{folder}/socket"}
                return run(stack, peer, job)
        except RunError as error:
            return Outcome(None, lost=None, error=str(error))

    return conduct


@one_run
def two_processes(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Messages per second from the first message to the last subscriber's end mark."""
    publisher = stack.enter_context(Process(peer.command({**job, "do": "publish"})))
    endpoint = publisher.read_line()["endpoint"]
    command = peer.command({**job, "do": "subscribe", "endpoint": endpoint})
    subscriber = stack.enter_context(Process(command))
    subscriber.read_line()
    subscriber.write_line()
    publisher.write_line()
    received = subscriber.read_line()
    sending = publisher.read_line()
    subscriber.write_line()
    publisher.write_line()
    return _counted(job, received, sending["seconds"])


@one_run
def relayed(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Messages per second at a subscriber behind the peer's relay.

    The C reference publishes and subscribes for all peers, so that only the relay differs.
    """
    ends = {**job, "peer": "reference"}
    publisher = stack.enter_context(Process(_reference({**ends, "do": "publish"})))
    upstream = publisher.read_line()["endpoint"]
    relay = stack.enter_context(Process(peer.command({**job, "do": "relay", "upstream": upstream})))
    endpoint = relay.read_line()["endpoint"]
    subscriber = stack.enter_context(
        Process(_reference({**ends, "do": "subscribe", "endpoint": endpoint}))
    )
    subscriber.read_line()
    subscriber.write_line()
    publisher.write_line()
    received = subscriber.read_line()
    sending = publisher.read_line()
    for process in (subscriber, relay, publisher):
        process.write_line()
    return _counted(job, received, sending["seconds"])


def _reference(job: Job) -> list[str]:
    return [str(reference.PROGRAM), json.dumps(job)]


@one_run
def two_threads(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Messages per second between two threads of one process, from the first send."""
    process = stack.enter_context(Process(peer.command({**job, "do": "publish_and_subscribe"})))
    process.read_line()
    process.write_line()
    received = process.read_line()
    process.write_line()
    return _counted(job, received, None)


def _counted(job: Job, received: Mapping[str, Any], sender_seconds: float | None) -> Outcome:
    """The rate, or a failed outcome if messages are missing. The end mark is not counted."""
    filtered = job["kind"] == "filtered"
    each = job["count"] // job["every"] if filtered else job["count"]
    subscribers = job.get("subscribers", 1)
    details = {"sender_seconds": sender_seconds, "receiver_seconds": received["seconds"]}
    arrived = sum(received["counts"])
    if any(count != each for count in received["counts"]) or not received["intact"]:
        error = f"{arrived:,} of {each * subscribers:,} messages were received"
        return Outcome(None, lost=each * subscribers - arrived, error=error, details=details)
    # With a filter, all published messages count.
    counted = job["count"] if filtered else arrived
    return Outcome({RATE: counted / received["seconds"]}, details=details)


@one_run
def round_trips(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Microseconds of half a round trip between two processes."""
    echo = stack.enter_context(Process(peer.command({**job, "do": "pong"})))
    back = echo.read_line()["endpoint"]
    pinging = stack.enter_context(Process(peer.command({**job, "do": "ping", "back": back})))
    endpoint = pinging.read_line()["endpoint"]
    echo.write_line(endpoint)
    pinging.write_line()
    times = sorted(pinging.read_line()["us"])
    echo.read_line()
    echo.write_line()
    pinging.write_line()
    ranks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return Outcome({name: times[int(rank * len(times))] for name, rank in ranks.items()})


@one_run
def one_process(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Nanoseconds per call."""
    process = stack.enter_context(Process(peer.command(job)))
    process.read_line()
    process.write_line()
    value = process.read_line()["ns"]
    process.write_line()
    return Outcome({COST: value})


@one_run
def resident_memory(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """MiB of a publisher with idle subscribers in another process."""
    publisher = stack.enter_context(Process(peer.command({**job, "do": "publisher_memory"})))
    endpoint = publisher.read_line()["endpoint"]
    if job["subscribers"]:
        command = peer.command({**job, "do": "idle_subscribers", "endpoint": endpoint})
        peers = stack.enter_context(Process(command))
        peers.read_line()
        publisher.write_line()
        value = publisher.read_line()["mib"]
        peers.write_line()
    else:
        publisher.write_line()
        value = publisher.read_line()["mib"]
    publisher.write_line()
    return Outcome({MEMORY: value})


def imports(peer: Peer, job: Job) -> Outcome:
    """Milliseconds of the import alone: the median of `count` fresh interpreters."""
    code = (
        f"import time; began = time.perf_counter(); import {peer.package}; "
        "print((time.perf_counter() - began) * 1e3)"
    )
    times: list[float] = []
    for _ in range(job["count"]):
        try:
            output = subprocess.check_output(
                [sys.executable, "-c", code], timeout=TIMEOUT_SECONDS, text=True
            )
        except subprocess.SubprocessError as error:
            return Outcome(None, lost=None, error=str(error))
        times.append(float(output))
    return Outcome({TIME: statistics.median(times)}, details={"times": times})


def versions(peer: Peer) -> dict[str, str]:
    """The peer's versions, reported by a separate process."""
    with Process(peer.command({"do": "versions"})) as process:
        found: dict[str, str] = process.read_line()["versions"]
        return found
