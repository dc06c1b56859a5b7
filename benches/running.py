"""One run of one peer: starts its processes, conducts them, and checks that nothing was lost."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

if TYPE_CHECKING:
    from types import TracebackType

    from typing_extensions import Self

    from .peers import Peer

# A run that takes longer has lost its end mark, or hangs.
PATIENCE_SECONDS = 60.0

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Outcome:
    """What one run gave."""

    # In the row's unit; None where the run failed.
    value: float | None
    # Messages lost; None where nobody can tell how many.
    lost: int | None = 0
    # Why the run does not count.
    trouble: str | None = None
    details: dict[str, Any] = field(default_factory=dict)


class RunError(Exception):
    """A process did not do its part."""


class Process:
    """One side of a run; ended with the `with` block, however that is left."""

    def __init__(self, command: Sequence[str]) -> None:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            text=True,
        )
        self._gave_up = False
        self._timer = threading.Timer(PATIENCE_SECONDS, self._give_up)
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

    def say(self) -> None:
        """Gives the word to go on."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise RunError("a process ended early") from None

    def hear(self) -> dict[str, Any]:
        """The process's next line."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            code = self._process.wait()
            silence = f"no answer within {PATIENCE_SECONDS:.0f} s"
            raise RunError(silence if self._gave_up else f"a process ended early, exit code {code}")
        words: dict[str, Any] = json.loads(line)
        return words


def two_processes(peer: Peer, job: Mapping[str, Any]) -> Outcome:
    """A publisher and a subscriber; messages a second at the subscriber, first to last."""
    sent = job["count"]
    try:
        with ExitStack() as stack:
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
    except RunError as error:
        return Outcome(None, lost=None, trouble=f"the end mark did not come: {error}")
    details = {"sender_seconds": sending["seconds"], "receiver_seconds": received["seconds"]}
    # Not counting the end mark, whose arrival showed itself.
    lost = sent - received["count"]
    if lost or not received["intact"]:
        trouble = f"{received['count']:,} of {sent:,} messages came"
        return Outcome(None, lost=lost, trouble=trouble, details=details)
    return Outcome(sent / received["seconds"], details=details)


def one_process(peer: Peer, job: Mapping[str, Any]) -> Outcome:
    """Nanoseconds a call."""
    try:
        with Process(peer.command(job)) as process:
            process.hear()
            process.say()
            value = process.hear()["ns"]
            process.say()
    except RunError as error:
        return Outcome(None, lost=None, trouble=str(error))
    return Outcome(value)


def imports(peer: Peer, job: Mapping[str, Any]) -> Outcome:
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
    return Outcome(statistics.median(times), details={"times": times})


def versions(peer: Peer) -> dict[str, str]:
    """The peer's versions, from a process of its own."""
    with Process(peer.command({"do": "versions"})) as process:
        told: dict[str, str] = process.hear()["versions"]
        return told
