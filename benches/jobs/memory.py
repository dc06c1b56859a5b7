"""Memory: a publisher with idle subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import read_line, write_line

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def resident_mib() -> float:
    """The resident memory of this process."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def publisher_memory(peer: PeerModule, job: Job) -> None:
    """Binds a publisher and reports its resident memory once all subscribers are connected."""
    sender = peer.sending(job)
    write_line(endpoint=sender.endpoint)
    read_line()
    if job["subscribers"]:
        sender.wait_for_subscribers(job["subscribers"])
    write_line(mib=resident_mib())
    read_line()
    sender.close()


def idle_subscribers(peer: PeerModule, job: Job) -> None:
    """Connects idle subscribers."""
    receivers = [peer.receiving(job) for _ in range(job["subscribers"])]
    write_line(ready=True)
    read_line()
    for receiver in receivers:
        receiver.close()
