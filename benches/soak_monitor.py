"""What a soak looks at: how much the process holds at rest, and whether that grows. Linux only."""

from __future__ import annotations

import contextlib
import ctypes
import statistics
import threading
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Callable, Iterator, Sequence

# Far above what anything here takes on a slow machine.
TIMEOUT_SECONDS = 60.0

# Before this share of the samples is over, pools and caches still find their size.
WARM_UP = 0.2

# Sockets of attempts to connect that happen to be open at a look.
DESCRIPTORS_MARGIN = 2


class Tally:
    """What all acts count together, and what went wrong."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = Counter()
        self.troubles: list[str] = []

    def add(self, what: str, count: int = 1) -> None:
        """Counts something."""
        with self._lock:
            self._counts[what] += count

    def trouble(self, what: str) -> None:
        """Takes down what must not happen; the first hundred tell enough."""
        with self._lock:
            self._counts["troubles"] += 1
            if len(self.troubles) < 100:
                self.troubles.append(what)

    def counts(self) -> dict[str, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)


class Gate:
    """Lets acts take their turns, and holds them all up for a look at the process at rest."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.resting = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One turn of one act; waits while all rest."""
        with self._changed:
            self._changed.wait_for(lambda: not self.resting)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def rest(self) -> Iterator[bool]:
        """Nobody takes a turn meanwhile; false when somebody did not come to the end of theirs."""
        with self._changed:
            self.resting = True
            came = self._changed.wait_for(lambda: self._inside == 0, TIMEOUT_SECONDS)
        try:
            yield came
        finally:
            with self._changed:
                self.resting = False
                self._changed.notify_all()


@dataclass(frozen=True)
class Sample:
    """The process at rest."""

    seconds: float
    resident_kib: int
    descriptors: int
    threads: int


def trim() -> None:
    """Gives back to the system what the allocator only keeps for the next time."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_kib() -> int:
    """The resident memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def held() -> tuple[int, int]:
    """Descriptors and threads, libzmq's own included."""
    descriptors, threads = (
        len(list(Path("/proc/self", each).iterdir())) for each in ("fd", "task")
    )
    # The listing itself opens one.
    return descriptors - 1, threads


def settle(progress: Callable[[], object]) -> tuple[int, int]:
    """Descriptors and threads once nothing has changed for a while: sockets take a moment to go."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    last, since = (held(), progress()), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 0.3:
        time.sleep(0.02)
        now = (held(), progress())
        if now != last:
            last, since = now, time.monotonic()
    return last[0]


def look(seconds: float, progress: Callable[[], object]) -> Sample:
    """A sample, to be taken while all rest."""
    descriptors, threads = settle(progress)
    trim()
    return Sample(round(seconds, 1), resident_kib(), descriptors, threads)


def slope(samples: Sequence[Sample]) -> float:
    """By how many KiB a minute memory grows: the line that fits best."""
    times = [sample.seconds / 60 for sample in samples]
    sizes = [sample.resident_kib for sample in samples]
    middle = statistics.mean(times)
    spread = sum((each - middle) ** 2 for each in times)
    if spread == 0:
        return 0.0
    level = statistics.mean(sizes)
    return sum((t - middle) * (s - level) for t, s in zip(times, sizes)) / spread


@dataclass(frozen=True)
class Verdict:
    """What came of it."""

    slope_kib_per_minute: float
    descriptors_grown: float
    threads_grown: float
    faults: list[str]

    def as_json(self) -> dict[str, Any]:
        """For a program to read."""
        return asdict(self)


def judge(samples: Sequence[Sample], tally: Tally, margin: float) -> Verdict:
    """What the samples and the counts say."""
    faults = list(tally.troubles)
    warm = samples[int(len(samples) * WARM_UP) :]
    third = len(warm) // 3
    if third == 0:
        faults.append(f"only {len(samples)} samples: too few to tell anything")
        return Verdict(0.0, 0.0, 0.0, faults)
    first, last = warm[:third], warm[-third:]

    def grown(what: Callable[[Sample], int]) -> float:
        return statistics.median(map(what, last)) - statistics.median(map(what, first))

    rising = slope(samples[len(samples) // 2 :])
    descriptors = grown(lambda sample: sample.descriptors)
    threads = grown(lambda sample: sample.threads)
    if rising > margin:
        faults.append(f"memory grows by {rising:.0f} KiB a minute, more than {margin:g}")
    if descriptors > DESCRIPTORS_MARGIN:
        faults.append(f"{descriptors:g} descriptors more at the end")
    if threads > 0:
        faults.append(f"{threads:g} threads more at the end")
    return Verdict(round(rising, 1), descriptors, threads, faults)
