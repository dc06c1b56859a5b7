"""Memory: a publisher with peers that do nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import say, wait_for_word

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def resident_mib() -> float:
    """How much of this process is in memory."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("/proc/self/status has no VmRSS")


def stand(peer: PeerModule, job: Job) -> None:
    """A publisher that says, when its peers are there, how much of it is resident."""
    sender = peer.sending(job)
    say(endpoint=sender.endpoint)
    wait_for_word()
    if job["subscribers"]:
        sender.wait_for_subscribers(job["subscribers"])
    say(mib=resident_mib())
    wait_for_word()
    sender.close()


def attend(peer: PeerModule, job: Job) -> None:
    """The peers."""
    receivers = [peer.receiving(job) for _ in range(job["subscribers"])]
    say(ready=True)
    wait_for_word()
    for receiver in receivers:
        receiver.close()
