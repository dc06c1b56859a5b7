"""A relay: passes on from `upstream` to whoever connects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import say, wait_for_word

if TYPE_CHECKING:
    from benches.peers import Job, PeerModule


def relay(peer: PeerModule, job: Job) -> None:
    """Passes messages on until the word to end."""
    relaying = peer.relaying(job)
    say(endpoint=relaying.endpoint)
    wait_for_word()
    relaying.close()
