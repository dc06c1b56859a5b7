"""pynng: a pipeline, because Pub0 silently drops messages if a subscriber's queue is full."""

from __future__ import annotations

import importlib
import time
from importlib import metadata
from typing import TYPE_CHECKING

from . import Receiving, Sending

if TYPE_CHECKING:
    from . import Job

_pynng = importlib.import_module("pynng")


def versions() -> dict[str, str]:
    """The version of the package; it does not report the version of its nng."""
    return {"pynng": metadata.version("pynng")}


def sending(job: Job) -> Sending:
    """A Push0 that listens."""
    del job
    pusher = _pynng.Push0(listen="tcp://127.0.0.1:0", send_buffer_size=8192, send_timeout=30_000)
    address = str(pusher.listeners[0].local_address)

    def wait_for_subscribers(count: int) -> None:
        deadline = time.monotonic() + 30
        while len(pusher.pipes) < count:
            if time.monotonic() > deadline:
                raise RuntimeError("no subscriber connected within 30 s")
            time.sleep(0.01)

    return Sending(f"tcp://{address}", pusher.send, wait_for_subscribers, pusher.close)


def receiving(job: Job) -> Receiving:
    """A Pull0 that dials."""
    puller = _pynng.Pull0(dial=job["endpoint"], recv_buffer_size=8192, block_on_dial=True)
    return Receiving(puller.recv, puller.close)
