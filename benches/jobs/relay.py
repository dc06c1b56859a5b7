"""A relay: forwards messages from `upstream` to its subscribers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import read_line, write_line

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def relay(peer: PeerModule, job: Job) -> None:
    """Forwards messages until the harness ends the job."""
    relaying = peer.relaying(job)
    write_line(endpoint=relaying.endpoint)
    read_line()
    relaying.close()
