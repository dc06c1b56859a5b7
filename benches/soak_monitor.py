"""The memory, descriptors and threads of a paused soak, and whether they grow. Linux only."""

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

# Much longer than any step takes on a slow machine.
TIMEOUT_SECONDS = 60.0

# The first samples, in which pools and caches still grow, are ignored.
WARM_UP = 0.2

# Sockets of connection attempts that may be open during a sample.
DESCRIPTORS_MARGIN = 2


class Tally:
    """The counts and errors of all scenarios."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, int] = Counter()
        self.errors: list[str] = []

    def add(self, what: str, count: int = 1) -> None:
        """Adds to a count."""
        with self._lock:
            self._counts[what] += count

    def add_error(self, what: str) -> None:
        """Records an error; keeps the texts of the first hundred."""
        with self._lock:
            self._counts["errors"] += 1
            if len(self.errors) < 100:
                self.errors.append(what)

    def counts(self) -> dict[str, int]:
        """All counts so far."""
        with self._lock:
            return dict(self._counts)


class Gate:
    """Lets scenarios take turns, and pauses all of them for a sample."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self.paused = False

    @contextlib.contextmanager
    def turn(self) -> Iterator[None]:
        """One turn of a scenario; waits while the gate is paused."""
        with self._changed:
            self._changed.wait_for(lambda: not self.paused)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextlib.contextmanager
    def pause(self) -> Iterator[bool]:
        """Pauses all scenarios; yields False if one did not finish its turn in time."""
        with self._changed:
            self.paused = True
            finished = self._changed.wait_for(lambda: self._inside == 0, TIMEOUT_SECONDS)
        try:
            yield finished
        finally:
            with self._changed:
                self.paused = False
                self._changed.notify_all()


@dataclass(frozen=True)
class Sample:
    """The resources of the paused process."""

    seconds: float
    resident_kib: int
    descriptors: int
    threads: int


def trim() -> None:
    """Returns the allocator's free memory to the system."""
    with contextlib.suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def resident_kib() -> int:
    """The resident memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:"))


def open_resources() -> tuple[int, int]:
    """The numbers of descriptors and threads, including libzmq's."""
    descriptors, threads = (
        len(list(Path("/proc/self", each).iterdir())) for each in ("fd", "task")
    )
    # The listing itself opens one.
    return descriptors - 1, threads


def settle(progress: Callable[[], object]) -> tuple[int, int]:
    """Descriptors and threads once they are constant: sockets take a moment to close."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    last, since = (open_resources(), progress()), time.monotonic()
    while time.monotonic() < deadline and time.monotonic() - since < 0.3:
        time.sleep(0.02)
        now = (open_resources(), progress())
        if now != last:
            last, since = now, time.monotonic()
    return last[0]


def take_sample(seconds: float, progress: Callable[[], object]) -> Sample:
    """A sample; call it while the scenarios are paused."""
    descriptors, threads = settle(progress)
    trim()
    return Sample(round(seconds, 1), resident_kib(), descriptors, threads)


def slope(samples: Sequence[Sample]) -> float:
    """The growth of memory in KiB per minute, by linear regression."""
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
    """The result of a soak."""

    slope_kib_per_minute: float
    descriptors_grown: float
    threads_grown: float
    faults: list[str]

    def as_json(self) -> dict[str, Any]:
        """The verdict as JSON values."""
        return asdict(self)


def judge(samples: Sequence[Sample], tally: Tally, margin: float) -> Verdict:
    """The verdict on the samples and errors."""
    faults = list(tally.errors)
    warm = samples[int(len(samples) * WARM_UP) :]
    third = len(warm) // 3
    if third == 0:
        faults.append(f"only {len(samples)} samples: at least 3 are needed after the warm-up")
        return Verdict(0.0, 0.0, 0.0, faults)
    first, last = warm[:third], warm[-third:]

    def grown(what: Callable[[Sample], int]) -> float:
        return statistics.median(map(what, last)) - statistics.median(map(what, first))

    rising = slope(samples[len(samples) // 2 :])
    descriptors = grown(lambda sample: sample.descriptors)
    threads = grown(lambda sample: sample.threads)
    if rising > margin:
        faults.append(f"memory grows by {rising:.0f} KiB per minute, more than {margin:g}")
    if descriptors > DESCRIPTORS_MARGIN:
        faults.append(f"{descriptors:g} more descriptors at the end")
    if threads > 0:
        faults.append(f"{threads:g} more threads at the end")
    return Verdict(round(rising, 1), descriptors, threads, faults)
