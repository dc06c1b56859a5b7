"""One run of one peer: starts its processes, conducts them, and checks that nothing was lost."""

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

# The figures of the rows with one, by their units.
RATE, COST, TIME, MEMORY = "msg/s", "ns/call", "ms", "MiB"

# A run that takes longer has lost its end mark, or hangs.
PATIENCE_SECONDS = 60.0

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    # By the names of the row's figures; None where the run failed.
    values: dict[str, float] | None
    # Messages lost; None where nobody can tell how many.
    lost: int | None = 0
    # Why the run does not count.
    trouble: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class RunError(Exception):
    """A process did not do its part."""


class Process:
    """One side of a run; ended with the `with` block, however that is left."""

    def __init__(self, command: Sequence[str], patience: float = PATIENCE_SECONDS) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )
        self._gave_up = False
        self._patience = patience
        self._timer = threading.Timer(patience, self._give_up)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        """The process, which starts at once."""
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Ends it, and waits until it has ended."""
        if exc_type is not None:
            self._process.kill()
        # Closes its stdin, too, which is the word to end.
        self._process.communicate()
        self._timer.cancel()

    def _give_up(self) -> None:
        self._gave_up = True
        self._process.kill()

    def say(self, word: str = "") -> None:
        """Gives the word to go on."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{word}\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RunError("a process ended early") from None

    def hear(self) -> dict[str, Any]:
        """The process's next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            silence = f"no answer within {self._patience:.0f} s"
            raise RunError(silence if self._gave_up else f"a process ended early, exit code {code}")
        words: dict[str, Any] = json.loads(line)
        return words


def conducted(run: Callable[[ExitStack, Peer, Job], Outcome]) -> Callable[[Peer, Job], Outcome]:
    """Starts the server that a peer needs, and turns a process that failed into an outcome."""

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
            return Outcome(None, lost=None, trouble=str(error))

    return conduct


@conducted
def two_processes(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """A publisher and subscribers; messages a second, from the first to arrive to the last mark."""
    publisher = stack.enter_context(Process(peer.command({**job, "do": "publish"})))
    endpoint = publisher.hear()["endpoint"]
    command = peer.command({**job, "do": "subscribe", "endpoint": endpoint})
    subscriber = stack.enter_context(Process(command))
    subscriber.hear()
    subscriber.say()
    publisher.say()
    received = subscriber.hear()
    sending = publisher.hear()
    subscriber.say()
    publisher.say()
    return _counted(job, received, sending["seconds"])


@conducted
def relayed(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """A publisher, the peer's relay, a subscriber: messages a second at the end.

    The two ends are the same for all peers, the C reference's, so that only the relay differs.
    """
    ends = {**job, "peer": "reference"}
    publisher = stack.enter_context(Process(_end({**ends, "do": "publish"})))
    upstream = publisher.hear()["endpoint"]
    relay = stack.enter_context(Process(peer.command({**job, "do": "relay", "upstream": upstream})))
    endpoint = relay.hear()["endpoint"]
    subscriber = stack.enter_context(
        Process(_end({**ends, "do": "subscribe", "endpoint": endpoint}))
    )
    subscriber.hear()
    subscriber.say()
    publisher.say()
    received = subscriber.hear()
    sending = publisher.hear()
    for process in (subscriber, relay, publisher):
        process.say()
    return _counted(job, received, sending["seconds"])


def _end(job: Job) -> list[str]:
    return [str(reference.PROGRAM), json.dumps(job)]


@conducted
def two_threads(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """A publisher and a subscriber in one process; messages a second, from the first send."""
    process = stack.enter_context(Process(peer.command({**job, "do": "together"})))
    process.hear()
    process.say()
    received = process.hear()
    process.say()
    return _counted(job, received, None)


def _counted(job: Job, received: Mapping[str, Any], sender_seconds: float | None) -> Outcome:
    """Nothing may be missing; the end mark, whose arrival showed itself, is not counted."""
    filtered = job["kind"] == "filtered"
    each = job["count"] // job["every"] if filtered else job["count"]
    subscribers = job.get("subscribers", 1)
    details = {"sender_seconds": sender_seconds, "receiver_seconds": received["seconds"]}
    came = sum(received["counts"])
    if any(count != each for count in received["counts"]) or not received["intact"]:
        trouble = f"{came:,} of {each * subscribers:,} messages came"
        return Outcome(None, lost=each * subscribers - came, trouble=trouble, details=details)
    # With a filter, what counts is what was published.
    counted = job["count"] if filtered else came
    return Outcome({RATE: counted / received["seconds"]}, details=details)


@conducted
def there_and_back(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Half of the round trips between two processes, in microseconds."""
    echo = stack.enter_context(Process(peer.command({**job, "do": "pong"})))
    back = echo.hear()["endpoint"]
    pinging = stack.enter_context(Process(peer.command({**job, "do": "ping", "back": back})))
    endpoint = pinging.hear()["endpoint"]
    echo.say(endpoint)
    pinging.say()
    times = sorted(pinging.hear()["us"])
    echo.hear()
    echo.say()
    pinging.say()
    ranks = {"p50": 0.5, "p99": 0.99, "p99.9": 0.999}
    return Outcome({name: times[int(rank * len(times))] for name, rank in ranks.items()})


@conducted
def one_process(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """Nanoseconds a call."""
    process = stack.enter_context(Process(peer.command(job)))
    process.hear()
    process.say()
    value = process.hear()["ns"]
    process.say()
    return Outcome({COST: value})


@conducted
def resident(stack: ExitStack, peer: Peer, job: Job) -> Outcome:
    """MiB of a publisher whose peers, in another process, do nothing."""
    publisher = stack.enter_context(Process(peer.command({**job, "do": "stand"})))
    endpoint = publisher.hear()["endpoint"]
    if job["subscribers"]:
        command = peer.command({**job, "do": "attend", "endpoint": endpoint})
        peers = stack.enter_context(Process(command))
        peers.hear()
        publisher.say()
        value = publisher.hear()["mib"]
        peers.say()
    else:
        publisher.say()
        value = publisher.hear()["mib"]
    publisher.say()
    return Outcome({MEMORY: value})


def imports(peer: Peer, job: Job) -> Outcome:
    """Milliseconds for the import alone: the median of `count` fresh interpreters."""
    code = (
        f"import time; began = time.perf_counter(); import {peer.package}; "
        "print((time.perf_counter() - began) * 1e3)"
    )
    times: list[float] = []
    for _ in range(job["count"]):
        try:
            output = subprocess.check_output(
                [sys.executable, "-c", code], timeout=PATIENCE_SECONDS, text=True
            )
        except subprocess.SubprocessError as error:
            return Outcome(None, lost=None, trouble=str(error))
        times.append(float(output))
    return Outcome({TIME: statistics.median(times)}, details={"times": times})


def versions(peer: Peer) -> dict[str, str]:
    """The peer's versions, from a process of its own."""
    with Process(peer.command({"do": "versions"})) as process:
        told: dict[str, str] = process.hear()["versions"]
        return told
