"""The machine: what it is, how fast it was just now, and who else was using it."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
import time
from pathlib import Path

CALIBRATION_STEPS = 400_000


def calibrate() -> float:
    """Milliseconds for a fixed loop: how fast the machine is at this moment."""
    began = time.perf_counter()
    total = 0
    for step in range(CALIBRATION_STEPS):
        total += step & 7
    return (time.perf_counter() - began) * 1e3


class OthersShare:
    """How much of all CPUs' time other processes took since this was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def share(self) -> float | None:
        """From 0 to 1; None where there is no /proc/stat.

        Ask when own children have ended: one still running counts as another's.
        """
        busy = _busy_seconds()
        if self._busy is None or busy is None:
            return None
        others = (busy - self._busy) - (_own_seconds() - self._own)
        capacity = (time.perf_counter() - self._began) * (os.cpu_count() or 1)
        return max(0.0, others / capacity)


def _own_seconds() -> float:
    """What this process and the children that it has waited for have used."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy_seconds() -> float | None:
    """What all processes of the machine have used, and the hypervisor for itself."""
    try:
        total = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        # user, nice, system, idle, iowait, irq, softirq, steal. Interrupts are left out: the
        # loopback's own are among them, and no process's account shows them.
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


def describe() -> dict[str, str | int]:
    """The machine and the interpreter."""
    arguments = str(sysconfig.get_config_var("CONFIG_ARGS") or "")
    optimised = "--enable-optimizations" in arguments
    return {
        "processor": _processor(),
        "cpus": os.cpu_count() or 1,
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "pgo": "yes" if optimised else "not in CONFIG_ARGS",
        "config_args": arguments,
    }
