"""The machine: its description, its current speed, and the CPU use of other processes."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
import time
from pathlib import Path

CALIBRATION_STEPS = 400_000
# The kernel counts in steps of 10 ms.
SHORTEST_SECONDS = 0.1


def calibrate() -> float:
    """Milliseconds for a fixed loop: the current speed of the machine."""
    began = time.perf_counter()
    total = 0
    for step in range(CALIBRATION_STEPS):
        total += step & 7
    return (time.perf_counter() - began) * 1e3


class OtherProcessesShare:
    """The share of CPU time that other processes used since this object was created."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def share(self) -> float | None:
        """From 0 to 1; None without /proc/stat or after less than a tenth of a second.

        Call it after all own children have ended: a running child counts as another process.
        """
        busy = _busy_seconds()
        elapsed = time.perf_counter() - self._began
        if self._busy is None or busy is None or elapsed < SHORTEST_SECONDS:
            return None
        others = (busy - self._busy) - (_own_seconds() - self._own)
        return min(1.0, max(0.0, others / elapsed / (os.cpu_count() or 1)))


def _own_seconds() -> float:
    """The CPU time of this process and of the children that it has waited for."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    """The CPU time of all processes of the machine, and of the hypervisor."""
    try:
        total = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        # user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are excluded: they
        # include those of the loopback interface, and are not charged to a process.
        ticks = [int(total[column]) for column in (1, 2, 3, 8)]
        return sum(ticks) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return None


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _config_arguments() -> str:
    return str(sysconfig.get_config_var("CONFIG_ARGS") or "")


def _built_by_debian() -> bool:
    """Debian's build optimises with a profile without the option in CONFIG_ARGS."""
    return sys.base_prefix == "/usr" and Path("/var/lib/dpkg").is_dir()


def optimised() -> bool:
    """Whether the interpreter was built with profile-guided optimisation, as far as known."""
    return "--enable-optimizations" in _config_arguments() or _built_by_debian()


def describe() -> dict[str, str | int]:
    """The machine and the interpreter."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count() or 1,
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "pgo": "yes" if optimised() else "NO: such an interpreter favours zmqchat_rs",
        "config_args": _config_arguments(),
    }
