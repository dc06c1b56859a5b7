"""The machine: what it is, how fast it was just now, and who else was using it."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
import time
from pathlib import Path

CALIBRATION_STEPS = 400_000
# The system counts in steps of 10 ms.
SHORTEST_SECONDS = 0.1


def calibrate() -> float:
    """Milliseconds for a fixed loop: how fast the machine is at this moment."""
    began = time.perf_counter()
    total = 0
    for step in range(CALIBRATION_STEPS):
        total += step & 7
    return (time.perf_counter() - began) * 1e3


class OtherProcessesShare:
    """How much of all CPUs' time other processes took since this was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._busy = _busy_seconds()
        self._own = _own_seconds()

    def share(self) -> float | None:
        """From 0 to 1; None where there is no /proc/stat, or the time was too short to tell.

        Ask when own children have ended: one still running counts as another's.
        """
        busy = _busy_seconds()
        elapsed = time.perf_counter() - self._began
        if self._busy is None or busy is None or elapsed < SHORTEST_SECONDS:
            return None
        others = (busy - self._busy) - (_own_seconds() - self._own)
        return min(1.0, max(0.0, others / elapsed / (os.cpu_count() or 1)))


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


def _config_arguments() -> str:
    return str(sysconfig.get_config_var("CONFIG_ARGS") or "")


def _built_by_debian() -> bool:
    """Its build runs the profile without the option that would be in CONFIG_ARGS."""
    return sys.base_prefix == "/usr" and Path("/var/lib/dpkg").is_dir()


def optimised() -> bool:
    """Whether the interpreter was built with profile-guided optimisation, as far as it tells."""
    return "--enable-optimizations" in _config_arguments() or _built_by_debian()


def describe() -> dict[str, str | int]:
    """The machine and the interpreter."""
    return {
        "processor": _processor(),
        "cpus": os.cpu_count() or 1,
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "pgo": "yes" if optimised() else "NO: such an interpreter flatters zmqchat_rs",
        "config_args": _config_arguments(),
    }
